"""What is watched: counted from the log itself, so that a library serves before any training and follows every
event."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from matinee.data.strength import DEFAULT, StrengthTable, strengths
from matinee.protocols import Log
from matinee.types import Bools, Doubles, Floats, Ints

DAY = 86400.0


@dataclass(frozen=True)
class Popularity:
    """``ever`` and ``recent`` (size,) float64 by item row: sums of the positive strengths, ``recent`` with a half-life
    and as of ``at``, the newest event counted. ``sequence`` is the last event of the log that is in it."""

    ever: Doubles
    recent: Doubles
    at: float = 0.0
    sequence: int = 0
    half_life: float = 7 * DAY
    table: StrengthTable = DEFAULT

    @staticmethod
    def empty(size: int = 0) -> Popularity:
        return Popularity(np.zeros(size), np.zeros(size))

    def grown(self, size: int) -> Popularity:
        """The same counts for at least ``size`` rows."""
        more = size - len(self.ever)
        if more <= 0:
            return self
        none = np.zeros(more)
        return replace(self, ever=np.append(self.ever, none), recent=np.append(self.recent, none))

    def with_log(self, log: Log) -> Popularity:
        """These counts and the events of ``log`` that are later in the log. O(len(log) + size)."""
        new = log.sequence > self.sequence
        if not new.any():
            return self
        last = int(log.sequence[new].max())
        strength = strengths(log.kinds, log.value, self.table)
        told = new & (log.items >= 0) & (strength > 0)
        items, weight, times = log.items[told], strength[told].astype(np.float64), log.at[told]
        if not len(items):
            return replace(self, sequence=last)
        base = self.grown(int(items.max()) + 1)
        at = max(self.at, float(times.max()))
        ever = base.ever + np.bincount(items, weight, len(base.ever))
        recent = base.recent * np.exp2(-(at - self.at) / self.half_life)
        recent += np.bincount(items, weight * np.exp2(-(at - times) / self.half_life), len(base.recent))
        return Popularity(ever, recent, at, last, self.half_life, self.table)

    def scores(self, rows: Ints) -> Floats:
        """(n,) float32 in (0, 1]: half from all time, half from the last days, each on a logarithmic scale against the
        highest there is; NaN for items that nobody has watched."""
        inside = (rows >= 0) & (rows < len(self.ever))
        if inside.all():
            return self._all[rows]
        scores = np.full(len(rows), np.nan, np.float32)
        scores[inside] = self._all[rows[inside]]
        return scores

    @cached_property
    def _all(self) -> Floats:
        value = 0.5 * np.log1p(self.ever) / _top(self.ever) + 0.5 * np.log1p(self.recent) / _top(self.recent)
        return np.where(self.ever > 0, value, np.nan).astype(np.float32)

    def were_ever(self, rows: Ints) -> Bools:
        """(n,) whether anybody watched each item. Rows are not negative."""
        return self._of(self.ever, rows) > 0

    def are_recent(self, rows: Ints) -> Bools:
        """(n,) whether each item is among what is watched now, not only what was watched once. Rows are not
        negative."""
        return np.asarray(np.log1p(self._of(self.recent, rows)) >= 0.5 * self._most_recent, np.bool_)

    @staticmethod
    def _of(counts: Doubles, rows: Ints) -> Doubles:
        """(n,) the counts of rows; 0 for what came since."""
        inside = rows < len(counts)
        if inside.all():
            return counts[rows]
        found = np.zeros(len(rows))
        found[inside] = counts[rows[inside]]
        return found

    @cached_property
    def _most_recent(self) -> float:
        return _top(self.recent)


def _top(counts: Doubles) -> float:
    return float(np.log1p(counts.max(initial=0.0))) or 1.0
