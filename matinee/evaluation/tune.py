"""Settings chosen on validation only, with the same number of trials for every recipe (extra ``evaluate``: Optuna).

Bergstra et al., Algorithms for Hyper-Parameter Optimization, NeurIPS 2011 (TPE).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from matinee.data.splits import Cases, Fold
from matinee.errors import MatineeError
from matinee.evaluation.replay import replay
from matinee.evaluation.significance import by_user
from matinee.metrics.ranking import Ranking
from matinee.models.table import load_recipe

MOST_CASES = 2000  # validation cases, drawn once and the same for every trial of every recipe
NOT_TUNED = ("name", "share", "cases", "seed")
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Tuned:
    """``fields``: the best found, empty where the defaults were; ``value``: validation NDCG; ``default``: that of the
    defaults; ``trials``: how many were run."""

    fields: Mapping[str, Any]
    value: float
    default: float
    trials: int


def search_space(name: str, fixed: Mapping[str, Any]) -> dict[str, tuple[float, float, bool]]:
    """field -> (low, high, whole): numbers among a recipe's settings, from a tenth of the default to ten times it on a
    log scale, a quarter to four times for whole ones. A default of 0 is searched in [0.01, 1]. What the caller fixed
    stays."""
    recipe = load_recipe(name, fixed)
    space = {}
    for one in fields(recipe):  # type: ignore[arg-type]
        value = getattr(recipe, one.name)
        if one.name in NOT_TUNED or one.name in fixed or isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if isinstance(value, int):
            space[one.name] = (float(max(1, value // 4)), float(max(2, value * 4)), True)
        else:
            space[one.name] = (value / 10, value * 10, False) if value > 0 else (0.01, 1.0, False)
    return space


def tune(
    name: str, fold: Fold, *, trials: int, k: int, fixed: Mapping[str, Any], progress: Progress = lambda done, of: None
) -> Tuned:
    """The best settings by NDCG@k on the validation fold. ``trials`` fits. Raises ``extra.missing`` without Optuna."""
    optuna = _optuna()
    cases = fewer(fold.cases, MOST_CASES)
    space = search_space(name, fixed)

    def value(settings: Mapping[str, Any]) -> float:
        model = load_recipe(name, {**fixed, **settings}).fit(fold.train, seed=0)
        ranked = replay(model, cases, k)
        names, owner = np.unique(cases.users, return_inverse=True)
        scores = by_user(Ranking("ndcg", k).of_hits(ranked.hits, ranked.relevant), owner, len(names))
        return float(np.nanmean(scores))

    default = value({})
    progress(1, trials)
    if not space:
        return Tuned({}, default, default, 1)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    best: tuple[float, Mapping[str, Any]] = (default, {})
    for done in range(1, trials):
        trial = study.ask()
        settings = {key: _suggest(trial, key, bounds) for key, bounds in space.items()}
        found = value(settings)
        study.tell(trial, found)
        best = max(best, (found, settings), key=lambda pair: pair[0])
        progress(done + 1, trials)
    return Tuned(best[1], best[0], default, trials)


def _suggest(trial: Any, key: str, bounds: tuple[float, float, bool]) -> float:
    low, high, whole = bounds
    if whole:
        return int(trial.suggest_int(key, int(low), int(high), log=True))
    return float(trial.suggest_float(key, low, high, log=True))


def fewer(cases: Cases, most: int) -> Cases:
    """At most ``most`` cases, drawn by a fixed seed, in their order."""
    if len(cases) <= most:
        return cases
    keep = np.sort(np.random.default_rng(0).choice(len(cases), most, replace=False))
    sizes = np.diff(cases.bounds)[keep]
    at = np.concatenate([np.arange(cases.bounds[c], cases.bounds[c + 1]) for c in keep])
    return replace(
        cases, users=cases.users[keep], start=cases.start[keep], stop=cases.stop[keep], now=cases.now[keep],
        targets=cases.targets[at], stars=cases.stars[at], bounds=np.r_[0, np.cumsum(sizes)].astype(np.int64),
    )  # fmt: skip


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise MatineeError(
            "extra.missing",
            "Tuning needs Optuna. Install it with: pip install 'matinee[evaluate]'",
            "调参需要 Optuna。请安装：pip install 'matinee[evaluate]'",
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
