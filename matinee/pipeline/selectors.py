"""Selectors: which of the scored candidates make the slate, and in which order. They see the whole slate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from matinee.index.exact import highest
from matinee.kernels import compiled
from matinee.pipeline.catalogue import Catalogue
from matinee.protocols import Selector
from matinee.types import Bools, Candidates, Doubles, Floats, Ints, Query

LEAD, TEN = 9, 10  # of every ten places, those that go by score alone: docs/benchmarks-quality.md


@dataclass(frozen=True, slots=True)
class Top:
    """By score alone; no opinion sinks; ties keep the order of the pool."""

    name: str = "top"

    def select(self, query: Query, candidates: Candidates, n: int) -> Ints:
        return best_first(candidates.score, n)


def by_score(score: Floats) -> Ints:
    """Positions by score, highest first, NaN last, ties by position."""
    return best_first(score, len(score))


def best_first(score: Floats, n: int) -> Ints:
    """The first n of ``by_score``."""
    told = highest(score, n)
    if len(told) == min(n, len(score)):
        return told
    return np.concatenate([told, np.flatnonzero(np.isnan(score))[: n - len(told)]])


@dataclass(frozen=True, slots=True)
class MMR:
    """Maximal marginal relevance (Carbonell and Goldstein 1998, section 2): each pick maximises
    ``(1 - diversity) relevance - diversity max similarity to what is picked``.

    Of every ten places the first ``lead`` go by score alone, which costs the top of the list nothing and leaves most of
    the variety; a request that asks for a diversity of its own gets it in every place.

    Relevance is the score stretched to [0, 1] over the ``window`` best candidates; the similarity is the mean cosine
    over the spaces that both items have, around their mean and over their spread, cut to [0, 1]. Diversity 0 gives
    the order of relevance. O(n window dim): each pick costs one product of the window with one vector per space.
    """

    catalogue: Catalogue
    diversity: float = 0.2
    window: int = 200
    lead: int = 0
    name: str = "mmr"

    def select(self, query: Query, candidates: Candidates, n: int) -> Ints:
        asked = query.controls.diversity
        diversity = self.diversity if asked is None else min(max(asked, 0.0), 1.0)
        if diversity == 0 or n <= 1:
            return best_first(candidates.score, n)
        order = best_first(candidates.score, max(self.window, 2 * n))
        told = ~np.isnan(candidates.score[order])
        if not told.any():  # nothing has a score: the order of the pool is all that is known
            told = np.ones(len(order), np.bool_)
            relevance = np.linspace(1.0, 0.0, len(order), dtype=np.float32)
        else:
            relevance = stretched(candidates.score[order])
        weight = np.full(n, diversity)
        if asked is None and self.lead:
            weight[np.arange(n) % TEN < self.lead] = 0.0
        picked = self._pick(candidates.items[order[told]], relevance[told], weight)
        rest = order[~told][: n - len(picked)]
        return np.concatenate([order[told][picked], rest])

    def _pick(self, items: Ints, relevance: Floats, weight: Doubles) -> Ints:
        shelves = self.catalogue.content()
        if (loops := compiled()) is not None and len(shelves) == 1:
            shelf, picked = shelves[0], np.empty(len(weight), np.int64)
            places, unit = shelf.places(items), 4 * shelf.spread
            if (places >= 0).all():
                n = loops.diverse(shelf.vectors, shelf.scale, shelf.mean, places, relevance, weight, unit, picked)
                return picked[:n]
        return self._picked(items, relevance, weight)

    def _picked(self, items: Ints, relevance: Floats, weight: Doubles) -> Ints:
        similarity = Similarity.of(self.catalogue, items)
        worst = np.zeros(len(items), np.float32)  # the highest similarity to what is picked
        left = np.ones(len(items), np.bool_)
        chosen: list[int] = []
        weight = weight[: len(items)]
        while len(chosen) < len(weight):
            diversity = float(weight[len(chosen)])
            if diversity:
                gain = (1 - diversity) * relevance - diversity * worst
                gain[~left] = -np.inf
                new = np.array([np.argmax(gain)], np.int64)
            else:  # the best that are left, as many as go by score alone, at once: relevance falls along the window
                until = np.flatnonzero(weight[len(chosen) :])
                new = np.flatnonzero(left)[: int(until[0]) if len(until) else len(weight) - len(chosen)]
            chosen += new.tolist()
            left[new] = False
            if len(chosen) < len(weight):
                np.maximum(worst, similarity.to(new), out=worst)
        return np.asarray(chosen, np.int64)


def stretched(score: Floats) -> Floats:
    """Scores on [0, 1] over those that are not NaN; all 1 when they are equal."""
    low, high = np.nanmin(score), np.nanmax(score)
    return np.ones_like(score) if high <= low else ((score - low) / (high - low)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Similarity:
    """How alike some items are by content: centred unit vectors by space, zero where an item has none, and who has
    one."""

    n: int
    vectors: tuple[Floats, ...]
    has: tuple[Bools, ...]
    spread: tuple[float, ...]
    every: bool  # whether all have a vector in each space

    @staticmethod
    def of(catalogue: Catalogue, items: Ints) -> Similarity:
        shelves = catalogue.content()
        has = tuple(shelf.has(items) for shelf in shelves)
        vectors = tuple(shelf.centred(items) for shelf in shelves)
        every = all(bool(own.all()) for own in has)
        return Similarity(len(items), vectors, has, tuple(shelf.spread for shelf in shelves), every)

    def to(self, positions: Ints) -> Floats:
        """(n,) the highest likeness to any of some positions, in [0, 1]: 0 is as alike as two random items or unknown,
        1 is four deviations closer than that."""
        if len(self.vectors) == 1 and self.every:
            cosine = self.vectors[0] @ self.vectors[0][positions].T
            highest = cosine.max(axis=1) / np.float32(4 * self.spread[0])
            return np.asarray(np.minimum(np.maximum(highest, 0.0), 1.0), np.float32)
        total = np.zeros((self.n, len(positions)), np.float32)
        count = np.zeros_like(total)
        for vectors, has, spread in zip(self.vectors, self.has, self.spread, strict=True):
            both = has[:, None] & has[positions]
            total += np.where(both, vectors @ vectors[positions].T / spread, 0)
            count += both
        value = np.divide(total, 4 * count, out=np.zeros_like(total), where=count > 0)
        return np.asarray(np.clip(value.max(axis=1), 0.0, 1.0), np.float32)


@dataclass(frozen=True, slots=True)
class Capped:
    """``inner``, but at most ``per_creator`` items of one creator and ``per_category`` of one category (an item counts
    in its rarest) among the first n; 0 is no cap. What is over a cap comes after all that is not."""

    inner: Selector
    catalogue: Catalogue
    per_creator: int = 0
    per_category: int = 0
    name: str = "capped"

    def select(self, query: Query, candidates: Candidates, n: int) -> Ints:
        order = self.inner.select(query, candidates, min(4 * n, len(candidates)))
        rows = candidates.items[order]
        over = np.zeros(len(order), np.bool_)
        for cap, groups in ((self.per_creator, self.catalogue.creator), (self.per_category, self.catalogue.rarest)):
            if cap:
                over |= _beyond(groups[rows], cap, over)
        return np.concatenate([order[~over], order[over]])[:n]


def _beyond(groups: Ints, cap: int, already: Bools) -> Bools:
    """(n,) whether a cap of each group is full before a position; group -1 has none."""
    taken: dict[int, int] = {}
    over = np.zeros(len(groups), np.bool_)
    for i, group in enumerate(groups.tolist()):
        if group < 0 or already[i]:
            continue
        over[i] = taken.get(group, 0) >= cap
        taken[group] = taken.get(group, 0) + (not over[i])
    return over


def top_of(items: Ints, score: Floats, n: int) -> tuple[Ints, Floats]:
    """The n items with the highest scores, best first, without those that have none."""
    top = highest(score, n)
    return items[top], score[top]
