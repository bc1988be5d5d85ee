"""The vectors of one space, by item row, in the form that requests need."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from matinee.index.exact import ExactIndex
from matinee.index.lists import Lists
from matinee.kernels import compiled
from matinee.types import Bools, Floats, Ints, Space

LATE = 50  # when one in so many vectors has come since the lists were made, they are made anew
LARGE = 50_000  # vectors of a space from which requests look through the nearest lists instead of all


@dataclass(frozen=True)
class Shelf:
    """The vectors of one space: ``rows`` (m,) ascending, ``vectors`` (m, dim) unit rows, ``place`` (size,) the position
    of an item row among them or -1.

    Items are compared around ``mean`` (dim,), what all items of the space share, or everything looks alike; ``scale``
    (m,) is one over the length of vector minus mean. ``spread`` is the deviation of such a centred cosine between two
    random items: divided by it, cosines of different spaces are equally far out.
    """

    space: Space
    rows: Ints
    vectors: Floats
    place: Ints
    mean: Floats
    scale: Floats
    spread: float

    @staticmethod
    def build(space: Space, rows: Ints, vectors: Floats, size: int) -> Shelf:
        index = ExactIndex.build(rows, vectors)
        place = np.full(size, -1, np.int64)
        place[index.rows] = np.arange(len(index.rows))
        # of one or two items the mean is no common part but the items themselves
        few = len(index.rows) < 3
        mean = np.zeros(space.dim, np.float32) if few else index.vectors.mean(axis=0, dtype=np.float32)
        scale = _scale(index.vectors, mean)
        return Shelf(space, index.rows, index.vectors, place, mean, scale, _spread(index.vectors, mean, scale))

    @cached_property
    def index(self) -> ExactIndex:
        return ExactIndex(self.rows, self.vectors)

    @property
    def large(self) -> bool:
        return len(self.rows) >= LARGE

    @cached_property
    def lists(self) -> Lists:
        """The centred unit vectors in lists by nearness: a second copy of them. About 1 s for 100,000 x 128."""
        return Lists.build(self.rows, (self.vectors - self.mean) * self.scale[:, None])

    def places(self, rows: Ints) -> Ints:
        """(n,) where the vectors of item rows stand; -1 where an item has none."""
        inside = (rows >= 0) & (rows < len(self.place))
        if inside.all():
            return self.place[rows]
        places = np.full(len(rows), -1, np.int64)
        places[inside] = self.place[rows[inside]]
        return places

    def has(self, rows: Ints) -> Bools:
        return self.places(rows) >= 0

    def take(self, rows: Ints) -> Floats:
        """(n, dim) vectors of item rows; NaN where an item has none."""
        known = self.has(rows)
        if known.all():
            return self.vectors[self.place[rows]]
        taken = np.full((len(rows), self.vectors.shape[1]), np.nan, np.float32)
        taken[known] = self.vectors[self.place[rows[known]]]
        return taken

    def centred(self, rows: Ints) -> Floats:
        """(n, dim) unit vectors around the mean; 0 where an item has none."""
        known = self.has(rows)
        every = bool(known.all())
        places = self.place[rows if every else rows[known]]
        own = self.vectors[places]
        own -= self.mean
        own *= self.scale[places, None]
        if every:
            return own
        taken = np.zeros((len(rows), self.vectors.shape[1]), np.float32)
        taken[known] = own
        return taken

    def against(self, profile: Floats, rows: Ints | None = None) -> Floats:
        """(n,) products of a vector (dim,) with the centred unit vectors of ``rows``, all of which must have one; of
        the whole shelf where None. Copies no vectors for the whole shelf."""
        if rows is None:
            return np.asarray((self.vectors @ profile - float(self.mean @ profile)) * self.scale, np.float32)
        out: Floats = self.each(profile[None], self.place[rows])[0]
        return out

    def each(self, profiles: Floats, places: Ints) -> Floats:
        """(k, len(places)) products of vectors (k, dim) with the centred unit vectors at some places of the shelf; 0 at
        place -1."""
        shared = profiles @ self.mean
        if (loops := compiled()) is not None:
            out = np.empty((len(profiles), len(places)), np.float32)
            loops.against(self.vectors, self.scale, places, np.ascontiguousarray(profiles, np.float32), shared, out)
            return out
        scale = np.where(places >= 0, self.scale[places], np.float32(0))
        return np.asarray((profiles @ self.vectors[places].T - shared[:, None]) * scale, np.float32)

    def with_vector(self, row: int, vector: Floats, size: int) -> Shelf:
        """A new shelf in which an item has this vector; the mean stays where there are many. Copies the arrays."""
        at = int(np.searchsorted(self.rows, row))
        if at < len(self.rows) and self.rows[at] == row:
            rows, vectors, scale = self.rows, self.vectors.copy(), self.scale.copy()
            vectors[at] = vector
        else:
            rows, vectors = np.insert(self.rows, at, row), np.insert(self.vectors, at, vector, axis=0)
            scale = np.insert(self.scale, at, 0.0)
        if len(rows) < 1000:
            return Shelf.build(self.space, rows, vectors, size)
        place = np.full(size, -1, np.int64)
        place[rows] = np.arange(len(rows))
        scale[at] = _scale(vector[None], self.mean)[0]
        shelf = Shelf(self.space, rows, vectors, place, self.mean, scale, self.spread)
        if "lists" in self.__dict__ and len(self.lists.late_rows) < len(rows) // LATE:
            shelf.__dict__["lists"] = self.lists.with_row(row, (vector - self.mean) * scale[place[row]])
        return shelf


def _scale(vectors: Floats, mean: Floats) -> Floats:
    length = np.linalg.norm(vectors - mean, axis=1)
    scale = np.divide(1.0, length, out=np.zeros(len(vectors)), where=length > 1e-6)
    return np.asarray(scale, np.float32)


def _spread(vectors: Floats, mean: Floats, scale: Floats) -> float:
    """Deviation of centred cosines between random pairs; 1 where there are too few to tell."""
    if len(vectors) < 3:
        return 1.0
    chance = np.random.default_rng(0)
    a, b = chance.integers(0, len(vectors), (2, 2000))
    a, b = a[a != b], b[a != b]
    cosines = np.einsum("ij,ij->i", vectors[a] - mean, vectors[b] - mean) * scale[a] * scale[b]
    return float(max(cosines.std(), 0.02))


def with_vector(old: Shelf | None, space: Space, row: int, vector: Floats, size: int) -> Shelf:
    """The shelf of a space, which may be new, in which an item has this vector (dim,). Copies the arrays."""
    if old is None or old.space != space:
        old = Shelf.build(space, np.empty(0, np.int64), np.empty((0, space.dim), np.float32), size)
    return old.with_vector(row, vector, size)


def grown(old: Shelf, size: int) -> Shelf:
    """The shelf for so many rows, with its lists where it has any."""
    if len(old.place) == size:
        return old
    shelf = replace(old, place=np.append(old.place, np.full(size - len(old.place), -1, np.int64)))
    shelf.__dict__.update((name, made) for name, made in old.__dict__.items() if name == "lists")
    return shelf
