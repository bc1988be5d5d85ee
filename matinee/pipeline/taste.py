"""What a history says, once, in a form from which the scores without one past item cost next to nothing."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from matinee.types import Floats, History, Ints, Query


@dataclass(frozen=True, slots=True)
class Told:
    """A history as opinions, each item once, oldest first: ``at`` (m,) positions in the history, ``items`` (m,) rows,
    ``strength`` (m,) float32 damped opinions, negative where disliked.

    By the rules that models are trained with (``matinee.models.common.taste``): an item stands at its latest place
    with its strongest opinion, and of a strength the square root counts.
    """

    at: Ints
    items: Ints
    strength: Floats

    @staticmethod
    def of(history: History) -> Told:
        """Kept for the history that this thread asked for last: every expert of a request asks for the same."""
        if LAST.history is not history:
            LAST.told, LAST.history = Told._of(history), history
        return LAST.told

    @staticmethod
    def _of(history: History) -> Told:
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

    def below(self, n_items: int) -> Told:
        """Only the items that a model of ``n_items`` rows can know; the others take no rank."""
        if not len(self.items) or int(self.items.max()) < n_items:
            return self
        inside = self.items < n_items
        return Told(self.at[inside], self.items[inside], self.strength[inside])

    def weights(self, power: float, decay: float = 1.0, without: Sequence[int] = ()) -> Floats:
        """(1 + len(without), m) float32: strength x (1 + rank)^-power x decay^rank, rank 0 being the newest; first of
        the whole history, then as if each named item had never been touched: older ones move up a rank."""
        m = len(self.items)
        rank = np.arange(m)[::-1]
        ranks = np.broadcast_to(rank, (1 + len(without), m)).copy()
        gone = np.zeros((1 + len(without), m), np.bool_)
        if len(without):
            gone[1:] = self.items[None, :] == np.asarray(without, np.int64)[:, None]
            newer = np.cumsum(gone[:, ::-1], axis=1)[:, ::-1]
            ranks -= newer * ~gone
        fade = (1.0 + np.arange(m + 1)) ** -power * decay ** np.arange(m + 1)
        weights = (self.strength * fade[ranks]).astype(np.float32)
        weights[gone] = 0.0
        return weights


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
