"""The recipe of a blend: fit every expert on what is earlier, weigh them on what came last, fit them again on all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from matinee.errors import MatineeError
from matinee.models.blend import FLOOR, Blend, learn_weights
from matinee.models.holdout import latest_slice
from matinee.models.table import load_recipe
from matinee.protocols import Model, Recipe
from matinee.types import Interactions

Progress = Callable[[str, float], None]
EXPERTS = ("popular", "popular_recent", "item_knn", "ease", "transitions", "content")


@dataclass(frozen=True, slots=True)
class Blended:
    """``recipes``: the experts by name. ``share`` of the log, the latest, and ``cases`` drawn from it weigh
    them; without ``learn`` all weigh the same, or as ``weights`` says, and every expert is fitted once. ``spare``: the
    recipes that are left out where they turn out to be of no use: they would only take time at every request."""

    recipes: tuple[str, ...] = EXPERTS
    share: float = 0.1
    cases: int = 2000
    learn: bool = True
    weights: tuple[float, ...] = ()
    spare: tuple[str, ...] = ()
    name: str = "blend"

    def fit(self, data: Interactions, *, seed: int = 0) -> Blend:
        """Twice the cost of its experts."""
        experts = [load_recipe(name) for name in self.recipes]
        if not self.learn or self.weights:
            weights = np.array(self.weights or [1.0] * len(experts), np.float32)
            if len(weights) != len(experts) or not (weights >= 0).all() or not weights.sum() > 0:
                raise MatineeError(
                    "recipe.weights",
                    f"Blend needs one weight of 0 or more for each of its {len(experts)} recipes, and one above 0.",
                    f"混合模型需要为 {len(experts)} 个子模型各给一个不小于 0 的权重，且至少一个大于 0。",
                )
            models = tuple(recipe.fit(data, seed=seed) for recipe in experts)
            return Blend(models, (weights / weights.sum()).astype(np.float32), self.name)
        return fit_blend(experts, data, seed, self, lambda stage, share: None)


def fit_blend(experts: list[Recipe], data: Interactions, seed: int, settings: Blended, progress: Progress) -> Blend:
    """``progress`` hears what is being done and the share of the whole that is behind."""
    steps = 2 * len(experts) + 1
    held = latest_slice(data, share=settings.share, most=settings.cases, seed=seed)
    kept: list[Recipe] = []
    trial: list[Model] = []
    for at, recipe in enumerate(experts):
        progress(f"trial {recipe.name}", at / steps)
        try:
            trial.append(recipe.fit(held.earlier, seed=seed))
        except MatineeError as error:
            if error.code != "model.too_many_items":
                raise
            progress(f"skipped {recipe.name}: {error.en}", at / steps)
            continue
        kept.append(recipe)
    progress("weights", len(experts) / steps)
    weights = learn_weights(trial, held.cases, data.n_items)
    trial.clear()  # their arrays are as large as those to come
    voiced = [r.name not in settings.spare or w > 1.5 * FLOOR for r, w in zip(kept, weights, strict=True)]
    kept = [recipe for recipe, use in zip(kept, voiced, strict=True) if use]
    weights = weights[voiced] / weights[voiced].sum()
    models = []
    for at, recipe in enumerate(kept):
        progress(recipe.name, (len(experts) + 1 + at) / steps)
        models.append(recipe.fit(data, seed=seed))
    progress("fitted", 1.0)
    return Blend(tuple(models), np.asarray(weights, np.float32), settings.name)
