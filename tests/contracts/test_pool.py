"""From frames to a video: what each pooling answers, and the sequence that is kept."""

from __future__ import annotations

import numpy as np
import pytest

from matinee.encoders.pool import POOLS, gem, mean, read_sequence, sequence, shots, unit


def frames(seed=0, k=7, d=32):
    return np.abs(np.random.default_rng(seed).normal(size=(k, d))).astype(np.float32)


@pytest.mark.parametrize("name", POOLS)
def test_a_pooling_gives_a_unit_row_whatever_the_order(name):
    rows = frames()
    one = POOLS[name](rows)
    assert one.dtype == np.float32
    assert np.linalg.norm(one) == pytest.approx(1, abs=1e-5)
    assert POOLS[name](rows[:1]) @ unit(rows[0]) == pytest.approx(1, abs=1e-5)
    if name != "shots":  # which goes by neighbours
        assert POOLS[name](rows[::-1]) == pytest.approx(one, abs=1e-5)


def test_the_generalised_mean_is_that_of_its_formula():
    rows = frames(1)
    wanted = (rows.astype(np.float64) ** 3).mean(axis=0) ** (1 / 3)
    assert gem(rows) == pytest.approx(wanted / np.linalg.norm(wanted), abs=1e-5)
    assert gem(np.repeat(rows[:1], 4, axis=0)) == pytest.approx(mean(rows[:1]), abs=1e-5)


def test_attention_hardly_hears_the_odd_one_out_and_the_mean_does():
    scene = np.zeros(32, np.float32)
    scene[:16] = 1
    card = np.zeros(32, np.float32)
    card[16:] = 1
    rows = np.stack([scene + 0.05 * f for f in frames(2, 7)] + [card])
    assert POOLS["attention"](rows) @ unit(card) < 0.5 * (mean(rows) @ unit(card))


def test_a_shot_counts_once_however_long():
    a, b = np.eye(2, 8, dtype=np.float32)
    long = np.stack([a] * 9 + [b])
    assert shots(long) == pytest.approx(unit(a + b), abs=1e-5)
    assert mean(long) @ a > 0.99


def test_the_sequence_holds_a_row_for_each_shot_with_a_frame():
    rows = frames(3, 6)
    at = np.array([0.5, 1.5, 2.5, 4.0, 7.0, 9.0])
    begins, found = read_sequence(sequence(rows, at, [0.0, 2.0, 4.0, 5.0, 6.5]))
    assert begins.tolist() == [0.0, 2.0, 4.0, 6.5]
    groups = [[0, 1], [2], [3], [4, 5]]
    wanted = np.stack([unit(unit(rows[g]).mean(axis=0)) for g in groups])
    assert found == pytest.approx(wanted, abs=2e-3)
    begins, found = read_sequence(sequence(rows, at, []))
    assert (begins.tolist(), found.shape) == ([0.0], (1, 32))
    with pytest.raises((ValueError, KeyError)):
        read_sequence({"at": [0.0], "shape": [2, 9], "f16": "AAAA"})
