"""Nearest by content in Euclid's sense: the mean squared distance to what was watched, every dimension on its own
scale.

Unlike the cosine it minds how far out an item lies, not only in which direction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from matinee.models.common import Taste, pick, silence, taste, top
from matinee.types import Bools, Candidates, Floats, Interactions, Ints, Query

FEATURE = "feature."


@dataclass(frozen=True, slots=True)
class ContentEuclid:
    """``power``: how fast the history fades."""

    power: float = 0.5
    name: str = "content_euclid"

    def fit(self, data: Interactions, *, seed: int = 0) -> ContentEuclidModel:
        """Learns nothing from the log; takes each dimension's mean and standard deviation over the items."""
        del seed
        return euclid_model(self.name, data.features, self.power, data.n_items)


@dataclass(frozen=True, slots=True)
class ContentEuclidModel:
    """``scaled``: by modality, (n, dim) float32 with mean 0 and standard deviation 1 in each dimension, over
    sqrt(2 dim): two items drawn by chance are then 1 apart in the mean of squares. ``present``: by modality, (n,).

    Score, per modality: the weighted mean over the history of 1 - squared distance; averaged over the modalities that
    both have. Above 0 is nearer than chance. What was disliked counts the other way.
    """

    name: str
    raw: Mapping[str, Floats]
    scaled: Mapping[str, Floats]
    present: Mapping[str, Bools]
    power: float
    n_items: int

    def with_features(self, features: Mapping[str, Floats]) -> ContentEuclidModel:
        """The same model over other features: rows may have been added since."""
        return euclid_model(self.name, features, self.power, max(map(len, features.values()), default=0))

    def _heard(self, said: Taste) -> dict[str, tuple[Ints, Floats]]:
        """By modality: the places in the taste that have it, and their weights over the sum of sizes."""
        out = {}
        for name, present in self.present.items():
            here = np.flatnonzero((said.items < len(present)) & present[np.minimum(said.items, len(present) - 1)])
            size = float(np.abs(said.weight[here]).sum())
            if size > 0:
                out[name] = (here, (said.weight[here] / size).astype(np.float32))
        return out

    def _everything(self, query: Query) -> Floats:
        said = taste(query.history, self.n_items, self.power)
        total, count = np.zeros(self.n_items, np.float32), np.zeros(self.n_items, np.float32)
        for name, (here, weight) in self._heard(said).items():
            v = self.scaled[name]
            past = v[said.items[here]]
            squares = (v**2).sum(1)
            # sum of w (1 - |v|^2 + 2 v past - |past|^2), the sums over the history taken first
            part = weight.sum() * (1 - squares) + 2 * (v @ (weight @ past)) - weight @ (past**2).sum(1)
            total[: len(v)] += np.where(self.present[name], part, 0)
            count[: len(v)] += self.present[name]
        if not count.any():
            return silence(self.n_items)
        return np.where(count > 0, total / np.maximum(count, 1), np.float32(np.nan)).astype(np.float32)

    def retrieve(self, query: Query, n: int) -> Candidates:
        """The best n of the catalogue. O(n_items x dim)."""
        return top(self._everything(query), n)

    def score(self, query: Query, candidates: Candidates) -> Floats:
        return pick(self._everything(query), candidates.items)

    def explain(self, query: Query, items: Ints) -> Floats:
        """(len(items), len(history)) float32; rows sum to the score."""
        said = taste(query.history, self.n_items, self.power)
        out, count = np.zeros((len(items), len(query.history)), np.float32), np.zeros(len(items), np.float32)
        for name, (here, weight) in self._heard(said).items():
            present = self.present[name]
            reach = np.flatnonzero((items >= 0) & (items < len(present)))
            reach = reach[present[items[reach]]]
            v, past = self.scaled[name][items[reach]], self.scaled[name][said.items[here]]
            apart = (v**2).sum(1)[:, None] - 2 * v @ past.T + (past**2).sum(1)[None, :]
            out[np.ix_(reach, said.at[here])] += weight[None, :] * (1 - apart)
            count[reach] += 1
        return out / np.maximum(count, 1).astype(np.float32)[:, None]

    def arrays(self) -> Mapping[str, Any]:
        kept = {name: np.where(self.present[name][:, None], matrix, 0) for name, matrix in self.raw.items()}
        features = {FEATURE + name: matrix.astype(np.float32) for name, matrix in kept.items()}
        return {"power": np.float64(self.power), "n_items": np.int64(self.n_items), **features}

    @staticmethod
    def from_arrays(name: str, arrays: Mapping[str, Any]) -> ContentEuclidModel:
        features = {key.removeprefix(FEATURE): arrays[key] for key in sorted(arrays) if key.startswith(FEATURE)}
        return euclid_model(name, features, float(arrays["power"]), int(arrays["n_items"]))


def euclid_model(name: str, features: Mapping[str, Floats], power: float, n_items: int) -> ContentEuclidModel:
    """A model of features by modality; rows of NaN or of zeros are missing. A modality without rows drops out."""
    raw, scaled, present = {}, {}, {}
    for key in sorted(features):
        matrix = features[key]
        there: Bools = ~(np.isnan(matrix.sum(axis=1)) | ~matrix.any(axis=1))
        if not there.any():
            continue
        rows = matrix[there].astype(np.float64)
        spread = np.maximum(rows.std(0), 1e-4)
        out = np.zeros(matrix.shape, np.float32)
        out[there] = (rows - rows.mean(0)) / spread / np.sqrt(2 * matrix.shape[1])
        raw[key], scaled[key], present[key] = matrix, out, there
    return ContentEuclidModel(name, raw, scaled, present, power, n_items)
