"""BPR: matrix factorisation that learns to put what was watched before what was not (Rendle, Freudenthaler, Gantner,
Schmidt-Thieme 2009, section 5), by stochastic gradient in batches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from matinee.models.common import positives, watched
from matinee.models.factors import Factors, factors
from matinee.types import Floats, Interactions, Ints


@dataclass(frozen=True, slots=True)
class BPR:
    """``dims`` of the factors; ``epochs`` over the log; ``rate`` of learning (AdaGrad); ``ridge``: the paper's lambda;
    ``batch``: pairs per step; ``power``: how fast a history fades when asked. Negatives are drawn evenly over the
    known items. Users' vectors are thrown away: a request folds its history in."""

    dims: int = 48
    epochs: int = 20
    rate: float = 0.1
    ridge: float = 0.002
    batch: int = 4096
    power: float = 0.7
    name: str = "bpr"

    def fit(self, data: Interactions, *, seed: int = 0) -> Factors:
        """O(epochs x rows x dims)."""
        seen, known = positives(data, once=True), watched(data) > 0
        rng = np.random.default_rng(seed)
        users = rng.normal(0, 0.1, (data.n_users, self.dims)).astype(np.float32)
        items = rng.normal(0, 0.1, (data.n_items, self.dims)).astype(np.float32)
        speed = (np.full_like(users, 1e-2), np.full_like(items, 1e-2))
        drawn = np.flatnonzero(known)
        pair = np.sort(seen.users * max(data.n_items, 1) + seen.items)
        for _ in range(self.epochs if len(seen) else 0):
            order = rng.permutation(len(seen))
            for start in range(0, len(order), self.batch):
                rows = order[start : start + self.batch]
                other = drawn[rng.integers(0, len(drawn), len(rows))]
                asked = seen.users[rows] * max(data.n_items, 1) + other
                fresh = pair[np.minimum(np.searchsorted(pair, asked), len(pair) - 1)] != asked
                rows, other = rows[fresh], other[fresh]
                if len(rows):
                    self._step((users, items), speed, (seen.users[rows], seen.items[rows], other))
        items[~known] = 0
        return factors(self.name, items, known, np.array([0.0, 0.1, 1.0, self.power]))

    def _step(
        self, factors: tuple[Floats, Floats], speed: tuple[Floats, Floats], rows: tuple[Ints, Ints, Ints]
    ) -> None:
        users, items = factors
        u, i, j = rows
        apart = items[i] - items[j]
        push = (1 / (1 + np.exp(np.clip((users[u] * apart).sum(1), -30, 30))))[:, None].astype(np.float32)
        slopes = (
            (users, speed[0], u, push * apart - self.ridge * users[u]),
            (items, speed[1], np.r_[i, j], np.concatenate([push, -push]) * np.concatenate([users[u], users[u]])
             - self.ridge * items[np.r_[i, j]]),
        )  # fmt: skip
        for target, squares, at, slope in slopes:
            place, total = summed(at, slope)
            squares[place] += total**2
            target[place] += np.float32(self.rate) * total / np.sqrt(squares[place])


def summed(rows: Ints, values: Floats) -> tuple[Ints, Floats]:
    """The distinct rows ascending, and the sum of the values (k, dims) of each."""
    from scipy.sparse import csr_matrix

    order = np.argsort(rows, kind="stable")
    first = np.flatnonzero(np.r_[True, np.diff(rows[order]) != 0])
    ones = np.ones(len(rows), np.float32)
    gather = csr_matrix((ones, order, np.r_[first, len(rows)]), shape=(len(first), len(rows)))
    return rows[order[first]], gather @ values
