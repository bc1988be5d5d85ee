"""Items as vectors without PyTorch: features standardised for the encoder, and the encoder in NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from matinee.types import Bools, Floats, Ints

NORM_EPS = 1e-5  # torch.nn.LayerNorm's


@dataclass(frozen=True, slots=True)
class Content:
    """One modality, standardised: ``rows`` (n, dim) float32, zero where missing; ``has`` (n,). ``mean`` (dim,) and
    ``spread`` made it so: every number has about mean 0 and variance 1, whatever the space."""

    rows: Floats
    has: Bools
    mean: Floats
    spread: float

    @property
    def dim(self) -> int:
        return int(self.rows.shape[1])


def contents(features: Mapping[str, Floats]) -> dict[str, Content]:
    """Standardised features by modality; a modality without a single vector is left out."""
    out = {}
    for name, vectors in features.items():
        has = present(vectors)
        if has.any():
            mean = vectors[has].mean(0, dtype=np.float64).astype(np.float32)
            spread = float(np.sqrt(((vectors[has] - mean) ** 2).mean(dtype=np.float64)))
            out[name] = standardised(vectors, mean, spread if spread > 1e-6 else 1.0)
    return out


def present(vectors: Floats) -> Bools:
    """Rows that are neither NaN nor zero, as those of items that lack a modality are."""
    out: Bools = np.isfinite(vectors).all(axis=1) & (vectors != 0).any(axis=1)
    return out


def standardised(vectors: Floats, mean: Floats, spread: float) -> Content:
    has = present(vectors)
    rows = np.zeros(vectors.shape, np.float32)
    rows[has] = (vectors[has] - mean) / np.float32(spread)
    return Content(rows, has, mean, spread)


def encode(weights: Mapping[str, Any], content: Mapping[str, Content], n_items: int) -> tuple[Floats, Bools]:
    """(n_items, width) float32 and which items are known at all: watched in training, or with content.
    ``ItemEncoder`` in NumPy: e_i = LN(m_i v_i + sum_m g_m W_m c_i^m + g_s sum_l s_l(i))."""
    from matinee.models.neural.semantic import known_dims, side_by_side, words

    own, trust = weights["own"], weights["trust"]
    total = np.zeros((n_items, own.shape[1]), np.float32)
    known = np.zeros(n_items, bool)
    n = min(n_items, len(own))
    total[:n] = own[:n] * trust[:n, None]
    known[:n] = trust[:n] > 0
    for name, part in content.items():
        m = min(n_items, len(part.rows))
        total[:m] += part.rows[:m] @ weights[f"project.{name}"].T
        known[:m] |= part.has[:m]
    if "books" in weights:
        names = [key.removeprefix("project.") for key in weights if key.startswith("project.")]
        rows, has = side_by_side(content, known_dims(weights, names), n_items)
        total += weights["semantic"][words(rows, weights["books"])].sum(1) * has[:, None]
    wide = total - total.mean(1, keepdims=True)
    wide /= np.sqrt((wide**2).mean(1, keepdims=True) + NORM_EPS)
    return (wide * weights["scale"] + weights["shift"]).astype(np.float32), known


def counted(items: Ints, n_items: int) -> Ints:
    return np.bincount(items, minlength=n_items).astype(np.int64)
