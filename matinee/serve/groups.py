"""What the groups of people watch, counted from the log now and then, and only where anybody asks: a count of the whole
log by people is not kept beside every event, and a group does not change in a second."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from matinee.data.strength import StrengthTable, strengths
from matinee.errors import MatineeError
from matinee.pipeline.catalogue import Catalogue
from matinee.pipeline.groups import GroupCounts, Lift
from matinee.pipeline.sources import Starter
from matinee.protocols import Store
from matinee.serve.forms import Ask
from matinee.serve.turns import only_if
from matinee.settings import Library
from matinee.store.snapshot import read_log

log = logging.getLogger("matinee.serve")
EVERY = 300.0  # seconds after which a count is made anew when somebody asks
REST = 20.0  # a count that is known to be behind rests for this many times what it took
QUICK = 0.5  # seconds that a server waits for the count before it says where it is
GLANCE = 0.05  # seconds that a request waits for a count that is not there, before it does without
KEPT = 32  # orders for strangers that are kept


class Groups:
    """Thread-safe. ``least``: people that a group needs; 0 = nothing is counted."""

    def __init__(self, library: Library, store: Store, table: StrengthTable) -> None:
        self.library, self.store, self.table = library, store, table
        self.least = library.settings.serving.group_least
        self._lock = threading.Lock()
        self._counts: GroupCounts | None = None
        self._made, self._took, self._behind = 0.0, 0.0, True
        self._counting = threading.Lock()  # held by the one count that runs
        self._patience: float | None = None  # who asks first waits; in a server only for ``GLANCE``
        self._starters: dict[int, tuple[Lift, Catalogue, Starter]] = {}

    def lift(self, user: str | None, ask: Ask) -> Lift | None:
        """What the groups of a stranger watch; None where nothing is known of them, or of their groups."""
        if not self.least:
            return None
        stated: dict[str, Any] = {"country": ask.country, "language": ask.language, "age": ask.age}
        profile = {
            **(self.store.profile(user) if user else {}), **{name: told for name, told in stated.items() if told}
        }  # fmt: skip
        only_if(not profile)  # to be counted with, or put in an order of its own
        counts = self._current() if profile else None
        return counts.lift(profile) if counts else None

    def starter(self, catalogue: Catalogue, lift: Lift) -> Starter:
        """The order of a stranger's first slate by these groups, kept for the next of them."""
        known = self._starters.get(id(lift))
        if known is None or known[0] is not lift or known[1] is not catalogue:
            while len(self._starters) >= KEPT:
                self._starters.pop(next(iter(self._starters)), None)
            known = self._starters[id(lift)] = (lift, catalogue, Starter(catalogue, lift))
        return known[2]

    def put(self, user: str, profile: Mapping[str, Any]) -> None:
        """Durable when it returns; the groups follow soon."""
        self.store.put_profiles({user: profile})
        self._behind = True

    def forget(self) -> None:
        """After an erasure: nothing that was counted with somebody stays."""
        with self._lock:
            self._counts, self._behind = None, True
            self._starters.clear()

    def start(self) -> None:
        """Counts beside the requests of a server; when it is quick, before there are any."""
        self._patience = GLANCE
        if self.least:
            self._begin(QUICK)

    def _current(self) -> GroupCounts | None:
        """The last count; None while the first is made, and who is asked for then gets what all strangers get."""
        age = time.monotonic() - self._made
        if self._counts is None:
            self._begin(self._patience)
        elif age > EVERY or (self._behind and age > REST * self._took):
            self._begin(0.0)
        return self._counts

    def _begin(self, patience: float | None) -> None:
        """Starts a count unless one runs, and waits for it for so many seconds, None for as long as it takes."""
        if self._counting.acquire(blocking=False):
            thread = threading.Thread(target=self._count, name="matinee-groups", daemon=True)
            thread.start()
            thread.join(patience)

    def _count(self) -> None:
        try:
            with self._lock:
                started = time.monotonic()
                self._behind = False
                fresh = counted(self.library, self.store, self.table, self.least)
                self._made = time.monotonic()
                self._took = self._made - started
                self._counts = fresh
                self._starters.clear()
        except MatineeError as error:
            log.error("groups: %s", error)
        finally:
            self._counting.release()


def counted(library: Library, store: Store, table: StrengthTable, least: int) -> GroupCounts:
    """From the whole log and all profiles. About 0.1 us an event and group field; where nobody has a profile there are
    no groups, and the log is not read."""
    profiles = list(store.profiles())
    if not profiles:
        nobody = np.empty(0, np.int64)
        return GroupCounts.of(nobody, nobody, 0, (), least)
    log_ = read_log(store, library.path)
    liked = (strengths(log_.kinds, log_.value, table) > 0) & (log_.items >= 0)
    users, items = log_.users[liked], log_.items[liked]
    return GroupCounts.of(users, items, int(items.max(initial=-1)) + 1, profiles, least)
