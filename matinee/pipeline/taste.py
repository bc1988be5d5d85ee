"""What a history says, once, in a form from which the scores without one past item cost next to nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np

from matinee.kernels import compiled
from matinee.pipeline.places import PLACES
from matinee.types import Doubles, Floats, History, Ints, Query


@dataclass(frozen=True, slots=True)
class Told:
    """A history as opinions, each item once, oldest first: ``at`` (m,) positions in the history, ``items`` (m,) rows,
    ``strength`` (m,) float32 damped opinions, negative where disliked.

    By the rules that models are trained with (``matinee.models.common.taste``): an item stands at its latest place
    with its strongest opinion, and of a strength the square root counts. ``kept``: what the stages of a request worked
    out of it, so that none does it twice; it goes when the history goes.
    """

    at: Ints
    items: Ints
    strength: Floats
    kept: dict[Hashable, Any] = field(default_factory=dict, compare=False, repr=False)

    @staticmethod
    def of(history: History) -> Told:
        """Kept for the history that this thread asked for last: every expert of a request asks for the same."""
        if LAST.history is not history:
            LAST.told, LAST.history = Told._of(history), history
        return LAST.told

    @staticmethod
    def _of(history: History) -> Told:
        if (loops := compiled()) is not None:
            items, strength = np.ascontiguousarray(history.items), np.ascontiguousarray(history.strength, np.float32)
            at, own = np.empty(len(items), np.int64), np.empty(len(items), np.float32)
            m = loops.told(items, strength, PLACES.of(1 + int(items.max(initial=-1))), at, own)
            return Told(at[:m], items[at[:m]], own[:m])
        says = np.flatnonzero((history.strength != 0) & (history.items >= 0))
        if not len(says):
            none = np.empty(0, np.int64)
            return Told(none, none, np.empty(0, np.float32))
        items, strength = history.items[says], history.strength[says]
        strongest = np.lexsort((-says, -np.abs(strength), items))
        first = np.r_[True, np.diff(items[strongest]) != 0]
        strength = strength[strongest][first]
        latest = np.maximum.reduceat(says[strongest], np.flatnonzero(first))
        order = np.argsort(latest)
        at, strength = latest[order].astype(np.int64), strength[order]
        damped = (np.sign(strength) * np.sqrt(np.abs(strength))).astype(np.float32)
        return Told(at, history.items[at], damped)

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What ``make`` gives, made when it is first asked for. A key with an ``id`` wants the object in the value, or
        another may get its number."""
        if key not in self.kept:
            self.kept[key] = make()
        return self.kept[key]

    def below(self, n_items: int) -> Told:
        """Only the items that a model of ``n_items`` rows can know; the others take no rank."""
        if self.once("highest", lambda: int(self.items.max(initial=-1))) < n_items:
            return self
        below: Told = self.once(("below", n_items), lambda: self._below(n_items))
        return below

    def _below(self, n_items: int) -> Told:
        inside = self.items < n_items
        return Told(self.at[inside], self.items[inside], self.strength[inside])

    def weights(self, power: float, decay: float = 1.0, without: Sequence[int] = ()) -> Floats:
        """(1 + len(without), m) float32: strength x (1 + rank)^-power x decay^rank, rank 0 being the newest; first of
        the whole history, then as if each named item had never been touched: older ones move up a rank. Not to be
        changed: it is kept."""
        key = "weights", power, decay, tuple(without)
        weights: Floats = self.once(key, lambda: self._weights(power, decay, without))
        return weights

    def _weights(self, power: float, decay: float, without: Sequence[int]) -> Floats:
        m = len(self.items)
        if (loops := compiled()) is not None:
            faded = np.empty((1 + len(without), m), np.float32)
            loops.faded(self.items, self.strength, fading(power, decay, m), np.asarray(without, np.int64), faded)
            faded.setflags(write=False)
            return faded
        rank = np.arange(m)[::-1]
        ranks = np.broadcast_to(rank, (1 + len(without), m)).copy()
        gone = np.zeros((1 + len(without), m), np.bool_)
        if len(without):
            gone[1:] = self.items[None, :] == np.asarray(without, np.int64)[:, None]
            newer = np.cumsum(gone[:, ::-1], axis=1)[:, ::-1]
            ranks -= newer * ~gone
        weights = (self.strength * fading(power, decay, m)[ranks]).astype(np.float32)
        weights[gone] = 0.0
        weights.setflags(write=False)
        return weights


def fading(power: float, decay: float, m: int) -> Doubles:
    """By rank, at least (m,), what an event of that rank weighs."""
    return _fading(power, decay, 1 << (max(m, 255)).bit_length())


@lru_cache(maxsize=64)
def _fading(power: float, decay: float, m: int) -> Doubles:
    rank = np.arange(m)
    fade: Doubles = (1.0 + rank) ** -power * decay**rank
    fade.setflags(write=False)
    return fade


class Last(threading.local):
    history: History | None = None
    told: Told = Told(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))


LAST = Last()


def forget() -> None:
    """Nothing of a person stays in memory when a request is over."""
    LAST.history, LAST.told = None, Last.told


def without(query: Query, item: int) -> Query:
    """The query as if this item had never been touched."""
    history = query.history
    keep = history.items != item
    rest = History(history.items[keep], history.at[keep], history.strength[keep], history.kinds[keep])
    return replace(query, history=rest)
