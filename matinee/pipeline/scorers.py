"""Which scorer speaks: a scorer for those of whom something is known, another for those of whom nothing is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from matinee.protocols import Scorer
from matinee.types import Candidates, Floats, Query


@dataclass(frozen=True, slots=True)
class ByHistory:
    """``warm`` where the history says anything of a taste, otherwise ``cold``; where the warm one has no opinion of
    any candidate, ``cold`` again."""

    warm: Scorer
    cold: Scorer
    name: str = "by_history"

    def score(self, query: Query, candidates: Candidates) -> Floats:
        if not knows(query):
            return self.cold.score(query, candidates)
        score = self.warm.score(query, candidates)
        return score if not np.isnan(score).all() else self.cold.score(query, candidates)


def knows(query: Query) -> bool:
    """Whether the history holds anything that the user liked."""
    return bool((query.history.strength > 0).any())
