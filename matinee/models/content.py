"""Nearest by content: what looks, sounds or reads like the history. Works for an item the moment its file was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from matinee.models.common import Taste, silence, taste, top
from matinee.types import Bools, Candidates, Floats, Interactions, Ints, Query

FEATURE, ONLY, FUSED = "feature.", "only.", "fused"


@dataclass(frozen=True, slots=True)
class Content:
    """``power``: how fast the history fades. ``fused``: where the data has the modality ``fused``, that alone speaks,
    else all by the mean of one cosine each. ``modalities``: which features to use instead. ``short``: the share of the
    profile that is the last ``recent`` items alone, evenly: a short memory beside the long one."""

    power: float = 0.5
    modalities: tuple[str, ...] = ()
    fused: bool = True
    short: float = 0.0
    recent: int = 3
    name: str = "content"

    def fit(self, data: Interactions, *, seed: int = 0) -> ContentModel:
        """Learns nothing from the log; the model is the features and their means."""
        del seed
        memory = Memory(self.power, self.short, self.recent, self.fused, self.modalities)
        return content_model(self.name, data.features, memory, data.n_items)


@dataclass(frozen=True, slots=True)
class Memory:
    """How a history becomes a profile; the fields are ``Content``'s."""

    power: float
    short: float
    recent: int
    fused: bool = True
    only: tuple[str, ...] = ()

    def of(self, query: Query, n_items: int) -> Taste:
        """Weights whose sum of sizes is 1 for the long and for the short memory, mixed."""
        said = taste(query.history, n_items, self.power)
        if not self.short or not len(said.items):
            return said
        now = taste(query.history, n_items, 0.0).weight.copy()
        now[: max(len(now) - self.recent, 0)] = 0
        mixed = (1 - self.short) * said.weight / np.abs(said.weight).sum() + self.short * now / np.abs(now).sum()
        return Taste(said.at, said.items, mixed.astype(np.float32))


@dataclass(frozen=True, slots=True)
class Modality:
    """One space's (n, dim) ``vectors`` (zero rows where missing), their ``mean`` (dim,), and ``scale`` (n,): one over
    the length of vector minus mean, 0 where missing. ``spread``: the standard deviation of such a centred cosine.

    The mean of an embedding space is what all items share; cosines are taken around it, or everything looks alike.
    Dividing by the spread makes a far-out sound and a far-out picture equally far out.
    """

    vectors: Floats
    mean: Floats
    scale: Floats
    spread: float

    def centred(self, rows: Ints) -> Floats:
        """(k, dim) unit rows around the mean, zero where missing or beyond the matrix."""
        inside = rows < len(self.vectors)
        out = np.zeros((len(rows), self.vectors.shape[1]), np.float32)
        out[inside] = (self.vectors[rows[inside]] - self.mean) * self.scale[rows[inside], None]
        return out

    def has(self, rows: Ints) -> Bools:
        inside = (rows >= 0) & (rows < len(self.scale))
        out = np.zeros(len(rows), bool)
        out[inside] = self.scale[rows[inside]] > 0
        return out


