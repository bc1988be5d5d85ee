"""Metrics against values worked out by hand."""

from math import log, log2, nan, sqrt

import numpy as np
import pytest

from matinee.metrics import beyond
from matinee.metrics.ranking import FORMULAS, Ranking, accuracy, auc, rmse

SLATE = np.array([5, 3, 9, 1, 7])
RELEVANT = np.array([3, 1, 8])  # hits at positions 2 and 4


@pytest.mark.parametrize(
    ("name", "k", "expected"),
    [
        ("hr", 1, 0), ("hr", 2, 1), ("recall", 2, 1 / 3), ("recall", 5, 2 / 3), ("precision", 5, 2 / 5),
        ("precision", 10, 2 / 10), ("f1", 5, 2 * (2 / 5) * (2 / 3) / (2 / 5 + 2 / 3)), ("f1", 1, 0),
        ("mrr", 5, 1 / 2), ("mrr", 1, 0),
        ("ndcg", 5, (1 / log2(3) + 1 / log2(5)) / (1 + 1 / log2(3) + 1 / log2(4))),
        ("ndcg", 2, (1 / log2(3)) / (1 + 1 / log2(3))),
        ("map", 5, (1 / 2 + 2 / 4) / 3), ("map", 2, (1 / 2) / 2),
    ],
)  # fmt: skip
def test_ranking_by_hand(name, k, expected):
    metric = Ranking(name, k)
    assert metric.name == f"{name}@{k}"
    assert metric.measure(SLATE, RELEVANT) == pytest.approx(expected)


@pytest.mark.parametrize("name", FORMULAS)
def test_without_relevant_items_there_is_no_value(name):
    assert np.isnan(Ranking(name, 3).measure(SLATE, np.empty(0, np.int64)))


def test_auc_by_hand():
    liked = np.array([True, False, True, False])
    assert auc(np.array([0.9, 0.8, 0.3, 0.1]), liked) == pytest.approx(3 / 4)
    assert auc(np.array([1.0, 1.0, 1.0, 1.0]), liked) == pytest.approx(1 / 2)
    assert auc(np.array([0.5, nan, 0.4, nan]), liked) == 1
    assert np.isnan(auc(np.array([1.0, 2.0]), np.array([True, True])))


def test_rmse_and_accuracy_by_hand():
    assert rmse(np.array([3.0, 5.0, nan]), np.array([4.0, 3.0, 1.0])) == pytest.approx(sqrt((1 + 4) / 2))
    assert np.isnan(rmse(np.array([nan]), np.array([1.0])))
    assert accuracy(np.array([True, False, True]), np.array([True, True, True])) == pytest.approx(2 / 3)


SLATES = np.array([[0, 1], [0, 2], [0, -1]])


def test_coverage_and_gini_by_hand():
    candidates = np.array([True, True, True, True, False])
    assert beyond.coverage(SLATES, candidates) == 3 / 4
    # counts 0, 1, 1, 3: sum (2i - 5) x_i = -3*0 - 1*1 + 1*1 + 3*3 = 9, over 4 * 5
    assert beyond.gini(SLATES, candidates) == pytest.approx(9 / 20)
    assert beyond.gini(np.array([[0], [1], [2], [3]]), candidates) == 0
    assert np.isnan(beyond.gini(np.array([[-1]]), candidates))


def test_novelty_by_hand():
    watched = np.array([3, 1, 0])  # of 3 users: shares 4/4, 2/4, 1/4
    assert beyond.novelty(SLATES, watched, 3).tolist() == pytest.approx([(0 + 1) / 2, (0 + 2) / 2, 0])


def test_popularity_lift_by_hand():
    watched = np.array([10, 2, 0])
    lift = beyond.popularity_lift(SLATES, watched, np.array([3.0, 10.0, nan]))
    assert lift[:2].tolist() == pytest.approx([6 / 3 - 1, 5 / 10 - 1])
    assert np.isnan(lift[2])


def test_diversity_by_hand():
    vectors = np.array([[1, 0], [0, 1], [1, 0], [nan, nan]], np.float32)
    slates = np.array([[0, 1, -1], [0, 2, -1], [0, 1, 2], [0, 3, -1], [-1, -1, -1]])
    value = beyond.diversity(slates, vectors)
    assert value[:3].tolist() == pytest.approx([1, 0, 2 / 3])
    assert np.isnan(value[3:]).all()


def test_serendipity_by_hand():
    hits = np.array([[True, True], [False, True], [True, False]])
    assert beyond.serendipity(hits, SLATES, np.array([0])).tolist() == pytest.approx([1 / 2, 1 / 2, 0])


def test_calibration_by_hand():
    categories = np.array([[1, 0], [0, 1], [0.5, 0.5]], np.float32)
    wanted = np.array([[0.5, 0.5], [1.0, 0.0], [0.0, 0.0]])
    value = beyond.calibration(np.array([[0, 1], [0, 1], [0, 1]]), wanted, categories)
    assert value[0] == pytest.approx(0, abs=1e-12)
    assert value[1] == pytest.approx(log(1 / (0.99 * 0.5 + 0.01)))
    assert np.isnan(value[2])


def test_head_middle_tail_by_hand():
    # of 100: the first holds 20, the next three 20 each, the last two 20 and 0
    groups = beyond.thirds(np.array([0, 20, 20, 20, 20, 20]))
    assert groups.tolist() == [2, 0, 1, 1, 1, 2]
    assert beyond.share(np.array([[1, 2], [0, -1]]), groups == 0).tolist() == [0.5, 0]
