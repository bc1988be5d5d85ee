"""The rating task: how well a recipe's scores, brought to the scale of stars, predict the stars of hidden rows.

Ranking models do not speak in stars. Least squares on the tuning fold (never on test rows) turns the score of an item
and the user's mean into stars: stars = a + b score + c mean. Where a score is NaN, the user's mean alone predicts. What
is left after the user's mean is the recipe's own part, so RMSE is to be read beside that of ``random``.
"""

from __future__ import annotations

from math import sqrt

import numpy as np

from matinee.data.splits import Cases, Split
from matinee.evaluation.measure import LIKED
from matinee.evaluation.replay import replay
from matinee.evaluation.significance import Estimate, by_user, intervals
from matinee.protocols import Model, Recipe
from matinee.types import Doubles

PRIOR = 5.0  # stars of the general mean that every user's mean begins with


def star_metrics(model: Model, recipe: Recipe, split: Split, seed: int, resamples: int) -> dict[str, Estimate]:
    """``rmse`` and ``accuracy`` (liked or not, four stars) with intervals over users; {} where there are no stars.
    Fits the recipe once, on the tuning fold."""
    tune, test = split.tune.cases, split.test.cases
    if np.isnan(tune.stars).all() or np.isnan(test.stars).all():
        return {}
    general = float(np.nanmean(tune.stars))
    learnt = recipe.fit(split.tune.train, seed=seed)
    with_score, without = _fitted(_columns(learnt, tune, general), tune.stars)
    columns = _columns(model, test, general)
    predicted = np.where(np.isnan(columns[:, 1]), columns[:, [0, 2]] @ without, np.nan_to_num(columns) @ with_score)
    predicted = np.clip(predicted, np.nanmin(tune.stars), np.nanmax(tune.stars))
    names, owner = np.unique(test.users, return_inverse=True)
    owner = np.repeat(owner, np.diff(test.bounds))
    squared = by_user((predicted - test.stars) ** 2, owner, len(names))
    right = np.where(np.isnan(test.stars), np.nan, (predicted >= LIKED) == (test.stars >= LIKED))
    error, accuracy = intervals(
        np.stack([squared, by_user(right, owner, len(names))]), resamples=resamples, seed=seed
    )  # fmt: skip
    return {"rmse": _root(error), "accuracy": accuracy}


def _columns(model: Model, cases: Cases, general: float) -> Doubles:
    """(t, 3): one, the score of each target and the mean of its user's stars so far."""
    scores = replay(model, cases, 1).scores.astype(np.float64)
    means = np.empty(len(cases))
    for c in range(len(cases)):
        stars = cases.value[cases.start[c] : cases.stop[c]]
        stars = stars[~np.isnan(stars)]
        means[c] = (stars.sum() + PRIOR * general) / (len(stars) + PRIOR)
    return np.stack([np.ones(len(scores)), scores, np.repeat(means, np.diff(cases.bounds))], 1)


def _fitted(columns: Doubles, stars: Doubles) -> tuple[Doubles, Doubles]:
    """Coefficients with the score, and without it."""
    rated = ~np.isnan(stars)
    scored = rated & ~np.isnan(columns[:, 1])
    without = np.asarray(np.linalg.lstsq(columns[rated][:, [0, 2]], stars[rated])[0], np.float64)
    if not scored.any():
        return np.array([without[0], 0.0, without[1]]), without
    return np.asarray(np.linalg.lstsq(columns[scored], stars[scored])[0], np.float64), without


def _root(error: Estimate) -> Estimate:
    low, high = error.low, error.high
    return Estimate(
        sqrt(error.value) if error.value >= 0 else error.value,
        None if low is None else sqrt(max(low, 0.0)),
        None if high is None else sqrt(max(high, 0.0)),
    )
