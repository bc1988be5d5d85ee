"""Cold items by alignment, after MARec (Monteil, Vaskovych, Lu, Majumder, van den Hengel 2024, arXiv 2404.13298):
content is told what it is worth by the behaviour of warm items, in closed form, and EASE takes over as an item is
watched.

Where the paper weighs similarities of metadata, this learns the map outright: the two-sided ridge regression of the
user-item matrix on what a user watched and on what an item is,
    least squares over warm items of  X - X A F'  with  A = (X'X + a I)^-1 X'X F (F'F + b I)^-1,
so a history is carried into the space of content and an item nobody has watched is scored by its vector there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from matinee.models.common import pick, positives, silence, taste, top, watched
from matinee.models.ease import EASE, inverted, refuse_too_many
from matinee.models.gram import gram, user_items
from matinee.models.linear import ItemWeights
from matinee.types import Candidates, Floats, Interactions, Ints, Query

MEAN, BASIS = "mean.", "basis"


@dataclass(frozen=True, slots=True)
class MARec:
    """``behaviour``: the ridge on the user-item side, in means of the Gram matrix's diagonal; ``content``: on the
    content side; ``dims``: of the content space that are kept; ``power``: how fast the history fades on the
    content side. ``half``: an item watched this often is scored half by EASE and half by content."""

    behaviour: float = 7.0
    content: float = 1.0
    dims: int = 256
    power: float = 0.2
    half: float = 5.0
    name: str = "marec"

    def fit(self, data: Interactions, *, seed: int = 0) -> MARecModel:
        """EASE's cost twice. Above 30,000 items raises ``model.too_many_items``."""
        refuse_too_many("MARec", data.n_items)
        warm = watched(data)
        lens = Lens.learn(data.features, data.n_items, self.dims)
        f = lens.of(data.features, data.n_items)
        seen = positives(data, once=True)
        g = gram(user_items(seen, seen.strength, (data.n_users, data.n_items)))
        f_warm = np.where((warm > 0)[:, None], f, np.float32(0))
        inner = f_warm.T @ f_warm + np.float32(self.content) * np.eye(f.shape[1], dtype=np.float32)
        right = f_warm @ np.linalg.inv(inner) if f.shape[1] else f_warm
        ridge = np.float32(self.behaviour * np.diag(g).sum(dtype=np.float64) / max(int((warm > 0).sum()), 1) + 1e-3)
        g[np.diag_indices_from(g)] += ridge
        # (G + aI)^-1 G = I - a (G + aI)^-1, so the Gram matrix is needed once
        carried = (right - ridge * (inverted(g) @ right)).astype(np.float32)
        del g
        ease = EASE(name=self.name).fit(data, seed=seed)
        share = (warm / (warm + self.half)).astype(np.float32)
        return MARecModel(self.name, ease, carried, lens, f, share, self.power)


@dataclass(frozen=True, slots=True)
class Lens:
    """From features by modality to one content space: centred unit vectors side by side, then the ``basis`` (sum of
    dims, k) of their greatest directions. ``means``: by modality. Fixed at training, so later items fit in."""

    means: Mapping[str, Floats]
    basis: Floats

    @staticmethod
    def learn(features: Mapping[str, Floats], n_items: int, dims: int) -> Lens:
        means = {}
        for name in sorted(features):
            there = np.isfinite(features[name].sum(1)) & features[name].any(axis=1)
            if there.any():
                means[name] = features[name][there].mean(0, dtype=np.float64).astype(np.float32)
        width = sum(map(len, means.values()))
        wide = Lens(means, np.eye(width, dtype=np.float32)).of(features, n_items)
        values, vectors = np.linalg.eigh((wide.T @ wide).astype(np.float64))
        kept = np.argsort(-values)[: min(dims, int((values > 1e-6).sum()))]
        return Lens(means, vectors[:, kept].astype(np.float32))

    def of(self, features: Mapping[str, Floats], n_items: int) -> Floats:
        """(n_items, k) float32; rows of zeros where an item has no content."""
        parts = []
        for name, mean in self.means.items():
            part = np.zeros((n_items, len(mean)), np.float32)
            if name in features:
                matrix = features[name][:n_items]
                centred = np.where(
                    (np.isfinite(matrix.sum(1)) & matrix.any(axis=1))[:, None], matrix - mean, np.float32(0)
                )
                length = np.linalg.norm(centred, axis=1, keepdims=True)
                part[: len(matrix)] = centred / np.maximum(length, 1e-6)
            parts.append(part)
        wide = np.concatenate(parts, axis=1) if parts else np.zeros((n_items, 0), np.float32)
        return (wide @ self.basis).astype(np.float32)


