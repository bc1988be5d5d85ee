"""Sources that need no training: what is near the things a user liked, what is watched, and a varied set to start with.

Each is also a scorer of any item, so that a library answers before its first training and a new item at once. A trained
model is a source by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from matinee.pipeline.catalogue import Catalogue
from matinee.pipeline.filters import allowed, allowed_mask, first_allowed
from matinee.pipeline.popularity import Popularity
from matinee.pipeline.selectors import top_of
from matinee.pipeline.shelf import Shelf
from matinee.pipeline.taste import Told
from matinee.types import Candidates, Floats, History, Ints, Query

POWER = 0.5  # how fast the past fades, as in the trained content model
# An approximate look brings so many times more than is asked for, to be scored exactly: what eight bits leave open, and
# of several spaces what stands further down in one
SPARE, SPARE_OF_MANY = 1.25, 2.0


def found(items: Ints, score: Floats) -> Candidates:
    return Candidates(items, score, np.zeros(len(items), np.int64))


@dataclass(frozen=True, slots=True)
class Nearest:
    """Content: the cosine of an item with the weighted sum of what the user liked, around the mean of all items and
    over its spread, averaged over the spaces (text, frames, sound) in which both sides have a vector.

    The same measure as the trained content model, over the catalogue as it is now.
    """

    catalogue: Catalogue
    name: str = "nearest"

    def retrieve(self, query: Query, n: int) -> Candidates:
        """The best n of what is allowed: exactly, by one product of every shelf with its profile, O(size dim); of a
        large shelf the lists nearest to the profile are looked through."""
        profiles = self._profiles(query.history)
        if n <= 0 or not profiles:
            return found(np.empty(0, np.int64), np.empty(0, np.float32))
        near = self._near(query, profiles, n)
        if near is not None:
            return found(*near)
        rows = allowed(self.catalogue, query)
        total, count = np.zeros(self.catalogue.size, np.float32), np.zeros(self.catalogue.size, np.float32)
        for shelf, profile in profiles:
            total[shelf.rows] += shelf.against(profile)
            count[shelf.rows] += 1
        return found(*top_of(rows, _mean(total, count)[rows], n))

    def _near(self, query: Query, profiles: list[tuple[Shelf, Floats]], n: int) -> tuple[Ints, Floats] | None:
        """About the best n and their scores; None where an exact look is the better one: all shelves are small, or the
        request leaves too little for lists to be of use."""
        if not any(shelf.large for shelf, _ in profiles):
            return None
        mask = allowed_mask(self.catalogue, query)
        most = int(n * (SPARE if len(profiles) == 1 else SPARE_OF_MANY))
        parts = []
        for shelf, profile in profiles:
            if shelf.large:
                parts.append(shelf.lists.near(profile, most, mask)[0])
            else:
                here = shelf.rows[mask[shelf.rows]]
                parts.append(top_of(here, shelf.against(profile, here), most)[0])
        rows = np.sort(parts[0]) if len(parts) == 1 else np.unique(np.concatenate(parts))
        return top_of(rows, self._score(rows, profiles), n) if len(rows) >= n else None

    def score(self, query: Query, candidates: Candidates) -> Floats:
        return self._score(candidates.items, self._profiles(query.history))

    def _score(self, items: Ints, profiles: list[tuple[Shelf, Floats]]) -> Floats:
        total, count = np.zeros(len(items), np.float32), np.zeros(len(items), np.float32)
        for shelf, profile in profiles:
            places = shelf.places(items)
            product, has = shelf.each(profile[None], places), places >= 0
            if len(profiles) == 1 and has.all():
                return np.asarray(product[0], np.float32)
            total += product[0]
            count += has
        return _mean(total, count)

    def _profiles(self, history: History) -> list[tuple[Shelf, Floats]]:
        """By shelf the history's weighted sum over its length and the spread: a product with a centred unit vector is
        the score."""
        told = Told.of(history)
        profiles: list[tuple[Shelf, Floats]] = told.once(
            ("profiles", id(self.catalogue)), lambda: (self.catalogue, self._worked(told))
        )[1]
        return profiles

    def _worked(self, told: Told) -> list[tuple[Shelf, Floats]]:
        weight = told.weights(POWER)[0]
        profiles = []
        for shelf in self.catalogue.compared():
            total = weight @ _past(told, shelf)
            length = float(np.linalg.norm(total))
            if length > 1e-6:
                profiles.append((shelf, (total / (length * shelf.spread)).astype(np.float32)))
        return profiles

    def table(self, query: Query, items: Ints) -> NearestTable:
        told = Told.of(query.history)
        shelves = self.catalogue.compared()
        past = tuple(_past(told, shelf) for shelf in shelves)
        apart = self.catalogue.content() if any(not shelf.space.kind for shelf in shelves) else ()
        places = tuple(shelf.places(items) for shelf in shelves)
        return NearestTable(shelves, told, items, past, places, len(query.history), apart)

    def explain(self, query: Query, items: Ints) -> Floats:
        """(len(items), len(history)): the terms of ``score``, summing to it."""
        return sum(self.by_space(query, items).values(), np.zeros((len(items), len(query.history)), np.float32))

    def by_space(self, query: Query, items: Ints) -> dict[str, Floats]:
        """The terms of ``explain`` by space: what an item owes to which past item's text, pictures or sound."""
        return self.table(query, items).terms(np.arange(len(items)))

    def arrays(self) -> dict[str, Floats]:
        """Nothing: it is made anew from the catalogue, never stored."""
        return {}


