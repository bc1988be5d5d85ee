"""Intervals and tests: by hand, and by what they promise over many draws."""

import numpy as np
import pytest

from matinee.evaluation.significance import by_user, holm, intervals, paired


def test_holm_by_hand():
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.9, 0.8])).tolist() == [1, 1]
    assert holm(np.empty(0)).tolist() == []


def test_by_user_by_hand():
    values = by_user(np.array([1.0, 0.0, np.nan, 0.5, np.nan]), np.array([0, 0, 0, 1, 2]), 3)
    assert values[:2].tolist() == [0.5, 0.5]
    assert np.isnan(values[2])


def test_the_interval_holds_the_truth_about_95_times_of_100():
    rng = np.random.default_rng(0)
    table = rng.exponential(size=(400, 80))
    held = [e.low <= 1 <= e.high for e in intervals(table, resamples=400)]
    assert 0.88 <= np.mean(held) <= 0.98


def test_the_interval_is_as_wide_as_theory_says():
    values = np.random.default_rng(1).normal(3, 2, size=(1, 2000))
    (e,) = intervals(values, resamples=2000)
    assert e.value == pytest.approx(values.mean())
    assert e.high - e.low == pytest.approx(2 * 1.96 * 2 / np.sqrt(2000), rel=0.1)


def test_users_without_a_value_are_left_out():
    values = np.array([[1.0, 1.0, np.nan, np.nan], [np.nan] * 4, [0.0, 1.0, 0.0, 1.0]])
    ones, none, half = intervals(values, resamples=200)
    assert (ones.value, ones.low, ones.high) == (1, 1, 1)
    assert np.isnan(none.value)
    assert none.low is None
    assert half.value == 0.5
    assert half.low < 0.5 < half.high


def p_of(a, b, **more):
    (p,) = paired((a - b)[None, :], **more)
    return p


def test_no_difference_is_no_finding_and_a_real_one_is():
    rng = np.random.default_rng(2)
    a = rng.normal(size=300)
    assert p_of(a, a) == 1
    assert p_of(a + 0.3 + rng.normal(size=300) * 0.1, a) == pytest.approx(1 / 10_001)
    assert p_of(a, a + 0.3) == p_of(a + 0.3, a)
    assert p_of(np.array([np.nan, 1.0]), np.array([1.0, np.nan])) == 1


def test_a_few_users_cannot_prove_much():
    """Three users, all better: of 8 ways to flip, 2 are as far out. Users who do not differ change nothing."""
    assert p_of(np.array([1.0, 1, 1]), np.zeros(3)) == pytest.approx(2 / 8, abs=0.02)
    assert p_of(np.array([1.0, 1, 1, 0, 0]), np.zeros(5)) == pytest.approx(2 / 8, abs=0.02)


def test_under_no_effect_p_is_below_05_in_about_5_of_100():
    p = paired(np.random.default_rng(3).normal(size=(400, 40)), flips=2000)
    assert 0.02 <= np.mean(p < 0.05) <= 0.09
