"""What is watched after what: counts of pairs of one user's rows a few places apart, a row of items at a time.

The rows that follow every watch of one item are read in one go and fall into n counts that stay in a processor's cache.
Adding them pair by pair into a square of 1.6 GB took five times as long (docs/benchmarks.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from matinee.models.common import Positives
from matinee.types import Doubles, Floats, Ints

BLOCK = 1024
PART = 1 << 17  # pairs at once: a megabyte


@dataclass(frozen=True, slots=True)
class Following:
    """``items`` and ``strength`` (m,): every user's rows in order, with ``lags`` empty places after them (item
    ``n_items``, strength 0). ``places`` by item: item i's are ``places[starts[i]:starts[i + 1]]``. ``even``: every
    strength is 1."""

    items: Any
    strength: Floats
    places: Ints
    starts: Ints
    lags: int
    n_items: int
    even: bool

    def row(self, item: int, weights: Doubles) -> Doubles:
        """(n_items,): the sum over every watch of the item of weights[lag - 1] x both strengths of what came ``lag``
        places later, itself among them. O(watches x len(weights) + n_items)."""
        after, n = np.arange(1, len(weights) + 1), self.n_items
        total: Doubles = np.zeros(n + 1)
        most = max(PART // max(len(weights), 1), 1)
        for start in range(self.starts[item], self.starts[item + 1], most):
            own = self.places[start : min(start + most, self.starts[item + 1])]
            later = own[:, None] + after
            worth = np.broadcast_to(weights, later.shape)
            if not self.even:
                worth = worth * self.strength[later] * self.strength[own][:, None]
            total += np.bincount(self.items[later].ravel(), worth.ravel(), minlength=n + 1)
        return total[:n]

    def rows(self, weights: Doubles, size: int = BLOCK) -> Iterator[tuple[int, Floats]]:
        """(start, (size, n) float32 rows), block by block."""
        for start in range(0, self.n_items, size):
            block = np.zeros((min(size, self.n_items - start), self.n_items), np.float32)
            for at in range(len(block)):
                if self.starts[start + at + 1] > self.starts[start + at]:
                    block[at] = self.row(start + at, weights)
            yield start, block

    def square(self, weights: Doubles) -> Floats:
        """(n, n) float32, from row, to column."""
        out = np.zeros((self.n_items, self.n_items), np.float32)
        for item in np.flatnonzero(np.diff(self.starts)):
            out[item] = self.row(int(item), weights)
        return out

    def same(self, weights: Doubles) -> Doubles:
        """(n,): the diagonal, an item with itself. O(m x len(weights))."""
        total = np.zeros(self.n_items + 1)
        for lag, weight in enumerate(weights.tolist(), start=1):
            twice = np.flatnonzero(self.items[lag:] == self.items[:-lag])
            worth = self.strength[twice] * self.strength[twice + lag] * weight
            total += np.bincount(self.items[twice], worth, minlength=self.n_items + 1)
        return total[: self.n_items]

    def into(self, weights: Doubles) -> Doubles:
        """(n,): the sum of each column without the diagonal. O(m x len(weights))."""
        heard = np.zeros(len(self.items))
        for lag, weight in enumerate(weights.tolist(), start=1):
            part = self.strength[:-lag] * np.float32(weight)
            part[self.items[lag:] == self.items[:-lag]] = 0
            heard[lag:] += part
        total = np.bincount(self.items, heard * self.strength, minlength=self.n_items + 1)
        return total[: self.n_items].astype(np.float64)


def following(seen: Positives, n_items: int, lags: int) -> Following:
    """Ready to count up to ``lags`` places on. O(rows + users x lags) memory."""
    counts = np.bincount(seen.users, minlength=1)
    lags = min(lags, max(int(counts.max(initial=0)) - 1, 0))
    place = np.arange(len(seen)) + lags * np.cumsum(counts > 0)[seen.users] - lags
    m = len(seen) + lags * int((counts > 0).sum())
    items = np.full(m, n_items, np.int32)
    items[place] = seen.items
    strength = np.zeros(m, np.float32)
    strength[place] = seen.strength
    order = np.argsort(seen.items, kind="stable")
    starts = np.searchsorted(seen.items[order], np.arange(n_items + 1)).astype(np.int64)
    even = bool(len(seen)) and bool((seen.strength == 1).all())
    return Following(items, strength, place[order], starts, lags, n_items, even)
