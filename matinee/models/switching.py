"""A switch between models by how much is known of the person: what most watch, then content, then behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from matinee.models.common import silence, taste
from matinee.models.table import load_model, load_recipe
from matinee.protocols import Model
from matinee.types import Candidates, Floats, Interactions, Ints, Query


@dataclass(frozen=True, slots=True)
class Switching:
    """``recipes``: from the one for strangers to the one for regulars; ``from_items``: the number of different items in
    a history from which each one answers, ascending from 0."""

    recipes: tuple[str, ...] = ("popular", "content", "item_knn", "transitions")
    from_items: tuple[int, ...] = (0, 1, 3, 5)
    name: str = "switching"

    def fit(self, data: Interactions, *, seed: int = 0) -> SwitchingModel:
        """The sum of its models' costs."""
        models = tuple(load_recipe(name).fit(data, seed=seed) for name in self.recipes)
        return SwitchingModel(self.name, models, np.array(self.from_items, np.int64), data.n_items)


@dataclass(frozen=True, slots=True)
class SwitchingModel:
    """``models`` and ``from_items`` of one length. The last model whose number is reached and that has an opinion on
    anything answers; the ones before it stand in. Scores of one request come from one model, so they compare."""

    name: str
    models: tuple[Model, ...]
    from_items: Ints
    n_items: int

    def _inclined(self, query: Query) -> list[Model]:
        """The models that may answer, the most personal first."""
        known = len(taste(query.history, self.n_items, 0.0).items)
        return [m for m, least in zip(self.models, self.from_items, strict=True) if known >= least][::-1]

    def retrieve(self, query: Query, n: int) -> Candidates:
        """The best n of the model that answers."""
        answering = self._answering(query)
        none = Candidates(np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.int64))
        return answering.retrieve(query, n) if answering else none

    def score(self, query: Query, candidates: Candidates) -> Floats:
        answering = self._answering(query)
        return answering.score(query, candidates) if answering else silence(len(candidates))

    def explain(self, query: Query, items: Ints) -> Floats:
        """As the model that answers explains."""
        answering = self._answering(query)
        return answering.explain(query, items) if answering else np.zeros((len(items), 0), np.float32)

    def _answering(self, query: Query) -> Model | None:
        return next((model for model in self._inclined(query) if len(model.retrieve(query, 1))), None)

    def arrays(self) -> Mapping[str, Any]:
        nested = {
            f"{at}/{model.name}/{key}": array
            for at, model in enumerate(self.models)
            for key, array in model.arrays().items()
        }
        return {"from_items": self.from_items, "n_items": np.int64(self.n_items), **nested}

    @staticmethod
    def from_arrays(name: str, arrays: Mapping[str, Any]) -> SwitchingModel:
        by_model: dict[tuple[int, str], dict[str, Any]] = {}
        for key, array in arrays.items():
            if "/" in key:
                at, model, rest = key.split("/", 2)
                by_model.setdefault((int(at), model), {})[rest] = array
        models = tuple(load_model(model, by_model[at, model]) for at, model in sorted(by_model))
        return SwitchingModel(name, models, arrays["from_items"], int(arrays["n_items"]))
