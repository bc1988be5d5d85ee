"""What a user did, read anew from the log for every request."""

from __future__ import annotations

import time
from typing import get_args

import numpy as np

from matinee.data.interactions import history_from_log
from matinee.data.strength import StrengthTable
from matinee.pipeline.filters import SEEN
from matinee.protocols import Store
from matinee.types import EVENT_KINDS, EventKind, History

REMEMBERED = 2000  # events read for what was seen and hidden
GLANCES = 300  # impressions that a request looks back on
KINDS: tuple[EventKind, ...] = get_args(EventKind)
IMPRESSION, SEARCH = EVENT_KINDS.index("impression"), EVENT_KINDS.index("search")


def history_of(store: Store, table: StrengthTable, most: int, user: str | None) -> tuple[History, float]:
    """What the user did, and now: never before the user's last event. The last ``most`` events that say something count
    for the taste; older ones stay with strength 0, for what was seen or hidden long ago must not come back. Of the
    impressions the last ``GLANCES`` stay, which say nothing of a taste."""
    now = time.time()
    if user is None:
        return History.empty(), now
    whole = history_from_log(store.history(user, REMEMBERED, np.inf), table)
    if len(whole):
        now = max(now, float(np.nextafter(whole.at[-1], np.inf)))
    history = _faint(_without_searches(whole), most)
    return (history if len(whole) < REMEMBERED else _with_all_seen(store, user, history)), now


def _without_searches(whole: History) -> History:
    glances, searches = whole.kinds == IMPRESSION, whole.kinds == SEARCH
    if not (glances.any() or searches.any()):
        return whole
    kept = (~glances | (np.cumsum(glances[::-1])[::-1] <= GLANCES)) & ~searches
    return History(whole.items[kept], whole.at[kept], whole.strength[kept], whole.kinds[kept])


def _faint(history: History, most: int) -> History:
    if len(history) <= most:
        return history
    old = np.cumsum((history.strength != 0)[::-1])[::-1] > most
    return History(history.items, history.at, np.where(old, 0, history.strength).astype(np.float32), history.kinds)


def _with_all_seen(store: Store, user: str, history: History) -> History:
    """With what was seen and hidden before the events that were read: it says nothing of a taste any more, but must not
    come back. One look into an index for each of these kinds."""
    before = [(kind, store.items_of(user, (KINDS[kind],))) for kind in SEEN]
    items = np.concatenate([rows for _, rows in before])
    kinds = np.repeat([kind for kind, _ in before], [len(rows) for _, rows in before])
    nothing = np.zeros(len(items), np.float32)
    return History(
        np.concatenate([items, history.items]), np.concatenate([np.zeros(len(items)), history.at]),
        np.concatenate([nothing, history.strength]), np.concatenate([kinds, history.kinds]),
    )  # fmt: skip
