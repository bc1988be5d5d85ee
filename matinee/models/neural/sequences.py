"""The log as sequences to learn from: one a user, cut into windows, batched by length. NumPy only: serving needs it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from matinee.models.common import positives
from matinee.types import Bools, Doubles, History, Interactions, Ints


@dataclass(frozen=True, slots=True)
class Sequences:
    """Users' watches, oldest first, end to end: ``items`` and ``at`` (n,), user u's at ``starts[u]:starts[u + 1]``.
    Users with fewer than two are not here: nothing follows anything."""

    items: Ints
    at: Doubles
    starts: Ints

    def __len__(self) -> int:
        return len(self.starts) - 1

    def of(self, user: int) -> slice:
        return slice(int(self.starts[user]), int(self.starts[user + 1]))


@dataclass(frozen=True, slots=True)
class Batch:
    """``items`` and ``at`` (b, l + 1), right-padded; ``length`` (b,): how many are real."""

    items: Ints
    at: Doubles
    length: Ints

    @property
    def valid(self) -> Bools:
        """(b, l + 1): where there is an item."""
        out: Bools = np.arange(self.items.shape[1])[None, :] < self.length[:, None]
        return out


def sequences(data: Interactions) -> Sequences:
    """The positive rows in order. One item several times in a row (played, finished, liked) counts once. O(n)."""
    seen = positives(data, once=False)
    new = np.r_[True, (np.diff(seen.users) != 0) | (np.diff(seen.items) != 0)] if len(seen) else np.zeros(0, bool)
    users, items, at = seen.users[new], seen.items[new], seen.at[new]
    count = np.bincount(users, minlength=data.n_users)
    long = count[users] >= 2
    lengths = count[count >= 2]
    return Sequences(items[long], at[long], np.r_[0, np.cumsum(lengths)].astype(np.int64))


def hold_out(data: Sequences, share: float, most: int, seed: int) -> tuple[Sequences, Sequences]:
    """(what to learn from, what to validate on). The last item of ``share`` of the users, at most ``most``, is cut off
    the former; the latter holds those users whole. Users left with fewer than two items are not drawn."""
    length = np.diff(data.starts)
    able = np.flatnonzero(length >= 3)
    n = min(most, int(len(able) * share))
    drawn = np.sort(np.random.default_rng(seed).choice(able, n, replace=False)) if n else able[:0]
    keep = np.ones(len(data.items), bool)
    keep[data.starts[drawn + 1] - 1] = False
    length[drawn] -= 1
    learn = Sequences(data.items[keep], data.at[keep], np.r_[0, np.cumsum(length)].astype(np.int64))
    parts = [data.of(int(user)) for user in drawn]
    none_i, none_f = data.items[:0], data.at[:0]
    held = Sequences(
        np.concatenate([*(data.items[p] for p in parts), none_i]),
        np.concatenate([*(data.at[p] for p in parts), none_f]),
        np.r_[0, np.cumsum([p.stop - p.start for p in parts])].astype(np.int64),
    )
    return learn, held


def windows(data: Sequences, length: int, rng: np.random.Generator) -> Ints:
    """(w, 2) starts and stops that cover every transition once, each at most ``length`` + 1 items. Longer sequences are
    cut at places that ``rng`` draws anew; neighbours share one item."""
    out = []
    for start, stop in zip(data.starts[:-1], data.starts[1:], strict=True):
        last = stop - 1
        first = start + int(rng.integers(1, length + 1)) if last - start > length else last
        cuts = [start, *range(first, last, length), last]
        out += [(a, b + 1) for a, b in pairwise(cuts) if b > a]
    return np.array(out, np.int64).reshape(-1, 2)


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
    return Batch(np.where(inside, data.items[rows], 0), data.at[rows], length)


def last_of(history: History, known: Bools, length: int) -> tuple[Ints, Doubles]:
    """(k,) rows and times of a history's last positive events whose items are known, k <= ``length``; one item several
    times in a row counts once, as in ``sequences``."""
    inside = (history.strength > 0) & (history.items >= 0) & (history.items < len(known))
    said = np.flatnonzero(inside)
    said = said[known[history.items[said]]]
    items = history.items[said]
    said = said[np.r_[True, np.diff(items) != 0]] if len(said) else said
    said = said[-length:]
    return history.items[said], history.at[said]
