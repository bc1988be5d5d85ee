"""The most recent slice of a log, set aside to tune on: never the test, always later than what was learnt from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from matinee.models.common import positives
from matinee.types import Bools, History, Interactions, Ints, Query

YEAR = 365 * 86400.0


@dataclass(frozen=True, slots=True)
class Slice:
    """``earlier``: the log to fit on. ``cases``: what a user was about to watch after it, with the query that would
    have been asked just before."""

    earlier: Interactions
    cases: tuple[tuple[Query, int], ...]


def latest_slice(data: Interactions, *, share: float = 0.1, most: int = 2000, seed: int = 0) -> Slice:
    """The last ``share`` of the positive rows by time, cut at one moment for everybody, as ``most`` cases drawn by
    ``seed``. Where times are mere places in an order (all below one year from 1970) moments cannot be compared between
    users; then every user's last positive row is set aside instead."""
    seen = np.flatnonzero((data.strength > 0) & np.isfinite(data.at))
    if len(seen) < 10:
        return Slice(data, ())
    if data.at[seen].max() < YEAR:
        late = np.zeros(len(data), bool)
        last = positives(replace(data, items=np.arange(len(data))), once=False)
        late[last.items[last.rank == 0]] = True
        earlier = ~_at_or_after(data, late)
    else:
        cut = np.quantile(data.at[seen], 1 - share, method="higher")
        late = (data.at >= cut) & (data.strength > 0)
        earlier = data.at < cut
    rows = np.flatnonzero(late)
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
    return Slice(_rows(data, earlier), tuple(_case(data, int(row)) for row in rows))


def _case(data: Interactions, row: int) -> tuple[Query, int]:
    start = int(np.searchsorted(data.users, data.users[row]))
    # strictly before: rows of the same moment are part of what is being predicted
    stop = start + int(np.searchsorted(data.at[start:row], data.at[row], side="left"))
    part = slice(max(start, stop - 500), stop)
    past = History(data.items[part], data.at[part], data.strength[part], np.ones(part.stop - part.start, np.int64))
    return Query(now=float(data.at[row]), user=str(data.users[row]), history=past), int(data.items[row])


def _at_or_after(data: Interactions, late: Bools) -> Bools:
    """Rows of a user from the first late one on."""
    first = np.full(data.n_users, len(data), np.int64)
    rows: Ints = np.flatnonzero(late)
    np.minimum.at(first, data.users[rows], rows)
    out: Bools = np.arange(len(data)) >= first[data.users]
    return out


def _rows(data: Interactions, keep: Bools) -> Interactions:
    return replace(data, users=data.users[keep], items=data.items[keep], at=data.at[keep], strength=data.strength[keep])
