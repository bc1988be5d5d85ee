"""What holds of every slate, whatever the library, the history and the controls."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matinee.index.exact import ExactIndex, highest
from matinee.models.blend import Blend
from matinee.pipeline.catalogue import Catalogue, of_items
from matinee.pipeline.filters import Alive, Excluded, Hidden, InCategories, InCollection, Out, Seen
from matinee.pipeline.popularity import Popularity
from matinee.pipeline.reasons import FromExperts
from matinee.pipeline.recommender import Recommender, union
from matinee.pipeline.scorers import ByHistory
from matinee.pipeline.selectors import MMR, by_score
from matinee.pipeline.shelf import Shelf
from matinee.pipeline.sources import Everything, Nearest, New, Popular, Starter
from matinee.pipeline.taste import without
from matinee.protocols import Log
from matinee.serve.quick import QuickBlend
from matinee.types import Candidates, Controls, History, Item, Limits, Query, Space
from tests.contracts.stages import KIND, NOW, unit

pytestmark = pytest.mark.usefixtures("either_form")

N = 40


def limits(catalogue: Catalogue) -> tuple[InCollection, InCategories]:
    return InCollection(catalogue), InCategories(catalogue)


def made(seed: int) -> Recommender:
    """A library of chance: items without vectors, without watches, deleted, expired, in no category."""
    chance = np.random.default_rng(seed)
    items = [
        None
        if chance.random() < 0.1
        else Item(
            id=str(r),
            categories=tuple(chance.choice(["a", "b", "c"], chance.integers(0, 3), replace=False).tolist()),
            collection=str(chance.choice(["x", "y"])),
            expires=NOW - 1 if chance.random() < 0.1 else None,
        )
        for r in range(N)
    ]
    base = of_items(items)
    shelves = {}
    for name, dim in (("text", 8), ("frames", 5)):
        rows = np.flatnonzero(base.alive & (chance.random(N) < 0.6)).astype(np.int64)
        vectors = unit(chance.standard_normal((len(rows), dim)))
        shelves[name] = Shelf.build(Space(name, "1", dim), rows, vectors, N)
    catalogue = replace(base, shelves=shelves)
    ever = np.where(chance.random(N) < 0.5, chance.integers(1, 50, N), 0).astype(np.float64)
    popularity = Popularity(ever, ever * chance.random(N), NOW)
    nearest, popular = Nearest(catalogue), Popular(catalogue, popularity)
    starter = Starter(catalogue, popularity)
    blend = QuickBlend(Blend((nearest, popular), np.array([0.7, 0.3], np.float32)))
    return Recommender(
        (nearest, popular, starter, New(catalogue), Everything(catalogue)),
        (Alive(catalogue), Out(catalogue), Seen(), Hidden(), *limits(catalogue), Excluded()),
        ByHistory(blend, starter),
        MMR(catalogue),
        FromExperts(catalogue, popularity, blend),
        pool=N,
    )  # fmt: skip


strengths = {"like": 1.0, "play": 0.5, "dislike": -1.0, "hide": -1.0, "impression": 0.0, "skip": -0.3}
histories = st.lists(
    st.tuples(st.integers(0, N + 3), st.sampled_from(["like", "play", "dislike", "hide", "impression", "skip"])),
    max_size=15,
)
strengths = {"like": 1.0, "play": 0.5, "dislike": -1.0, "hide": -1.0, "impression": 0.0, "skip": -0.3}


def history(events: list[tuple[int, str]]) -> History:
    n = len(events)
    return History(
        np.array([row for row, _ in events], np.int64).reshape(n),
        NOW - np.arange(n, 0, -1.0),
        np.array([strengths[kind] for _, kind in events], np.float32).reshape(n),
        np.array([KIND[kind] for _, kind in events], np.int64).reshape(n),
    )


queries = st.builds(
    lambda events, limit, collection, categories, exclude, diversity: Query(
        NOW, limit, "u", history(events),
        limits=Limits(collection=collection, categories=tuple(categories), exclude=tuple(exclude)),
        controls=Controls(diversity=diversity),
    ),
    histories, st.integers(1, 60), st.sampled_from(["", "", "x", "y", "none"]),
    st.sets(st.sampled_from(["a", "b", "c", "d"]), max_size=2), st.sets(st.integers(0, N - 1), max_size=5),
    st.one_of(st.none(), st.floats(0, 1)),
)  # fmt: skip


@given(st.integers(0, 30), queries)
@settings(max_examples=150, deadline=None)
def test_a_slate_holds_each_item_once_and_only_what_is_allowed(seed: int, query: Query) -> None:
    recommender = made(seed)
    slate = recommender.recommend(query)
    items = slate.items.tolist()
    assert len(items) == len(set(items)) <= query.limit
    assert len(items) == len(slate.scores) == len(slate.sources) == len(slate.reasons) == len(slate.propensities)
    catalogue = recommender.filters[0].catalogue  # type: ignore[attr-defined]
    seen = set(query.history.items[np.isin(query.history.kinds, [KIND["like"], KIND["play"], KIND["hide"]])].tolist())
    for row in items:
        item = catalogue.item(row)
        assert row not in seen
        assert row not in query.limits.exclude
        assert item.expires is None or item.expires > NOW
        assert query.limits.collection in ("", item.collection)
        assert not query.limits.categories or set(item.categories) & set(query.limits.categories)
    for reasons in slate.reasons:
        assert reasons  # every item says why
        assert all(0 <= r.weight <= 1 + 1e-6 for r in reasons)
        assert sum(r.weight for r in reasons) <= 1 + 1e-4
        liked = query.history.items[query.history.strength > 0]  # a disliked item is no reason to watch another
        assert all(r.item is None or r.item in liked for r in reasons)
    again = recommender.recommend(query)
    assert again.items.tolist() == items  # nothing random without exploration


@given(st.integers(0, 30), queries)
@settings(max_examples=100, deadline=None)
def test_the_limit_only_cuts_and_a_wide_request_misses_nothing(seed: int, query: Query) -> None:
    recommender = made(seed)
    whole = recommender.recommend(replace(query, limit=N))
    short = recommender.recommend(replace(query, limit=3))
    assert short.items.tolist() == whole.items.tolist()[:3]


@given(st.integers(0, 30), queries)
@settings(max_examples=100, deadline=None)
def test_without_the_named_cause_the_score_falls(seed: int, query: Query) -> None:
    """The reason is true: take the named item out of the history, and the item's score is lower in the same pool."""
    recommender = made(seed)
    slate = recommender.recommend(query)
    pool = union([s.retrieve(query, recommender.pool) for s in recommender.sources])
    for each in recommender.filters:
        pool = pool.take(each.keep(query, pool))
    before = recommender.scorer.score(query, pool)
    for row, reasons in zip(slate.items, slate.reasons, strict=True):
        at = int(np.flatnonzero(pool.items == row)[0])
        for reason in reasons:
            if reason.item is None:
                continue
            rest = without(query, reason.item)
            after = recommender.scorer.warm.score(rest, pool)[at]  # type: ignore[attr-defined]
            assert np.isnan(after) or after < before[at]


