"""One vector from several modalities, some of them missing. One interface: ``RECIPE.fit(features) -> Fused``.

``features``: by modality (n, dim) float32 unit rows, NaN rows where an item lacks it. What is fitted needs no refitting
for new items: ``Fused.join(features)`` takes any rows of the same modalities. An item with none of them gets a NaN row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from matinee.errors import MatineeError
from matinee.types import Bools, Doubles, Floats, Interactions

Features = Mapping[str, Floats]


class Fusion(Protocol):
    """Hyper-parameters are the fields; ``watched`` (who watched what) is used by the learned ones and needed there."""

    def fit(self, features: Features, watched: Interactions | None = None) -> Fused: ...


@dataclass(frozen=True, slots=True)
class Projection:
    """A modality's way into the joint space: (x - ``mean``) @ ``matrix``, then to length ``weight``."""

    mean: Doubles
    matrix: Doubles
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Fused:
    """``add``: projections are summed and divided by the weight that is present; else laid side by side, a missing one
    as zeros. Either way the result is a unit row."""

    projections: Mapping[str, Projection]
    add: bool

    def join(self, features: Features) -> Floats:
        """(n, dim) float32 unit rows."""
        parts, present = [], []
        for name, projection in self.projections.items():
            rows = features[name]
            here = np.isfinite(rows).all(axis=1)
            out = np.zeros((len(rows), projection.matrix.shape[1]))
            if here.any():
                projected = (rows[here] - projection.mean) @ projection.matrix
                out[here] = projection.weight * unit(projected)
            parts.append(out)
            present.append(here)
        joined = np.sum(parts, axis=0) if self.add else np.concatenate(parts, axis=1)
        joined = unit(joined)
        joined[~np.any(present, axis=0)] = np.nan
        return joined.astype(np.float32)


def unit(rows: Doubles) -> Doubles:
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.divide(rows, norm, out=np.zeros_like(rows), where=norm > 1e-12))


def whole(rows: Floats) -> Bools:
    return np.asarray(np.isfinite(rows).all(axis=1))


def centred(rows: Floats) -> tuple[Doubles, Doubles]:
    """The rows that are there, less their mean; and the mean. Vectors of one network share a large common part, and
    cosines say more without it."""
    good = rows[whole(rows)].astype(np.float64)
    mean = good.mean(axis=0) if len(good) else np.zeros(rows.shape[1])
    return good - mean, mean


@dataclass(frozen=True, slots=True)
class Concatenate:
    """Side by side, each of weight 1 or as given (weighted sum of cosines: the square of a weight is its share)."""

    weights: Mapping[str, float] = field(default_factory=dict)
    centre: bool = True

    def fit(self, features: Features, watched: Interactions | None = None) -> Fused:
        projections = {}
        for name, rows in features.items():
            mean = centred(rows)[1] if self.centre else np.zeros(rows.shape[1])
            projections[name] = Projection(mean, np.eye(rows.shape[1]), self.weights.get(name, 1.0))
        return Fused(projections, add=False)


@dataclass(frozen=True, slots=True)
class Reduced:
    """Side by side after whitening each to at most ``dim`` principal axes: none speaks louder for being wider."""

    dim: int = 128
    soften: float = 0.05

    def fit(self, features: Features, watched: Interactions | None = None) -> Fused:
        return Fused({name: whitened(rows, self.dim, self.soften) for name, rows in features.items()}, add=False)


def whitened(rows: Floats, dim: int, soften: float) -> Projection:
    good, mean = centred(rows)
    if len(good) < 2:
        return Projection(mean, np.eye(rows.shape[1])[:, :dim])
    _, values, axes = np.linalg.svd(good, full_matrices=False)
    variance = values[:dim] ** 2 / len(good)
    return Projection(mean, axes[:dim].T / np.sqrt(variance + soften * variance[0]))


