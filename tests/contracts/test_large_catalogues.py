"""Catalogues whose square matrix does not fit: the sparse ways against the dense ones, and what they are made of."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix, random

from matinee.errors import MatineeError
from matinee.models import load_recipe
from matinee.models.bpr import summed
from matinee.models.common import positives, watched
from matinee.models.ease import EASE
from matinee.models.following import following
from matinee.models.gram import gram, gram_rows
from matinee.models.linear import from_csr
from matinee.models.ridge import Moments, RidgeTransitions, moments
from matinee.models.rows import shared_out
from matinee.models.sparse_ridge import _positive, kept, local_weights
from matinee.types import Interactions
from tests.contracts.checkerboard import ITEMS, START, checkerboard, log, query


def noise(n_users=80, n_items=50, events=1500, seed=3):
    rng = np.random.default_rng(seed)
    users, items = rng.integers(0, n_users, events), rng.zipf(1.5, events) % n_items
    strength = rng.choice([1, 0.6, -1, 0], events)
    rows = [(int(users[t]), int(items[t]), START + t * 60.0, float(strength[t])) for t in range(events)]
    return log(rows, n_users, n_items)


def even(n_users=60, n_items=30):
    """Every two items have company, so that no entry of the matrix is zero."""
    rng = np.random.default_rng(5)
    rows = [
        (u, int(i), START + t * 60.0, 1.0) for u in range(n_users) for t, i in enumerate(rng.permutation(n_items)[:18])
    ]
    return log(rows, n_users, n_items)


def square(model):
    n = len(model.known)
    return csr_matrix((model.values, model.columns, model.starts), shape=(n, n)).toarray()


def test_rows_of_the_gram_matrix_are_its_rows(monkeypatch) -> None:
    x = random(300, 130, 0.02, "csr", np.float32, np.random.default_rng(0))
    expected = (x.T @ x).toarray()
    monkeypatch.setattr("matinee.models.gram.MOST_PEOPLE", 3)
    for share in (0.0, 0.02, 1.0):  # all through BLAS, some, none
        monkeypatch.setattr("matinee.models.gram.DENSE_SHARE", share)
        np.testing.assert_allclose(gram(x), expected, rtol=1e-5, atol=1e-6)
    for start, rows in gram_rows(x, size=40):
        np.testing.assert_allclose(rows, expected[start : start + 40], rtol=1e-5, atol=1e-6)
    other = random(300, 130, 0.05, "csr", np.float32, np.random.default_rng(1))
    for start, rows in gram_rows(x, size=40, left=other):
        np.testing.assert_allclose(rows, (other.T @ x).toarray()[start : start + 40], rtol=1e-5, atol=1e-6)


def test_what_follows_is_counted_as_pair_by_pair() -> None:
    seen, weights = positives(noise(), once=False), np.array([1.0, 0.5, 0.25])
    slow = np.zeros((50, 50))
    for after in range(len(seen)):
        for lag in (1, 2, 3):
            if after >= lag and seen.users[after] == seen.users[after - lag]:
                both = seen.strength[after] * seen.strength[after - lag]
                slow[seen.items[after - lag], seen.items[after]] += both * weights[lag - 1]
    counted = following(seen, 50, 3)
    np.testing.assert_allclose(counted.square(weights), slow, rtol=1e-5)
    np.testing.assert_allclose(counted.same(weights), np.diag(slow), rtol=1e-5)
    np.testing.assert_allclose(counted.into(weights), slow.sum(0) - np.diag(slow), rtol=1e-5)
    for start, rows in counted.rows(weights, size=20):
        np.testing.assert_allclose(rows, slow[start : start + 20], rtol=1e-5)
    assert following(positives(log([], 3, 4), once=False), 4, 9).square(np.ones(0)).shape == (4, 4)


def test_with_every_entry_kept_the_sparse_ease_is_ease(monkeypatch) -> None:
    data = even()
    exact = EASE(ridge=3.0).fit(data).values
    monkeypatch.setattr("matinee.models.ease.SQUARE_ITEMS", 0)
    found = square(EASE(ridge=3.0).fit(data))
    np.testing.assert_allclose(found, exact, atol=2e-5)
    assert not np.diag(found).any()


def test_every_target_has_its_own_least_squares(monkeypatch) -> None:
    """Each column solves its own small least squares."""
    data = noise(events=4000)
    weight = positives(data, once=True)
    x = csr_matrix(
        ((weight.strength * (1.0 + weight.rank) ** -0.5).astype(np.float32), (weight.users, weight.items)), (80, 50)
    )
    g = (x.T @ x).toarray()
    known = kept(gram_rows(x), np.diag(g).astype(np.float64), keep=50)
    weights = local_weights(known, known.gram, 3.0, support=12).toarray()
    for item in range(50):
        near = np.flatnonzero(weights[:, item])
        assert len(near) <= 12
        if len(near):
            left = g[np.ix_(near, near)] + 3.0 * np.eye(len(near))
            np.testing.assert_allclose(weights[near, item], np.linalg.solve(left, g[near, item]), atol=1e-4)


def test_moments_by_blocks_are_the_moments() -> None:
    data, decay = noise(), 0.7
    inputs, targets = moments(positives(data, once=False), data, decay)
    sums = Moments.of(positives(data, once=False), data, decay)
    np.testing.assert_allclose(sums.diagonal, np.diag(inputs), rtol=1e-3, atol=1e-3)
    for start, block, columns in sums.blocks():
        np.testing.assert_allclose(block, inputs[start : start + len(block)], atol=2e-3)
        np.testing.assert_allclose(columns, targets.T[start : start + len(block)], atol=2e-3)


@pytest.mark.parametrize("name", ["ease", "transitions", "transitions_ridge"])
def test_the_sparse_ways_know_the_checkerboard(name, monkeypatch) -> None:
    monkeypatch.setattr("matinee.models.ease.SQUARE_ITEMS", 0)
    monkeypatch.setattr("matinee.models.ridge.SQUARE_ITEMS", 0)
    monkeypatch.setattr("matinee.models.transitions.DENSE_ITEMS", 0)
    model = load_recipe(name).fit(checkerboard(), seed=0)
    assert len(model.starts)
    for colour in (0, 1):
        history = [colour, colour + 4, colour + 8]
        best = [i for i in model.retrieve(query(history), ITEMS).items.tolist() if i not in history]
        assert all(i % 2 == colour for i in best[:5])


@pytest.mark.parametrize("name", ["ease", "transitions", "transitions_ridge", "item_knn", "ials"])
def test_many_items_are_no_square(name) -> None:
    """Above the limits as they stand; a square of them would be 0.6 GB, the model stays small."""
    rng = np.random.default_rng(0)
    rows = [(u, int(i) * 6, START + t, 1.0) for u in range(300) for t, i in enumerate(rng.zipf(1.3, 12) % 2000)]
    data = log(rows, 300, 12_500)
    fields = {"rounds": 2, "dims": 8} if name == "ials" else {}
    model = load_recipe(name, fields).fit(data, seed=0)
    popular = int(np.argmax(watched(data)))
    assert sum(array.nbytes for array in model.arrays().values()) < 20e6
    assert len(model.retrieve(query([popular]), 5)) == 5


def test_marec_says_that_it_is_too_large() -> None:
    with pytest.raises(MatineeError, match="item_knn or transitions") as caught:
        load_recipe("marec").fit(log([(0, 0, START, 1.0)], 1, 30_001), seed=0)
    assert caught.value.code == "model.too_many_items"


def test_a_matrix_that_lost_its_definiteness_gets_it_back() -> None:
    from scipy.linalg import lapack

    broken = np.array([[1.0, 0.9, 0.0], [0.9, 1.0, 0.9], [0.0, 0.9, 1.0]])
    assert np.linalg.eigvalsh(broken)[0] < 0
    assert np.isfinite(_positive(broken, np.ones(3), lapack)).all()
    whole = np.array([[2.0, 0.5], [0.5, 2.0]])
    np.testing.assert_allclose(_positive(whole, np.ones(2), lapack), np.linalg.solve(whole, np.ones(2)))


def test_rows_are_shared_out_once_each() -> None:
    done = np.zeros(1000, np.int64)

    def work(rows):
        done[rows] += 1

    rows = np.arange(0, 1000, 2)
    shared_out(work, rows, np.random.default_rng(0).integers(0, 50, len(rows)))
    assert done[::2].tolist() == [1] * 500
    assert not done[1::2].any()


def test_sums_of_rows_that_come_twice() -> None:
    rows, values = summed(np.array([4, 1, 4]), np.array([[1, 2], [3, 4], [5, 6]], np.float32))
    assert rows.tolist() == [1, 4]
    assert values.tolist() == [[3, 4], [6, 8]]


def test_a_sparse_matrix_is_kept_in_small_numbers() -> None:
    model = from_csr("ease", csr_matrix(np.eye(3, dtype=np.float32)), np.ones(3, bool), 1.0)
    assert model.columns.dtype == np.int32


def test_ridge_local_is_not_far_from_the_dense_one(monkeypatch) -> None:
    data = even()
    exact = RidgeTransitions().fit(data).values
    monkeypatch.setattr("matinee.models.ridge.SQUARE_ITEMS", 0)
    found = square(RidgeTransitions().fit(data))
    others = ~np.eye(30, dtype=bool)
    assert np.corrcoef(found[others], exact[others])[0, 1] > 0.95
    assert np.corrcoef(found.T[others], exact[others])[0, 1] < 0.5, "a control: which comes first matters"


def test_a_ridge_over_the_watched_is_the_ridge_over_all() -> None:
    """Items that nobody has watched, among the others, change nothing but their own places."""
    data = noise()
    wide = np.sort(np.random.default_rng(0).permutation(90)[: data.n_items])
    among = Interactions(data.users, wide[data.items], data.at, data.strength, data.n_users, 90)
    alone, found = RidgeTransitions().fit(data), RidgeTransitions().fit(among)
    assert found.known.sum() == alone.known.sum() <= data.n_items
    np.testing.assert_allclose(found.values[np.ix_(wide, wide)], alone.values, rtol=1e-4, atol=1e-6)
    others = np.setdiff1d(np.arange(90), wide)
    assert not found.values[others].any()
    assert not found.values[:, others].any()
