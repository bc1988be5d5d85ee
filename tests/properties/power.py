"""A disk that loses power. The store's own code runs on SQLite over files kept here in memory, and everything it does
to them is recorded; afterwards the power is cut, on paper, at any point of the record, as often as one likes.

What a cut leaves: of each file all that was synced, and of what was written since, each 512-byte sector or not, by
chance (or none of it, or all). A file that was never synced may be missing. Bytes that a write
did not touch are never harmed.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import apsw

SECTOR = 512
KEPT = ("matinee.db", "matinee.db-wal", "matinee.db-journal")


@dataclass
class Record:
    """``steps``: (name, what, offset, data) in order; ``acks``: (number of steps before it, what was acknowledged)."""

    steps: list[tuple[str, str, int, bytes]] = field(default_factory=list)
    acks: list[tuple[int, str]] = field(default_factory=list)
    files: dict[str, bytearray] = field(default_factory=dict)

    def acknowledge(self, what: str) -> None:
        self.acks.append((len(self.steps), what))


class File:
    def __init__(self, record: Record, name: str, data: bytearray) -> None:
        self.record, self.name, self.data = record, name, data
        self.new = name.endswith(("-wal", "-journal"))  # SQLite syncs the folder with the first sync of such a file

    def note(self, what: str, offset: int = 0, data: bytes = b"") -> None:
        if self.name in KEPT:
            self.record.steps.append((self.name, what, offset, data))

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        return bytes(self.data[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        write(self.data, offset, bytes(data))
        self.note("write", offset, bytes(data))

    def xTruncate(self, size: int) -> None:  # noqa: N802
        cut(self.data, size)
        self.note("truncate", size)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self.note("sync")
        if self.new:
            self.note("folder")
            self.new = False

    def xFileSize(self) -> int:  # noqa: N802
        return len(self.data)

    def xClose(self) -> None:  # noqa: N802
        pass

    def xLock(self, level: int) -> None:  # noqa: N802
        pass

    def xUnlock(self, level: int) -> None:  # noqa: N802
        pass

    def xCheckReservedLock(self) -> bool:  # noqa: N802
        return False

    def xFileControl(self, op: int, pointer: int) -> bool:  # noqa: N802
        return False

    def xSectorSize(self) -> int:  # noqa: N802
        return 4096

    def xDeviceCharacteristics(self) -> int:  # noqa: N802
        return int(apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE)  # as SQLite takes ordinary disks to be


class Disk(apsw.VFS):
    def __init__(self, name: str) -> None:
        self.record = Record()
        super().__init__(name, base="")

    def xOpen(self, name: Any, flags: list[int]) -> File:  # noqa: N802
        path = (name if isinstance(name, str) or name is None else name.filename()) or "temporary"
        short = path.rsplit("/", 1)[-1]
        flags[1] = flags[0]
        data = self.record.files.setdefault(short, bytearray()) if short in KEPT else bytearray()
        return File(self.record, short, data)

    def xDelete(self, name: str, syncdir: bool) -> None:  # noqa: N802
        short = name.rsplit("/", 1)[-1]
        self.record.files.pop(short, None)
        if short in KEPT:
            self.record.steps.append((short, "delete", int(syncdir), b""))

    def xAccess(self, name: str, flags: int) -> bool:  # noqa: N802
        return name.rsplit("/", 1)[-1] in self.record.files


class Rows:
    """Enough of ``sqlite3.Cursor`` for the store."""

    def __init__(self, rows: list[tuple[Any, ...]], rowcount: int) -> None:
        self.rows, self.rowcount = rows, rowcount

    def fetchone(self) -> tuple[Any, ...] | None:
        return self.rows[0] if self.rows else None

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self.rows

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self.rows)


class Connection:
    """Enough of ``sqlite3.Connection`` for the store, over a ``Disk``, with another ``synchronous`` if asked for.

    One connection at a time (``locking_mode=EXCLUSIVE``): then the log needs no shared memory.
    """

    def __init__(self, disk: str, synchronous: str) -> None:
        self.inner = apsw.Connection("/matinee.db", vfs=disk)
        self.synchronous = synchronous
        self.execute("PRAGMA locking_mode=EXCLUSIVE")

    def execute(self, sql: str, values: tuple[Any, ...] = ()) -> Rows:
        if sql == "PRAGMA synchronous=FULL":
            # checkpoints come early and often, so that cuts fall into them too
            self.inner.execute("PRAGMA wal_autocheckpoint=12")
            sql = f"PRAGMA synchronous={self.synchronous}"
        rows = list(self.inner.execute(sql, values))
        return Rows(rows, self.inner.changes())

    def executemany(self, sql: str, rows: Iterable[tuple[Any, ...]]) -> None:
        self.inner.executemany(sql, rows)

    def create_function(self, name: str, count: int, function: Any, deterministic: bool = False) -> None:
        self.inner.create_scalar_function(name, function, count, deterministic=deterministic)

    @property
    def in_transaction(self) -> bool:
        return bool(self.inner.in_transaction)

    def close(self) -> None:
        self.inner.close()


class Library:
    """Stands where the store expects the module ``sqlite3``: opens connections on the disk, has the module's names."""

    def __init__(self, disk: str, synchronous: str) -> None:
        self.disk, self.synchronous = disk, synchronous

    def connect(self, *_: Any, **__: Any) -> Connection:
        return Connection(self.disk, self.synchronous)

    def __getattr__(self, name: str) -> Any:
        return getattr(sqlite3, name)


