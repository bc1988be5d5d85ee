"""Whatever is missing, however many items there are: fused rows are of unit length, or NaN where nothing is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matinee.encoders.fuse import FUSIONS, Fuser, fit_fusion
from matinee.types import Interactions

DIMS = st.lists(st.integers(1, 9), min_size=1, max_size=3)


@pytest.mark.parametrize("name", list(FUSIONS))
@settings(max_examples=12, deadline=None)
@given(
    st.integers(2, 60), st.floats(0, 0.9), st.integers(0, 2**31), st.lists(st.integers(1, 9), min_size=1, max_size=3)
)
def test_rows_are_of_unit_length_or_unknown(name, n, lost, seed, dims):
    rng = np.random.default_rng(seed)
    features = {}
    for k, dim in enumerate(dims):
        x = rng.normal(size=(n, dim)).astype(np.float32)
        x[rng.random(n) < lost] = np.nan
        x[:2] = rng.normal(size=(2, dim))  # two items that have everything: a modality without any is another matter
        features[f"m{k}"] = x
    users, items = np.sort(rng.integers(0, 12, 80)).astype(np.int64), rng.integers(0, n, 80).astype(np.int64)
    data = Interactions(users, items, np.arange(80.0), np.ones(80, np.float32), 12, n, features)
    fuser = fit_fusion(data, name)
    rows = fuser.fuse(features)
    there = np.isfinite(rows).all(axis=1)
    length = np.linalg.norm(rows[there], axis=1)
    assert rows.shape == (n, fuser.dim)
    assert np.allclose(length, 1, atol=1e-4)
    assert np.isnan(rows[~there]).all()
    nothing = ~np.any([np.isfinite(x).all(axis=1) for x in features.values()], axis=0)
    assert not there[nothing].any()
    order = rng.permutation(n)
    moved = fuser.fuse({m: x[order] for m, x in features.items()})
    assert np.allclose(moved, rows[order], atol=1e-3, equal_nan=True)
    again = Fuser.from_arrays(fuser.name, fuser.arrays())
    assert np.array_equal(again.fuse(features), rows, equal_nan=True)