scores = st.lists(st.one_of(st.floats(-5, 5, width=32), st.just(float("nan"))), min_size=1, max_size=N)


@given(scores, st.integers(0, 50))
def test_mmr_without_diversity_is_the_order_of_relevance(given_: list[float], n: int) -> None:
    score = np.array(given_, np.float32)
    pool = Candidates(np.arange(len(score), dtype=np.int64), score, np.zeros(len(score), np.int64))
    catalogue = made(1).selector.catalogue  # type: ignore[attr-defined]
    picked = MMR(catalogue, 0.0).select(Query(NOW), pool, n)
    assert picked.tolist() == by_score(score)[:n].tolist()


@given(st.integers(0, 30), st.floats(0.05, 1))
@settings(max_examples=50, deadline=None)
def test_diversity_brings_variety_and_keeps_the_best_first(seed: int, diversity: float) -> None:
    catalogue = made(seed).selector.catalogue  # type: ignore[attr-defined]
    chance = np.random.default_rng(seed)
    pool = Candidates(np.arange(N, dtype=np.int64), chance.random(N).astype(np.float32), np.zeros(N, np.int64))
    picked = MMR(catalogue, diversity).select(Query(NOW), pool, 10)
    assert len(set(picked.tolist())) == 10
    if diversity < 1:
        assert picked[0] == int(np.argmax(pool.score))