def write(data: bytearray, offset: int, new: bytes) -> None:
    if len(data) < offset:
        data.extend(bytes(offset - len(data)))
    data[offset : offset + len(new)] = new


def cut(data: bytearray, size: int) -> None:
    if len(data) > size:
        del data[size:]
    else:
        data.extend(bytes(size - len(data)))


def cuts(record: Record, points: Iterable[int], seed: int) -> Iterator[tuple[int, dict[str, bytes]]]:
    """For each point (number of steps done) the files that a power cut there leaves."""
    chance = random.Random(seed)
    synced: dict[str, bytearray] = {}
    pending: dict[str, list[tuple[str, int, bytes]]] = {}
    done = 0
    for point in sorted(points):
        for name, what, offset, data in record.steps[done:point]:
            if what == "sync":
                settle(synced.setdefault(name, bytearray()), pending.pop(name, []), lambda: True)
            elif what != "folder":
                pending.setdefault(name, []).append((what, offset, data))
            if what == "folder" or (what == "delete" and offset):
                sync_folder(synced, pending)
        done = point
        share = chance.choice([0.0, 0.5, 0.5, 1.0])
        left: dict[str, bytes] = {}
        for name in {*synced, *pending}:
            if name not in synced and chance.random() >= share:
                continue
            file = bytearray(synced.get(name, b""))
            if settle(file, pending.get(name, []), lambda share=share: chance.random() < share):
                left[name] = bytes(file)
        yield point, left


def sync_folder(synced: dict[str, bytearray], pending: dict[str, list[tuple[str, int, bytes]]]) -> None:
    """Names made and deleted so far are so for good."""
    for name, steps in pending.items():
        deleted = [n for n, (what, *_) in enumerate(steps) if what == "delete"]
        if deleted:
            synced.pop(name, None)
            del steps[: deleted[-1] + 1]
        if steps:
            synced.setdefault(name, bytearray())


def settle(file: bytearray, steps: list[tuple[str, int, bytes]], survives: Any) -> bool:
    """Applies those sectors and truncations that survive; False if a deletion does."""
    there = True
    for what, offset, data in steps:
        if what == "write":
            there = True
            at = offset
            while at < offset + len(data):
                end = min((at // SECTOR + 1) * SECTOR, offset + len(data))
                if survives():
                    write(file, at, data[at - offset : end - offset])
                at = end
        elif survives():
            if what == "truncate":
                cut(file, offset)
            else:
                file.clear()
                there = False
    return there
