"""Item-to-item least squares for catalogues whose square matrix does not fit: every target is explained by its nearest
items alone, each a small exact solve. Chosen supports as in fsSLIM (Ning and Karypis 2011, "SLIM: sparse linear methods
for top-n recommender systems", section IV-C) and the sparse approximation of Steck 2019 ("Markov random fields for
collaborative filtering", section 3.2), with EASE's squared penalty instead of their l1.

Of the inputs' Gram matrix the entries of greatest correlation in each row are kept, and an entry counts that either of
its two rows kept; the rest counts as zero. Memory: 12 bytes x ``KEPT`` x items, and a block of rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from matinee.models.rows import shared_out
from matinee.types import Doubles, Floats, Ints

SUPPORT = 96  # items that may speak for a target
KEPT = 512  # entries of the Gram matrix kept of each row


@dataclass(frozen=True, slots=True)
class Kept:
    """``gram``: SciPy CSR (n, n) of the greatest entries of each row, by column, without the diagonal; ``diagonal``
    (n,)."""

    gram: Any
    diagonal: Doubles


def kept(blocks: Iterable[tuple[int, Floats]], diagonal: Doubles, keep: int = KEPT) -> Kept:
    """The greatest entries by correlation of each row of a symmetric matrix given block by block."""
    from scipy.sparse import csr_matrix, vstack

    n = len(diagonal)
    scale = (1 / np.sqrt(np.maximum(diagonal, 1e-9))).astype(np.float32)
    parts = [csr_matrix((0, n), dtype=np.float32)]
    parts += [greatest(rows, start, scale, keep) for start, rows in blocks]
    return Kept(vstack(parts).tocsr(), diagonal)


def greatest(rows: Floats, start: int, scale: Floats, keep: int) -> Any:
    """SciPy CSR of the dense rows from ``start`` on: of each the ``keep`` entries whose size times the column's
    ``scale`` is greatest, without the diagonal."""
    from scipy.sparse import csr_matrix

    columns, values = [np.empty(0, np.int32)], [np.empty(0, np.float32)]
    lengths = [0]
    for at, row in enumerate(rows):
        place = np.flatnonzero(row)
        place = place[place != start + at]
        if len(place) > keep:
            place = np.sort(place[np.argpartition(-np.abs(row[place]) * scale[place], keep - 1)[:keep]])
        columns.append(place.astype(np.int32))
        values.append(row[place])
        lengths.append(len(place))
    return csr_matrix((np.concatenate(values), np.concatenate(columns), np.cumsum(lengths)), shape=rows.shape)


def local_weights(known: Kept, targets: Any, ridge: float, support: int = SUPPORT) -> Any:
    """SciPy CSR (n, n), from watched item to target. Column j solves (G_NN + ridge I) w = T_Nj, N being the ``support``
    items of greatest |T_ij| / sqrt(G_ii) in ``targets`` (CSR, row j holds the column of target j). O(n x support^3),
    about 0.5 ms a target."""
    from scipy.linalg import lapack
    from scipy.sparse import csr_matrix

    n, gram = len(known.diagonal), known.gram
    scale = 1 / np.sqrt(np.maximum(known.diagonal, 1e-9))
    found: list[tuple[Ints, Floats]] = [(np.empty(0, np.int64), np.empty(0, np.float32))] * n

    def solve(rows: Ints) -> None:
        slot = np.full(n, -1, np.int64)
        for row in rows.tolist():
            part = slice(targets.indptr[row], targets.indptr[row + 1])
            near, value = targets.indices[part], targets.data[part]
            if len(near) > support:
                chosen = np.sort(np.argpartition(-np.abs(value) * scale[near], support - 1)[:support])
                near, value = near[chosen], value[chosen]
            k = len(near)
            slot[near] = np.arange(k)
            rows_of = gram[near]
            column = slot[rows_of.indices]
            slot[near] = -1
            inside = column >= 0
            left = np.zeros((k, k), np.float64)
            left[np.repeat(np.arange(k), np.diff(rows_of.indptr))[inside], column[inside]] = rows_of.data[inside]
            left = np.where(left == 0, left.T, left)
            left[np.arange(k), np.arange(k)] = known.diagonal[near] + ridge
            found[row] = near.astype(np.int64), _positive(left, value.astype(np.float64), lapack).astype(np.float32)

    rows = np.flatnonzero(np.diff(targets.indptr)).astype(np.int64)
    shared_out(solve, rows, np.ones(len(rows), np.int64))
    starts = np.r_[0, np.cumsum([len(near) for near, _ in found])]
    columns = np.concatenate([near for near, _ in found]) if n else np.empty(0, np.int64)
    values = np.concatenate([value for _, value in found]) if n else np.empty(0, np.float32)
    return csr_matrix((values, columns, starts), shape=(n, n)).T.tocsr()


def _positive(left: Doubles, right: Doubles, lapack: Any) -> Doubles:
    """left^-1 right. The entries left out can cost a matrix its positive definiteness: then they all are shrunk towards
    the diagonal until it has it back."""
    diagonal = np.diag(left).copy()
    for shrink in (1.0, 0.7, 0.4, 0.0):
        tried = left * shrink
        tried[np.diag_indices_from(tried)] = diagonal
        _, solution, info = lapack.dposv(tried, right)
        if info == 0:
            return np.asarray(solution, np.float64)
    return right / np.maximum(diagonal, 1e-9)
