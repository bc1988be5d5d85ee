"""iALS: matrix factorisation of implicit feedback by alternating least squares (Hu, Koren, Volinsky 2008; with the
frequency-scaled penalty of Rendle, Krichene, Zhang, Koren 2022, "Revisiting the performance of iALS", section 3.2).

It may start from the items' part of a randomized SVD (Halko, Martinsson and Tropp, SIAM Review 53(2), 2011, section
4.5): a few products of the sparse matrix with as many columns as there are dimensions, which spare it several rounds of
least squares."""

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
    """``dims`` of the factors; ``rounds`` over users and items; ``passes`` of the subspace iteration that they start
    from, 0 for chance alone; ``unobserved``: the weight of every pair that was not
    watched (the paper's alpha_0); ``ridge`` times (rows + unobserved x columns)^``scaling`` is each vector's penalty;
    ``fade`` and ``power``: how training rows and a history fade."""

    dims: int = 64
    rounds: int = 10
    passes: int = 0
    unobserved: float = 0.1
    ridge: float = 0.01
    scaling: float = 1.0
    fade: float = 0.3
    power: float = 0.7
    name: str = "ials"

    def fit(self, data: Interactions, *, seed: int = 0) -> Factors:
        """O(rounds x (rows x dims^2 + (users + items) x dims^3)); memory: the factors."""
        seen = positives(data, once=True)
        weight = (seen.strength * (1.0 + seen.rank) ** -self.fade).astype(np.float32)
        x = user_items(seen, weight, (data.n_users, data.n_items))
        by_item = x.T.tocsr()
        items = self.start(x, by_item, np.random.default_rng(seed))
        for _ in range(self.rounds):
            users = self.half_step(x, items)
            items = self.half_step(by_item, users)
        known = watched(data) > 0
        items[~known] = 0
        settings = np.array([self.unobserved, self.ridge, self.scaling, self.power])
        return factors(self.name, items, known, settings)

    def start(self, x: Any, by_item: Any, rng: np.random.Generator) -> Floats:
        """(n_items, dims) V S^(1/2) of x ~ U S V', so that x ~ (U S^(1/2)) (V S^(1/2))'."""
        columns = min(self.dims, *x.shape)
        if not self.passes or columns < self.dims:
            return rng.normal(0, 0.1 / np.sqrt(self.dims), (x.shape[1], self.dims)).astype(np.float32)
        basis = rng.standard_normal((x.shape[1], columns)).astype(np.float32)
        for _ in range(self.passes):
            basis = np.linalg.qr(by_item @ (x @ basis))[0]
        image = x @ basis
        squares, turned = np.linalg.eigh(image.T @ image)
        return np.asarray((basis @ turned) * np.maximum(squares, 0) ** 0.25, np.float32)

    def half_step(self, x: Any, other: Floats) -> Floats:
        """(rows, dims): the best vector of every row of x against the others' vectors, by Cholesky."""
        return solve_rows(x, other, (self.unobserved, self.ridge, self.scaling))


def solve_rows(x: Any, other: Floats, settings: tuple[float, float, float]) -> Floats:
    """(rows, dims) least-squares vectors of the rows of CSR x (confidences of what was watched; target 1) against
    ``other`` (columns, dims). ``settings``: weight of the unobserved, ridge, scaling."""
    from scipy.linalg import blas, lapack

    unobserved, ridge, scaling = settings
    dims = other.shape[1]
    out = np.zeros((x.shape[0], dims), np.float32)
    base = np.asfortranarray(np.float32(unobserved) * (other.T @ other))
    length, starts = np.diff(x.indptr), x.indptr.tolist()
    penalty = (ridge * (length + unobserved * x.shape[1]) ** scaling).astype(np.float32)
    right = x @ other
    root = np.sqrt(x.data)
    plain = bool((x.data == 1).all())

    def solve(rows: Ints) -> None:
        for row in rows.tolist():
            part = slice(starts[row], starts[row + 1])
            own = other.take(x.indices[part], 0)
            if not plain:
                own *= root[part, None]
            left = blas.ssyrk(1.0, own.T, beta=1.0, c=base, lower=1)  # the lower triangle of base + own'own
            left.ravel("K")[:: dims + 1] += penalty[row]
            _, out[row], info = lapack.sposv(left, right[row], lower=1)
            if info:
                whole = np.tril(left) + np.tril(left, -1).T
                out[row] = np.linalg.lstsq(whole, right[row], rcond=None)[0]

    rows = np.flatnonzero(length).astype(np.int64)
    shared_out(solve, rows, length[rows] + dims)
    return out
