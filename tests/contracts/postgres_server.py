"""A real PostgreSQL for the tests, where one is installed: in a temporary folder, on a socket there, gone afterwards.

``make test-postgres`` installs one on Debian. PostgreSQL refuses to run as root, so root starts it as another user.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Postgres:
    folder: Path
    binaries: Path
    runner: dict[str, Any]
    settings: tuple[str, ...] = ()
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def address(self, database: str) -> str:
        return f"postgresql://matinee@/{database}?host={self.folder}"

    def call(self, program: str, *arguments: str) -> None:
        command = [str(self.binaries / program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.folder, **self.runner)
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stdout}{done.stderr}")

    def start(self) -> None:
        """As a child of this process, so that it can be killed and its end be fetched: while a killed postmaster waits
        to be fetched by a parent that never does, as the first process of many a container, the next one takes it for
        running and refuses to start."""
        options = [part for setting in self.settings for part in ("-c", setting)]
        command = [self.binaries / "postgres", "-D", self.folder / "data", "-c", "listen_addresses=", "-k", self.folder]
        with (self.folder / "log").open("ab") as log:
            self.started[:] = [
                subprocess.Popen([*command, *options], stdout=log, stderr=log, cwd=self.folder, **self.runner)
            ]  # fmt: skip
        until = time.monotonic() + 60
        while not self.ready():
            if self.started[0].poll() is not None or time.monotonic() > until:
                told = (self.folder / "log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"PostgreSQL does not start: {told}")
            time.sleep(0.02)

    def ready(self) -> bool:
        """The last word of its pid file says whether it takes connections."""
        try:
            told = (self.folder / "data/postmaster.pid").read_text().split("\n")
        except OSError:
            return False
        return told[0] == str(self.started[0].pid) and len(told) > 7 and told[7].strip() == "ready"

    def stop(self, mode: str = "fast") -> None:
        self.started[0].send_signal({"fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode])
        self.started[0].wait(60)

    def processes(self) -> set[int]:
        """The postmaster and its children, by their numbers."""
        return {self.started[0].pid, *children_of(self.started[0].pid)}

    def kill(self, seconds: float = 30.0) -> None:
        """SIGKILL to the postmaster. Its children see its end of a pipe close and leave by themselves, flushing
        nothing; returns once all are gone, and with them the shared memory. The pid file stays, as after any crash."""
        left = self.processes()
        with fetching_orphans():
            self.started[0].kill()
            self.started[0].wait(seconds)
            until = time.monotonic() + seconds
            while left := {pid for pid in left if alive(pid)}:
                if time.monotonic() > until:
                    raise RuntimeError(f"these outlived the postmaster: {left}")
                time.sleep(0.002)

    @contextmanager
    def database(self) -> Iterator[str]:
        """The address of a database without a store, emptied afterwards."""
        import psycopg

        yield self.address("postgres")
        with psycopg.connect(self.address("postgres"), autocommit=True) as c:
            c.execute("DROP SCHEMA IF EXISTS matinee CASCADE")


def children_of(parent: int) -> set[int]:
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            told = stat.read_text()
        except OSError:  # it ended meanwhile
            continue
        if int(told.rpartition(")")[2].split()[1]) == parent:
            found.add(int(stat.parent.name))
    return found


def alive(pid: int) -> bool:
    """Whether a process still runs. One that has ended and waits for its parent does not, and is fetched if it waits
    for us."""
    try:
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
            return True
        os.waitpid(pid, os.WNOHANG)
    except OSError:
        pass
    return False


@contextmanager
def fetching_orphans() -> Iterator[None]:
    """Processes whose parent dies become ours meanwhile (Linux, PR_SET_CHILD_SUBREAPER)."""
    prctl, subreaper = ctypes.CDLL(None).prctl, 36
    prctl(subreaper, 1, 0, 0, 0)
    try:
        yield
    finally:
        prctl(subreaper, 0, 0, 0, 0)


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
    server = Postgres(folder, programs, runner, settings)
    try:
        options = ["-U", "matinee", "-A", "trust", "-E", "UTF8", "--locale=C", "--data-checksums", "--no-sync"]
        server.call("initdb", "-D", str(folder / "data"), *options)
        try:
            server.start()
            yield server
        finally:
            if server.started and server.started[0].poll() is None:
                server.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
