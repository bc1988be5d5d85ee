"""``evaluate``: a data set, a split, recipes -> everything measured, repeatable from what it states.

Read from top to bottom: read the data, split it, and for every recipe tune (if asked), fit, replay, measure; at the end
intervals over users and paired tests between all recipes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from matinee.data.columns import nearest
from matinee.data.datasets.features import read_features
from matinee.data.datasets.frame import Dataset
from matinee.data.datasets.pictures import pictures_of
from matinee.data.datasets.table import read_dataset
from matinee.data.datasets.tables import item_table
from matinee.data.splits import Fold, Split, make_split
from matinee.encoders.fuse import FUSIONS
from matinee.encoders.fusing import NONE, Fusing, takes_fused
from matinee.errors import MatineeError
from matinee.evaluation.encode import encoded_features
from matinee.evaluation.measure import Ground, ground_of, liked_auc, measured
from matinee.evaluation.memory import watched
from matinee.evaluation.ratings import star_metrics
from matinee.evaluation.replay import replay
from matinee.evaluation.significance import Estimate, by_user, holm, intervals, paired
from matinee.evaluation.tune import Tuned, fewer, tune
from matinee.evaluation.words import word_features
from matinee.media.thumbs import thumbs
from matinee.metrics.ranking import Ranking
from matinee.models.table import load_recipe, looks
from matinee.protocols import Model
from matinee.types import Doubles

WARM_UP = (0, 1, 3, 5, 10)  # the newest so many events of a history
WARM_UP_CASES = 500

Progress = Callable[[str, int, int], None]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that decides a result besides the files.

    ``at``: cuts, the first is the headline. ``seeds``: how many fits a recipe, from ``seed`` on; values are averaged
    over them user by user. ``feedback``: ``watched`` (a rating counts whatever its stars) or ``liked``. ``tune``:
    trials a recipe on validation, 0 for the defaults. ``fields``: settings by recipe. ``encode``: what encoders read of
    the items, ``text`` and ``frames``. ``fuse``: how content recipes see them as one, a name of
    ``matinee.encoders.fuse``. ``words``: make a content feature of the item table's words where there are no
    other features. ``ratings``: also predict stars (RMSE, accuracy), which fits every recipe once more, on the tuning
    fold. ``against``: the recipe that the paired tests set each other one against (named before seeing results: fewer
    tests, more power); None tests all pairs.
    """

    split: str = "time"
    recipes: tuple[str, ...] = ("popular", "popular_recent", "item_knn", "ease", "transitions", "content")
    at: tuple[int, ...] = (10, 20)
    seed: int = 0
    seeds: int = 1
    feedback: Literal["watched", "liked"] = "watched"
    format: str | None = None
    tune: int = 0
    fields: dict[str, dict[str, Any]] = {}
    encode: tuple[str, ...] = ()
    fuse: str = "none"
    words: bool = True
    warm_up: bool = True
    ratings: bool = False
    against: str | None = None
    resamples: int = 1000
    flips: int = 10_000


@dataclass(frozen=True, slots=True)
class Result:
    """One recipe. ``metrics``: name -> estimate. ``people``: metric -> (users,) values, in the order of
    ``Outcome.users``. ``warm_up``: events known -> estimate of the headline metric, on at most 500 cases.
    ``seconds``: fit, score, and ``score_each`` (milliseconds a case). ``peak_mib``: extra memory while fitting."""

    recipe: str
    fields: Mapping[str, Any]
    metrics: Mapping[str, Estimate]
    people: Mapping[str, Doubles]
    warm_up: Mapping[int, Estimate]
    seconds: Mapping[str, float]
    peak_mib: float | None
    tuned: Tuned | None
    seed_spread: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """a against b on the headline metric: mean difference over users with its interval, p and p after Holm."""

    a: str
    b: str
    difference: Estimate
    p: float
    p_holm: float


@dataclass(frozen=True, slots=True)
class Outcome:
    data: Dataset
    settings: Settings
    split: Split
    users: tuple[str, ...]
    results: tuple[Result, ...]
    comparisons: tuple[Comparison, ...]
    seconds: float
    notes: tuple[str, ...] = field(default_factory=tuple)

    @property
    def headline(self) -> str:
        return f"ndcg@{self.settings.at[0]}"


