"""Item-to-item weights as the request path wants them: only the rows that the history names and only the columns that
are candidates are read, whatever the size of the catalogue."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from matinee.pipeline.selectors import top_of
from matinee.pipeline.taste import Told
from matinee.types import Bools, Candidates, Floats, Ints, Query

NEAR = 64  # neighbours of each past item that retrieval looks at, where there are more
WHOLE = 4096  # up to so many items retrieval looks at all


class Places(threading.local):
    """A scratch array of one number for each item and thread, never cleared: whoever reads a place has written it."""

    def __init__(self) -> None:
        self._held = np.empty(0, np.int32)

    def of(self, size: int) -> np.ndarray[Any, np.dtype[np.int32]]:
        if len(self._held) < size:
            self._held = np.zeros(size, np.int32)
        return self._held


@dataclass(frozen=True)
class Neighbours:
    """The score of item i is the sum over the history of weight x matrix[watched, i]: ``ItemWeights`` of a release,
    with the same arrays and the same scores.

    ``values`` is (n, n) when dense (``starts`` empty), else the data of a CSR matrix with ``starts`` (n + 1,) and
    ``columns``. Retrieval of a large catalogue looks at the ``NEAR`` strongest neighbours of each past item; scores
    are exact.
    """

    name: str
    values: Floats
    starts: Ints
    columns: Any  # (nnz,) int32 or int64
    known: Bools
    power: float
    decay: float = 1.0
    places: Places = field(default_factory=Places)

    @property
    def size(self) -> int:
        return len(self.known)

    def retrieve(self, query: Query, n: int) -> Candidates:
        """The best n of the neighbours of the history. O(history x ``NEAR``); of up to ``WHOLE`` items, all."""
        told = Told.of(query.history).below(self.size)
        weight = told.weights(self.power, self.decay)[0]
        heard = self.known[told.items]
        rows, weight = told.items[heard], weight[heard]
        if not len(rows) or n <= 0:
            return _found(np.empty(0, np.int64), np.empty(0, np.float32))
        if not len(self.starts) and self.size <= WHOLE:
            scores = np.where(self.known, weight @ self.values[rows], np.float32(np.nan)).astype(np.float32)
            return _found(*top_of(np.arange(self.size), scores, n))
        columns, sums = self.summed(rows, weight)
        sums[~self.known[columns]] = np.nan
        return self.found(columns, sums, n)

    def found(self, columns: Ints, sums: Floats, n: int) -> Candidates:
        """The best n of what was summed; ties by row."""
        order = np.argsort(columns)
        return _found(*top_of(columns[order], sums[order], n))

    def tabled(self, told: Told, heard: Ints, reached: Ints, cells: Floats, history: int) -> NeighbourTable:
        return NeighbourTable(self, told, heard, reached, cells, history)

    def summed(self, rows: Ints, weight: Floats) -> tuple[Ints, Floats]:
        """Each neighbour of the rows once, and the sum of what it gets, without a pass over the catalogue."""
        starts, columns, values = self._near
        if not len(rows):
            return np.empty(0, np.int64), np.empty(0, np.float32)
        which, cells = _cells(starts, rows)
        named = columns[cells].astype(np.int64)
        own = np.arange(len(named))
        place = self.places.of(self.size)
        place[named] = own  # of equal columns the last one wins, and stands for all
        stands = place[named]
        sums = np.bincount(stands, weight[which] * values[cells], len(named))
        once = stands == own
        return named[once], sums[once].astype(np.float32)

    @cached_property
    def _near(self) -> tuple[Ints, Any, Floats]:
        """CSR of the strongest neighbours: the matrix itself where its rows are short. Once for each release."""
        if len(self.starts) and len(self.columns) <= NEAR * max(self.size, 1):
            return self.starts, self.columns, self.values
        counts = np.zeros(self.size, np.int64)
        columns, values = [], []
        for row in range(self.size):
            where, what = self._row(row)
            if len(what) > NEAR:
                kept = np.sort(np.argpartition(-what, NEAR - 1)[:NEAR])
                where, what = where[kept], what[kept]
            counts[row] = len(where)
            columns.append(where.astype(np.int32))
            values.append(what)
        none = np.empty(0, np.int32), np.empty(0, np.float32)
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return starts, np.concatenate([none[0], *columns]), np.concatenate([none[1], *values])

    def _row(self, row: int) -> tuple[Any, Floats]:
        if not len(self.starts):
            return np.arange(self.size), self.values[row]
        part = slice(self.starts[row], self.starts[row + 1])
        return self.columns[part], self.values[part]

    def table(self, query: Query, items: Ints) -> NeighbourTable:
        told = Told.of(query.history).below(self.size)
        heard = np.flatnonzero(self.known[told.items])
        reached = np.flatnonzero((items >= 0) & (items < self.size))
        reached = reached[self.known[items[reached]]]
        cells = np.zeros((len(heard), len(items)), np.float32)
        if len(heard) and len(reached):
            cells[:, reached] = self.between(told.items[heard], items[reached])
        return NeighbourTable(self, told, heard, reached, cells, len(query.history))

    def between(self, rows: Ints, items: Ints) -> Floats:
        """(len(rows), len(items)) weights from each row to each item."""
        if not len(self.starts):
            dense: Floats = self.values[np.ix_(rows, items)]
            return dense
        which, cells = _cells(self.starts, rows)
        columns = self.columns[cells]
        place = self.places.of(self.size)
        place[items] = np.arange(len(items))
        at = np.minimum(place[columns], len(items) - 1)  # what stands there of old is checked in the next line
        inside = np.flatnonzero(items[at] == columns)
        out = np.zeros((len(rows), len(items)), np.float32)
        out[which[inside], at[inside]] = self.values[cells[inside]]
        return out

    def score(self, query: Query, candidates: Candidates) -> Floats:
        """(n,) float32; NaN for items that were not watched in training and for a history that says nothing."""
        scores: Floats = self.table(query, candidates.items).scores()[0]
        return scores

    def explain(self, query: Query, items: Ints) -> Floats:
        """(len(items), len(history)): the terms of ``score``, summing to it."""
        return self.table(query, items).terms(np.arange(len(items)))[""]

    def arrays(self) -> Mapping[str, Any]:
        return {
            "values": self.values, "starts": self.starts, "columns": self.columns, "known": self.known,
            "fading": np.array([self.power, self.decay]),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class NeighbourTable:
    """What every past item gives every candidate: ``cells`` (heard, n)."""

    model: Neighbours
    told: Told
    heard: Ints
    reached: Ints
    cells: Floats
    history: int

    def scores(self, without: Sequence[int] = ()) -> Floats:
        """(1 + len(without), n) scores by the whole history, then without each named past item."""
        weights = self.told.weights(self.model.power, self.model.decay, without)[:, self.heard]
        out = np.full((len(weights), self.cells.shape[1]), np.nan, np.float32)
        speaks = np.flatnonzero((weights != 0).any(axis=1))
        out[np.ix_(speaks, self.reached)] = (weights[speaks] @ self.cells)[:, self.reached]
        return out

    def terms(self, picked: Ints) -> dict[str, Floats]:
        weight = self.told.weights(self.model.power, self.model.decay)[0, self.heard]
        out = np.zeros((len(picked), self.history), np.float32)
        out[:, self.told.at[self.heard]] = (self.cells[:, picked] * weight[:, None]).T
        return {"": out}


def _cells(starts: Ints, rows: Ints) -> tuple[Ints, Ints]:
    """Positions of all cells of some CSR rows, and for each which of ``rows`` it is of."""
    length = starts[rows + 1] - starts[rows]
    which = np.repeat(np.arange(len(rows)), length)
    before = np.cumsum(length) - length
    return which, np.arange(int(length.sum())) + (starts[rows] - before)[which]


def _found(items: Ints, score: Floats) -> Candidates:
    return Candidates(items.astype(np.int64), score, np.zeros(len(items), np.int64))
