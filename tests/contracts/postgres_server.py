"""A real PostgreSQL for the tests, where one is installed: in a temporary folder, on a socket there, gone afterwards.

``make test-postgres`` installs one on Debian. PostgreSQL refuses to run as root, so root starts it as another user.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Postgres:
    folder: Path
    binaries: Path
    runner: dict[str, Any]

    def address(self, database: str) -> str:
        return f"postgresql://matinee@/{database}?host={self.folder}"

    def call(self, program: str, *arguments: str) -> None:
        command = [str(self.binaries / program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.folder, **self.runner)
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stdout}{done.stderr}")

    def start(self, *settings: str) -> None:
        options = f"-c listen_addresses='' -k {self.folder} " + " ".join(f"-c {setting}" for setting in settings)
        data, journal = str(self.folder / "data"), str(self.folder / "log")
        self.call("pg_ctl", "-D", data, "-l", journal, "-w", "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        self.call("pg_ctl", "-D", str(self.folder / "data"), "-w", "-m", mode, "stop")

    @contextmanager
    def database(self) -> Iterator[str]:
        """The address of a database without a store, emptied afterwards."""
        import psycopg

        yield self.address("postgres")
        with psycopg.connect(self.address("postgres"), autocommit=True) as c:
            c.execute("DROP SCHEMA IF EXISTS matinee CASCADE")


def binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    named = shutil.which("initdb")
    return found[-1].parent if found else Path(named).parent if named else None


@contextmanager
def running(*settings: str) -> Iterator[Postgres]:
    """A server with these settings; skips, saying why, where there can be none."""
    pytest.importorskip(
        "psycopg", reason="psycopg is not installed: pip install 'matinee[postgres]'", exc_type=ImportError
    )
    if (programs := binaries()) is None:
        pytest.skip("no PostgreSQL is installed: make test-postgres installs one on Debian")
    folder, runner = Path(tempfile.mkdtemp(prefix="pg")), {}
    if os.geteuid() == 0:
        names = {entry.pw_name for entry in pwd.getpwall()}
        user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
        os.chown(folder, user.pw_uid, user.pw_gid)
        runner = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    server = Postgres(folder, programs, runner)
    try:
        options = ["-U", "matinee", "-A", "trust", "-E", "UTF8", "--locale=C", "--data-checksums", "--no-sync"]
        server.call("initdb", "-D", str(folder / "data"), *options)
        server.start(*settings)
        try:
            yield server
        finally:
            server.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
