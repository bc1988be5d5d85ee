"""Decayed directed transitions: what people watched soon after what. Order tells more than company: on ml-1m this beats
order-blind models three times over (docs/models.md)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from matinee.models.common import positives, watched
from matinee.models.following import following
from matinee.models.linear import DENSE_ITEMS, ItemWeights, item_weights, sparse_weights
from matinee.types import Doubles, Floats, Interactions


@dataclass(frozen=True, slots=True)
class Transitions:
    """A pair (a, then b ``lag`` places later) counts lag^-fade times both strengths, up to ``lags``. The counts are
    divided by (sum of row a + ``shrink``)^``from_norm`` and (sum of column b + ``shrink``)^``to_norm``: how much
    popularity is taken out. ``power``: how fast the history fades when asked."""

    lags: int = 50
    fade: float = 1.0
    from_norm: float = 0.7
    to_norm: float = 0.3
    shrink: float = 10.0
    power: float = 1.0
    name: str = "transitions"

    def fit(self, data: Interactions, *, seed: int = 0) -> ItemWeights:
        """O(lags x n) time. Above 4,096 items sparse: the 512 greatest of each row are kept, and no square matrix is
        made."""
        del seed
        n, known = data.n_items, watched(data) > 0
        after = following(positives(data, once=False), n, self.lags)
        weights: Doubles = np.arange(1, after.lags + 1, dtype=np.float64) ** -self.fade
        into = ((after.into(weights) + self.shrink) ** self.to_norm).astype(np.float32)

        def normed(start: int, rows: Floats) -> Floats:
            rows[np.arange(len(rows)), start + np.arange(len(rows))] = 0
            out = (rows.sum(1, dtype=np.float64) + self.shrink) ** self.from_norm
            rows /= out.astype(np.float32)[:, None]
            rows /= into[None, :]
            return rows

        if n <= DENSE_ITEMS:
            return item_weights(self.name, normed(0, after.square(weights)), known, self.power)
        blocks = (normed(start, rows) for start, rows in after.rows(weights))
        return sparse_weights(self.name, blocks, known, self.power)
