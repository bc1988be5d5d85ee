"""Approximate nearest neighbours in memory: vectors stand in lists around centres, and a query looks through the lists
whose centres are nearest (inverted file, Sivic and Zisserman 2003, section 4).

The lists lie one after the other, so a look reads whole stretches of memory. For 100,000 vectors and more; below that
an exact look costs little. Where loops are compiled the vectors are held in eight bits, a quarter of the bytes of every
look: what it finds is an approximate answer in any case, to be scored exactly by who asks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from matinee.index.exact import highest
from matinee.kernels import compiled
from matinee.kernels.memory import large
from matinee.types import Bools, Floats, Ints

PROBES = 24  # lists that a query looks through at first
SAMPLE = 40  # vectors for each centre that the centres are made of
ROUNDS = 6
BLOCK = 16_384  # vectors of one product while building

Codes = np.ndarray[Any, np.dtype[np.int8]]
Vectors = Floats | Codes


@dataclass(frozen=True, slots=True)
class Lists:
    """``centres`` (c, dim) unit rows; list k is ``vectors[starts[k]:starts[k + 1]]`` with the names ``rows`` beside.
    ``vectors`` are float32, or int8 codes that ``scale`` (n,) makes vectors of. ``late_rows`` and ``late``: what came
    after building; it is always looked through."""

    centres: Floats
    starts: Ints
    rows: Ints
    vectors: Vectors
    scale: Floats
    late_rows: Ints
    late: Floats

    @staticmethod
    def build(rows: Ints, vectors: Floats, *, seed: int = 0) -> Lists:
        """About the square root of n lists, by spherical k-means over a sample. O(n^1.5 dim)."""
        n, dim = vectors.shape
        count = max(1, int(np.sqrt(n)))
        chance = np.random.default_rng(seed)
        sample = vectors[np.sort(chance.choice(n, min(n, SAMPLE * count), replace=False))]
        centres = sample[np.sort(chance.choice(len(sample), count, replace=False))].copy()
        for _ in range(ROUNDS):
            of = nearest(sample, centres)
            sums = np.zeros_like(centres)
            np.add.at(sums, of, sample)
            empty = np.flatnonzero(np.bincount(of, minlength=count) == 0)
            sums[empty] = sample[chance.integers(0, len(sample), len(empty))]
            length = np.linalg.norm(sums, axis=1, keepdims=True)
            centres = np.divide(sums, length, out=np.zeros_like(sums), where=length > 0)
        of = nearest(vectors, centres)
        order = np.argsort(of, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(of, minlength=count))]).astype(np.int64)
        none = np.empty(0, np.int64), np.empty((0, dim), np.float32)
        held, scale = np.ascontiguousarray(vectors[order]), np.ones(n, np.float32)
        if compiled() is not None:
            return Lists(centres, starts, rows[order].astype(np.int64), *coded(held), *none)
        return Lists(centres, starts, rows[order], held, scale, *none)

    def with_row(self, row: int, vector: Floats) -> Lists:
        """The same with one vector more, or a newer one of a row."""
        others = self.late_rows != row
        late = np.concatenate([self.late[others], vector[None]]).astype(np.float32)
        return replace(self, late_rows=np.append(self.late_rows[others], row), late=late)

    def near(self, query: Floats, k: int, allowed: Bools | None = None) -> tuple[Ints, Floats]:
        """About the k rows whose products with ``query`` (dim,) are highest, each once, best first, and these products,
        of codes nearly; only rows for which ``allowed`` (size,) holds. Looks at ``PROBES`` lists, and at more while it
        has fewer than k."""
        order = highest((self.centres @ query).astype(np.float32, copy=False), len(self.centres))
        rows, score = self._products(order[:PROBES], query, allowed)
        start, probes = PROBES, 2 * PROBES
        while start < len(order) and len(rows) < k:
            new, products = self._products(order[start : start + probes], query, allowed)
            rows, score = np.concatenate([rows, new]), np.concatenate([score, products])
            start, probes = start + probes, 2 * probes
        if len(self.late_rows):
            best = highest(score, k + len(self.late_rows))
            best = best[~np.isin(rows[best], self.late_rows)]  # they have another vector now
            late, products = _allowed(self.late_rows, self.late @ query, allowed)
            rows, score = np.concatenate([late, rows[best]]), np.concatenate([products, score[best]])
        best = highest(score, k, rows)
        return rows[best], score[best]

    def _products(self, lists: Ints, query: Floats, allowed: Bools | None) -> tuple[Ints, Floats]:
        """The allowed rows of some lists and their products."""
        begins, ends = self.starts[lists], self.starts[lists + 1]
        loops = compiled()
        if loops is not None and allowed is not None and self.vectors.dtype == np.int8:
            most = int((ends - begins).sum())
            found, score = np.empty(most, np.int64), np.empty(most, np.float32)
            own = np.ascontiguousarray(query, np.float32)
            count = loops.near(self.vectors, self.scale, self.rows, begins, ends, own, allowed, found, score)
            return found[:count], score[:count]
        parts = [slice(begin, end) for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]
        rows = np.concatenate([self.rows[part] for part in parts])
        products = [(self.vectors[part].astype(np.float32, copy=False) @ query) * self.scale[part] for part in parts]
        return _allowed(rows, np.concatenate(products), allowed)


def coded(vectors: Floats) -> tuple[Codes, Floats]:
    """(n, dim) int8 and (n,) float32, whose product is nearly the vectors: each component within a 254th of the
    greatest of its vector."""
    scale = np.abs(vectors).max(axis=1, initial=0.0) / 127
    scale[scale == 0] = 1.0
    codes = large(vectors.shape, np.int8)
    for start in range(0, len(vectors), BLOCK):
        part = slice(start, start + BLOCK)
        codes[part] = np.round(vectors[part] / scale[part, None])
    return codes, scale.astype(np.float32)


def _allowed(rows: Ints, score: Floats, allowed: Bools | None) -> tuple[Ints, Floats]:
    if allowed is None:
        return rows, score
    keep = allowed[rows]
    return (rows, score) if keep.all() else (rows[keep], score[keep])


def nearest(vectors: Floats, centres: Floats) -> Ints:
    """(n,) which centre each vector has the highest product with."""
    of = np.empty(len(vectors), np.int64)
    for start in range(0, len(vectors), BLOCK):
        part = slice(start, start + BLOCK)
        of[part] = np.argmax(vectors[part] @ centres.T, axis=1)
    return of