@dataclass(frozen=True, slots=True)
class NearestTable:
    """By shelf the centred unit vectors of the past (m, dim) and the places of the candidates in it (n,), -1 where they
    have none. ``apart``: what a fused shelf was made of, among which its terms are shared out."""

    shelves: tuple[Shelf, ...]
    told: Told
    items: Ints
    past: tuple[Floats, ...]
    places: tuple[Ints, ...]
    history: int
    apart: tuple[Shelf, ...] = ()

    def scores(self, without: Sequence[int] = ()) -> Floats:
        """(1 + len(without), n) scores by the whole history, then without each named past item."""
        weights = self.told.weights(POWER, 1.0, without)
        total = np.zeros((len(weights), len(self.items)), np.float32)
        count = np.zeros_like(total)
        for shelf, past, places in zip(self.shelves, self.past, self.places, strict=True):
            profiles = weights @ past
            length = np.sqrt(np.einsum("kd,kd->k", profiles, profiles))
            speaks, has = length > 1e-6, places >= 0
            profiles /= np.where(speaks, length * np.float32(shelf.spread), np.float32(np.inf))[:, None]
            product = shelf.each(profiles, places)
            if len(self.shelves) == 1 and speaks.all() and has.all():
                return product
            total += product
            count += speaks[:, None] & has[None, :]
        return np.divide(total, count, out=np.full(total.shape, np.nan, np.float32), where=count > 0)

    def terms(self, picked: Ints) -> dict[str, Floats]:
        weight = self.told.weights(POWER)[0]
        found_: dict[str, Floats] = {}
        count = np.zeros(len(picked), np.float32)
        for shelf, past, places in zip(self.shelves, self.past, self.places, strict=True):
            length = float(np.linalg.norm(weight @ past))
            if length <= 1e-6:
                continue
            part = shelf.centred(self.items[picked]) @ past.T * weight / (length * shelf.spread)
            shares = {shelf.space.kind: np.float32(1)} if shelf.space.kind else self._shares(picked)
            for kind, share in shares.items():
                terms = found_.setdefault(kind, np.zeros((len(picked), self.history), np.float32))
                terms[:, self.told.at] += part * share
            count += places[picked] >= 0
        return {space: np.asarray(terms / np.maximum(count, 1)[:, None], np.float32) for space, terms in found_.items()}

    def _shares(self, picked: Ints) -> dict[str, Any]:
        """By kind (len(picked), len(told.items)) how much of a fused likeness is of text, pictures or sound: in
        proportion to the likeness of each, "" where they are unlike in all."""
        likeness: dict[str, Any] = {}
        for shelf in self.apart:
            cosine = shelf.centred(self.items[picked]) @ shelf.centred(self.told.items).T / shelf.spread
            likeness[shelf.space.kind] = likeness.get(shelf.space.kind, 0) + np.maximum(cosine, 0)
        total = sum(likeness.values(), np.zeros((len(picked), len(self.told.items)), np.float32))
        shares = {kind: part / np.maximum(total, 1e-9) for kind, part in likeness.items()}
        return {**shares, "": (total <= 1e-9).astype(np.float32)}


def _past(told: Told, shelf: Shelf) -> Floats:
    """The centred unit vectors of what was told, (m, dim)."""
    past: Floats = told.once(("centred", id(shelf)), lambda: (shelf, shelf.centred(told.items)))[1]
    return past


def _mean(total: Floats, count: Floats) -> Floats:
    mean = np.divide(total, count, out=np.full(len(total), np.nan, np.float32), where=count > 0)
    return np.asarray(mean, np.float32)


@dataclass(frozen=True)
class Popular:
    """What is watched, ever and lately, among what the request allows."""

    catalogue: Catalogue
    popularity: Popularity
    name: str = "popular"

    def retrieve(self, query: Query, n: int) -> Candidates:
        rows = first_allowed(self._order, self.catalogue, query, n)
        return found(rows, self.popularity.scores(rows))

    @cached_property
    def _order(self) -> Ints:
        """Every row that is alive and was watched, the most watched first. Once for each catalogue and count."""
        rows = self.catalogue.living
        return top_of(rows, self.popularity.scores(rows), len(rows))[0]

    def score(self, query: Query, candidates: Candidates) -> Floats:
        return self.popularity.scores(candidates.items)

    def explain(self, query: Query, items: Ints) -> Floats:
        return np.zeros((len(items), 0), np.float32)

    def arrays(self) -> dict[str, Floats]:
        return {}


