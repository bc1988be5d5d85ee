"""Factors of a release as requests need them: the person is solved for once a request, and for all trials of its
reasons together, over the candidates alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from matinee.models.factors import Factors
from matinee.pipeline.taste import Told
from matinee.types import Candidates, Doubles, Floats, Ints, Query


@dataclass(frozen=True)
class Factored:
    """``model``, with the same scores."""

    model: Factors

    @property
    def name(self) -> str:
        return self.model.name

    @cached_property
    def unobserved(self) -> Doubles:
        """(dims, dims): what all items together say of a person, once for each release."""
        items = self.model.items
        return float(self.model.settings[0]) * (items.T @ items).astype(np.float64)

    def retrieve(self, query: Query, n: int) -> Candidates:
        return self.model.retrieve(query, n)

    def score(self, query: Query, candidates: Candidates) -> Floats:
        scores: Floats = self.table(query, candidates.items).scores()[0]
        return scores

    def table(self, query: Query, items: Ints) -> FactoredTable:
        model = self.model
        told = Told.of(query.history).below(len(model.known))
        heard = np.flatnonzero(model.known[told.items])
        inside = (items >= 0) & (items < len(model.known))
        reached = np.flatnonzero(inside)
        reached = reached[model.known[items[reached]]]
        return FactoredTable(self, query, told, heard, items, reached)

    def explain(self, query: Query, items: Ints) -> Floats:
        return self.model.explain(query, items)

    def arrays(self) -> Mapping[str, Any]:
        return self.model.arrays()


@dataclass(frozen=True, slots=True)
class FactoredTable:
    """``heard``: places in ``told`` of the items that were trained on; ``reached``: places in ``items`` of those."""

    expert: Factored
    query: Query
    told: Told
    heard: Ints
    items: Ints
    reached: Ints

    def scores(self, without: Sequence[int] = ()) -> Floats:
        """(1 + len(without), n) scores by the whole history, then without each named past item: one small system of
        equations each, solved together."""
        model = self.expert.model
        unobserved, ridge, scaling, power = model.settings.tolist()
        weights = self._weights(power, without)
        out = np.full((len(weights), len(self.items)), np.nan, np.float32)
        speaks = np.flatnonzero((weights != 0).any(axis=1))
        if not len(speaks) or not len(self.reached):
            return out
        weights = weights[speaks].astype(np.float64)
        own = model.items[self.told.items[self.heard]].astype(np.float64)
        left = self.expert.unobserved + (own.T[None] * np.abs(weights)[:, None, :]) @ own
        size = (weights != 0).sum(axis=1) + unobserved * len(model.items)
        left[:, np.arange(left.shape[1]), np.arange(left.shape[1])] += (ridge * size**scaling + 1e-9)[:, None]
        person = np.linalg.solve(left, (weights @ own)[:, :, None])[:, :, 0].astype(np.float32)
        out[np.ix_(speaks, self.reached)] = person @ model.items[self.items[self.reached]].T
        return out

    def _weights(self, power: float, without: Sequence[int]) -> Floats:
        """(1 + len(without), len(heard)): ranks are counted over all that was told, as the model counts them."""
        return self.told.weights(power, 1.0, without)[:, self.heard]

    def terms(self, picked: Ints) -> dict[str, Floats]:
        return {"": self.expert.model.explain(self.query, self.items[picked])}
