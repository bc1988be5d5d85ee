"""Symmetric positive definite systems over items, in place, and the short way round where people are few.

X'X of u people has a rank of at most u, so (Woodbury; also Saunders, Gammerman and Vovk 1998, "Ridge regression
learning algorithm in dual variables", section 2)
    (X'X + a I)^-1 X'X = X' (XX' + a I)^-1 X:
a square over people in place of one over items, exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from matinee.errors import MatineeError
from matinee.models.gram import gram
from matinee.types import Floats


def inverted(matrix: Floats) -> Floats:
    """The inverse of a symmetric positive definite float32 matrix, in its own memory (LAPACK potrf and potri)."""
    from scipy.linalg import lapack

    n = len(matrix)
    if n == 0:
        return matrix
    factor, info = lapack.spotrf(matrix.T, lower=1, overwrite_a=1)
    if info == 0:
        factor, info = lapack.spotri(factor, lower=1, overwrite_c=1)
    if info != 0:
        raise singular()
    out: Floats = factor.T  # C order: the lower triangle of the factor is the upper one here
    for start in range(0, n, 1024):  # mirror by blocks; a whole triangle of indices would cost more than the matrix
        stop = min(start + 1024, n)
        out[start:stop, :start] = out[:start, start:stop].T
        square = np.triu(out[start:stop, start:stop])
        out[start:stop, start:stop] = square + np.triu(square, 1).T
    return out


def solved(left: Floats, right: Floats) -> Floats:
    """X of left X = right, ``left`` symmetric positive definite, of which the upper triangle counts. Both are float32
    in C order and are overwritten: nothing as large is made beside them (LAPACK potrf, BLAS trsm)."""
    from scipy.linalg import blas, lapack

    if not len(left):
        return right
    factor, info = lapack.spotrf(left.T, lower=1, overwrite_a=1)
    if info != 0:
        raise singular()
    turned = right.T  # in Fortran's order as it lies: X' L L' = right'
    turned = blas.strsm(1.0, factor, turned, side=1, lower=1, trans_a=1, overwrite_b=1)
    out: Floats = blas.strsm(1.0, factor, turned, side=1, lower=1, trans_a=0, overwrite_b=1).T
    return out


def few_people(x: Any) -> bool:
    """Whether the square over the people of SciPy CSR x (n_users, n_items) is the shorter way, half as long or less."""
    return bool(2 * np.count_nonzero(np.diff(x.indptr)) <= x.shape[1])


def half_hat(x: Any, ridge: float) -> Floats:
    """(u, n_items) P of u people with rows in x: P'P = (X'X + ridge I)^-1 X'X. u^2 n operations."""
    from scipy.linalg import blas, lapack

    x = x[np.flatnonzero(np.diff(x.indptr))]
    factor, info = lapack.spotrf(_kernel(x, ridge).T, lower=1, overwrite_a=1) if x.shape[0] else (None, 0)
    if info != 0:
        raise singular()
    rows: Floats = x.toarray()
    if not len(rows):
        return rows
    out: Floats = blas.strsm(1.0, factor, rows.T, side=1, lower=1, trans_a=1, overwrite_b=1).T
    return out


def hat(x: Any, right: Floats, ridge: float) -> Floats:
    """(X'X + ridge I)^-1 X'X right, (n_items, m) of ``right`` (n_items, m) float32 in C order."""
    if few_people(x):
        x = x[np.flatnonzero(np.diff(x.indptr))]
        return np.asarray(x.T @ solved(_kernel(x, ridge), np.ascontiguousarray(x @ right)), np.float32)
    left = gram(x)
    left[np.diag_indices_from(left)] += np.float32(ridge)
    # = I - ridge (X'X + ridge I)^-1, so the Gram matrix is needed once
    return np.asarray(right - np.float32(ridge) * solved(left, right.copy()), np.float32)


def _kernel(x: Any, ridge: float) -> Floats:
    out = gram(x.T.tocsr())
    out[np.diag_indices_from(out)] += np.float32(ridge)
    return out


def singular() -> MatineeError:
    return MatineeError(
        "model.singular",
        "The item matrix cannot be inverted: raise the recipe's ridge.",
        "物品矩阵无法求逆：请调大该模型的 ridge 参数。",
        exit_code=1,
    )
