"""One vector of an item from its text, pictures and sound, as the release in force makes it: for every item of the
catalogue, and for a new one at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from matinee.types import Floats, Ints, Space

FUSED = "fused"


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

    def rows(self, shelves: Mapping[str, Vectors], rows: Ints) -> Floats:
        """(n, dim) fused vectors of item rows; NaN where an item has nothing to fuse."""
        known = {name: shelves[name] for name, key in self.spaces.items() if name in shelves}
        features = {name: s.take(rows) for name, s in known.items() if s.space.key == self.spaces[name]}
        if not features:
            return np.full((len(rows), self.fuser.dim), np.nan, np.float32)
        return self.fuser.fuse(features)
