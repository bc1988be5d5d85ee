"""iALS: matrix factorisation of implicit feedback by alternating least squares (Hu, Koren, Volinsky 2008; with the
frequency-scaled penalty of Rendle, Krichene, Zhang, Koren 2022, "Revisiting the performance of iALS", section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from matinee.models.common import positives, watched
from matinee.models.factors import Factors, factors
from matinee.models.gram import user_items
from matinee.models.rows import shared_out
from matinee.types import Floats, Interactions, Ints


@dataclass(frozen=True, slots=True)
class IALS:
    """``dims`` of the factors; ``rounds`` over users and items; ``unobserved``: the weight of every pair that was not
    watched (the paper's alpha_0); ``ridge`` times (rows + unobserved x columns)^``scaling`` is each vector's penalty;
    ``fade`` and ``power``: how training rows and a history fade."""

    dims: int = 64
    rounds: int = 10
    unobserved: float = 0.1
    ridge: float = 0.01
    scaling: float = 1.0
    fade: float = 0.3
    power: float = 0.7
    name: str = "ials"

    def fit(self, data: Interactions, *, seed: int = 0) -> Factors:
        """O(rounds x (rows x dims^2 + (users + items) x dims^3)); memory: the factors and one batch."""
        seen = positives(data, once=True)
        weight = (seen.strength * (1.0 + seen.rank) ** -self.fade).astype(np.float32)
        x = user_items(seen, weight, (data.n_users, data.n_items))
        by_item = x.T.tocsr()
        rng = np.random.default_rng(seed)
        items = rng.normal(0, 0.1 / np.sqrt(self.dims), (data.n_items, self.dims)).astype(np.float32)
        for _ in range(self.rounds):
            users = self.half_step(x, items)
            items = self.half_step(by_item, users)
        known = watched(data) > 0
        items[~known] = 0
        settings = np.array([self.unobserved, self.ridge, self.scaling, self.power])
        return factors(self.name, items, known, settings)

    def half_step(self, x: Any, other: Floats) -> Floats:
        """(rows, dims): the best vector of every row of x against the others' vectors, by Cholesky in batches."""
        return solve_rows(x, other, (self.unobserved, self.ridge, self.scaling))


def solve_rows(x: Any, other: Floats, settings: tuple[float, float, float]) -> Floats:
    """(rows, dims) least-squares vectors of the rows of CSR x (confidences of what was watched; target 1) against
    ``other`` (columns, dims). ``settings``: weight of the unobserved, ridge, scaling."""
    from scipy.linalg import lapack

    unobserved, ridge, scaling = settings
    dims = other.shape[1]
    out = np.zeros((x.shape[0], dims), np.float32)
    base = np.float32(unobserved) * (other.T @ other)
    length = np.diff(x.indptr)
    penalty = ridge * (length + unobserved * x.shape[1]) ** scaling
    diagonal = np.arange(dims)

    def solve(rows: Ints) -> None:
        for row in rows.tolist():
            part = slice(x.indptr[row], x.indptr[row + 1])
            own, weight = other[x.indices[part]], x.data[part]
            half = own * np.sqrt(weight)[:, None]  # BLAS then knows that the product is symmetric
            left = base + half.T @ half
            left[diagonal, diagonal] += np.float32(penalty[row])
            _, out[row], info = lapack.sposv(left, weight @ own)
            if info:
                out[row] = np.linalg.lstsq(left, weight @ own, rcond=None)[0]

    rows = np.flatnonzero(length).astype(np.int64)
    shared_out(solve, rows, length[rows] + dims)
    return out
