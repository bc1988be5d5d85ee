"""One SQLite file, opened for many threads: one writer behind a lock, and a pool of readers that never wait for it.

WAL lets readers and the writer work at once. ``synchronous=FULL`` syncs the log before a commit returns, so that what
was acknowledged survives a power cut (NORMAL does not). Several processes may open one file; SQLite's locks order them.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from matinee.errors import MatineeError
from matinee.store import trouble

BUSY_MS = 10_000
Mode = Literal["rw", "ro", "immutable"]  # immutable: on a read-only disk, where not even the log's index can be made
OLDEST_SQLITE = (3, 37, 0)  # STRICT tables


class Database:
    """``write()`` and ``read()`` lend a connection inside a transaction. Errors leave as ``MatineeError``."""

    __slots__ = ("_broken", "_closed", "_idle", "_joined", "_lock", "_pid", "_pool", "_writer", "mode", "path")

    def __init__(self, path: Path, mode: Mode = "rw") -> None:
        self.path, self.mode = path, mode
        self._lock, self._pool = threading.RLock(), threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._pid, self._closed, self._broken, self._joined = os.getpid(), False, False, False
        self._writer = connect(path, mode)

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction that is on the disk when the block ends, and undone if the block raises."""
        with self._lock, trouble.told(self.path):
            self._usable()
            if self._broken:
                raise trouble.broken(self.path)
            if self._joined:  # the lock is this thread's, so it is inside its own ``together``
                yield from self._part()
                return
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._whole()
                self._writer.execute("COMMIT")
            except BaseException as error:
                # After a failed write or sync nobody knows what the disk holds: acknowledging a retry would be a lie.
                self._broken = trouble.is_disk_failure(error)
                with suppress(sqlite3.Error):
                    if self._writer.in_transaction:
                        self._writer.execute("ROLLBACK")
                raise

    @contextmanager
    def turn(self) -> Iterator[bool]:
        """The right to write, without a transaction yet; whether this thread is inside its own ``together``."""
        with self._lock:
            yield self._joined

    def _part(self) -> Iterator[sqlite3.Connection]:
        """One write of several in a transaction: undone alone if it raises."""
        self._whole()
        self._writer.execute("SAVEPOINT part")
        try:
            yield self._writer
            self._writer.execute("RELEASE part")
        except BaseException:
            with suppress(sqlite3.Error):
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK TO part")
                    self._writer.execute("RELEASE part")
            raise

    def _whole(self) -> None:
        """A full or failing disk undoes the whole transaction at once; what follows must not pass for part of it."""
        if not self._writer.in_transaction:
            raise trouble.broken(self.path)

    @contextmanager
    def together(self) -> Iterator[None]:
        """All writes of this thread inside the block become one transaction: one sync, whole or absent. Other threads'
        writes wait; reads do not see it before its end."""
        with self._lock:
            if self._joined:
                yield
                return
            with self.write():
                self._joined = True
                try:
                    yield
                finally:
                    self._joined = False

    @contextmanager
    def alone(self) -> Iterator[sqlite3.Connection]:
        """The writer outside a transaction, for VACUUM, checkpoints and backups."""
        with self._lock, trouble.told(self.path):
            self._usable()
            if self._joined:
                raise RuntimeError("this cannot be done inside `together`")
            yield self._writer

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A reader, for one statement or for a snapshot made with ``BEGIN`` (ended here)."""
        with trouble.told(self.path):
            self._usable()
            with self._pool:
                lent = self._idle.pop() if self._idle else None
            connection = lent or connect(self.path, self.mode, reader=True)
            try:
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                with self._pool:
                    if keep := not self._closed:
                        self._idle.append(connection)
                if not keep:
                    connection.close()

    def drop_readers(self) -> None:
        """Closes idle readers, whose page caches may hold what was just erased."""
        with self._pool:
            idle, self._idle[:] = list(self._idle), []
        for connection in idle:
            connection.close()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self.drop_readers()
            self._writer.close()

    def _usable(self) -> None:
        if self._closed:
            raise MatineeError(
                "store.closed",
                f"The store {self.path} was closed. Open it again before using it.",
                f"存储 {self.path} 已关闭，请重新打开后再使用。",
                status=503,
                exit_code=1,
            )
        if os.getpid() != self._pid:  # SQLite's locks do not survive fork
            raise MatineeError(
                "store.forked",
                f"The store {self.path} was opened before this process forked. Open it anew in the child.",
                f"存储 {self.path} 是在进程分叉之前打开的，请在子进程中重新打开。",
                status=500,
                exit_code=1,
            )


def connect(path: Path, mode: Mode = "rw", *, reader: bool = False) -> sqlite3.Connection:
    """A connection with this store's settings. ``reader`` refuses writes, and changes nothing in the file."""
    uri = f"{path.absolute().as_uri()}?{'immutable=1' if mode == 'immutable' else 'mode=' + mode}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=BUSY_MS / 1000)
    try:
        for pragma in ("foreign_keys=ON", "cache_size=-16384", "temp_store=MEMORY"):
            connection.execute(f"PRAGMA {pragma}")
        if reader or mode != "rw":
            connection.execute("PRAGMA query_only=ON")
        else:
            _prepare_writer(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare_writer(connection: sqlite3.Connection) -> None:
    deadline = time.monotonic() + BUSY_MS / 1000
    while True:  # the change to WAL does not wait for other processes by itself
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    for pragma in ("synchronous=FULL", "fullfsync=ON", "secure_delete=ON", "journal_size_limit=67108864"):
        connection.execute(f"PRAGMA {pragma}")


def create_file(path: Path) -> None:
    """An empty database file that only its owner may read (it holds what people watched)."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def check_sqlite() -> None:
    """Raises ``store.sqlite_old`` where this Python's SQLite cannot read the schema."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        need, have = ".".join(map(str, OLDEST_SQLITE)), sqlite3.sqlite_version
        raise MatineeError(
            "store.sqlite_old",
            f"Matinee needs SQLite {need} or newer; this Python has {have}. Use a newer Python build.",
            f"Matinee 需要 SQLite {need} 或更新版本，当前 Python 自带 {have}。请使用更新的 Python。",
            status=500,
            exit_code=1,
        )