def evaluate(
    path: Path,
    settings: Settings,
    *,
    features: Sequence[Path] = (),
    items: Path | None = None,
    progress: Progress = lambda what, done, total: None,
    on_result: Callable[[Result], None] = lambda result: None,
) -> Outcome:
    """Measures every recipe of ``settings`` on the data set at ``path``. ``on_result`` hears of each as it is done.

    Raises MatineeError for an unknown recipe, split or setting (with the nearest name) before any work is done, and for
    data that cannot be read or split.
    """
    begun = time.perf_counter()
    check(settings)
    data, notes = load(path, settings, features=features, items=items, progress=progress)
    split = make_split(data, settings.split, seed=settings.seed, feedback=settings.feedback)
    ground = ground_of(split.test, data)
    results = []
    for name in settings.recipes:
        result = _one(name, split, ground, settings, progress)
        results.append(result)
        on_result(result)
    progress("paired tests", 0, 1)
    comparisons = _compare(results, settings)
    progress("paired tests", 1, 1)
    users = tuple(data.users[row] for row in ground.names)
    took = time.perf_counter() - begun
    return Outcome(data, settings, split, users, tuple(results), comparisons, took, notes)


def check(settings: Settings) -> None:
    """Refuses what cannot work before any work is done. Raises ``recipe.unknown``, ``recipe.setting``,
    ``evaluate.setting``."""
    for name, fields in settings.fields.items():
        if name not in settings.recipes:
            raise _wrong(f"settings are given for {name}, which is not evaluated", f"为未评估的 {name} 指定了设置")
        load_recipe(name, fields)
    for name in settings.recipes:
        load_recipe(name)
    if len(set(settings.recipes)) < len(settings.recipes) or not settings.recipes:
        raise _wrong("name at least one recipe, each once", "至少指定一个模型，且不可重复")
    if not settings.at or min(settings.at) < 1 or len(set(settings.at)) < len(settings.at):
        raise _wrong("cuts must be whole numbers from 1 on, each once", "截断位置须为不重复的正整数")
    if settings.against is not None and settings.against not in settings.recipes:
        near = nearest(settings.against, settings.recipes)
        name = repr(settings.against)
        raise _wrong(f"{name} is not evaluated; the nearest is {near!r}", f"未评估 {name}；最接近的是 {near!r}")
    if settings.fuse != NONE and settings.fuse not in FUSIONS:
        near = nearest(settings.fuse, (*FUSIONS, NONE))
        name = repr(settings.fuse)
        raise _wrong(f"there is no fusion {name}; did you mean {near!r}", f"没有融合方法 {name}；是否指 {near!r}")
    if settings.seeds < 1 or settings.tune < 0 or settings.resamples < 1 or settings.flips < 1:
        raise _wrong("seeds, resamples and flips are at least 1, tune at least 0", "seeds、resamples、flips 至少为 1")


def _wrong(en: str, zh: str) -> MatineeError:
    return MatineeError("evaluate.setting", f"Cannot evaluate: {en}.", f"无法评估：{zh}。")


def load(
    path: Path,
    settings: Settings,
    *,
    features: Sequence[Path] = (),
    items: Path | None = None,
    progress: Progress = lambda what, done, total: None,
) -> tuple[Dataset, tuple[str, ...]]:
    """The data set with its item table and features, and what a reader of the report should know of them."""
    data = read_dataset(path, settings.format)
    notes = []
    if items is not None:
        known = item_table(items)
        rows = {row: known[key] for row, key in enumerate(data.items) if key in known}
        notes.append(f"items: {len(rows)} of {len(data.items)} found in {items.name}")
        data = replace(data, catalogue={**data.catalogue, **rows}, files=(*data.files, items))
    for file in features:
        data = replace(data.with_features(read_features(file, data.items)), files=(*data.files, file))
    if settings.encode:
        data = data.with_features(encoded_features(data, settings.encode, progress))
    if looks(settings.recipes):
        files = pictures_of(data)
        notes.append(f"pictures: {len(files)} of {len(data.items)} items have one")
        data = replace(data, pictures=thumbs(files, len(data.items), progress))
    if not data.features and settings.words and (vectors := word_features(data)) is not None:
        data = data.with_features({"words": vectors})
    for name, matrix in data.features.items():
        there = int((~np.isnan(matrix[:, 0])).sum())
        notes.append(f"features: {name}, {matrix.shape[1]} dimensions, {there} of {len(data.items)} items")
    return data, tuple(notes)


