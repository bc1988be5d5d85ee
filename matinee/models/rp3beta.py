"""RP3beta (Paudel, Christoffel, Newell, Bernstein 2017, "Updatable, accurate, diverse, and scalable recommendations for
interactive applications", section 4): a random walk item -> user -> item, popularity divided out by a power."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from matinee.models.common import positives, watched
from matinee.models.gram import nearest_rows, user_items
from matinee.models.linear import ItemWeights, from_csr
from matinee.types import Floats, Interactions, Ints


@dataclass(frozen=True, slots=True)
class RP3Beta:
    """``alpha``: the power of each step's probability; ``beta``: of the target's popularity, divided out;
    ``neighbours`` kept of each item; ``power``: how fast the history fades when asked."""

    alpha: float = 0.8
    beta: float = 0.4
    neighbours: int = 200
    power: float = 0.7
    name: str = "rp3beta"

    def fit(self, data: Interactions, *, seed: int = 0) -> ItemWeights:
        """Cost as item-kNN's."""
        del seed
        seen, n = positives(data, once=True), data.n_items
        per_user = np.bincount(seen.users, minlength=data.n_users)
        per_item = np.maximum(np.bincount(seen.items, minlength=n), 1).astype(np.float32)
        # a step from a user has probability 1 / its items; half of it on either side makes the walk a Gram matrix
        half = (per_user[seen.users] ** (-self.alpha / 2)).astype(np.float32)
        x = user_items(seen, half, (data.n_users, n))

        step, into = per_item ** np.float32(-self.alpha), per_item ** np.float32(-self.beta)

        def walk(item: int, others: Ints, common: Floats) -> Floats:
            out: Floats = common * step[others] * into[item]
            return out

        return from_csr(self.name, nearest_rows(x, self.neighbours, walk).T, watched(data) > 0, self.power)
