"""One model for every recipe whose answer is a matrix from items watched to items to come: EASE, transitions,
item-kNN, co-occurrence, RP3beta. The score of item i is the sum over the history of weight x matrix[watched, i]."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matinee.models.common import pick, silence, taste, top
from matinee.types import Bools, Candidates, Floats, Ints, Query

DENSE_ITEMS = 4096  # a square of this side is 64 MiB; above it the greatest weights of each row are kept
BLOCK = 1024


@dataclass(frozen=True, slots=True)
class ItemWeights:
    """``values`` is (n, n) when dense (``starts`` and ``columns`` empty), else the data of a CSR matrix with
    ``starts`` (n + 1,) and ``columns`` (nnz,). ``known`` (n,): items that were watched in training; the others
    score NaN, as does everything for a history that says nothing. ``power`` and ``decay``: how fast a history
    fades (``common.taste``)."""

    name: str
    values: Floats
    starts: Ints
    columns: NDArray[np.int32]
    known: Bools
    power: float
    decay: float = 1.0

    def everything(self, query: Query) -> Floats:
        """(n,) scores of the whole catalogue, NaN where there is no opinion."""
        said = taste(query.history, len(self.known), self.power, self.decay)
        heard = self.known[said.items]
        rows, weight = said.items[heard], said.weight[heard]
        if not len(rows):
            return silence(len(self.known))
        if not len(self.starts):
            scores = weight @ self.values[rows]
        else:
            scores = np.zeros(len(self.known), np.float32)
            for row, w in zip(rows, weight, strict=True):
                part = slice(self.starts[row], self.starts[row + 1])
                scores[self.columns[part]] += w * self.values[part]
        return np.where(self.known, scores, np.float32(np.nan)).astype(np.float32)

    def score_batch(self, queries: Sequence[Query], items: Ints) -> Floats:
        """(len(queries), len(items)) float32, as ``score`` row by row, by one sparse product for all."""
        from scipy.sparse import csr_array

        n = len(self.known)
        ends, rows, weights = [0], [np.empty(0, np.int64)], [np.empty(0, np.float32)]
        for query in queries:
            said = taste(query.history, n, self.power, self.decay)
            heard = self.known[said.items]
            rows.append(said.items[heard])
            weights.append(said.weight[heard])
            ends.append(ends[-1] + len(rows[-1]))
        past = csr_array((np.concatenate(weights), np.concatenate(rows), ends), shape=(len(queries), n))
        if len(self.starts):
            scores = (past @ csr_array((self.values, self.columns, self.starts), shape=(n, n))).toarray()
        else:
            scores = past @ self.values
        scores[np.diff(ends) == 0] = np.nan
        scores[:, ~self.known] = np.nan
        return pick(scores, items)

    def retrieve(self, query: Query, n: int) -> Candidates:
        """The best n of the catalogue. O(history x n_items)."""
        return top(self.everything(query), n)

    def score(self, query: Query, candidates: Candidates) -> Floats:
        return pick(self.everything(query), candidates.items)

    def explain(self, query: Query, items: Ints) -> Floats:
        """(len(items), len(history)) float32; rows sum to the score. Zero rows where the score is NaN."""
        out = np.zeros((len(items), len(query.history)), np.float32)
        said = taste(query.history, len(self.known), self.power, self.decay)
        reach = np.flatnonzero((items >= 0) & (items < len(self.known)))
        reach = reach[self.known[items[reach]]]
        for at, row, w in zip(said.at, said.items, said.weight, strict=True):
            if self.known[row]:
                out[reach, at] = w * self._row(row)[items[reach]]
        return out

    def _row(self, row: int) -> Floats:
        if not len(self.starts):
            return self.values[row]  # type: ignore[no-any-return]
        out = np.zeros(len(self.known), np.float32)
        part = slice(self.starts[row], self.starts[row + 1])
        out[self.columns[part]] = self.values[part]
        return out

    def arrays(self) -> Mapping[str, Any]:
        return {
            "values": self.values, "starts": self.starts, "columns": self.columns, "known": self.known,
            "fading": np.array([self.power, self.decay]),
        }  # fmt: skip

    @staticmethod
    def from_arrays(name: str, arrays: Mapping[str, Any]) -> ItemWeights:
        a = arrays
        power, decay = a["fading"].tolist()
        return ItemWeights(name, a["values"], a["starts"], a["columns"], a["known"], power, decay)


def item_weights(name: str, matrix: Floats, known: Bools, power: float, keep: int = 0) -> ItemWeights:
    """A model of a dense (n, n) matrix; with ``keep`` above 0, or above ``DENSE_ITEMS`` items, as ``sparse_weights``
    (``keep`` 512 where not given). The matrix may be used as is: hand over a fresh one."""
    if not keep and len(matrix) <= DENSE_ITEMS:
        matrix = np.ascontiguousarray(matrix, np.float32)
        return ItemWeights(name, matrix, np.empty(0, np.int64), np.empty(0, np.int32), known, power)
    blocks = (matrix[start : start + BLOCK] for start in range(0, len(matrix), BLOCK))
    return sparse_weights(name, blocks, known, power, keep or 512)


def sparse_weights(name: str, blocks: Iterable[Floats], known: Bools, power: float, keep: int = 512) -> ItemWeights:
    """A model of the rows of a matrix, given block by block, as CSR: the ``keep`` entries of greatest size in each."""
    columns, values = [np.empty(0, np.int32)], [np.empty(0, np.float32)]
    lengths = [0]
    for block in blocks:
        for row in block:
            place = np.flatnonzero(row)
            if len(place) > keep:
                place = np.sort(place[np.argpartition(-np.abs(row[place]), keep - 1)[:keep]])
            columns.append(place.astype(np.int32))
            values.append(row[place].astype(np.float32))
            lengths.append(len(place))
    starts = np.cumsum(lengths).astype(np.int64)
    return ItemWeights(name, np.concatenate(values), starts, np.concatenate(columns), known, power)


def from_csr(name: str, matrix: Any, known: Bools, power: float) -> ItemWeights:
    """A model of a SciPy sparse (n, n) matrix, kept sparse."""
    m = matrix.tocsr()
    m.sum_duplicates()
    m.sort_indices()
    return ItemWeights(
        name, m.data.astype(np.float32), m.indptr.astype(np.int64), m.indices.astype(np.int32), known, power
    )
