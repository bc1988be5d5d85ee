"""The store against a dictionary, in every order of calls that Hypothesis thinks of; reopening changes nothing."""

from __future__ import annotations

import math
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace

from matinee.errors import MatineeError
from matinee.protocols import Store, Strangers
from matinee.store import open_store
from matinee.types import EVENT_KINDS, Event, EventKind, Item, Space

SPACE = Space("frames", "1", 3)
IDS = st.sampled_from(["a", "b", "猫"])
USERS = st.sampled_from(["u", "v", "w"])
TIMES = st.sampled_from([-1.0, 0.0, 1.0, 1e9])
EVENTS = st.builds(
    Event,
    id=st.sampled_from([f"e{n}" for n in range(30)]),
    user=USERS,
    kind=st.sampled_from(EVENT_KINDS),
    at=TIMES,
    item=st.sampled_from([None, "a", "a", "b", "猫", "nobody"]),
    value=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    text=st.none() | st.sampled_from(["好", "", "it's\n"]),
)
STRANGERS = st.sampled_from([
    Strangers(), Strangers(), Strangers(items="keep"), Strangers(users="refuse"), Strangers("keep", "refuse"),
])  # fmt: skip
# thousands of small transactions, each synced: in memory where there is such a place
MEMORY = next((name for name in ("/dev/shm",) if os.access(name, os.W_OK)), None)  # noqa: S108
VECTORS = np.eye(3, dtype=np.float32)


