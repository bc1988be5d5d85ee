"""Exact nearest neighbours: one matrix product and a partial sort. The right tool up to about 100,000 items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from matinee.types import Floats, Ints

BLOCK = 64  # queries per product: bounds the (block, n) matrix of cosines


@dataclass(frozen=True, slots=True)
class ExactIndex:
    """``rows`` (n,) int64 names of the vectors, ``vectors`` (n, dim) float32 unit rows without NaN."""

    rows: Ints
    vectors: Floats

    @staticmethod
    def build(rows: Ints, vectors: Floats) -> ExactIndex:
        """Keeps the rows that have a vector (a row with NaN has none)."""
        known = ~np.isnan(vectors).any(axis=1) if len(vectors) else np.zeros(0, np.bool_)
        if not known.all():
            rows, vectors = rows[known], vectors[known]
        return ExactIndex(rows, np.ascontiguousarray(vectors, np.float32))

    def search(self, queries: Floats, k: int) -> tuple[Ints, Floats]:
        """(q, k) names and (q, k) cosines, best first, ties by position; -1 and NaN where there are fewer than k.

        Queries (q, dim) need not have unit length; a query with NaN finds nothing. O(q n dim).
        """
        found = np.full((len(queries), k), -1, np.int64)
        cosines = np.full((len(queries), k), np.nan, np.float32)
        if not len(self.rows) or k < 1:
            return found, cosines
        for start in range(0, len(queries), BLOCK):
            block = queries[start : start + BLOCK]
            scores = _unit(block) @ self.vectors.T
            for i, row in enumerate(scores, start):
                if np.isnan(row[0]):
                    continue
                top = best(row, k)
                found[i, : len(top)] = self.rows[top]
                cosines[i, : len(top)] = row[top]
        return found, cosines


def best(scores: Floats, k: int) -> Ints:
    """Positions of the k highest scores, best first, ties by position. O(n + k log k); NaN is not expected."""
    n = len(scores)
    if k < n:
        top = np.argpartition(-scores, k - 1)[:k]
        edge = scores[top].min()
        # argpartition breaks ties at the edge as it likes; take the lowest positions among them instead
        above = np.flatnonzero(scores > edge)
        top = np.concatenate([above, np.flatnonzero(scores == edge)[: k - len(above)]])
    else:
        top = np.arange(n)
    return top[np.lexsort((top, -scores[top]))].astype(np.int64)


def _unit(vectors: Floats) -> Floats:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Floats = np.divide(vectors, length, out=np.zeros_like(vectors, np.float32), where=length > 0)
    unit[np.isnan(vectors).any(axis=1)] = np.nan
    return unit
