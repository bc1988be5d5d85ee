"""What models share: the best n of a score, a history as weighted items, the positive part of a log."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from matinee.types import Candidates, Doubles, Floats, History, Interactions, Ints


def top(scores: Floats, n: int) -> Candidates:
    """The best n of (n_items,) scores as candidates, best first; equal scores by row; NaN is never among them.

    O(n_items) for the partition and O(n log n) for the order.
    """
    opinion = np.flatnonzero(~np.isnan(scores))
    if n <= 0 or not len(opinion):
        return Candidates(np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.int64))
    values = scores[opinion]
    if n < len(opinion):
        # everything above the n-th value, then ties at it by row: argpartition alone would choose among ties by chance
        bar = np.partition(values, len(values) - n)[len(values) - n]
        above, level = np.flatnonzero(values > bar), np.flatnonzero(values == bar)
        kept = np.concatenate([above, level[: n - len(above)]])
        opinion, values = opinion[kept], values[kept]
    order = np.lexsort((opinion, -values))
    items = opinion[order].astype(np.int64)
    return Candidates(items, values[order].astype(np.float32), np.zeros(len(items), np.int64))


def pick(scores: Floats, items: Ints) -> Floats:
    """(..., len(items)) float32 of (..., n_items) scores; NaN for rows that they do not reach."""
    out = np.full((*scores.shape[:-1], len(items)), np.nan, np.float32)
    inside = (items >= 0) & (items < scores.shape[-1])
    out[..., inside] = scores[..., items[inside]]
    return out


def silence(n: int) -> Floats:
    """(n,) of NaN: no opinion."""
    return np.full(n, np.nan, np.float32)


@dataclass(frozen=True, slots=True)
class Taste:
    """A history as weighted items, each item once: ``at`` (k,) positions in the history, ``items`` (k,) rows,
    ``weight`` (k,) float32, negative where disliked."""

    at: Ints
    items: Ints
    weight: Floats


def taste(history: History, n_items: int, power: float, decay: float = 1.0) -> Taste:
    """What a history says, newest heaviest: weight = damped strength x (1 + rank)^-power x decay^rank, rank 0
    being the newest item.

    An item that comes more than once counts once, at its latest place and with its strongest opinion (of two equally
    strong ones the later). Events of strength 0 and rows at or beyond ``n_items`` say nothing and take no rank.
    A power law forgets the way people do: slower than any exponential; measured in docs/models.md.
    """
    says = np.flatnonzero((history.strength != 0) & (history.items >= 0) & (history.items < n_items))
    if not len(says):
        return Taste(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
    items, strength = history.items[says], history.strength[says]
    strongest = np.lexsort((-says, -np.abs(strength), items))  # by item, strongest first, later first
    first = np.r_[True, np.diff(items[strongest]) != 0]
    strength = strength[strongest][first]
    latest = np.maximum.reduceat(says[strongest], np.flatnonzero(first))
    order = np.argsort(latest)
    at, strength = latest[order], strength[order]
    rank = np.arange(len(at))[::-1]
    weight = damped(strength) * (1.0 + rank) ** -power * decay**rank
    return Taste(at.astype(np.int64), history.items[at], weight.astype(np.float32))


@dataclass(frozen=True, slots=True)
class Positives:
    """The positive part of a log, sorted by (user, time). ``rank`` (n,): 0 for a user's newest row, counting back."""

    users: Ints
    items: Ints
    at: Doubles
    strength: Floats
    rank: Ints

    def __len__(self) -> int:
        return len(self.items)


def positives(data: Interactions, *, once: bool) -> Positives:
    """Rows with strength above 0; with ``once`` each (user, item) pair only at its latest place, with its greatest
    strength; strengths damped. O(n log n)."""
    keep = np.flatnonzero(data.strength > 0)
    users, items, at, strength = data.users[keep], data.items[keep], data.at[keep], data.strength[keep]
    if once and len(keep):
        pair = users * np.int64(max(data.n_items, 1)) + items
        order = np.argsort(pair, kind="stable")
        last = np.r_[np.diff(pair[order]) != 0, True]
        greatest = np.maximum.reduceat(strength[order], np.flatnonzero(np.r_[True, last[:-1]]))
        strength[order[last]] = greatest
        chosen = np.zeros(len(keep), bool)
        chosen[order[last]] = True
        users, items, at, strength = users[chosen], items[chosen], at[chosen], strength[chosen]
    ends = np.cumsum(np.bincount(users, minlength=1))
    rank = ends[users] - 1 - np.arange(len(users))
    return Positives(users, items, at, damped(strength), rank.astype(np.int64))


def damped(strength: Floats) -> Floats:
    """The square root of a strength, its sign kept: three stars say less than five, but a fifth is too little. On
    ml-100k, later in time, EASE gained 9% and transitions 4% by it against strengths as they are (docs/models.md)."""
    out: Floats = (np.sign(strength) * np.sqrt(np.abs(strength))).astype(np.float32)
    return out


def watched(data: Interactions) -> Ints:
    """(n_items,) int64: positive rows of each item."""
    return np.bincount(data.items[data.strength > 0], minlength=data.n_items).astype(np.int64)
