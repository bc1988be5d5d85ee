"""EASE (Steck 2019, "Embarrassingly shallow autoencoders for sparse data", section 3.1): the linear item-to-item
weights, zero on the diagonal, that best rebuild every user's row; one inverse. The input fades with age."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from matinee.errors import MatineeError
from matinee.models.common import positives, watched
from matinee.models.gram import BLOCK, gram, gram_rows, user_items
from matinee.models.linear import DENSE_ITEMS, ItemWeights, from_csr, item_weights, sparse_weights
from matinee.models.sparse_ridge import kept, local_weights
from matinee.models.symmetric import few_people, half_hat, inverted
from matinee.types import Bools, Floats, Interactions

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
        """One (n_items, n_items) float32 matrix, factored and inverted in place: 4 n^2 bytes, n^3 operations. Of u
        people, half as many as items or fewer: a (u, n_items) matrix and u n^2 operations. Above 12,000 items
        ``sparse_ridge`` instead: no square matrix, time and memory linear in the items beside the Gram matrix's
        rows."""
        del seed
        seen = positives(data, once=True)
        weight = (seen.strength * (1.0 + seen.rank) ** -self.fade).astype(np.float32)
        x = user_items(seen, weight, (data.n_users, data.n_items))
        if data.n_items > SQUARE_ITEMS:
            squares = np.bincount(seen.items, weight.astype(np.float64) ** 2, minlength=data.n_items).astype(np.float64)
            known = kept(gram_rows(x), squares)
            return from_csr(self.name, local_weights(known, known.gram, self.ridge), watched(data) > 0, self.power)
        if few_people(x):
            return _by_people(self.name, half_hat(x, self.ridge), watched(data) > 0, self.power)
        matrix = gram(x)
        matrix[np.diag_indices_from(matrix)] += np.float32(self.ridge)
        inverse = inverted(matrix)
        inverse /= -np.diag(inverse).copy()[None, :]
        inverse[np.diag_indices_from(inverse)] = 0
        return item_weights(self.name, inverse, watched(data) > 0, self.power)


def _by_people(name: str, half: Floats, known: Bools, power: float) -> ItemWeights:
    """The same weights out of ``half_hat``: -C_ij / C_jj of the inverse C = (I - P'P) / ridge, a block of rows at a
    time."""
    left_over = 1 - np.einsum("ui,ui->i", half, half, dtype=np.float64)
    scale = (1 / np.maximum(left_over, 1e-6)).astype(np.float32)

    def blocks() -> Iterator[Floats]:
        for start in range(0, len(known), BLOCK):
            rows = half[:, start : start + BLOCK].T @ half
            rows *= scale[None, :]
            at = np.arange(len(rows))
            rows[at, start + at] = 0
            yield rows

    if len(known) <= DENSE_ITEMS:
        return item_weights(name, np.concatenate([*blocks(), np.empty((0, len(known)), np.float32)]), known, power)
    return sparse_weights(name, blocks(), known, power)


def refuse_too_many(what: str, n_items: int) -> None:
    if n_items > MOST_ITEMS:
        raise MatineeError(
            "model.too_many_items",
            f"{what} needs a square matrix over {n_items} items, more than its limit of {MOST_ITEMS}. "
            "Use item_knn or transitions instead, which stay sparse.",
            f"{what} 需要 {n_items} 个物品的方阵，超过上限 {MOST_ITEMS}。请改用保持稀疏的 item_knn 或 transitions。",
        )
