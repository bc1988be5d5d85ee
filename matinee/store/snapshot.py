"""The log for training as a file of columns: a snapshot in Parquet, and from the database only what came since.

A row of SQLite costs a Python object a value, a column of Parquet costs a copy: 10 to 30 times as fast (docs/store.md).
The snapshot holds row numbers, no ids. It is made when much has come since the last one, named by its own hash, and
counts as none as soon as what it says was rewritten: by an erasure, a merge or a restore.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np

from matinee.protocols import Log, Store
from matinee.store.named import sha256_of, sync
from matinee.types import Ints

HEAD = "log.json"
SMALL = 200_000  # events that are as well read from the database
COLUMNS = ("sequence", "users", "items", "kinds", "at", "value")


class Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``file``: the snapshot's name, ``sha256`` its hash; ``last``: the highest sequence number in it; ``state``: what
    ``Store.rewritten`` said of the log up to there."""

    file: str
    sha256: str
    last: int
    state: str


def read_log(store: Store, folder: Path, small: int = SMALL) -> Log:
    """The whole log, exactly as ``store.log()`` gives it. Writes a new snapshot to ``folder`` when more than ``small``
    events, and more than a tenth of all, are not in the last one. A folder that cannot be written costs the speed only.
    """
    begin, kept = store.rewritten(0), _load(store, folder)
    since = store.log(int(kept.sequence[-1]) if kept is not None else 0, deleted=True)
    whole = since if kept is None else _joined(kept, since)
    if len(since.sequence) > max(small, len(whole.sequence) // 10):
        with suppress(OSError):
            _write(store, folder, whole, begin)
    if kept is not None and store.rewritten(0) != begin:  # rewritten while it was read
        return store.log()
    return _living(whole, store.deleted_items())


def current(store: Store, folder: Path) -> Head | None:
    """The snapshot there is, if what it says still holds."""
    try:
        head = msgspec.json.decode((folder / HEAD).read_bytes(), type=Head)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return head if "/" not in head.file and head.state == store.rewritten(head.last) else None


def sweep(store: Store, folder: Path) -> None:
    """Takes away a snapshot that no longer holds, and those that a killed writer left."""
    head = current(store, folder)
    if head is None:
        (folder / HEAD).unlink(missing_ok=True)
    for file in folder.glob("log-*.parquet*"):
        if head is None or file.name != head.file:
            file.unlink(missing_ok=True)


def _load(store: Store, folder: Path) -> Log | None:
    head = current(store, folder)
    if head is None or sha256_of(folder / head.file) != head.sha256:
        return None
    import polars as pl

    try:
        table = pl.read_parquet(folder / head.file, columns=list(COLUMNS))
    except (OSError, pl.exceptions.PolarsError):
        return None
    return Log(*(table[name].to_numpy() for name in COLUMNS)) if len(table) else None


def _write(store: Store, folder: Path, log: Log, begin: str) -> None:
    import polars as pl

    last = int(log.sequence[-1])
    state = store.rewritten(last)
    part = folder / f"log-{os.getpid()}.parquet.part"
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        pl.DataFrame({name: getattr(log, name) for name in COLUMNS}).write_parquet(part, compression="zstd")
        digest = sha256_of(part) or ""
        if store.rewritten(0) != begin or int(state.rpartition("/")[2]) != len(log.sequence):
            return  # rewritten since reading began
        file = folder / f"log-{digest[:16]}.parquet"
        sync(part)
        part.replace(file)
        head = folder / f"{HEAD}.{os.getpid()}.part"
        head.write_bytes(msgspec.json.encode(Head(file=file.name, sha256=digest, last=last, state=state)))
        sync(head)
        head.replace(folder / HEAD)
    finally:
        part.unlink(missing_ok=True)
    sweep(store, folder)


def _joined(one: Log, other: Log) -> Log:
    return Log(*(np.concatenate([getattr(one, name), getattr(other, name)]) for name in COLUMNS))


def _living(log: Log, deleted: Ints) -> Log:
    """Items deleted since count as none."""
    if not len(deleted):
        return log
    gone = np.zeros(max(int(log.items.max(initial=-1)), int(deleted.max())) + 2, np.bool_)
    gone[deleted] = True  # the last place, for events without an item, stays False
    items = np.where(gone[log.items], -1, log.items)
    return Log(log.sequence, log.users, items, log.kinds, log.at, log.value)
