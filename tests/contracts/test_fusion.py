"""Every fusion keeps its promises on data whose answer is known: items of four groups in two noisy windows."""

from __future__ import annotations

import numpy as np
import pytest

from matinee.encoders.fuse import CCA, FUSIONS, Concatenate, Reduced, Watched
from matinee.errors import MatineeError
from matinee.types import Interactions

N, GROUPS = 240, 4
rng = np.random.default_rng(0)
GROUP = np.arange(N) % GROUPS


def view(dim, noise, seed, missing=0.0):
    """Unit rows: a common part, a part of the group, noise; some rows missing."""
    own = np.random.default_rng(seed)
    rows = 2 * own.normal(size=dim) + own.normal(size=(GROUPS, dim))[GROUP] + noise * own.normal(size=(N, dim))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    rows[own.random(N) < missing] = np.nan
    return rows


def log():
    """Each user watches items of one group."""
    own = np.random.default_rng(3)
    users = np.repeat(np.arange(120), 15)
    items = np.concatenate([own.choice(np.flatnonzero(u % GROUPS == GROUP), 15, replace=False) for u in range(120)])
    size = len(users)
    return Interactions(users, items, np.zeros(size), np.ones(size, np.float32), 120, N)


FEATURES = {"text": view(32, 1.5, 1, 0.2), "sound": view(20, 1.5, 2, 0.3)}


def purity(rows):
    """How often an item's nearest neighbour is of its group, over the items that have a row."""
    here = np.flatnonzero(np.isfinite(rows).all(axis=1))
    cosine = rows[here] @ rows[here].T
    np.fill_diagonal(cosine, -2)
    return float((GROUP[here][cosine.argmax(axis=1)] == GROUP[here]).mean())


# as many axes as four groups have: whitening more of them would only lift the noise
CASES = FUSIONS | {"reduced": lambda: Reduced(dim=3), "cca": lambda: CCA(dim=3)}


@pytest.mark.parametrize("name", CASES)
class TestEveryFusion:
    def test_unit_rows_and_nothing_of_nothing(self, name):
        joined = CASES[name]().fit(FEATURES, log()).join(FEATURES)
        neither = np.all([np.isnan(f).any(axis=1) for f in FEATURES.values()], axis=0)
        assert neither.any()
        assert np.isnan(joined[neither]).all()
        assert np.allclose(np.linalg.norm(joined[~neither], axis=1), 1, atol=1e-5)
        assert joined.dtype == np.float32

    def test_two_windows_show_more_than_one(self, name):
        whole = {"text": view(32, 1.5, 1), "sound": view(20, 1.5, 2)}
        joined = CASES[name]().fit(whole, log()).join(whole)
        assert purity(joined) >= max(purity(f) for f in whole.values()) - 0.02
        assert purity(joined) > 0.8

    def test_one_window_missing_is_borne(self, name):
        fused = CASES[name]().fit(FEATURES, log())
        only = {"text": FEATURES["text"], "sound": np.full_like(FEATURES["sound"], np.nan)}
        assert purity(fused.join(only)) > 0.6

    def test_new_items_need_no_fitting_and_chance_no_part(self, name):
        part = {k: v[:200] for k, v in FEATURES.items()}
        watched = log()
        keep = watched.items < 200
        first = Interactions(
            watched.users[keep], watched.items[keep], watched.at[keep], watched.strength[keep], 120, 200
        )
        fused, again = CASES[name]().fit(part, first), CASES[name]().fit(part, first)
        assert np.array_equal(fused.join(FEATURES), again.join(FEATURES), equal_nan=True)
        assert np.isfinite(fused.join(FEATURES)[200:]).any()


def test_a_useless_window_is_gated_away():
    noise = np.random.default_rng(9).normal(size=(N, 20)).astype(np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    features = {"text": view(32, 1.0, 1), "noise": noise}
    fused = Watched().fit(features, log())
    assert fused.projections["noise"].weight < 0.3 * fused.projections["text"].weight
    assert purity(fused.join(features)) > purity(Watched(gate=False).fit(features, log()).join(features))


def test_a_weight_is_a_share_of_the_cosine():
    whole = {"text": view(32, 1.5, 1), "sound": view(20, 1.5, 2)}
    joined = Concatenate({"text": 2.0}, centre=False).fit(whole).join(whole)
    text, sound = whole["text"] @ whole["text"].T, whole["sound"] @ whole["sound"].T
    assert np.allclose(joined @ joined.T, 0.8 * text + 0.2 * sound, atol=1e-5)


def test_learning_from_nothing_is_refused_in_words():
    empty = Interactions(*[np.empty(0, np.int64)] * 2, np.empty(0), np.empty(0, np.float32), 0, N)
    for name, features, watched in (
        ("watched", FEATURES, None), ("watched", FEATURES, empty),
        ("cca", {"a": np.full((N, 3), np.nan, np.float32), "b": FEATURES["text"]}, None),
    ):  # fmt: skip
        with pytest.raises(MatineeError) as error:
            CASES[name]().fit(features, watched)
        assert error.value.code == "fusion.too_little"
