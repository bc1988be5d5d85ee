"""Several tastes in one person: the history is parted by k-means, and an item is scored by the interest that it
fits best, so that three cartoons among forty thrillers still bring cartoons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from matinee.models.common import Taste, pick, silence, taste, top
from matinee.models.content import FEATURE, FUSED, Modality, side_by_side
from matinee.types import Candidates, Floats, Interactions, Ints, Query

ROUNDS = 10


@dataclass(frozen=True, slots=True)
class Interests:
    """``most`` interests a person; ``size_power``: an interest's score is multiplied by its share of the history
    to this power; ``power``: how fast the history fades; ``fused``: by the modality ``fused`` where the data has it,
    else by all modalities side by side."""

    most: int = 4
    size_power: float = 0.2
    power: float = 0.3
    fused: bool = True
    name: str = "content_interests"

    def fit(self, data: Interactions, *, seed: int = 0) -> InterestsModel:
        """Learns nothing from the log."""
        del seed
        there = FUSED in data.features
        features = {m: x for m, x in data.features.items() if not there or self.fused == (m == FUSED)}
        return interests_model(self.name, features, np.array([self.most, self.size_power, self.power]), data.n_items)


@dataclass(frozen=True, slots=True)
class InterestsModel:
    """``space``: the fused modality, or all side by side, centred (None without); ``raw``: the features it came from;
    ``settings``: most, size_power, power."""

    name: str
    space: Modality | None
    raw: Mapping[str, Floats]
    settings: Floats
    n_items: int

    def with_features(self, features: Mapping[str, Floats]) -> InterestsModel:
        """The same model over other features: rows may have been added since."""
        used = {m: x for m, x in features.items() if not self.raw or m in self.raw}
        return interests_model(self.name, used, self.settings, max(map(len, features.values()), default=0))

    def _said(self, query: Query) -> tuple[Taste, Floats, Ints]:
        """The history, its unit vectors, and the interest that each item of it belongs to (-1: has no vector)."""
        said = taste(query.history, self.n_items, float(self.settings[2]))
        if self.space is None:
            return said, np.zeros((len(said.items), 0), np.float32), np.full(len(said.items), -1, np.int64)
        past = self.space.centred(said.items)
        return said, past, parted(past, np.abs(said.weight), int(self.settings[0]))

    def _centres(self, said: Taste, past: Floats, part: Ints) -> tuple[Floats, Floats]:
        """(k, dim) weighted sums, and (k,) what a sum is multiplied by: size over length."""
        k = int(part.max(initial=-1)) + 1
        sums = np.zeros((k, past.shape[1]), np.float32)
        share = np.zeros(k)
        for interest in range(k):
            own = part == interest
            sums[interest] = said.weight[own] @ past[own]
            share[interest] = np.abs(said.weight[own]).sum()
        length = np.linalg.norm(sums, axis=1)
        share = (share / max(share.sum(), 1e-9)) ** self.settings[1]
        return sums, np.divide(share, length, out=np.zeros(k), where=length > 1e-6).astype(np.float32)

    def _by_interest(self, query: Query) -> Floats:
        """(n_items, k)."""
        said, past, part = self._said(query)
        sums, times = self._centres(said, past, part)
        if self.space is None or not times.any():
            return np.empty((self.n_items, 0), np.float32)
        space = self.space
        scores = (space.vectors @ sums.T - space.mean @ sums.T) * space.scale[:, None] * times[None, :]
        scores = np.where((space.scale > 0)[:, None], scores, np.float32(np.nan))
        return scores[:, times > 0].astype(np.float32)

    def _everything(self, query: Query) -> Floats:
        scores = self._by_interest(query)
        out = silence(self.n_items)
        if scores.shape[1]:
            out[: len(scores)] = scores.max(1)
        return out

    def retrieve(self, query: Query, n: int) -> Candidates:
        """The best n of the catalogue. O(n_items x dim x interests)."""
        return top(self._everything(query), n)

    def score(self, query: Query, candidates: Candidates) -> Floats:
        return pick(self._everything(query), candidates.items)

    def explain(self, query: Query, items: Ints) -> Floats:
        """(len(items), len(history)) float32: only the events of the interest that an item fits best; rows sum to the
        score."""
        out = np.zeros((len(items), len(query.history)), np.float32)
        said, past, part = self._said(query)
        _, times = self._centres(said, past, part)
        if self.space is None or not times.any():
            return out
        reach = np.flatnonzero(self.space.has(items))
        parts = self.space.centred(items[reach]) @ past.T * said.weight[None, :]
        by_interest = np.stack([parts[:, part == k].sum(1) * t for k, t in enumerate(times)], 1)
        best = np.where(times > 0, by_interest, -np.inf).argmax(1)
        own = part[None, :] == best[:, None]
        out[np.ix_(reach, said.at)] = parts * own * times[best][:, None]
        return out

    def arrays(self) -> Mapping[str, Any]:
        features = {FEATURE + name: np.nan_to_num(matrix) for name, matrix in self.raw.items()}
        return {"settings": self.settings, "n_items": np.int64(self.n_items), **features}

    @staticmethod
    def from_arrays(name: str, arrays: Mapping[str, Any]) -> InterestsModel:
        features = {key.removeprefix(FEATURE): arrays[key] for key in sorted(arrays) if key.startswith(FEATURE)}
        return interests_model(name, features, arrays["settings"], int(arrays["n_items"]))


def interests_model(name: str, features: Mapping[str, Floats], settings: Floats, n_items: int) -> InterestsModel:
    return InterestsModel(name, side_by_side(features), dict(features), settings, n_items)


def parted(vectors: Floats, weight: Floats, most: int) -> Ints:
    """(n,) the cluster of each unit vector, -1 for a zero one, by k-means on the sphere: at most ``most`` clusters
    and at most one for three vectors. Starts from the heaviest and then whatever is farthest from all, so there is
    no chance in it. O(n x most x dim)."""
    out = np.full(len(vectors), -1, np.int64)
    rows = np.flatnonzero(vectors.any(axis=1))
    if not len(rows):
        return out
    v, w = vectors[rows], weight[rows]
    k = max(1, min(most, len(rows) // 3))
    centres = [v[int(np.argmax(w))]]
    while len(centres) < k:
        centres.append(v[int(np.argmin((v @ np.stack(centres).T).max(1)))])
    means = np.stack(centres)
    label = np.zeros(len(rows), np.int64)
    for _ in range(ROUNDS):
        former, label = label, (v @ means.T).argmax(1)
        for cluster in range(k):
            total = w[label == cluster] @ v[label == cluster]
            length = np.linalg.norm(total)
            means[cluster] = total / length if length > 1e-6 else means[cluster]
        if (former == label).all():
            break
    out[rows] = np.unique(label, return_inverse=True)[1].reshape(-1)
    return out
