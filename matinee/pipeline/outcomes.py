"""What comes of a start: how often an item is finished and how long it is watched, counted from the log itself. It is
what a scenario's objective looks at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from matinee.protocols import Log
from matinee.types import EVENT_KINDS, Doubles, Floats, Ints

PLAY, FINISH, SKIP = (EVENT_KINDS.index(kind) for kind in ("play", "finish", "skip"))
DONE = 0.95  # share of an item from which a play counts as finished
DOUBT = 10.0  # starts that every item is thought to have had beforehand, with what is usual
UNKNOWN = 600.0  # seconds of an item whose duration nobody knows


@dataclass(frozen=True)
class Outcomes:
    """By item row (size,) float64: ``starts`` (plays, finishes and skips), ``finishes`` among them, ``shares`` and
    ``seconds``, the sums of what was watched where it was told as a share (0 to 1) or in seconds. ``sequence`` is the
    last event that is in it."""

    starts: Doubles
    finishes: Doubles
    shares: Doubles
    seconds: Doubles
    sequence: int = 0

    @staticmethod
    def empty(size: int = 0) -> Outcomes:
        return Outcomes(np.zeros(size), np.zeros(size), np.zeros(size), np.zeros(size))

    def grown(self, size: int) -> Outcomes:
        more = size - len(self.starts)
        if more <= 0:
            return self
        none = np.zeros(more)
        return Outcomes(
            np.append(self.starts, none), np.append(self.finishes, none), np.append(self.shares, none),
            np.append(self.seconds, none), self.sequence,
        )  # fmt: skip

    def with_log(self, log: Log) -> Outcomes:
        """These counts and the events of ``log`` that are later in the log. O(len(log) + size)."""
        new = log.sequence > self.sequence
        if not new.any():
            return self
        last = int(log.sequence[new].max())
        told = new & (log.items >= 0) & np.isin(log.kinds, (PLAY, FINISH, SKIP))
        items, kinds, value = log.items[told], log.kinds[told], np.nan_to_num(log.value[told])
        if not len(items):
            return replace(self, sequence=last)
        base = self.grown(int(items.max()) + 1)
        size = len(base.starts)
        share = np.where(kinds == FINISH, 1.0, np.where(value <= 1, value, 0.0))
        in_seconds = np.where((value > 1) & (kinds != FINISH), value, 0.0)
        done = (kinds == FINISH) | (share >= DONE)
        return Outcomes(
            base.starts + np.bincount(items, minlength=size),
            base.finishes + np.bincount(items, done, size),
            base.shares + np.bincount(items, share, size),
            base.seconds + np.bincount(items, in_seconds, size),
            last,
        )

    def lift(self, objective: str, rows: Ints, durations: Doubles) -> Floats:
        """(n,) deviations above what is usual: of the share that finishes ("finish"), of the logarithm of the seconds
        watched ("watch time"); 0 for "click", and where nothing is known. ``durations`` (n,) seconds, NaN = unknown."""
        if objective == "click" or not self.starts.sum():
            return np.zeros(len(rows), np.float32)
        inside = (rows >= 0) & (rows < len(self.starts))
        at = np.where(inside, rows, 0)
        starts = np.where(inside, self.starts[at], 0)
        if objective == "finish":
            value = (np.where(inside, self.finishes[at], 0) + DOUBT * self._finished) / (starts + DOUBT)
        else:
            length = np.where(np.isnan(durations), UNKNOWN, durations)
            watched = np.where(inside, self.shares[at] * length + self.seconds[at], 0)
            value = np.log1p((watched + DOUBT * self._share * length) / (starts + DOUBT))
        spread = float(value.std())
        return np.asarray((value - value.mean()) / spread if spread > 1e-9 else np.zeros(len(rows)), np.float32)

    @cached_property
    def _finished(self) -> float:
        return float(self.finishes.sum() / max(self.starts.sum(), 1.0))

    @cached_property
    def _share(self) -> float:
        """What is usual of a start that says how much was watched as a share."""
        return float(np.clip(self.shares.sum() / max(self.starts.sum(), 1.0), 0.05, 1.0))
