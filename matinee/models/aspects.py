"""Items as points of one space, made of all that is known of them: vectors of their text, pictures and sound, and the
facts written of them.

Each aspect is compared by a kernel of its own, exp(cosine - 1), and what is written of the items also by all of it
together, exp(cosine of all side by side - 1), for a comedy of the eighties is more than a comedy and of the eighties.
The sum of all, weighed, is the likeness of two items: one that lacks an aspect is compared by the others. Likeness to a
few landmark items gives coordinates (Williams and Seeger, Using the Nystroem Method to Speed Up Kernel Machines, NIPS
2000), so that a closed form over items costs what a linear one does, and an item that comes tomorrow has its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from matinee.types import Bools, Floats, Interactions, Ints

SPACES, FACTS = "space.", "fact."  # whose names aspects begin with: a space of vectors, or an aspect of the facts
TOGETHER = "together"
WEIGHTS = {
    "space.text": 1.5, "space.frames": 0.3, "space.sound": 0.3,
    "fact.kinds": 1.0, "fact.people": 0.0, "fact.place": 0.0, "fact.words": 0.0, "fact.year": 0.5, TOGETHER: 4.0,
}  # fmt: skip
SHARES = {
    "space.text": 1.0, "fact.kinds": 1.0, "fact.people": 1.0, "fact.place": 0.25, "fact.words": 1.0, "fact.year": 1.0,
}  # fmt: skip
OTHER = 1.0  # the weight of an aspect that is none of these
CHUNK = 1024


@dataclass(frozen=True, slots=True)
class Aspect:
    """How rows of one aspect are compared: times ``rarity`` (dim,), minus ``mean`` (dim,), to unit length.
    ``landmarks``: (m, dim) such rows, zero where a landmark lacks the aspect; ``weight`` in the sum and ``share`` of
    what is compared together."""

    rarity: Floats
    mean: Floats
    landmarks: Floats
    weight: float
    share: float

    def rows(self, matrix: Floats) -> Floats:
        """(n, dim) unit rows; zeros where the aspect is missing."""
        there = present(matrix)
        moved = np.where(there[:, None], matrix * self.rarity - self.mean, np.float32(0))
        length = np.linalg.norm(moved, axis=1, keepdims=True)
        return np.asarray(moved / np.maximum(length, 1e-6), np.float32)


@dataclass(frozen=True, slots=True)
class Lens:
    """``aspects`` by name, all of the same m landmarks. An item's coordinates are its likeness to each. Fixed at
    training, so that later items fit in."""

    aspects: Mapping[str, Aspect]
    dim: int
    together: float

    def of(self, features: Mapping[str, Floats], facts: Mapping[str, Floats], n: int) -> Floats:
        """(n, m) float32; rows of zeros where nothing is known of an item. O(n landmarks dims)."""
        given = named(features, facts)
        out = np.zeros((n, self.dim), np.float32)
        for start in range(0, n, CHUNK):
            block = {name: _rows(matrix, start, min(start + CHUNK, n)) for name, matrix in given.items()}
            for _, part in self.parts(block):
                out[start : start + len(part)] += part
        return out

    def parts(self, given: Mapping[str, Floats]) -> Iterator[tuple[str, Floats]]:
        """By aspect, and ``together`` last: (n, m) weighed likeness of the rows of matrices by aspect name, all of one
        length; the sum is ``of``. 0 where either side lacks the aspect."""
        cosines: Floats | None = None
        mine, theirs = np.zeros(len(next(iter(given.values()), ())), np.float32), np.zeros(self.dim, np.float32)
        for name, aspect in self.aspects.items():
            if name not in given or not (aspect.weight or aspect.share * self.together):
                continue
            rows = aspect.rows(given[name])
            cosine = rows @ aspect.landmarks.T
            both = has(rows)[:, None] & has(aspect.landmarks)[None, :]
            if aspect.weight:
                yield name, np.asarray(np.exp(cosine - 1) * both * np.float32(aspect.weight), np.float32)
            if aspect.share * self.together:
                share = np.float32(aspect.share)
                cosines = cosine * share if cosines is None else cosines + cosine * share
                mine += has(rows) * share
                theirs += has(aspect.landmarks) * share
        if cosines is not None:
            size = np.sqrt(mine)[:, None] * np.sqrt(theirs)[None, :]
            likeness = np.exp(cosines / np.maximum(size, 1e-6) - 1) * (size > 0) * np.float32(self.together)
            yield TOGETHER, np.asarray(likeness, np.float32)

    def arrays(self) -> dict[str, Any]:
        out: dict[str, Any] = {"size": np.array([self.dim, self.together])}
        for name, aspect in self.aspects.items():
            out |= {f"aspect/{name}/{key}": getattr(aspect, key) for key in ("rarity", "mean", "landmarks")}
            out[f"aspect/{name}/counts"] = np.array([aspect.weight, aspect.share])
        return out

    @staticmethod
    def from_arrays(arrays: Mapping[str, Any]) -> Lens:
        kept: dict[str, dict[str, Any]] = {}
        for key in sorted(arrays):
            if key.startswith("aspect/"):
                _, name, field = key.split("/", 2)
                kept.setdefault(name, {})[field] = arrays[key]
        aspects = {
            name: Aspect(a["rarity"], a["mean"], a["landmarks"], *a["counts"].tolist()) for name, a in kept.items()
        }  # fmt: skip
        dim, together = arrays["size"].tolist()
        return Lens(aspects, int(dim), together)


def _rows(matrix: Floats, start: int, stop: int) -> Floats:
    """(stop - start, dim): rows of a matrix, zeros beyond its end."""
    rows = matrix[start:stop]
    lacking = stop - start - len(rows)
    return rows if not lacking else np.vstack([rows, np.zeros((lacking, matrix.shape[1]), np.float32)])


def present(matrix: Floats) -> Bools:
    """(n,) whether a row says anything: no NaN in it, and not zeros throughout."""
    there: Bools = np.isfinite(matrix.sum(1)) & matrix.any(axis=1)
    return there


def has(rows: Floats) -> Bools:
    """(n,) whether a unit row is there."""
    there: Bools = np.asarray(rows.any(axis=1), bool)
    return there


def named(features: Mapping[str, Floats], facts: Mapping[str, Floats]) -> dict[str, Floats]:
    """All matrices by aspect name. What was fused of the others is left out: it would count twice."""
    spaces = {SPACES + name: matrix for name, matrix in sorted(features.items()) if name != "fused"}
    return spaces | {FACTS + name: matrix for name, matrix in sorted(facts.items())}


def lens_of(data: Interactions, of: Ints, weights: Mapping[str, float]) -> Lens:
    """Each aspect that any item has, with the items ``of`` (m,) as landmarks. Vectors are compared around their mean;
    a token counts by its rarity, log((1 + n) / (1 + items with it)); the year as it is. An aspect whose weight is given
    as 0 has no part in what is compared together either."""
    out = {}
    for name, matrix in named(data.features, data.facts).items():
        there = present(matrix)
        if not there.any():
            continue
        dim = matrix.shape[1]
        rarity, mean = np.ones(dim, np.float32), np.zeros(dim, np.float32)
        if name.startswith(SPACES):
            mean = matrix[there].mean(0, dtype=np.float64).astype(np.float32)
        elif name != FACTS + "year":
            having = (matrix[there] != 0).sum(0)
            rarity = np.log((1 + there.sum()) / (1 + having)).astype(np.float32)
        weight = float(weights.get(name, WEIGHTS.get(name, OTHER)))
        share = 0.0 if weights.get(name, 1) == 0 else SHARES.get(name, 0.0)
        bare = Aspect(rarity, mean, np.zeros((0, dim), np.float32), weight, share)
        out[name] = replace(bare, landmarks=bare.rows(matrix[of]))
    return Lens(out, len(of), float(weights.get(TOGETHER, WEIGHTS[TOGETHER])))


def landmarks(known: Bools, most: int, seed: int) -> Ints:
    """At most so many of the known rows, by chance, ascending."""
    rows = np.flatnonzero(known)
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
    return rows.astype(np.int64)
