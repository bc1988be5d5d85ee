"""What must hold of every list and every metric."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from matinee.metrics import beyond
from matinee.metrics.ranking import FORMULAS, Ranking, auc

items = st.integers(0, 30)
slate = st.lists(items, min_size=1, max_size=15, unique=True).map(np.array)
relevant = st.lists(items, min_size=1, max_size=15, unique=True).map(np.array)
names = st.sampled_from(sorted(FORMULAS))


@given(names, slate, relevant, st.integers(1, 20))
def test_values_lie_between_0_and_1_and_reach_1_only_by_right_answers(name, s, r, k):
    value = Ranking(name, k).measure(s, r)
    assert 0 <= value <= 1 + 1e-12
    if not np.isin(s[:k], r).any():
        assert value == 0
    if name in ("ndcg", "map", "mrr", "hr"):
        assert abs(Ranking(name, k).measure(r, r) - 1) < 1e-12


@given(names, slate, relevant, st.integers(1, 20))
def test_one_and_many_agree(name, s, r, k):
    hits = np.zeros((2, max(k, 15)), bool)
    hits[0, : len(s)] = np.isin(s, r)
    many = Ranking(name, k).of_hits(hits, np.array([len(r), 0]))
    assert abs(many[0] - Ranking(name, k).measure(s, r)) < 1e-12
    assert np.isnan(many[1])


@given(names, slate, relevant, st.integers(1, 14), st.data())
def test_moving_a_hit_up_never_hurts(name, s, r, k, data):
    hit = np.isin(s, r)
    moves = [i for i in range(1, len(s)) if hit[i] and not hit[i - 1]]
    if moves:
        i = data.draw(st.sampled_from(moves))
        better = s.copy()
        better[[i - 1, i]] = s[[i, i - 1]]
        assert Ranking(name, k).measure(better, r) >= Ranking(name, k).measure(s, r) - 1e-12


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30))
def test_auc_is_the_share_of_pairs_in_order(pairs):
    scores, liked = np.array([float(p[0]) for p in pairs]), np.array([p[1] for p in pairs])
    value = auc(scores, liked)
    wins = [(a > b) + 0.5 * (a == b) for a in scores[liked] for b in scores[~liked]]
    assert (np.isnan(value) and not wins) or abs(value - np.mean(wins)) < 1e-9
    if wins:
        assert abs(auc(-scores, liked) - (1 - value)) < 1e-9


@given(st.lists(st.lists(st.integers(-1, 9), min_size=4, max_size=4), min_size=1, max_size=8).map(np.array), st.data())
def test_beyond_accuracy_keeps_its_bounds(slates, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    vectors = rng.normal(size=(10, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    watched = rng.integers(0, 20, 10)
    everything = np.ones(10, bool)
    assert 0 <= beyond.coverage(slates, everything) <= 1
    assert not beyond.gini(slates, everything) < 0
    varied = beyond.diversity(slates, vectors)
    rows = [[i for i in r if i >= 0] for r in slates]
    cosines = [[vectors[a] @ vectors[b] for i, a in enumerate(row) for b in row[i + 1 :]] for row in rows]
    pairs = [1 - np.mean(c) if c else np.nan for c in cosines]
    assert np.allclose(varied, pairs, atol=1e-5, equal_nan=True)
    assert (np.nan_to_num(beyond.novelty(slates, watched, 30)) >= 0).all()
    groups = beyond.thirds(watched)
    shares = sum(np.nan_to_num(beyond.share(slates, groups == g)) for g in range(3))
    assert np.isin(np.round(shares, 9), [0, 1]).all()
