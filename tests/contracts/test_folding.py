"""What is folded into a release between two trainings is what a training on the whole log would make."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from matinee.data.interactions import from_log
from matinee.data.strength import DEFAULT
from matinee.models.popular import Popular, PopularModel
from matinee.models.transitions import Transitions
from matinee.pipeline.neighbours import Neighbours
from matinee.protocols import Log
from matinee.release import Release
from matinee.serve.folding import Fold
from matinee.types import EVENT_KINDS, Candidates, History, Query

N, USERS, EVENTS = 40, 12, 900
KIND = {kind: code for code, kind in enumerate(EVENT_KINDS)}


def log(seed: int) -> Log:
    """In the order of time: plays, likes, dislikes, ratings, things without an item; five items come late."""
    chance = np.random.default_rng(seed)
    items = np.where(np.arange(EVENTS) < EVENTS // 2, chance.integers(0, N - 5, EVENTS), chance.integers(0, N, EVENTS))
    kinds = chance.choice([KIND[k] for k in ("play", "like", "dislike", "rating", "impression")], EVENTS)
    value = np.where(kinds == KIND["rating"], chance.integers(1, 6, EVENTS), chance.random(EVENTS))
    items[chance.random(EVENTS) < 0.02] = -1
    at = 1.7e9 + np.cumsum(chance.random(EVENTS) * 5000)
    return Log(np.arange(1, EVENTS + 1), chance.integers(0, USERS, EVENTS), items, kinds, at, value)


def part(whole: Log, start: int, stop: int) -> Log:
    names = ("sequence", "users", "items", "kinds", "at", "value")
    return Log(*(getattr(whole, name)[start:stop] for name in names))


def fitted(known: Log, n: int) -> tuple[Neighbours, PopularModel, PopularModel]:
    data = from_log(known, USERS, n)
    model = Transitions(lags=7).fit(data)
    quick = Neighbours(model.name, model.values, model.starts, model.columns, model.known, model.power, model.decay)
    return quick, Popular().fit(data), Popular(days=7.0, name="popular_recent").fit(data)


def queries() -> list[Query]:
    chance = np.random.default_rng(9)
    made = []
    for n in (1, 4, 25):
        strength = chance.choice([1.0, 0.5, -1.0], n).astype(np.float32)
        past = History(
            chance.integers(0, N, n), 1.6e9 + np.arange(n, dtype=np.float64), strength, np.zeros(n, np.int64)
        )
        made.append(Query(1.8e9, history=past))
    return made


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("steps", [(450, 900), (450, 451, 452, 700, 900), (0, 900)])
def test_folded_transitions_are_those_of_a_training_on_all(seed: int, steps: tuple[int, ...]) -> None:
    whole = log(seed)
    first = part(whole, 0, steps[0])
    before, popular, recent = fitted(first, N - 5)
    after, all_popular, all_recent = fitted(whole, N)
    made = {"recipes": {"transitions": {"lags": 7, "name": "transitions"}}}
    fold = Fold.of(Release("r", {}, {}, N - 5, made), first, DEFAULT)
    assert fold is not None
    for start, stop in pairwise(steps):
        fold.take(part(whole, start, stop))
    folded = fold.transitions(before)
    everything = Candidates(np.arange(N), np.full(N, np.nan, np.float32), np.zeros(N, np.int64))
    for query in queries():
        np.testing.assert_allclose(
            folded.score(query, everything), after.score(query, everything), rtol=2e-3, atol=2e-5
        )  # fmt: skip
        assert folded.retrieve(query, 8).items.tolist()[:3] == after.retrieve(query, 8).items.tolist()[:3]
        unlike = np.nan_to_num(before.score(query, everything)) - np.nan_to_num(after.score(query, everything))
        assert np.abs(unlike).max() > 1e-3  # the control: without folding they differ
        terms = folded.explain(query, np.arange(N)).sum(axis=1)
        told = folded.score(query, everything)
        np.testing.assert_allclose(terms[~np.isnan(told)], told[~np.isnan(told)], rtol=1e-3, atol=1e-5)
    for was, is_ in ((popular, all_popular), (recent, all_recent)):
        got, want = fold.popular(was).score(queries()[0], everything), is_.score(queries()[0], everything)
        np.testing.assert_allclose(got, want, rtol=1e-5)
