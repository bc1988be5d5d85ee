"""The log as arrays: ``Interactions`` for training, ``History`` for a request. Both by the same rules, so what a model
learns from and what it is asked with have the same meaning."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from matinee.data.strength import DEFAULT, StrengthTable, strengths
from matinee.protocols import Log
from matinee.types import Floats, History, Interactions


def from_log(
    log: Log, n_users: int, n_items: int, features: Mapping[str, Floats] | None = None, table: StrengthTable = DEFAULT
) -> Interactions:
    """The log for training: sorted by (user, time), ties in log order.

    - An event without an item (a search, an item deleted since) is left out, and so is one whose user or item lies at
      or beyond ``n_users`` or ``n_items``: it came after the count was taken.
    - Repeats stay: a film watched twice is two rows. A model that wants each pair once says so itself.
    - Impressions stay with strength 0, dislikes with a negative one. Whoever wants positives takes ``strength > 0``.

    O(n log n) time, 5 arrays of n.
    """
    known = (log.items >= 0) & (log.items < n_items) & (log.users >= 0) & (log.users < n_users)
    users, items, at = log.users[known], log.items[known], log.at[known]
    strength = strengths(log.kinds[known], log.value[known], table)
    order = np.lexsort((log.sequence[known], at, users))
    return Interactions(
        users[order], items[order], at[order], strength[order], n_users, n_items, dict(features or {})
    )  # fmt: skip


def history_from_log(log: Log, table: StrengthTable = DEFAULT) -> History:
    """What one user did, oldest first (``Store.history`` gives the log), ties in log order; events without an item are
    left out. All kinds stay: a filter wants to know of a hide, a model looks at the strength."""
    named = log.items >= 0
    order = np.lexsort((log.sequence[named], log.at[named]))
    kinds = log.kinds[named][order]
    return History(
        log.items[named][order], log.at[named][order], strengths(kinds, log.value[named][order], table), kinds
    )  # fmt: skip