class StoreMachine(RuleBasedStateMachine):
    """What the protocol says, in a few lines: ``items`` maps id to item, ``rows`` never forgets, ``log`` is a list."""

    make = staticmethod(open_store)

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY)
        self.path = Path(self.folder.name) / "matinee.db"
        self.store: Store = self.make(self.path)
        self.items: dict[str, Item] = {}
        self.rows: dict[str, int] = {}
        self.events: list[Event] = []
        self.user_rows: dict[str, int] = {}
        self.users_ever = 0
        self.profiles: dict[str, dict[str, int]] = {}
        self.names: dict[str, str] = {}  # a merged user's id -> whose it is now
        self.vectors: dict[str, int] = {}
        self.links: dict[str, str] = {}

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    @initialize()
    def begin(self) -> None:
        self._put([Item(id="a"), Item(id="b")])

    @rule(ids=st.lists(IDS, max_size=4), title=st.sampled_from(["", "é", "\U0001f3ac"]))
    def put_items(self, ids: list[str], title: str) -> None:
        self._put([Item(id=one, title=title) for one in ids])

    def _put(self, sent: list[Item]) -> None:
        for item in sent:
            self.rows.setdefault(item.id, len(self.rows))
            self.items[item.id] = item
        assert self.store.put_items(sent).tolist() == [self.rows[item.id] for item in sent]

    @rule(id=IDS)
    def delete_item(self, id: str) -> None:
        assert self.store.delete_item(id) == (self.items.pop(id, None) is not None)
        self.links.pop(id, None)

    @rule(batch=st.lists(EVENTS, max_size=5), strangers=STRANGERS)
    def append(self, batch: list[Event], strangers: Strangers) -> None:
        accepted, duplicates, refused = 0, 0, []
        known = {event.id for event in self.events}
        for position, event in enumerate(batch):
            if event.item is None and event.kind != "search":
                refused.append((position, "event.no_item"))
            elif event.id in known:
                duplicates += 1
            elif strangers.items == "refuse" and event.item is not None and event.item not in self.items:
                refused.append((position, "event.unknown_item"))
            elif strangers.users == "refuse" and self.root(event.user) not in self.user_rows:
                refused.append((position, "event.unknown_user"))
            else:
                accepted += 1
                if event.item is not None:
                    self.rows.setdefault(event.item, len(self.rows))
                known.add(event.id)
                self.events.append(event)
                if self.root(event.user) not in self.user_rows:
                    self.user_rows[event.user] = self.users_ever
                    self.users_ever += 1
        answer = self.store.append(batch, strangers)
        assert (answer.accepted, answer.duplicates, list(answer.refused)) == (accepted, duplicates, refused)

    @rule(id=IDS, hash=st.sampled_from(["h0", "h1", "h2"]))
    def put_and_link(self, id: str, hash: str) -> None:
        self.store.put_vectors(SPACE, [hash], VECTORS[[int(hash[1])]])
        if id in self.items:
            self.store.link_content(id, SPACE, hash)
            self.links[id] = hash

    @rule(session=USERS, user=USERS)
    def merge_user(self, session: str, user: str) -> None:
        one, other = self.names.get(session, session), self.names.get(user, user)
        if session == user or (one != other and one != session):
            with pytest.raises(MatineeError):
                self.store.merge_user(session, user)
            return
        assert self.store.merge_user(session, user) == (one != other)
        for name in dict.fromkeys((session, user)):
            if self.names.get(name, name) not in self.user_rows:
                self.user_rows[name] = self.users_ever
                self.users_ever += 1
        if one != other:
            del self.user_rows[session]
            self.profiles[other] = self.profiles.pop(session, {}) | self.profiles.get(other, {})
            self.names |= {name: other for name, into in self.names.items() if into == session} | {session: other}

    @rule(user=USERS, told=st.dictionaries(st.sampled_from(["age", "country"]), st.integers(0, 3), max_size=2))
    def put_profile(self, user: str, told: dict[str, int]) -> None:
        root = self.root(user)
        new = root not in self.user_rows
        assert self.store.put_profiles({user: told}) == new
        if new:
            self.user_rows[root] = self.users_ever
            self.users_ever += 1
        self.profiles[root] = told

    @invariant()
    def profiles_agree(self) -> None:
        told = {self.user_rows[user]: profile for user, profile in self.profiles.items() if profile}
        assert dict(self.store.profiles()) == told
        for user in self.user_rows:
            assert self.store.profile(user) == self.profiles.get(user, {})

    @rule(user=USERS, kinds=st.lists(st.sampled_from(EVENT_KINDS), max_size=3))
    def all_of_a_user(self, user: str, kinds: list[EventKind]) -> None:
        mine = [e for e in self.events if self.root(e.user) == self.root(user) and (not kinds or e.kind in kinds)]
        assert self.store.items_of(user, kinds).tolist() == sorted(
            {self.rows[e.item] for e in mine if e.item in self.items}
        )

    @rule(skip=st.integers(0, 5), n=st.integers(0, 5), kinds=st.lists(st.sampled_from(EVENT_KINDS), max_size=3))
    def whole_events(self, skip: int, n: int, kinds: list[EventKind]) -> None:
        told = [replace(e, user=self.root(e.user)) for e in self.events if not kinds or e.kind in kinds]
        assert [e for _, e in self.store.events_after(None, n, kinds)] == told[max(len(told) - n, 0) :]
        numbers = self.store.log().sequence.tolist()
        after = numbers[skip - 1] if 0 < skip <= len(numbers) else 0
        whole = [replace(e, user=self.root(e.user)) for e in self.events]
        later = [(number, e) for number, e in zip(numbers, whole, strict=True) if number > after]
        assert (
            self.store.events_after(after, n, kinds) == [(k, e) for k, e in later if not kinds or e.kind in kinds][:n]
        )

    def root(self, user: str) -> str:
        return self.names.get(user, user)

    @rule(user=USERS)
    def erase_user(self, user: str) -> None:
        root = self.root(user)
        assert self.store.erase_user(user) == (self.user_rows.pop(root, None) is not None)
        self.events = [event for event in self.events if self.root(event.user) != root]
        self.profiles.pop(root, None)
        self.names = {name: into for name, into in self.names.items() if into != root}

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = self.make(self.path)

    @rule(user=USERS, n=st.sampled_from([0, 1, 3, 100]), before=TIMES | st.none())
    def read_of_a_user(self, user: str, n: int, before: float | None) -> None:
        limit = math.inf if before is None else before
        root = self.root(user)
        mine = [(e.at, k, e) for k, e in enumerate(self.events) if self.root(e.user) == root and e.at < limit]
        last = [replace(e, user=root) for *_, e in sorted(mine, key=lambda row: row[:2])[::-1][:n]]
        assert self.store.events_of(user, n, before) == last
        kept = [e for e in last[::-1] if e.item in self.items]
        history = self.store.history(user, n, limit)
        assert history.items.tolist() == [self.rows[e.item] for e in kept]
        assert history.at.tolist() == [e.at for e in kept]
        assert history.users.tolist() == [self.user_rows[root] for _ in kept]

    @invariant()
    def counts_and_items_agree(self) -> None:
        counts = self.store.counts()
        assert (counts.items, counts.users, counts.events) == (len(self.items), len(self.user_rows), len(self.events))
        assert dict(self.store.items()) == {self.rows[one]: item for one, item in self.items.items()}
        assert dict(self.store.users()) == {row: user for user, row in self.user_rows.items()}

    @invariant()
    def log_agrees(self) -> None:
        log = self.store.log()
        rows = [self.rows[e.item] if e.item in self.items else -1 for e in self.events]
        assert log.items.tolist() == rows
        assert log.kinds.tolist() == [EVENT_KINDS.index(e.kind) for e in self.events]
        assert [None if math.isnan(v) else v for v in log.value.tolist()] == [e.value for e in self.events]

    @precondition(lambda self: self.links)
    @invariant()
    def vectors_agree(self) -> None:
        rows, matrix = self.store.vectors(SPACE)
        expected = sorted((self.rows[one], int(content[1])) for one, content in self.links.items())
        assert list(zip(rows.tolist(), matrix.argmax(axis=1).tolist(), strict=True)) == expected


FEW = settings(max_examples=50, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))


def test_the_store_is_a_dictionary() -> None:
    run_state_machine_as_test(StoreMachine, settings=FEW)


@dataclass(frozen=True)
class Planted:
    """A store with one bug: ``merge`` takes two events of one moment for one; ``late`` reads ``<=`` for ``<``."""

    inner: Store
    bug: str

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def events_of(self, user: str, n: int, before: float | None = None) -> list[Event]:
        if self.bug == "late" and before is not None:
            before = math.nextafter(before, math.inf)
        found = self.inner.events_of(user, 10**6, before)
        if self.bug == "merge":
            found = list({event.at: event for event in found[::-1]}.values())[::-1]
        return found[:n]


@pytest.mark.parametrize("bug", ["merge", "late"])
def test_the_machine_finds_a_planted_bug(bug: str) -> None:
    machine = type("Machine", (StoreMachine,), {"make": staticmethod(lambda path: Planted(open_store(path), bug))})
    many = settings(FEW, max_examples=500, phases=[Phase.generate], derandomize=True)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine, settings=many)