@dataclass(frozen=True, slots=True)
class CCA:
    """Added in the space where the modalities agree most: canonical correlation of several sets, MAXVAR (Kettenring
    1971, "Canonical analysis of several sets of variables", Biometrika). Learned from items that have all of them."""

    dim: int = 64
    ridge: float = 0.1

    def fit(self, features: Features, watched: Interactions | None = None) -> Fused:
        both = np.all([whole(rows) for rows in features.values()], axis=0)
        if both.sum() < 4:
            raise few("items that have every modality", "同时具有全部模态的条目")
        white = {
            name: whitened(rows[both], min(4 * self.dim, int(both.sum()) - 1), self.ridge)
            for name, rows in features.items()
        }
        stacked = [(features[n][both] - p.mean) @ p.matrix for n, p in white.items()]
        shared = np.linalg.svd(np.concatenate(stacked, axis=1), full_matrices=False)[0][:, : self.dim]
        projections = {}
        for (name, p), rows in zip(white.items(), stacked, strict=True):
            gram = rows.T @ rows + self.ridge * len(rows) * np.eye(rows.shape[1])
            projections[name] = Projection(p.mean, p.matrix @ np.linalg.solve(gram, rows.T @ shared))
        return Fused(projections, add=True)


@dataclass(frozen=True, slots=True)
class Watched:
    """Added in the space of taste: ridge regression from each modality to item factors of the watch log, so that items
    watched together lie together, new ones too. The factors are the leading eigenvectors of the normalised co-watch
    matrix. ``gate``: a modality weighs as much as it foretells the factors of items left out."""

    dim: int = 64
    ridge: float = 3.0
    gate: bool = True

    def fit(self, features: Features, watched: Interactions | None = None) -> Fused:
        if watched is None or len(watched) == 0:
            raise few("watches", "观看记录")
        factors, seen = taste(watched, self.dim)
        projections = {}
        for name, rows in features.items():
            use = whole(rows) & seen
            if use.sum() < 4:
                continue
            mean = rows[use].astype(np.float64).mean(axis=0)
            weight = max(foretold(rows[use] - mean, factors[use], self.ridge), 0.02) if self.gate else 1.0
            projections[name] = Projection(mean, ridge(rows[use] - mean, factors[use], self.ridge), weight)
        if not projections:
            raise few("watched items with features", "带有特征且被观看过的条目")
        return Fused(projections, add=True)


def taste(watched: Interactions, dim: int) -> tuple[Doubles, Bools]:
    """(n_items, dim) factors of who watched what, and which items were watched at all."""
    from scipy.sparse import coo_matrix, diags
    from scipy.sparse.linalg import svds

    liked = watched.strength > 0
    shape = (watched.n_users, watched.n_items)
    log = coo_matrix((np.ones(int(liked.sum())), (watched.users[liked], watched.items[liked])), shape).tocsr()
    log.data[:] = 1
    users, items = np.asarray(log.sum(axis=1)).ravel(), np.asarray(log.sum(axis=0)).ravel()
    normal = diags(1 / np.sqrt(np.maximum(users, 1))) @ log @ diags(1 / np.sqrt(np.maximum(items, 1)))
    k = max(1, min(dim + 1, min(shape) - 1))
    _, values, right = svds(normal, k=k, v0=np.ones(min(shape)), random_state=0)
    order = np.argsort(-values)[1:] if k > 1 else np.argsort(-values)  # the first one is how popular an item is
    return unit(right[order].T * values[order]), items > 0


def ridge(rows: Doubles, targets: Doubles, strength: float) -> Doubles:
    gram = rows.T @ rows
    return np.asarray(np.linalg.solve(gram + strength * np.eye(len(gram)), rows.T @ targets))


def foretold(rows: Doubles, targets: Doubles, strength: float) -> float:
    """How well four parts of the items foretell the fifth: the mean cosine, over the five."""
    part = np.random.default_rng(0).integers(0, 5, len(rows))
    scores = []
    for fold in range(5):
        test = part == fold
        if test.any() and not test.all():
            guess = unit(rows[test] @ ridge(rows[~test], targets[~test], strength))
            scores.append(float((guess * targets[test]).sum(axis=1).mean()))
    return float(np.mean(scores)) if scores else 0.0


def few(en: str, zh: str) -> MatineeError:
    return MatineeError(
        "fusion.too_little",
        f"There are too few {en} to learn this fusion from. Use fusion = 'reduced' until there are more.",
        f"{zh}太少，无法学习这种融合方式。数据增多之前请使用 fusion = 'reduced'。",
    )


FUSIONS: dict[str, Callable[[], Fusion]] = {
    "concatenate": Concatenate,
    "reduced": Reduced,
    "cca": CCA,
    "watched": Watched,
    "additive": lambda: Watched(gate=False),
}
