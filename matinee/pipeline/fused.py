"""One vector of an item from its text, pictures and sound, as the release in force makes it: for every item of the
catalogue, and for a new one at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from matinee.types import Bools, Floats, Ints, Space

FUSED = "fused"
BLOCK = 4096  # items fused at a time


class Fuses(Protocol):
    """``matinee.encoders.fuse.Fuser``."""

    @property
    def dim(self) -> int: ...
    def fuse(self, features: Mapping[str, Floats]) -> Floats:
        """(n, dim) unit rows of {modality: (n, dim_m)}; NaN rows where nothing is known."""
        ...


class Vectors(Protocol):
    """The vectors of a space (``Shelf``)."""

    @property
    def space(self) -> Space: ...
    def take(self, rows: Ints) -> Floats: ...


@dataclass(frozen=True, slots=True)
class Fusion:
    """``fuser`` of a release, ``made`` in it; ``spaces``: by modality the key of the space it was fitted on. A modality
    that another encoder has read since counts as missing: its vectors mean something else."""

    fuser: Fuses
    spaces: Mapping[str, str]
    made: str

    @property
    def space(self) -> Space:
        return Space(FUSED, self.made, self.fuser.dim)

    def rows(self, shelves: Mapping[str, Vectors], rows: Ints, former: Mapping[str, Vectors] | None = None) -> Floats:
        """(n, dim) fused vectors of item rows; NaN where an item has nothing to fuse. ``former``: shelves with fused
        vectors of this very fusion, which are taken for the items that have changed in nothing."""
        used = self._used(shelves)
        out = np.full((len(rows), self.fuser.dim), np.nan, np.float32)
        old = former if former and FUSED in former and former[FUSED].space == self.space else None
        if old is not None and self._used(old) != used:
            old = None
        for at in range(0, len(rows) if used else 0, BLOCK):
            part = rows[at : at + BLOCK]
            features = {m: shelves[m].take(part) for m in used}
            fresh = np.ones(len(part), bool)
            if old is not None:
                fresh = np.any([unlike(features[m], old[m].take(part)) for m in used], axis=0)
                out[at : at + BLOCK] = old[FUSED].take(part)
            if fresh.any():
                out[at + np.flatnonzero(fresh)] = self.fuser.fuse({m: x[fresh] for m, x in features.items()})
        return out

    def _used(self, shelves: Mapping[str, Vectors]) -> list[str]:
        return [m for m, key in self.spaces.items() if m in shelves and shelves[m].space.key == key]


def unlike(rows: Floats, others: Floats) -> Bools:
    """(n,) where two rows differ; NaN is like NaN."""
    return np.asarray(((rows != others) & ~(np.isnan(rows) & np.isnan(others))).any(axis=1), bool)
