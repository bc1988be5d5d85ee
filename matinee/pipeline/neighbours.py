"""Item-to-item weights as the request path wants them: only the rows that the history names and only the columns that
are candidates are read, whatever the size of the catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np

from matinee.index.exact import highest
from matinee.kernels import compiled
from matinee.pipeline.places import PLACES, ZEROS
from matinee.pipeline.selectors import top_of
from matinee.pipeline.taste import Told
from matinee.types import Bools, Candidates, Floats, Ints, Query

NEAR = 64  # neighbours of each past item that retrieval looks at, where there are more
WHOLE = 4096  # up to so many items retrieval looks at all


@dataclass(frozen=True, slots=True)
class Cells:
    """What some rows of a CSR matrix hold, row by row: ``which`` of the rows, ``columns`` and ``values``."""

    which: Ints
    columns: Any
    values: Floats

    @staticmethod
    def of(starts: Ints, columns: Any, values: Floats, rows: Ints) -> Cells:
        length = starts[rows + 1] - starts[rows]
        which = np.repeat(np.arange(len(rows)), length)
        before = np.cumsum(length) - length
        at = np.arange(len(which)) + (starts[rows] - before)[which]
        return Cells(which, columns[at], values[at])


@dataclass(frozen=True, slots=True)
class Met:
    """Cells (n,) between some rows and some items: ``which`` of the rows, ``at`` which of the items, ``value``."""

    which: Any
    at: Any
    value: Floats


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
        if self._loops is not None:
            return self.found(*self.sums(rows, weight, self.known), n)
        cells = self._read(told, rows) if self._near[1] is self.columns else Cells.of(*self._near, rows)
        return self.found(*self._summed(cells, weight, self.known), n)

    def found(self, columns: Ints, sums: Floats, n: int) -> Candidates:
        """The best n of what was summed; ties by row."""
        order = highest(sums, n, columns)
        return _found(columns[order], sums[order])

    def _read(self, told: Told, rows: Ints) -> Cells:
        """All cells of the rows that were heard, for retrieval and for scores."""
        made = told.once(
            ("cells", id(self)), lambda: (self, Cells.of(self.starts, self.columns, self.values, rows))
        )  # fmt: skip
        cells: Cells = made[1]
        return cells

    def sums(self, rows: Ints, weight: Floats, known: Bools) -> tuple[Ints, Floats]:
        """The strongest neighbours of some rows that are ``known``, each once, and the sum of what each gets from the
        rows of these weights, without a pass over the catalogue."""
        if self._loops is None:
            return self._summed(Cells.of(*self._near, rows), weight, known)
        starts, columns, values = self._near
        most = int((starts[rows + 1] - starts[rows]).sum())
        named, total = np.empty(most, np.int64), np.empty(most, np.float32)
        weight, scratch = weight.astype(np.float32, copy=False), ZEROS.sums(self.size)
        count = self._loops.summed(starts, columns, values, rows, weight, known, scratch, named, total)
        return named[:count], total[:count]

    def _summed(self, cells: Cells, weight: Floats, known: Bools) -> tuple[Ints, Floats]:
        """Each known neighbour once, and its sum."""
        named = cells.columns
        own = np.arange(len(named), dtype=np.int32)
        place = PLACES.of(self.size)
        place[named] = own  # of equal columns the last one wins, and stands for all
        stands = place[named]
        sums = np.bincount(stands, weight[cells.which] * cells.values, len(named))
        once = (stands == own) & known[named]
        return named[once].astype(np.int64), sums[once].astype(np.float32)

    @property
    def _loops(self) -> ModuleType | None:
        """The compiled loops, where there are any and they take arrays as these are."""
        return compiled() if self._fits else None

    @cached_property
    def _fits(self) -> bool:
        both = (self._near, (self.starts, self.columns, self.values))
        kinds = all(
            starts.dtype == np.int64 and columns.dtype in (np.int32, np.int64) and values.dtype == np.float32
            for starts, columns, values in both
        )
        arrays = (self.known, *(array for one in both for array in one))
        return bool(kinds and all(a.flags.c_contiguous and a.flags.aligned for a in arrays))

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

    def table(self, query: Query, items: Ints) -> NeighbourTable | MetTable:
        told = Told.of(query.history).below(self.size)
        heard = np.flatnonzero(self.known[told.items])
        reached = np.flatnonzero((items >= 0) & (items < self.size))
        reached = reached[self.known[items[reached]]]
        if not len(heard) or not len(reached):
            cells = np.zeros((len(heard), len(items)), np.float32)
        elif not len(self.starts):
            cells = np.zeros((len(heard), len(items)), np.float32)
            cells[:, reached] = self.values[np.ix_(told.items[heard], items[reached])]
        elif self._loops is not None:
            met = self._met_by(self._loops, told.items[heard], items, reached)
            return MetTable(self, told, heard, reached, met, (len(items), len(query.history)), self._loops)
        else:
            cells = self._met(self._read(told, told.items[heard]), len(heard), items, reached)
        return NeighbourTable(self, told, heard, reached, cells, len(query.history))

    def _met_by(self, loops: ModuleType, rows: Ints, items: Ints, reached: Ints) -> Met:
        """Of the cells of some rows those whose columns are among the items, at the places ``reached``, compiled."""
        most = int((self.starts[rows + 1] - self.starts[rows]).sum())
        which, at, value = np.empty(most, np.int32), np.empty(most, np.int32), np.empty(most, np.float32)
        own, scratch = np.ascontiguousarray(items, np.int64), ZEROS.places(self.size)
        n = loops.met(self.starts, self.columns, self.values, rows, own, reached, scratch, which, at, value)
        return Met(which[:n], at[:n], value[:n])

    def _met(self, cells: Cells, m: int, items: Ints, reached: Ints) -> Floats:
        """(m, len(items)) of the cells of m rows those whose columns are among the items, at the places ``reached``."""
        place = PLACES.of(self.size)
        place[items[reached]] = reached
        at = np.minimum(place[cells.columns], len(items) - 1)  # what stands there of old is checked in the next line
        named = np.full(len(items), -1, np.int64)
        named[reached] = items[reached]
        inside = np.flatnonzero(named[at] == cells.columns)
        out = np.zeros((m, len(items)), np.float32)
        out[cells.which[inside], at[inside]] = cells.values[inside]
        return out

    def between(self, rows: Ints, items: Ints) -> Floats:
        """(len(rows), len(items)) weights from each row to each item."""
        if not len(self.starts):
            dense: Floats = self.values[np.ix_(rows, items)]
            return dense
        every = np.arange(len(items))
        if self._loops is not None:
            met, out = self._met_by(self._loops, rows, items, every), np.zeros((len(rows), len(items)), np.float32)
            out[met.which, met.at] = met.value
            return out
        return self._met(Cells.of(self.starts, self.columns, self.values, rows), len(rows), items, every)

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
        weights = _weights(self, without)
        return _silenced(weights @ self.cells, weights, self.reached)

    def terms(self, picked: Ints) -> dict[str, Floats]:
        weight = self.told.weights(self.model.power, self.model.decay)[0, self.heard]
        out = np.zeros((len(picked), self.history), np.float32)
        out[:, self.told.at[self.heard]] = (self.cells[:, picked] * weight[:, None]).T
        return {"": out}


@dataclass(frozen=True, slots=True)
class MetTable:
    """The same from the cells alone that are not 0, by compiled loops. ``shape``: how many candidates and events."""

    model: Neighbours
    told: Told
    heard: Ints
    reached: Ints
    met: Met
    shape: tuple[int, int]
    loops: ModuleType

    def scores(self, without: Sequence[int] = ()) -> Floats:
        weights, met = np.ascontiguousarray(_weights(self, without)), self.met
        out = np.empty((len(weights), self.shape[0]), np.float32)
        self.loops.carried(weights, met.which, met.at, met.value, out)
        return _silenced(out, weights, self.reached)

    def terms(self, picked: Ints) -> dict[str, Floats]:
        weight, events, met = np.ascontiguousarray(_weights(self)[0]), self.told.at[self.heard], self.met
        out = np.zeros((len(picked), self.shape[1]), np.float32)
        self.loops.terms(weight, met.which, met.at, met.value, events, np.ascontiguousarray(picked), out)
        return {"": out}


def _weights(table: NeighbourTable | MetTable, without: Sequence[int] = ()) -> Floats:
    """(1 + len(without), len(heard))"""
    weights = table.told.weights(table.model.power, table.model.decay, without)
    return weights if len(table.heard) == weights.shape[1] else weights[:, table.heard]


def _silenced(out: Floats, weights: Floats, reached: Ints) -> Floats:
    """(k, n) scores by weights (k, m): NaN where nothing is heard, and for items that are not reached."""
    if len(reached) < out.shape[1]:
        silent = np.ones(out.shape[1], np.bool_)
        silent[reached] = False
        out[:, silent] = np.nan
    speaks = weights.any(axis=1)
    if not speaks.all():
        out[~speaks] = np.nan
    return out


def _found(items: Ints, score: Floats) -> Candidates:
    return Candidates(items.astype(np.int64), score, np.zeros(len(items), np.int64))