@dataclass(frozen=True, slots=True)
class New:
    """The newest arrivals, newest first."""

    catalogue: Catalogue
    name: str = "new"

    def retrieve(self, query: Query, n: int) -> Candidates:
        rows = first_allowed(self.catalogue.order_of_arrival, self.catalogue, query, n)
        return found(rows, np.linspace(1, 0, len(rows), endpoint=False, dtype=np.float32))

    def score(self, query: Query, candidates: Candidates) -> Floats:
        return _by_rank(self.retrieve(query, self.catalogue.size).items, candidates.items)


class Counted(Protocol):
    """How much is watched: by everybody (``Popularity``) or by people like somebody (``groups.Lift``)."""

    def scores(self, rows: Ints) -> Floats: ...


@dataclass(frozen=True)
class Starter:
    """For a user of whom nothing is known: collections take turns, and within each its categories, each giving its most
    watched item that is not there yet, and its newest where nobody has watched anything. So a first slate shows what
    there is, and the first click says something."""

    catalogue: Catalogue
    popularity: Counted
    name: str = "starter"

    def retrieve(self, query: Query, n: int) -> Candidates:
        rows = first_allowed(self._whole, self.catalogue, query, n)
        return found(rows, np.linspace(1, 0, len(rows), endpoint=False, dtype=np.float32))

    def score(self, query: Query, candidates: Candidates) -> Floats:
        """1 for the first of the whole order down to 0; NaN for what the request does not allow."""
        items = candidates.items
        inside = (items >= 0) & (items < self.catalogue.size)
        rank = self._rank[np.where(inside, items, 0)]
        told = inside & (rank >= 0)
        told[told] &= allowed_mask(self.catalogue, query)[items[told]]
        return np.where(told, 1 - rank / max(len(self._whole), 1), np.nan).astype(np.float32)

    @cached_property
    def _rank(self) -> Ints:
        """(size,) the place of each row in the whole order; -1 where it has none."""
        rank = np.full(max(self.catalogue.size, 1), -1, np.int64)
        rank[self._whole] = np.arange(len(self._whole))
        return rank

    @cached_property
    def _whole(self) -> Ints:
        """Every row that is alive, in turns. O(size log size), once for each catalogue and count."""
        rows = self.catalogue.living
        liked = np.nan_to_num(self.popularity.scores(rows), nan=-1.0)
        rows = rows[np.lexsort((-rows, -self.catalogue.released[rows], -liked))]
        collection, category = self.catalogue.collection[rows], self.catalogue.rarest[rows]
        # first come, first served within a category; then the categories of a collection take turns; then collections
        turn = _places(np.stack([collection, category]))
        order = np.lexsort((np.arange(len(rows)), turn, collection))
        place = np.empty(len(rows), np.int64)
        place[order] = _places(collection[order][None])
        rows = rows[np.lexsort((collection, place))]
        nameless = self.catalogue.nameless[rows]  # tell a stranger nothing: after all others
        return np.concatenate([rows[~nameless], rows[nameless]])


def _places(groups: Ints) -> Ints:
    """(n,) how many before each one belong to the same group; ``groups`` (k, n) names it by k numbers."""
    n = groups.shape[1]
    order = np.lexsort((np.arange(n), *groups))
    change = np.ones(n, np.bool_)
    change[1:] = (np.diff(groups[:, order], axis=1) != 0).any(axis=0)
    starts = np.flatnonzero(change)
    place = np.empty(n, np.int64)
    place[order] = np.arange(n) - np.repeat(starts, np.diff(np.append(starts, n)))
    return place


def _by_rank(order: Ints, items: Ints) -> Floats:
    """1 for the first of ``order`` down to 0; NaN for items that are not in it."""
    place = np.full(max(order.max(initial=-1), items.max(initial=-1)) + 1, -1, np.int64)
    place[order] = np.arange(len(order))
    ranks = place[items]
    return np.where(ranks < 0, np.nan, 1 - ranks / max(len(order), 1)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Everything:
    """Under a limit of collection, category or filter text, what it allows: a narrow limit must not depend on what the
    others fetch. Nothing where there is no such limit."""

    catalogue: Catalogue
    name: str = "catalogue"

    def retrieve(self, query: Query, n: int) -> Candidates:
        limited = bool(query.limits.collection or query.limits.categories or query.limits.where)
        rows = allowed(self.catalogue, query)[:n] if limited else np.empty(0, np.int64)
        return found(rows, np.full(len(rows), np.nan, np.float32))
