"""Exact nearest neighbours: one matrix product and a partial sort. The right tool up to about 100,000 items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from matinee.kernels import compiled
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
                top = highest(row, k)
                found[i, : len(top)] = self.rows[top]
                cosines[i, : len(top)] = row[top]
        return found, cosines


def highest(score: Floats, n: int, ties: Ints | None = None) -> Ints:
    """Positions of the n highest scores, best first; of equal ones the one with the lower number in ``ties``, or else
    the earlier one. Those that are NaN are left out. O(len(score) + n log n)."""
    n = max(min(n, len(score)), 0)
    if (loops := compiled()) is not None:
        at = np.empty(n, np.int64)
        given = np.arange(len(score)) if ties is None else np.ascontiguousarray(ties, np.int64)
        return at[: loops.highest(np.ascontiguousarray(score, np.float32), given, at)]
    told = np.flatnonzero(~np.isnan(score)).astype(np.int64)
    own = score[told]
    if n < len(told):
        near = own >= np.partition(own, len(own) - n)[len(own) - n] if n else np.zeros(len(own), np.bool_)
        told, own = told[near], own[near]
    return told[np.lexsort((told if ties is None else ties[told], -own))[:n]]


def _unit(vectors: Floats) -> Floats:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Floats = np.divide(vectors, length, out=np.zeros_like(vectors, np.float32), where=length > 0)
    unit[np.isnan(vectors).any(axis=1)] = np.nan
    return unit
