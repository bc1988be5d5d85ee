"""Random order: the lowest floor. Every user has an own order, the same at every request within one second."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from matinee.models.common import pick, top
from matinee.types import Candidates, Floats, Interactions, Ints, Query


@dataclass(frozen=True, slots=True)
class Random:
    name: str = "random"

    def fit(self, data: Interactions, *, seed: int = 0) -> RandomModel:
        return RandomModel(self.name, data.n_items, seed)


@dataclass(frozen=True, slots=True)
class RandomModel:
    name: str
    n_items: int
    seed: int

    def _everything(self, query: Query) -> Floats:
        who = zlib.crc32((query.user or "").encode())
        return np.random.default_rng([abs(self.seed), who, int(abs(query.now))]).random(self.n_items, dtype=np.float32)

    def retrieve(self, query: Query, n: int) -> Candidates:
        return top(self._everything(query), n)

    def score(self, query: Query, candidates: Candidates) -> Floats:
        return pick(self._everything(query), candidates.items)

    def explain(self, query: Query, items: Ints) -> Floats:
        """Chance has no reasons: shape (len(items), 0)."""
        del query
        return np.zeros((len(items), 0), np.float32)

    def arrays(self) -> Mapping[str, Any]:
        return {"shape": np.array([self.n_items, self.seed])}

    @staticmethod
    def from_arrays(name: str, arrays: Mapping[str, Any]) -> RandomModel:
        n, seed = (int(x) for x in arrays["shape"])
        return RandomModel(name, n, seed)