@given(st.integers(0, 30), st.integers(1, N))
@settings(max_examples=30, deadline=None)
def test_of_every_ten_places_the_lead_goes_by_score(seed: int, n: int) -> None:
    catalogue = made(seed).selector.catalogue  # type: ignore[attr-defined]
    chance = np.random.default_rng(seed)
    pool = Candidates(np.arange(N, dtype=np.int64), chance.random(N).astype(np.float32), np.zeros(N, np.int64))
    led = MMR(catalogue, 0.9, lead=8).select(Query(NOW), pool, n)
    assert len(set(led.tolist())) == n
    assert led[:8].tolist() == by_score(pool.score)[: min(n, 8)].tolist()
    for place in range(10, min(n, 18)):  # the best of what is left
        assert pool.score[led[place]] == np.delete(pool.score, led[:place]).max()
    asked = MMR(catalogue, 0.1, lead=8).select(Query(NOW, controls=Controls(diversity=0.9)), pool, n)
    assert asked.tolist() == MMR(catalogue, 0.9).select(Query(NOW), pool, n).tolist()


@given(scores, st.integers(0, 50))
def test_best_is_a_stable_sort(given_: list[float], k: int) -> None:
    score = np.nan_to_num(np.round(np.array(given_, np.float32)))
    assert highest(score, k).tolist() == np.argsort(-score, kind="stable")[:k].tolist() if k else True


@given(st.integers(1, 50), st.integers(1, 60), st.integers(0, 99))
@settings(max_examples=50)
def test_the_index_finds_what_a_sort_finds(n: int, k: int, seed: int) -> None:
    chance = np.random.default_rng(seed)
    vectors = unit(chance.standard_normal((n, 6)))
    vectors[chance.random(n) < 0.2] = np.nan
    rows = chance.permutation(1000)[:n].astype(np.int64)
    queries_ = unit(chance.standard_normal((3, 6)))
    found, cosines = ExactIndex.build(rows, vectors).search(queries_, k)
    assert found.shape == cosines.shape == (3, k)
    known = ~np.isnan(vectors[:, 0])
    for q in range(3):
        order = np.argsort(-(vectors[known] @ queries_[q]), kind="stable")[:k]
        assert found[q, : len(order)].tolist() == rows[known][order].tolist()
        assert (found[q, len(order) :] == -1).all()


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 1e6)), max_size=60), st.integers(0, 60))
def test_popularity_counted_in_two_steps_is_popularity(events: list[tuple[int, float]], cut: int) -> None:
    n = len(events)
    like = np.full(n, KIND["like"], np.int64)
    items = np.array([i for i, _ in events], np.int64).reshape(n)
    at = np.array([t for _, t in events], np.float64).reshape(n)
    log = Log(np.arange(1, n + 1), np.zeros(n, np.int64), items, like, at, np.full(n, np.nan))

    def part(a: int, b: int) -> Log:
        return Log(log.sequence[a:b], log.users[a:b], items[a:b], like[a:b], at[a:b], log.value[a:b])

    whole = Popularity.empty(10).with_log(log)
    steps = Popularity.empty(10).with_log(part(0, cut)).with_log(part(cut, n)).with_log(log)
    np.testing.assert_allclose(whole.ever, steps.ever)
    np.testing.assert_allclose(whole.recent, steps.recent, rtol=1e-9, atol=1e-12)
