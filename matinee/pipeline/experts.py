"""A trained content model over a catalogue that has grown since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from matinee.pipeline.sources import Nearest
from matinee.protocols import Model
from matinee.types import Candidates, Floats, Ints, Query


@dataclass(frozen=True, slots=True)
class Grown:
    """``model`` where it has an opinion; ``nearest``, the same measure over the catalogue as it is, where it has none:
    so an item that came after training is scored with the others at once."""

    model: Model
    nearest: Nearest

    @property
    def name(self) -> str:
        return self.model.name

    def retrieve(self, query: Query, n: int) -> Candidates:
        return self.nearest.retrieve(query, n)

    def score(self, query: Query, candidates: Candidates) -> Floats:
        score = self.model.score(query, candidates)
        silent = np.isnan(score)
        if silent.any():
            score = score.copy()
            score[silent] = self.nearest.score(query, candidates.take(silent))
        return score

    def explain(self, query: Query, items: Ints) -> Floats:
        return self.nearest.explain(query, items)

    def by_space(self, query: Query, items: Ints) -> dict[str, Floats]:
        return self.nearest.by_space(query, items)

    def arrays(self) -> Mapping[str, Any]:
        return self.model.arrays()
