"""All that is measured of a model's lists: ranking and beyond accuracy, by user where it has a value by user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from matinee.data.datasets.frame import Dataset
from matinee.data.splits import Cases, Fold
from matinee.evaluation.replay import Ranked
from matinee.evaluation.significance import by_user
from matinee.metrics import beyond
from matinee.metrics.ranking import FORMULAS, Ranking, auc
from matinee.types import Doubles, Floats, Interactions, Ints

GROUPS = ("head", "mid", "tail")
WARMTH = ((0, 0), (1, 2), (3, 4), (5, 9), (10, None))  # watches of a target in training: the item's warm-up
EXPECTED = 50  # the most watched items that a list needs no recommender for (serendipity)
LIKED = 4.0  # stars from which a rating counts as liked (AUC)


@dataclass(frozen=True, slots=True)
class Ground:
    """What the measures of one fold share. ``owner`` (q,) and ``names`` (u,): each case's place among the users that
    are asked, and their rows. ``watched`` (n_items,): users by item in training. ``vectors``: for diversity; None where
    nothing is known of the items. ``categories`` (n_items, c): shares, likewise. ``history_mean`` (q,), ``wanted``
    (q, c): what each history was like."""

    cases: Cases
    owner: Ints
    names: Ints
    watched: Ints
    n_users: int
    thirds: Ints
    vectors: Floats | None
    categories: Floats | None
    history_mean: Doubles
    wanted: Doubles | None


def ground_of(fold: Fold, data: Dataset) -> Ground:
    """O(rows of histories)."""
    cases, train = fold.cases, fold.train
    names, owner = np.unique(cases.users, return_inverse=True)
    watched = watched_by(train)
    categories = category_shares(data)
    mean, wanted = _tastes(cases, watched, categories)
    n_users = len(np.unique(train.users))
    return Ground(
        cases, owner, names, watched, n_users, beyond.thirds(watched), diversity_vectors(data, categories), categories,
        mean, wanted,
    )  # fmt: skip


def watched_by(train: Interactions) -> Ints:
    """(n_items,) how many users watched each, with positive strength."""
    positive = train.strength > 0
    pair = np.unique(train.users[positive] * np.int64(max(train.n_items, 1)) + train.items[positive])
    return np.bincount(pair % max(train.n_items, 1), minlength=train.n_items).astype(np.int64)


def category_shares(data: Dataset) -> Floats | None:
    """(n_items, c) float32: an item's categories in equal shares; None where no item has any."""
    names = sorted({c for item in data.catalogue.values() for c in item.categories})
    if not names:
        return None
    column = {name: at for at, name in enumerate(names)}
    out = np.zeros((len(data.items), len(names)), np.float32)
    for row, item in data.catalogue.items():
        for category in item.categories:
            out[row, column[category]] = 1 / len(item.categories)
    return out


def diversity_vectors(data: Dataset, categories: Floats | None) -> Floats | None:
    """What diversity is measured on: the categories where there are any, for they are no model's input and say what a
    viewer sees; else the first modality of the features. Unit rows, NaN where unknown."""
    if categories is not None:
        length = np.linalg.norm(categories, axis=1, keepdims=True)
        return np.where(length > 0, categories / np.maximum(length, 1e-12), np.nan).astype(np.float32)
    return next(iter(data.features.values()), None)


def _tastes(cases: Cases, watched: Ints, categories: Floats | None) -> tuple[Doubles, Doubles | None]:
    mean = np.full(len(cases), np.nan)
    wanted = None if categories is None else np.zeros((len(cases), categories.shape[1]))
    for c in range(len(cases)):
        part = slice(cases.start[c], cases.stop[c])
        rows = cases.history.items[part][cases.history.strength[part] > 0]
        if len(rows):
            mean[c] = watched[rows].mean()
            if wanted is not None and categories is not None and (total := categories[rows].sum(0)).sum() > 0:
                wanted[c] = total / total.sum()
    return mean, wanted


def measured(ranked: Ranked, ground: Ground, cuts: tuple[int, ...]) -> tuple[dict[str, Doubles], dict[str, float]]:
    """name -> (u,) values by user, in the order of ``ground.names``; and name -> value of what has none by user."""
    by_case: dict[str, Doubles] = {}
    whole: dict[str, float] = {}
    for k in cuts:
        by_case |= {
            Ranking(m, k).name: Ranking(m, k).of_hits(ranked.hits, ranked.relevant) for m in FORMULAS
        }  # fmt: skip
        more, one = _beyond(ranked, ground, k)
        by_case |= more
        whole |= one
    people = {name: by_user(values, ground.owner, len(ground.names)) for name, values in by_case.items()}
    return people | _groups(ranked, ground, cuts[0]), whole


def _beyond(ranked: Ranked, ground: Ground, k: int) -> tuple[dict[str, Doubles], dict[str, float]]:
    slates, hits = ranked.slates[:, :k], ranked.hits[:, :k]
    expected = np.argsort(-ground.watched, kind="stable")[:EXPECTED]
    found = {
        f"novelty@{k}": beyond.novelty(slates, ground.watched, ground.n_users),
        f"popularity_lift@{k}": beyond.popularity_lift(slates, ground.watched, ground.history_mean),
        f"serendipity@{k}": beyond.serendipity(hits, slates, expected),
    }
    for at, name in enumerate(GROUPS):
        found[f"share@{k}[{name}]"] = beyond.share(slates, ground.thirds == at)
    if ground.vectors is not None:
        found[f"diversity@{k}"] = beyond.diversity(slates, ground.vectors)
    if ground.categories is not None and ground.wanted is not None:
        found[f"calibration@{k}"] = beyond.calibration(slates, ground.wanted, ground.categories)
    candidates = ground.cases.candidates
    return found, {f"coverage@{k}": beyond.coverage(slates, candidates), f"gini@{k}": beyond.gini(slates, candidates)}


def _groups(ranked: Ranked, ground: Ground, k: int) -> dict[str, Doubles]:
    """Recall of the targets that are in the head, middle, tail; warm or cold; and by watches in training."""
    targets = ground.cases.targets
    hit = (ranked.places < k).astype(np.float64)
    owner = np.repeat(ground.owner, np.diff(ground.cases.bounds))
    watches = ground.watched[targets]
    members = {name: ground.thirds[targets] == at for at, name in enumerate(GROUPS)}
    members |= {"warm": watches > 0, "cold": watches == 0}
    for low, high in WARMTH:
        name = f"watched {low}" if low == high else f"watched {low}+" if high is None else f"watched {low}-{high}"
        members[name] = (watches >= low) & (watches <= (np.inf if high is None else high))
    return {
        f"recall@{k}[{name}]": by_user(np.where(inside, hit, np.nan), owner, len(ground.names))
        for name, inside in members.items()
    }


def liked_auc(ranked: Ranked, ground: Ground) -> Doubles:
    """(u,) by user: the chance that a hidden item with ``LIKED`` stars or more scores above one with fewer. NaN for
    users without one of each. Says how well scores tell good from bad among what was watched."""
    cases = ground.cases
    owner = np.repeat(ground.owner, np.diff(cases.bounds))
    out = np.full(len(ground.names), np.nan)
    rated = ~np.isnan(cases.stars)
    order = np.flatnonzero(rated)
    starts = np.searchsorted(owner[order], np.arange(len(ground.names) + 1))
    for u in range(len(ground.names)):
        rows = order[starts[u] : starts[u + 1]]
        if len(rows) > 1:
            out[u] = auc(
                ranked.scores[rows], cast("np.ndarray[tuple[int], np.dtype[np.bool_]]", cases.stars[rows] >= LIKED)
            )
    return out
