"""The log as sequences to learn from: one a user, cut into windows, batched by length. NumPy only: serving needs it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from matinee.types import Bools, Doubles, Floats, History, Interactions, Ints


@dataclass(frozen=True, slots=True)
class Sequences:
    """Users' watches, oldest first, end to end: ``items``, ``at`` and ``liked`` (n,), user u's at
    ``starts[u]:starts[u + 1]``. Users with fewer than two are not here: nothing follows anything."""

    items: Ints
    at: Doubles
    starts: Ints
    liked: Bools

    def __len__(self) -> int:
        return len(self.starts) - 1

    def of(self, user: int) -> slice:
        return slice(int(self.starts[user]), int(self.starts[user + 1]))

    def only(self, keep: Bools) -> Sequences:
        """The rows of ``keep`` (n,); users may become empty."""
        starts = np.r_[0, np.cumsum(keep)][self.starts].astype(np.int64)
        return Sequences(self.items[keep], self.at[keep], starts, self.liked[keep])


@dataclass(frozen=True, slots=True)
class Batch:
    """``items``, ``at`` and ``liked`` (b, l + 1), right-padded; ``length`` (b,): how many are real."""

    items: Ints
    at: Doubles
    length: Ints
    liked: Bools

    @property
    def valid(self) -> Bools:
        """(b, l + 1): where there is an item."""
        out: Bools = np.arange(self.items.shape[1])[None, :] < self.length[:, None]
        return out

    def inputs(self) -> Batch:
        """All places that something follows: (b, l)."""
        return Batch(self.items[:, :-1], self.at[:, :-1], self.length - 1, self.liked[:, :-1])


def settled(owners: Ints, items: Ints, strength: Floats) -> Bools:
    """(n,) where a row says what its owner thinks of the item in the end: the strongest opinion, of two equally strong
    ones the later (the rows of an owner and item are in order of time). A film that was played and then disliked is
    disliked, and its play is no sign of liking; one that was loved and once skipped is loved. O(n log n)."""
    says: Bools = strength != 0
    if not (strength < 0).any():
        return says
    rows = np.flatnonzero(says)
    order = rows[np.lexsort((-rows, -np.abs(strength[rows]), items[rows], owners[rows]))]
    first = np.r_[True, (np.diff(items[order]) != 0) | (np.diff(owners[order]) != 0)]
    verdict = (strength[order] > 0)[first][np.cumsum(first) - 1]
    out = np.zeros(len(says), bool)
    out[order] = (strength[order] > 0) == verdict
    return out


def sequences(data: Interactions, *, dislikes: bool = False) -> Sequences:
    """The rows that say what a user thinks of an item in the end (``settled``), in order: the likes, with ``dislikes``
    the others too. One item several times in a row (played, finished, liked) counts once. O(n log n)."""
    keep = settled(data.users, data.items, data.strength)
    if not dislikes:
        keep = keep & (data.strength > 0)
    rows = np.flatnonzero(keep)
    new = np.r_[True, (np.diff(data.users[rows]) != 0) | (np.diff(data.items[rows]) != 0)] if len(rows) else keep[:0]
    rows = rows[new]
    count = np.bincount(data.users[rows], minlength=data.n_users)
    rows = rows[count[data.users[rows]] >= 2]
    starts = np.r_[0, np.cumsum(count[count >= 2])].astype(np.int64)
    return Sequences(data.items[rows], data.at[rows], starts, data.strength[rows] > 0)


def hold_out(data: Sequences, share: float, most: int, seed: int) -> tuple[Sequences, Sequences]:
    """(what to learn from, what to validate on). The last liked item of ``share`` of the users, at most ``most``, is
    cut off the former with what came after it; the latter holds those users up to it. Users left with fewer than two
    items are not drawn."""
    place = np.arange(len(data.items))
    last = np.full(len(data), -1, np.int64)
    owner = np.repeat(np.arange(len(data)), np.diff(data.starts))
    np.maximum.at(last, owner[data.liked], place[data.liked])
    able = np.flatnonzero(last - data.starts[:-1] >= 2)
    n = min(most, int(len(able) * share))
    drawn = np.sort(np.random.default_rng(seed).choice(able, n, replace=False)) if n else able[:0]
    held = np.zeros(len(data), bool)
    held[drawn] = True
    learn = data.only(~held[owner] | (place < last[owner]))
    mine = data.only(held[owner] & (place <= last[owner]))
    return learn, Sequences(mine.items, mine.at, np.r_[0, mine.starts[1:][held]].astype(np.int64), mine.liked)


def windows(data: Sequences, length: int, rng: np.random.Generator) -> Ints:
    """(w, 2) starts and stops that cover every transition once, each at most ``length`` + 1 items. Longer sequences are
    cut at places that ``rng`` draws anew; neighbours share one item. Windows in which nothing that follows is liked
    are left out."""
    out = []
    for start, stop in zip(data.starts[:-1], data.starts[1:], strict=True):
        last = stop - 1
        first = start + int(rng.integers(1, length + 1)) if last - start > length else last
        cuts = [start, *range(first, last, length), last]
        out += [(a, b + 1) for a, b in pairwise(cuts) if b > a]
    spans = np.array(out, np.int64).reshape(-1, 2)
    if data.liked.all():
        return spans
    before = np.r_[0, np.cumsum(data.liked)]
    taught: Ints = spans[before[spans[:, 1]] > before[spans[:, 0] + 1]]
    return taught


def batches(data: Sequences, length: int, size: int, rng: np.random.Generator) -> list[Ints]:
    """One pass over all windows, as groups of starts and stops for ``batch``, in an order drawn by ``rng``. Windows of
    like length share a group, so that little is padding; a group holds about ``size`` x ``length`` places, so more
    windows where they are short."""
    spans = windows(data, length, rng)
    span = spans[:, 1] - spans[:, 0]
    order = np.lexsort((rng.random(len(span)), span))
    groups, at, room = [], 0, size * (length + 1)
    while at < len(order):
        widest = int(span[order[min(at + size, len(order)) - 1]])
        n = max(1, min(room // widest, 4 * size))
        groups.append(spans[order[at : at + n]])
        at += n
    return [groups[place] for place in rng.permutation(len(groups))]


def batch(data: Sequences, spans: Ints) -> Batch:
    """The windows of (b, 2) starts and stops side by side."""
    length = spans[:, 1] - spans[:, 0]
    place = np.arange(max(length, default=0))[None, :]
    rows = np.minimum(spans[:, :1] + place, spans[:, 1:] - 1)
    inside = place < length[:, None]
    return Batch(np.where(inside, data.items[rows], 0), data.at[rows], length, data.liked[rows])


def last_of(history: History, known: Bools, length: int, *, dislikes: bool = False) -> tuple[Ints, Doubles, Bools]:
    """(k,) rows and times of a history's last events whose items are known, and whether they were liked, k <=
    ``length``; only the liked without ``dislikes``. What counts, and how often, as in ``sequences``."""
    keep = settled(np.zeros(len(history), np.int64), history.items, history.strength)
    if not dislikes:
        keep = keep & (history.strength > 0)
    said = np.flatnonzero(keep & (history.items >= 0) & (history.items < len(known)))
    said = said[known[history.items[said]]]
    items = history.items[said]
    said = said[np.r_[True, np.diff(items) != 0]] if len(said) else said
    said = said[-length:]
    return history.items[said], history.at[said], history.strength[said] > 0
