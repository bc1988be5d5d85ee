"""Chance with a known probability: without it a recommender only ever learns about what it already shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from matinee.types import Candidates, Floats, Ints, Query


@dataclass(frozen=True, slots=True)
class Explorer:
    """Epsilon-greedy by place: with probability ``share`` a place is filled evenly from the ``window`` best candidates
    that are left, otherwise by the selector's next choice.

    The propensity of what stands there is exact given the places before: ``(1 - share) [it was next] + share / left``.
    That is what off-policy evaluation divides by. The first place is never given to chance.
    """

    share: float = 0.0
    window: int = 100

    def explore(self, query: Query, candidates: Candidates, order: Ints) -> tuple[Ints, Floats]:
        """The order with chance in it, and (n,) propensities. The same ``controls.seed`` gives the same order."""
        asked = query.controls.exploration
        share = self.share if asked is None else min(max(asked, 0.0), 1.0)
        if not share or len(order) < 2:
            return order, np.ones(len(order), np.float32)
        chance = np.random.default_rng(query.controls.seed)
        by_score = np.argsort(-np.nan_to_num(candidates.score, nan=-np.inf), kind="stable")[: self.window]
        left = list(dict.fromkeys([*order.tolist(), *by_score.tolist()]))
        queue = list(order.tolist())
        placed, propensities = [left.pop(0)], [1.0]
        queue.pop(0)
        while len(placed) < len(order):
            following = next((q for q in queue if q in set(left)), left[0])
            pick = left[int(chance.integers(len(left)))] if chance.random() < share else following
            propensities.append((1 - share) * (pick == following) + share / len(left))
            left.remove(pick)
            placed.append(pick)
        return np.asarray(placed, np.int64), np.asarray(propensities, np.float32)
