"""Filters: what may not be in the answer. Each is a mask over the candidates; none scores, so their order cannot
matter."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from matinee.pipeline.catalogue import Catalogue
from matinee.pipeline.places import MARKS
from matinee.types import EVENT_KINDS, Bools, Candidates, History, Ints, Query

# A save is for later, a skip and an impression were not watched: these items may come again.
SEEN = tuple(EVENT_KINDS.index(k) for k in ("play", "finish", "like", "dislike", "rating", "comment", "share", "hide"))
DONE = tuple(EVENT_KINDS.index(k) for k in ("finish", "rating", "hide", "dislike"))
HIDDEN = tuple(EVENT_KINDS.index(k) for k in ("hide", "dislike"))


@dataclass(frozen=True, slots=True)
class Alive:
    """The item exists and was not deleted."""

    catalogue: Catalogue
    name: str = "alive"

    def keep(self, query: Query, candidates: Candidates) -> Bools:
        rows = candidates.items
        inside = (rows >= 0) & (rows < self.catalogue.size)
        if inside.all():
            return self.catalogue.alive[rows]
        inside[inside] = self.catalogue.alive[rows[inside]]
        return inside


@dataclass(frozen=True, slots=True)
class Seen:
    """Not watched, rated or talked about before."""

    name: str = "seen"

    def keep(self, query: Query, candidates: Candidates) -> Bools:
        return ~_in_history(query, candidates, SEEN)


@dataclass(frozen=True, slots=True)
class Hidden:
    """Not hidden or disliked; both are final, whatever came after."""

    name: str = "hidden"

    def keep(self, query: Query, candidates: Candidates) -> Bools:
        return ~_in_history(query, candidates, HIDDEN)


def _in_history(query: Query, candidates: Candidates, kinds: tuple[int, ...]) -> Bools:
    return among(candidates.items, query.history.items[of_kinds(query.history, kinds)])


def of_kinds(history: History, kinds: tuple[int, ...]) -> Bools:
    """(len(history),) which events are of some kinds."""
    return _wanted(kinds)[history.kinds]


@cache
def _wanted(kinds: tuple[int, ...]) -> Bools:
    wanted = np.zeros(len(EVENT_KINDS), np.bool_)
    wanted[list(kinds)] = True
    return wanted


def among(items: Ints, others: Ints) -> Bools:
    """(len(items),) whether each row is one of the others."""
    return MARKS.among(items, others)


@dataclass(frozen=True, slots=True)
class InCollection:
    catalogue: Catalogue
    name: str = "collection"

    def keep(self, query: Query, candidates: Candidates) -> Bools:
        if not query.limits.collection:
            return np.ones(len(candidates), np.bool_)
        same: Bools = self.catalogue.collection[candidates.items] == _collection(self.catalogue, query)
        return same


@dataclass(frozen=True, slots=True)
class InCategories:
    """In any of the categories that were asked for."""

    catalogue: Catalogue
    name: str = "category"

    def keep(self, query: Query, candidates: Candidates) -> Bools:
        if not query.limits.categories:
            return np.ones(len(candidates), np.bool_)
        return np.isin(candidates.items, _in_any(self.catalogue, query))


@dataclass(frozen=True, slots=True)
class Excluded:
    """Not among the items that the asker named."""

    name: str = "exclude"

    def keep(self, query: Query, candidates: Candidates) -> Bools:
        if not query.limits.exclude:
            return np.ones(len(candidates), np.bool_)
        return ~among(candidates.items, np.asarray(query.limits.exclude, np.int64))


@dataclass(frozen=True, slots=True)
class Where:
    """What the filter text of the request holds of."""

    catalogue: Catalogue
    name: str = "where"

    def keep(self, query: Query, candidates: Candidates) -> Bools:
        if not query.limits.where:
            return np.ones(len(candidates), np.bool_)
        return self.catalogue.where(query.limits.where)[candidates.items]


@dataclass(frozen=True, slots=True)
class Shown:
    """Not on an earlier page of the same list."""

    name: str = "shown"

    def keep(self, query: Query, candidates: Candidates) -> Bools:
        if not query.limits.shown:
            return np.ones(len(candidates), np.bool_)
        return ~among(candidates.items, np.asarray(query.limits.shown, np.int64))


@dataclass(frozen=True, slots=True)
class Rested:
    """Where repeats are welcome, as in music: not played within the last ``seconds``."""

    seconds: float = 7200.0
    name: str = "rested"

    def keep(self, query: Query, candidates: Candidates) -> Bools:
        lately = (query.history.at > query.now - self.seconds) & of_kinds(query.history, SEEN)
        return ~among(candidates.items, query.history.items[lately])


@dataclass(frozen=True, slots=True)
class Unfinished:
    """Not watched to the end: what was only begun may come again."""

    name: str = "finished"

    def keep(self, query: Query, candidates: Candidates) -> Bools:
        return ~_in_history(query, candidates, DONE)


@dataclass(frozen=True, slots=True)
class LiveNow:
    """On at this moment: ``properties.live_from`` <= now < ``properties.live_until``, in Unix seconds."""

    catalogue: Catalogue
    name: str = "live"

    def keep(self, query: Query, candidates: Candidates) -> Bools:
        begun, ended = self.catalogue.live
        on: Bools = (begun[candidates.items] <= query.now) & (query.now < ended[candidates.items])
        return on


@dataclass(frozen=True, slots=True)
class Out:
    """Released and not yet expired at the time of the request."""

    catalogue: Catalogue
    name: str = "released"

    def keep(self, query: Query, candidates: Candidates) -> Bools:
        if not self.catalogue.timed:
            return np.ones(len(candidates), np.bool_)
        released, expires = self.catalogue.released[candidates.items], self.catalogue.expires[candidates.items]
        return (released <= query.now) & (query.now < expires)


def allowed(catalogue: Catalogue, query: Query) -> Ints:
    """All rows that collection, category, filter text, release and life allow: where a source may look. O(size), or
    nothing when there is no limit."""
    mask = allowed_mask(catalogue, query)
    return catalogue.living if mask is catalogue.alive else np.flatnonzero(mask).astype(np.int64)


def allowed_mask(catalogue: Catalogue, query: Query) -> Bools:
    """(size,) the same as a mask. Not to be changed: without limits it is the catalogue's own."""
    limits = query.limits
    if not (catalogue.timed or limits.collection or limits.categories or limits.where):
        return catalogue.alive
    mask: Bools = catalogue.alive & (catalogue.released <= query.now) & (query.now < catalogue.expires)
    if query.limits.collection:
        mask &= catalogue.collection == _collection(catalogue, query)
    if query.limits.categories:
        inside = np.zeros(catalogue.size, np.bool_)
        inside[_in_any(catalogue, query)] = True
        mask &= inside
    if query.limits.where:
        mask &= catalogue.where(query.limits.where)
    return mask


def _collection(catalogue: Catalogue, query: Query) -> int:
    names = catalogue.collections
    return names.index(query.limits.collection) if query.limits.collection in names else -2


def _in_any(catalogue: Catalogue, query: Query) -> Ints:
    none = np.empty(0, np.int64)
    return np.concatenate([none, *(catalogue.categories.get(c, none) for c in query.limits.categories)])


def first_allowed(order: Ints, catalogue: Catalogue, query: Query, n: int) -> Ints:
    """The first n of an order of rows that the request allows. O(n) where most are allowed, O(size) otherwise."""
    mask = allowed_mask(catalogue, query)
    start = order[: 4 * n]
    found = start[mask[start]]
    return found[:n] if len(found) >= n or len(start) == len(order) else order[mask[order]][:n]