@dataclass(frozen=True, slots=True)
class MARecModel:
    """``carried`` (n trained, k): each watched item in the content space; ``content`` (n_items, k): every item's own
    vector there, zeros where it has none; ``share`` (n trained,): how much of a score is ``ease``'s.

    NaN for an item that nobody watched and of which nothing is known."""

    name: str
    ease: ItemWeights
    carried: Floats
    lens: Lens
    content: Floats
    share: Floats
    power: float

    def with_features(self, features: Mapping[str, Floats]) -> MARecModel:
        """The same model over other features: rows may have been added since; they are scored by content alone."""
        n = max([len(self.share), *map(len, features.values())])
        return replace(self, content=self.lens.of(features, n))

    def _shares(self, n: int) -> tuple[Floats, Floats]:
        """(n,) shares of EASE and of content, over what each item has; both 0 where it has neither."""
        warm = np.zeros(n, np.float32)
        warm[: len(self.share)] = self.share
        has = self.content.any(axis=1)
        return np.where(has, warm, (warm > 0).astype(np.float32)), np.where(has, 1 - warm, np.float32(0))

    def _everything(self, query: Query) -> Floats:
        n = len(self.content)
        said = taste(query.history, len(self.share), self.power)
        if not len(said.items):
            return silence(n)
        warm, cold = self._shares(n)
        score = np.zeros(n, np.float32)
        score[: len(self.share)] = np.nan_to_num(self.ease.everything(query))
        score = warm * score + cold * (self.content @ (said.weight @ self.carried[said.items]))
        return np.where(warm + cold > 0, score, np.float32(np.nan)).astype(np.float32)

    def retrieve(self, query: Query, n: int) -> Candidates:
        """The best n of the catalogue. O(history x n_items)."""
        return top(self._everything(query), n)

    def score(self, query: Query, candidates: Candidates) -> Floats:
        return pick(self._everything(query), candidates.items)

    def explain(self, query: Query, items: Ints) -> Floats:
        """(len(items), len(history)) float32; rows sum to the score."""
        out = np.zeros((len(items), len(query.history)), np.float32)
        said = taste(query.history, len(self.share), self.power)
        reach = np.flatnonzero((items >= 0) & (items < len(self.content)))
        warm, cold = self._shares(len(self.content))
        rows = items[reach]
        out[reach] = self.ease.explain(query, rows) * warm[rows, None]
        past = self.carried[said.items] * said.weight[:, None]
        out[np.ix_(reach, said.at)] += self.content[rows] @ past.T * cold[rows, None]
        return out

    def arrays(self) -> Mapping[str, Any]:
        ease = {f"ease.{key}": array for key, array in self.ease.arrays().items()}
        means = {MEAN + name: mean for name, mean in self.lens.means.items()}
        return {
            "carried": self.carried, "content": self.content, "share": self.share, "power": np.float64(self.power),
            BASIS: self.lens.basis, **ease, **means,
        }  # fmt: skip

    @staticmethod
    def from_arrays(name: str, arrays: Mapping[str, Any]) -> MARecModel:
        a = arrays
        theirs = {key.removeprefix("ease."): a[key] for key in a if key.startswith("ease.")}
        ease = ItemWeights.from_arrays(name, theirs)
        means = {key.removeprefix(MEAN): a[key] for key in sorted(a) if key.startswith(MEAN)}
        return MARecModel(name, ease, a["carried"], Lens(means, a[BASIS]), a["content"], a["share"], float(a["power"]))