def _one(name: str, split: Split, ground: Ground, settings: Settings, progress: Progress) -> Result:
    """Tune, fit, replay and measure one recipe."""
    fixed = settings.fields.get(name, {})
    k = max(settings.at)
    tuned = None
    if settings.tune:
        tuned = tune(
            name, split.tune, trials=settings.tune, k=settings.at[0], fixed=fixed,
            progress=lambda done, of: progress(f"{name}: tune", done, of),
        )  # fmt: skip
    fields = {**fixed, **(tuned.fields if tuned else {})}
    runs: list[tuple[dict[str, Doubles], dict[str, float]]] = []
    warm: list[dict[int, Doubles]] = []
    fit_seconds, score_seconds, peaks = [], [], []
    for seed in range(settings.seed, settings.seed + settings.seeds):
        progress(f"{name}: fit", 0, 1)
        model, took, peak = _fit(name, fields, split.test, seed, settings.fuse)
        progress(f"{name}: fit", 1, 1)
        ranked = replay(model, ground.cases, k, progress=lambda done, of: progress(f"{name}: replay", done, of))
        people, whole = measured(ranked, ground, settings.at)
        runs.append((people | {"auc": liked_auc(ranked, ground)}, whole))
        fit_seconds.append(took)
        score_seconds.append(ranked.seconds)
        peaks.append(peak)
        if settings.warm_up:
            warm.append(_warm_up(model, ground, settings.at[0]))
    people, metrics, spread = _together(runs, settings)
    if settings.ratings:
        progress(f"{name}: stars", 0, 1)
        metrics |= star_metrics(model, load_recipe(name, fields), split, settings.seed, settings.resamples)
        progress(f"{name}: stars", 1, 1)
    seconds = {
        "fit": float(np.mean(fit_seconds)),
        "score": float(np.mean(score_seconds)),
        "score_each": float(np.mean(score_seconds)) / len(ground.cases) * 1000,
    }
    known_peaks = [p for p in peaks if p is not None]
    return Result(
        name, fields, metrics, people, _warm_estimates(warm, settings), seconds,
        max(known_peaks) if known_peaks else None, tuned, spread,
    )  # fmt: skip


def _fit(
    name: str, fields: Mapping[str, Any], fold: Fold, seed: int, fuse: str = "none"
) -> tuple[Model, float, float | None]:  # fmt: skip
    recipe = load_recipe(name, fields)
    with watched() as peak:
        begun = time.perf_counter()
        model = recipe.fit(Fusing(fuse).over(fold.train) if takes_fused(recipe) else fold.train, seed=seed)
        took = time.perf_counter() - begun
    return model, took, peak.mib


def _together(
    runs: list[tuple[dict[str, Doubles], dict[str, float]]], settings: Settings
) -> tuple[dict[str, Doubles], dict[str, Estimate], float | None]:
    """Means over seeds, user by user, with intervals; and the spread of the headline over seeds."""
    with np.errstate(invalid="ignore"):
        people = {name: np.mean([run[0][name] for run in runs], axis=0) for name in runs[0][0]}
    people = {name: values for name, values in people.items() if not np.isnan(values).all()}
    names = list(people)
    estimates = intervals(np.stack([people[n] for n in names]), resamples=settings.resamples, seed=settings.seed)
    metrics = dict(zip(names, estimates, strict=True))
    for name in runs[0][1]:
        metrics[name] = Estimate(float(np.mean([run[1][name] for run in runs])))
    headline = f"ndcg@{settings.at[0]}"
    spread = float(np.std([np.nanmean(run[0][headline]) for run in runs], ddof=1)) if len(runs) > 1 else None
    return people, metrics, spread


def _warm_up(model: Model, ground: Ground, k: int) -> dict[int, Doubles]:
    """NDCG@k by user when only the newest so many events of each history are known."""
    cases = fewer(ground.cases, WARM_UP_CASES)
    users, owner = np.unique(cases.users, return_inverse=True)
    found = {}
    for last in WARM_UP:
        ranked = replay(model, cases, k, last=last)
        found[last] = by_user(Ranking("ndcg", k).of_hits(ranked.hits, ranked.relevant), owner, len(users))
    return found


def _warm_estimates(warm: list[dict[int, Doubles]], settings: Settings) -> dict[int, Estimate]:
    if not warm:
        return {}
    table = np.stack([np.mean([run[last] for run in warm], axis=0) for last in WARM_UP])
    return dict(zip(WARM_UP, intervals(table, resamples=settings.resamples, seed=settings.seed), strict=True))


def _compare(results: list[Result], settings: Settings) -> tuple[Comparison, ...]:
    """All pairs, or those with ``against``, on the headline metric, the better one first."""
    headline = f"ndcg@{settings.at[0]}"
    ranked = sorted(results, key=lambda r: -r.metrics[headline].value)
    pairs = [(a, b) for at, a in enumerate(ranked) for b in ranked[at + 1 :]]
    if settings.against is not None:
        pairs = [(a, b) for a, b in pairs if settings.against in (a.recipe, b.recipe)]
    if not pairs:
        return ()
    differences = np.stack([a.people[headline] - b.people[headline] for a, b in pairs])
    estimates = intervals(differences, resamples=settings.resamples, seed=settings.seed)
    p = paired(differences, flips=settings.flips, seed=settings.seed)
    return tuple(
        Comparison(a.recipe, b.recipe, estimate, float(one), float(corrected))
        for (a, b), estimate, one, corrected in zip(pairs, estimates, p, holm(p), strict=True)
    )
