"""The map of the catalogue: neighbours stay neighbours, the same vectors give the same map, odd sets give a map."""

from __future__ import annotations

import numpy as np
import pytest

from matinee.serve.atlas import neighbours, plane, principal, thinned
from matinee.types import Floats


def groups(n: int, k: int, dim: int, seed: int = 0) -> tuple[Floats, list[int]]:
    chance = np.random.default_rng(seed)
    middles = chance.normal(size=(k, dim))
    own = chance.integers(0, k, n)
    vectors = middles[own] + 0.6 * chance.normal(size=(n, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), own.tolist()


def purity(places: Floats, own: list[int]) -> float:
    """The share of points whose nearest point is of their own group."""
    apart = ((places[:, None] - places[None]) ** 2).sum(2)
    np.fill_diagonal(apart, np.inf)
    return float(np.mean(np.asarray(own)[apart.argmin(1)] == own))


def test_groups_stay_together() -> None:
    vectors, own = groups(400, 8, 64)
    places = plane(vectors)
    assert places.shape == (400, 2)
    assert places.dtype == np.float32
    assert np.abs(places).max() <= 1 + 1e-6
    assert purity(places, own) > 0.95
    # eight groups do not fit on two straight axes: what the graph adds is real
    assert purity(principal(vectors).astype(np.float32), own) < purity(places, own)


def test_the_same_vectors_give_the_same_map() -> None:
    vectors, _ = groups(60, 3, 16)
    assert (plane(vectors) == plane(vectors)).all()


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 13])
def test_few_points(n: int) -> None:
    vectors, _ = groups(n, 2, 8)
    places = plane(vectors)
    assert places.shape == (n, 2)
    assert np.isfinite(places).all()


def test_equal_vectors_and_one_dimension() -> None:
    assert np.isfinite(plane(np.ones((40, 4), np.float32) / 2)).all()
    assert np.isfinite(plane(np.ones((5, 1), np.float32))).all()


def test_neighbours_are_pairs_once() -> None:
    vectors, _ = groups(50, 3, 8)
    edges = neighbours(vectors, 4, block=16)
    assert (edges[:, 0] < edges[:, 1]).all()
    assert len(np.unique(edges, axis=0)) == len(edges)
    assert np.bincount(edges.reshape(-1), minlength=50).min() >= 4
    assert (edges == neighbours(vectors, 4, block=64)).all()


def test_thinning_is_even() -> None:
    rows = np.arange(10_000, dtype=np.int64)
    kept = thinned(rows, 100)
    assert len(kept) == 100
    assert kept[0] == 0
    assert kept[-1] == 9999
    assert np.ptp(np.diff(kept)) <= 1
    assert len(thinned(rows[:50], 100)) == 50
