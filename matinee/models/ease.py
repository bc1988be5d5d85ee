"""EASE (Steck 2019, "Embarrassingly shallow autoencoders for sparse data", section 3.1): the linear item-to-item
weights, zero on the diagonal, that best rebuild every user's row; one inverse. The input fades with age."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from matinee.errors import MatineeError
from matinee.models.common import positives, watched
from matinee.models.gram import gram, gram_rows, user_items
from matinee.models.linear import ItemWeights, from_csr, item_weights
from matinee.models.sparse_ridge import kept, local_weights
from matinee.types import Floats, Interactions

SQUARE_ITEMS = 12_000  # above it every item is explained by its nearest: as good on ml-1m, and far faster
MOST_ITEMS = 30_000  # 3.6 GB for one square matrix


@dataclass(frozen=True, slots=True)
class EASE:
    """``ridge`` is the paper's lambda. ``fade``: a training row's weight is strength x (1 + rank)^-fade, rank 0 being
    the user's newest; 0 gives the paper's order-blind model. ``power`` is the same for the history when asked."""

    ridge: float = 100.0
    fade: float = 0.5
    power: float = 1.0
    name: str = "ease"

    def fit(self, data: Interactions, *, seed: int = 0) -> ItemWeights:
        """One (n_items, n_items) float32 matrix, factored and inverted in place: 4 n^2 bytes, n^3 operations. Above
        12,000 items ``sparse_ridge`` instead: no square matrix, time and memory linear in the items beside the Gram
        matrix's rows."""
        del seed
        seen = positives(data, once=True)
        weight = (seen.strength * (1.0 + seen.rank) ** -self.fade).astype(np.float32)
        x = user_items(seen, weight, (data.n_users, data.n_items))
        if data.n_items > SQUARE_ITEMS:
            squares = np.bincount(seen.items, weight.astype(np.float64) ** 2, minlength=data.n_items).astype(np.float64)
            known = kept(gram_rows(x), squares)
            return from_csr(self.name, local_weights(known, known.gram, self.ridge), watched(data) > 0, self.power)
        matrix = gram(x)
        matrix[np.diag_indices_from(matrix)] += np.float32(self.ridge)
        inverse = inverted(matrix)
        inverse /= -np.diag(inverse).copy()[None, :]
        inverse[np.diag_indices_from(inverse)] = 0
        return item_weights(self.name, inverse, watched(data) > 0, self.power)


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


def singular() -> MatineeError:
    return MatineeError(
        "model.singular",
        "The item matrix cannot be inverted: raise the recipe's ridge.",
        "物品矩阵无法求逆：请调大该模型的 ridge 参数。",
        exit_code=1,
    )


def refuse_too_many(what: str, n_items: int) -> None:
    if n_items > MOST_ITEMS:
        raise MatineeError(
            "model.too_many_items",
            f"{what} needs a square matrix over {n_items} items, more than its limit of {MOST_ITEMS}. "
            "Use item_knn or transitions instead, which stay sparse.",
            f"{what} 需要 {n_items} 个物品的方阵，超过上限 {MOST_ITEMS}。请改用保持稀疏的 item_knn 或 transitions。",
        )
