"""Compiled loops: started where they can be, done without where they cannot, and the same slates either way."""

from __future__ import annotations

import builtins
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from matinee import kernels
from matinee.index.lists import coded
from matinee.models.blend import ENOUGH, FLAT, level, standard
from matinee.pipeline.taste import Told
from matinee.serve.quick import level_each, standard_each
from matinee.types import Floats

numba = pytest.importorskip("numba", reason="the extra 'fast' is not installed")


@pytest.fixture(autouse=True)
def stopped() -> Iterator[None]:
    kernels.stop()
    yield
    kernels.stop()


def started() -> Any:
    os.environ[kernels.OFF] = "1"
    try:
        assert kernels.start()
    finally:
        os.environ[kernels.OFF] = "0"
    return kernels.compiled()


def test_nothing_is_compiled_before_it_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    assert kernels.compiled() is None
    monkeypatch.setenv(kernels.OFF, "0")
    assert not kernels.start()
    assert kernels.compiled() is None
    monkeypatch.setenv(kernels.OFF, "1")
    assert kernels.start()
    assert kernels.compiled() is not None


@pytest.mark.parametrize(
    ("error", "said"), [(ImportError("numba"), "not installed"), (ValueError("LLVM is ill"), "LLVM is ill")]
)
def test_without_a_compiler_requests_go_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception, said: str
) -> None:
    real = builtins.__import__

    def failing(name: str, *rest: Any) -> Any:
        if name == "matinee.kernels" and rest[2] and "loops" in rest[2]:
            raise error
        return real(name, *rest)

    monkeypatch.setenv(kernels.OFF, "1")
    monkeypatch.setattr(builtins, "__import__", failing)
    with caplog.at_level(logging.INFO, "matinee.kernels"):
        assert not kernels.start()
    assert said in caplog.text
    assert "NumPy" in caplog.text


def test_importing_matinee_imports_no_compiler() -> None:
    code = "import sys, matinee, matinee.serve.quick, matinee.serve.run; assert 'numba' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_where_nothing_can_be_kept_it_is_compiled_anew(tmp_path: Path) -> None:
    """A folder of code that may not be written, and no home to write to either. Of one loop: all take a quarter of a
    minute."""
    code = (
        "from numba.core import caching\n"
        "caching.CacheImpl._locator_classes = []\n"  # what such a system leaves: no place for the cache
        "from matinee.kernels.typed import F1, DOUBLE, loop\n"
        "import numpy as np\n"
        "def total(x):\n"
        "    return x.sum()\n"
        "assert loop(DOUBLE(F1))(total)(np.ones(3, np.float32)) == 3\n"
    )
    environ = {**os.environ, kernels.OFF: "1", "HOME": str(tmp_path)}
    assert subprocess.run([sys.executable, "-c", code], env=environ, check=False).returncode == 0
    assert list(tmp_path.rglob("*.nbi")) == []


scores = st.floats(-1e3, 1e3, width=32) | st.just(float("nan"))


@settings(max_examples=150, deadline=None)
@given(
    arrays(np.float32, st.tuples(st.integers(0, 5), st.integers(1, 40)), elements=scores),
    st.lists(st.sampled_from([0.0, 0.1, 0.5, 2.0]), min_size=5, max_size=5),
)
def test_the_blend_of_any_scores_is_the_models(raw: Floats, weights: list[float]) -> None:
    """Silence, scores that are all alike, experts that weigh nothing, too few that all know."""
    loops, own = started(), np.array(weights[: len(raw)], np.float32)
    out = np.empty((1, raw.shape[1]), np.float32)
    loops.blended(raw[None], np.zeros(len(raw), np.bool_), own, ENOUGH, FLAT, np.arange(raw.shape[1]), out)
    z = np.stack([standard(row) for row in raw], 1) if len(raw) else np.empty((raw.shape[1], 0), np.float32)
    np.testing.assert_allclose(out[0], level(z, own), rtol=2e-3, atol=2e-4)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 9), max_size=12),
    st.lists(st.integers(0, 11), max_size=4),
    st.sampled_from([0.0, 0.5, 1.3]),
    st.sampled_from([1.0, 0.9]),
)
def test_weights_of_a_past_are_the_same(rows: list[int], without: list[int], power: float, decay: float) -> None:
    items = np.array(list(dict.fromkeys(rows)), np.int64)
    strength = np.linspace(-1, 1, len(items), dtype=np.float32)
    told = Told(np.arange(len(items)), items, strength)
    expected = told._weights(power, decay, without)
    started()
    np.testing.assert_allclose(told._weights(power, decay, without), expected, rtol=1e-5, atol=1e-7)
    kernels.stop()


def test_codes_are_nearly_the_vectors() -> None:
    vectors = np.random.default_rng(0).standard_normal((500, 48)).astype(np.float32)
    vectors[7] = 0
    codes, scale = coded(vectors)
    assert codes.dtype == np.int8
    assert np.abs(codes * scale[:, None] - vectors).max() <= np.abs(vectors).max() / 253
    assert not codes[7].any()


@pytest.mark.parametrize("by", ["numpy", "compiled"])
def test_what_says_the_same_of_all_moves_nobody(by: str) -> None:
    """The second expert says one thing of all that both speak of, and rounding is no slope."""
    raw = np.array([[np.nan] + [1.0] * 10, [0.0] + [1.0] * 10], np.float32)
    weights = np.array([0.1, 0.1], np.float32)
    z = np.stack([standard(row) for row in raw], 1)
    expected = level(z, weights)
    assert np.abs(expected).max() < 1
    if by == "compiled":
        out = np.empty((1, 11), np.float32)
        started().blended(raw[None], np.zeros(len(raw), np.bool_), weights, ENOUGH, FLAT, np.arange(11), out)
        got = out[0]
    else:
        got = level_each([standard_each(row[None]) for row in raw], weights, 11)[0]
    np.testing.assert_allclose(got, expected, atol=1e-6)