@dataclass(frozen=True, slots=True)
class ContentModel:
    """Score: for every modality that both the history and the item have, the cosine of the item with the history's
    weighted sum; averaged over those modalities. NaN where there is none, or nothing was watched."""

    name: str
    modalities: Mapping[str, Modality]
    memory: Memory
    n_items: int

    def with_features(self, features: Mapping[str, Floats]) -> ContentModel:
        """The same model over other features: rows may have been added since. Means are taken anew. O(n x dim)."""
        return content_model(self.name, features, self.memory, max(map(len, features.values()), default=0))

    def _profiles(self, said: Taste) -> list[tuple[Modality, Floats]]:
        """Of each modality that the history has: its profile, scaled so that a product with a centred unit row is the
        cosine over the spread."""
        out = []
        for modality in self.modalities.values():
            total = said.weight @ modality.centred(said.items)
            length = float(np.linalg.norm(total))
            if length > 1e-6:
                out.append((modality, (total / (length * modality.spread)).astype(np.float32)))
        return out

    def _everything(self, query: Query) -> Floats:
        profiles = self._profiles(self.memory.of(query, self.n_items))
        total, count = np.zeros(self.n_items, np.float32), np.zeros(self.n_items, np.float32)
        for modality, profile in profiles:
            n = len(modality.scale)
            total[:n] += (modality.vectors @ profile - modality.mean @ profile) * modality.scale
            count[:n] += modality.scale > 0
        if not profiles:
            return silence(self.n_items)
        return np.where(count > 0, total / np.maximum(count, 1), np.float32(np.nan)).astype(np.float32)

    def retrieve(self, query: Query, n: int) -> Candidates:
        """The best n of the catalogue. O(n_items x dim)."""
        return top(self._everything(query), n)

    def score(self, query: Query, candidates: Candidates) -> Floats:
        """O(candidates x dim)."""
        profiles = self._profiles(self.memory.of(query, self.n_items))
        items = candidates.items
        total, count = np.zeros(len(items), np.float32), np.zeros(len(items), np.float32)
        for modality, profile in profiles:
            here = np.flatnonzero(modality.has(items))
            total[here] += modality.centred(items[here]) @ profile
            count[here] += 1
        return np.where(count > 0, total / np.maximum(count, 1), np.float32(np.nan)).astype(np.float32)

    def explain(self, query: Query, items: Ints) -> Floats:
        """(len(items), len(history)) float32; rows sum to the score."""
        by_modality = self.explain_by_modality(query, items)
        total = np.zeros((len(items), len(query.history)), np.float32)
        for part in by_modality.values():
            total += part
        return total

    def explain_by_modality(self, query: Query, items: Ints) -> dict[str, Floats]:
        """The same by modality (``text``, ``frames``, ``sound``): the sum over modalities is ``explain``."""
        said = self.memory.of(query, self.n_items)
        count, parts = np.zeros(len(items), np.float32), {}
        for name, modality in self.modalities.items():
            past = modality.centred(said.items)
            length = float(np.linalg.norm(said.weight @ past))
            if length <= 1e-6:
                continue
            here = np.flatnonzero(modality.has(items))
            part = np.zeros((len(items), len(query.history)), np.float32)
            part[np.ix_(here, said.at)] = modality.centred(items[here]) @ past.T * said.weight[None, :]
            parts[name] = part / np.float32(length * modality.spread)
            count[here] += 1
        share = (1 / np.maximum(count, 1)).astype(np.float32)[:, None]
        return {name: part * share for name, part in parts.items()}

    def arrays(self) -> Mapping[str, Any]:
        features = {FEATURE + name: modality.vectors for name, modality in self.modalities.items()}
        m = self.memory
        only = {ONLY + key: np.empty(0, np.float32) for key in m.only}
        memory = np.array([m.power, m.short, m.recent, m.fused])
        return {"memory": memory, "n_items": np.int64(self.n_items), **only, **features}

    @staticmethod
    def from_arrays(name: str, arrays: Mapping[str, Any]) -> ContentModel:
        features = {key.removeprefix(FEATURE): arrays[key] for key in sorted(arrays) if key.startswith(FEATURE)}
        power, short, recent, fused = arrays["memory"].tolist()
        only = tuple(key.removeprefix(ONLY) for key in sorted(arrays) if key.startswith(ONLY))
        memory = Memory(power, short, int(recent), bool(fused), only)
        return content_model(name, features, memory, int(arrays["n_items"]))


def content_model(name: str, features: Mapping[str, Floats], memory: Memory, n_items: int) -> ContentModel:
    """A model of features by modality; rows of NaN or of zeros are missing. A modality without rows drops out."""
    chosen = memory.only or ((FUSED,) if memory.fused and FUSED in features else set(features) - {FUSED})
    kept = {key: modality(features[key]) for key in sorted(features) if key in chosen}
    return ContentModel(name, {key: m for key, m in kept.items() if (m.scale > 0).any()}, memory, n_items)


def side_by_side(features: Mapping[str, Floats]) -> Modality | None:
    """One space of all features: the fused one where there is one, else the centred unit vectors next to each other,
    zeros where an item lacks a modality, so that two items are compared by what both have. None without features."""
    kept = content_model("", features, Memory(0, 0, 0), max(map(len, features.values()), default=0)).modalities
    if len(kept) < 2:
        return next(iter(kept.values()), None)
    n = max(len(m.scale) for m in kept.values())
    return modality(np.concatenate([m.centred(np.arange(n)) for m in kept.values()], axis=1))


def modality(vectors: Floats) -> Modality:
    """Means, lengths and spread of (n, dim) vectors. With one item only, or all alike, there is no mean to take
    off."""
    lacking: Bools = np.isnan(vectors.sum(1)) | ~vectors.any(axis=1)
    filled = np.where(lacking[:, None], np.float32(0), vectors).astype(np.float32) if lacking.any() else vectors
    have = np.flatnonzero(~lacking)
    mean = filled[have].mean(0, dtype=np.float64).astype(np.float32) if len(have) else np.zeros(filled.shape[1:], "f")
    length = np.sqrt(np.maximum((filled**2).sum(1) - 2 * filled @ mean + mean @ mean, 0))
    if len(have) < 3 or (length[have] < 1e-4).all():
        mean, length = np.zeros_like(mean), np.linalg.norm(filled, axis=1)
    scale = np.where(lacking | (length < 1e-4), 0, 1 / np.maximum(length, 1e-4)).astype(np.float32)
    some = have[:: max(1, len(have) // 500)]
    rows = (filled[some] - mean) * scale[some, None]
    cosines = (rows @ rows.T)[np.triu_indices(len(rows), 1)]
    spread = float(np.sqrt((cosines**2).mean())) if len(cosines) else 1.0
    return Modality(filled, mean, scale, max(spread, 1e-3))
