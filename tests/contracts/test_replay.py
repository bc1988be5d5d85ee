"""Replay asks as serving does, ranks everything, and treats seen items, silence and ties by its stated rules."""

from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import numpy as np
import pytest

from matinee.data.splits import Cases
from matinee.evaluation.replay import best_of, query_of, replay, replay_slates
from matinee.models.batch import BatchScorer
from matinee.types import Interactions


def toy_cases(histories, targets, n_items, *, candidates=None):
    """One user a case; history items at times 0, 1, ..., asked a second later."""
    sizes = np.array([len(h) for h in histories])
    starts = np.r_[0, np.cumsum(sizes)]
    items = np.array([i for h in histories for i in h], np.int64)
    at = np.concatenate([np.arange(len(h), dtype=float) for h in histories])
    users = np.repeat(np.arange(len(histories)), sizes)
    rows = Interactions(users, items, at, np.ones(len(items), np.float32), len(histories), n_items)
    bounds = np.r_[0, np.cumsum([len(t) for t in targets])]
    flat = np.array([i for t in targets for i in t], np.int64)
    everything = np.ones(n_items, bool) if candidates is None else candidates
    return Cases(
        rows, np.ones(len(items), np.int64), np.full(len(items), np.nan), np.arange(len(histories)), starts[:-1],
        starts[1:], sizes.astype(float), flat, np.full(len(flat), np.nan), bounds, everything,
    )  # fmt: skip


@dataclass(frozen=True)
class Fixed:
    """The same scores for everybody; remembers what it was asked."""

    scores: np.ndarray
    asked: list = field(default_factory=list)

    def score(self, query, candidates):
        self.asked.append((query, candidates))
        return self.scores[candidates.items].astype(np.float32)


def test_the_best_are_shown_and_seen_items_are_not():
    cases = toy_cases([[0], [1, 2]], [[1, 4], [3]], 5)
    ranked = replay(Fixed(np.array([5.0, 4, 3, 2, 1])), cases, 3)
    assert ranked.slates.tolist() == [[1, 2, 3], [0, 3, 4]]
    assert ranked.hits.tolist() == [[True, False, False], [False, True, False]]
    assert ranked.relevant.tolist() == [2, 1]
    assert ranked.places.tolist() == [0, 3, 1]
    assert ranked.scores.tolist() == [4, 1, 2]
    assert ranked.opinions.tolist() == [4, 3]


def test_no_opinion_is_not_shown_and_is_a_miss():
    nan = np.nan
    ranked = replay(Fixed(np.array([nan, nan, 7.0, nan])), toy_cases([[0], [2]], [[1], [3]], 4), 3)
    assert ranked.slates.tolist() == [[2, -1, -1], [-1, -1, -1]]
    assert not ranked.hits.any()
    assert ranked.places.tolist() == [3, 3]


def test_only_candidates_are_shown():
    only = np.array([False, True, False, True, False])
    ranked = replay(Fixed(np.array([5.0, 4, 3, 2, 1])), toy_cases([[0]], [[3]], 5, candidates=only), 3)
    assert ranked.slates.tolist() == [[1, 3, -1]]


def test_the_query_is_that_of_serving_with_a_past_now():
    model = Fixed(np.zeros(5))
    replay(model, toy_cases([[0, 1, 2]], [[4]], 5), 2, last=2)
    query, candidates = model.asked[0]
    assert query.history.items.tolist() == [1, 2]
    assert query.history.at.max() < query.now == 3
    assert query.limit == 2
    assert candidates.items.tolist() == [0, 1, 2, 3, 4]
    assert np.isnan(candidates.score).all()


def test_ties_favour_nobody():
    """A model that says the same of all items is as good as chance: not better for low rows, not for high ones."""
    n, q, k = 400, 4000, 10
    rng = np.random.default_rng(0)
    low = toy_cases([[]] * q, [[int(t)] for t in rng.integers(0, n // 4, q)], n)
    high = toy_cases([[]] * q, [[int(t)] for t in rng.integers(3 * n // 4, n, q)], n)
    rates = [replay(Fixed(np.zeros(n)), cases, k).hits.any(1).mean() for cases in (low, high)]
    assert rates == pytest.approx([k / n, k / n], rel=0.4)  # by row order one would be 4 k / n and the other 0
    a, b = (replay(Fixed(np.zeros(n)), low, k).slates for _ in range(2))
    assert (a == b).all()


def test_best_of_agrees_with_a_full_sort():
    rng = np.random.default_rng(1)
    for _ in range(200):
        n = int(rng.integers(1, 30))
        scores = rng.integers(0, 4, n).astype(np.float32)
        scores[rng.random(n) < 0.3] = np.nan
        tie, k = rng.permutation(n), int(rng.integers(1, 12))
        known = [i for i in range(n) if not np.isnan(scores[i])]
        assert best_of(scores, k, tie).tolist() == sorted(known, key=lambda i: (-scores[i], tie[i]))[:k]


def test_a_batch_scorer_is_asked_in_batches_and_gives_the_same():
    scores = np.random.default_rng(2).normal(size=50)
    sizes = []

    def score_batch(queries, items):
        sizes.append(len(queries))
        return np.tile(scores[items], (len(queries), 1)).astype(np.float32)

    model = SimpleNamespace(score_batch=score_batch)
    assert isinstance(model, BatchScorer)
    assert not isinstance(Fixed(scores), BatchScorer)
    cases = toy_cases([[i % 50] for i in range(600)], [[(i + 1) % 50] for i in range(600)], 50)
    assert (replay(model, cases, 5).slates == replay(Fixed(scores), cases, 5).slates).all()
    assert sizes == [256, 256, 88]


def test_a_case_without_history_is_asked_too():
    cases = toy_cases([[], [0]], [[1], [2]], 3)
    assert len(query_of(cases, 0, 5).history) == 0
    assert replay(Fixed(np.array([0.0, 2, 1])), cases, 1).hits[:, 0].tolist() == [True, False]


def test_what_was_hidden_in_history_counts_as_seen():
    cases = toy_cases([[0]], [[1]], 3)
    hidden = replace(cases, history=replace(cases.history, strength=np.array([-1.0], np.float32)))
    assert replay(Fixed(np.array([9.0, 1, 0])), hidden, 2).slates.tolist() == [[1, 2]]


@pytest.mark.parametrize("k", [1, 7])
def test_short_lists_are_padded(k):
    assert replay(Fixed(np.zeros(3)), toy_cases([[0]], [[1]], 3), k).slates.shape == (1, k)


def test_a_whole_recommender_is_asked_as_it_serves():
    asked = []

    def recommend(query):
        asked.append(query)
        return SimpleNamespace(items=np.array([3, 1])[: query.limit])

    ranked = replay_slates(recommend, toy_cases([[0], [2]], [[1], [0]], 4), 3)
    assert ranked.slates.tolist() == [[3, 1, -1], [3, 1, -1]]
    assert ranked.places.tolist() == [1, 3]
    assert [q.now for q in asked] == [1, 1]
    assert np.isnan(ranked.scores).all()
