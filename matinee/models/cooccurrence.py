"""Co-occurrence: how many people watched both, the plainest tie between two items. Popular items win, as they do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from matinee.models.common import positives, watched
from matinee.models.gram import nearest_rows, user_items
from matinee.models.linear import ItemWeights, from_csr
from matinee.types import Interactions


@dataclass(frozen=True, slots=True)
class CoOccurrence:
    """``neighbours`` kept of each item; ``power``: how fast the history fades when asked."""

    neighbours: int = 200
    power: float = 0.7
    name: str = "cooccurrence"

    def fit(self, data: Interactions, *, seed: int = 0) -> ItemWeights:
        """Cost as item-kNN's."""
        del seed
        seen = positives(data, once=True)
        x = user_items(seen, np.ones(len(seen), np.float32), (data.n_users, data.n_items))
        counts = nearest_rows(x, self.neighbours, lambda item, others, common: common)
        return from_csr(self.name, counts.T, watched(data) > 0, self.power)
