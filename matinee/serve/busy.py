"""How many events each user has, for the lists of people. What comes is added; what a merge, an erasure or a restore
rewrote, in this process or another, is counted anew."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np

from matinee.protocols import Log, Store
from matinee.store.snapshot import read_log
from matinee.types import Ints

REST = 4.0  # counting anew is followed by this many times its duration of peace
NEWEST = 2**62  # above every sequence number: asked so, ``rewritten`` has nothing to count


class Busy:
    """Thread-safe. ``log``: all events, read after ``state = written(store)``."""

    def __init__(self, store: Store, folder: Path, state: str, log: Log) -> None:
        self._store, self._folder, self._state = store, folder, state
        self._lock = threading.Lock()
        self._took = self._ended = 0.0
        self._counts, self._last = counted(log)

    def counts(self) -> Ints:
        """(rows,) events by user row; rows beyond have none. Cost: the events since the last call, or the whole log
        (docs/store.md) when it was rewritten."""
        with self._lock:
            state = written(self._store)  # before reading: what is rewritten meanwhile is seen by the next call
            if state != self._state and time.monotonic() - self._ended > REST * self._took:
                begun = time.monotonic()
                self._counts, self._last = counted(read_log(self._store, self._folder))
                self._state, self._ended = state, time.monotonic()
                self._took = self._ended - begun
            elif len((news := self._store.log(self._last)).sequence):
                more = np.bincount(news.users, minlength=len(self._counts))
                more[: len(self._counts)] += self._counts
                self._counts, self._last = more, int(news.sequence[-1])
            return self._counts


def counted(log: Log) -> tuple[Ints, int]:
    """(rows,) events by user row, and the last sequence number."""
    return np.bincount(log.users), int(log.sequence[-1]) if len(log.sequence) else 0


def written(store: Store) -> str:
    """Changes with every merge, erasure and restore, and with nothing else."""
    return store.rewritten(NEWEST).rpartition("/")[0]
