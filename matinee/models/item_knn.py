"""Item-based nearest neighbours (Sarwar et al. 2001): what was watched by the same people, by cosine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from matinee.models.common import positives, watched
from matinee.models.gram import nearest_rows, user_items
from matinee.models.linear import ItemWeights, from_csr
from matinee.types import Floats, Interactions, Ints


@dataclass(frozen=True, slots=True)
class ItemKNN:
    """``neighbours`` kept of each item; ``shrink`` is added to the cosine's denominator, so that two items with two
    viewers in common do not pass for twins; ``power``: how fast the history fades when asked."""

    neighbours: int = 100
    shrink: float = 20.0
    power: float = 0.7
    name: str = "item_knn"

    def fit(self, data: Interactions, *, seed: int = 0) -> ItemWeights:
        """Time: the products of pairs of one user's items; memory: blocks of 1,024 x n_items and the neighbours."""
        del seed
        seen, n = positives(data, once=True), data.n_items
        x = user_items(seen, np.ones(len(seen), np.float32), (data.n_users, n))
        length = np.sqrt(np.bincount(seen.items, minlength=n)).astype(np.float32)

        def cosine(item: int, others: Ints, common: Floats) -> Floats:
            out: Floats = common / (length[item] * length[others] + np.float32(self.shrink + 1e-9))
            return out

        # row i holds the neighbours that speak for item i; a history asks by the watched item, so turn it round
        return from_csr(self.name, nearest_rows(x, self.neighbours, cosine).T, watched(data) > 0, self.power)
