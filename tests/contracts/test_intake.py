"""Every malformed event is refused for itself, with its reason, and costs its neighbours nothing; and the order in
which good ones arrive, or how often, changes nothing in what is kept."""

from __future__ import annotations

import json
import random
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from matinee.protocols import Strangers
from matinee.serve.intake import AHEAD, REFUSED, read_each, read_events, why
from matinee.store import open_store
from matinee.types import EVENT_KINDS, Event, Item

NOW = 1.7e9
GOOD = {"id": "g", "user": "u", "item": "a", "kind": "play", "at": NOW - 5}
Raw = str  # a piece of JSON that a Python value cannot say


def raw(**changes: str) -> Raw:
    """The good event with some fields as raw JSON."""
    fields = {key: json.dumps(value) for key, value in GOOD.items()} | changes
    return "{" + ", ".join(f"{json.dumps(key)}: {value}" for key, value in fields.items()) + "}"


MALFORMED: list[tuple[Raw, str]] = [
    ("7", "event.not_an_object"),
    ("null", "event.not_an_object"),
    ("[]", "event.not_an_object"),
    ('"play"', "event.not_an_object"),
    ("{}", "event.missing_field"),
    (raw(id="null"), "event.missing_field"),
    (raw(id='""'), "event.missing_field"),
    (raw(user='""'), "event.missing_field"),
    (raw(item="null"), "event.missing_field"),
    (raw(kind="null"), "event.missing_field"),
    (raw(extra="1"), "event.unknown_field"),
    (raw(__proto__="{}"), "event.unknown_field"),
    (raw(id="7"), "event.bad_field"),
    (raw(id='["x"]'), "event.bad_field"),
    (raw(id=json.dumps("x" * 1025)), "event.bad_field"),
    (raw(user="true"), "event.bad_field"),
    (raw(user=json.dumps("x" * 100_000)), "event.bad_field"),
    (raw(item="{}"), "event.bad_field"),
    (raw(text="5"), "event.bad_field"),
    (raw(text=json.dumps("x" * 10_001)), "event.bad_field"),
    (raw(session="[]"), "event.bad_field"),
    (raw(kind='"watch"'), "event.bad_kind"),
    (raw(kind='"PLAY"'), "event.bad_kind"),
    (raw(kind='"play "'), "event.bad_kind"),
    (raw(value='"9"'), "event.bad_value"),
    (raw(value="true"), "event.bad_value"),
    (raw(value="-0.1"), "event.bad_value"),
    (raw(value="1e13"), "event.bad_value"),
    (raw(value="NaN"), "event.bad_value"),
    (raw(value="Infinity"), "event.bad_value"),
    (raw(value="9" * 400), "event.bad_value"),
    (raw(at='"yesterday"'), "event.bad_at"),
    (raw(at="[]"), "event.bad_at"),
    (raw(at="true"), "event.bad_at"),
    (raw(at="NaN"), "event.bad_at"),
    (raw(at="-Infinity"), "event.bad_at"),
    (raw(at="9" * 400), "event.bad_at"),
    (raw(at="1e308"), "event.bad_at"),
    (raw(at=str(NOW + AHEAD + 1)), "event.at_future"),
    (raw(at='"2096-01-01T00:00:00Z"'), "event.at_future"),
    (raw(at='"9999-12-31T23:59:59"'), "event.at_future"),
    (raw(at=str(NOW * 1000)), "event.at_milliseconds"),
    (raw(at="-1"), "event.at_ancient"),
    (raw(at='"1815-06-18"'), "event.at_ancient"),
]
AT_THE_STORE: list[tuple[Raw, str]] = [
    (raw(id='"nul\\u0000"'), "event.bad_text"),
    (raw(item='"nowhere"'), "event.unknown_item"),
    (raw(user='"nobody"'), "event.unknown_user"),
]


def test_every_reason_that_there_is_is_met_here() -> None:
    assert {code for _, code in MALFORMED + AT_THE_STORE} == set(REFUSED)
    for code in REFUSED:
        assert why(code, "en") != why(code, "zh")


@pytest.mark.parametrize("lines", [False, True])
def test_each_is_refused_for_itself_with_its_reason(lines: bool) -> None:
    """One after the other between good ones, in a list and as a stream of lines."""
    given = [piece for at, (bad, _) in enumerate(MALFORMED) for piece in (bad, raw(id=json.dumps(f"g{at}")))]
    text = [piece.encode() for piece in given]
    batch = read_each(text, NOW) if lines else read_events(b"[" + b",".join(text) + b"]", NOW)
    assert [(MALFORMED[at // 2][0][:80], code) for at, code in batch.refused] == [(b[:80], c) for b, c in MALFORMED]
    assert [at for at, _ in batch.refused] == list(range(0, len(given), 2))
    assert [event.id for event in batch.events] == [f"g{n}" for n in range(len(MALFORMED))]


def test_what_only_the_store_can_judge(tmp_path: Path) -> None:
    with closing(open_store(tmp_path / "matinee.db")) as store:
        store.put_items([Item(id="a")])
        store.put_users(["u"])
        given = [piece for at, (bad, _) in enumerate(AT_THE_STORE) for piece in (bad, raw(id=json.dumps(f"g{at}")))]
        batch = read_events(f"[{','.join(given)}]".encode(), NOW)
        answer = store.append(batch.events, Strangers(users="refuse"))
        assert [code for _, code in answer.refused] == [code for _, code in AT_THE_STORE]
        assert answer.accepted == len(AT_THE_STORE)


def test_times_that_are_good(tmp_path: Path) -> None:
    for told, at in (
        ("0", 0.0), (str(NOW + AHEAD), NOW), ("null", NOW), ('"2023-01-01"', 1672531200.0),
        ('"2023-01-01T02:00:00+02:00"', 1672531200.0), ("1672531200", 1672531200.0),
    ):  # fmt: skip
        (event,) = read_events(raw(at=told).encode(), NOW).events
        assert event.at == at


def random_events(n: int) -> list[Event]:
    chance = random.Random(7)
    return [
        Event(
            id=f"e{k}", user=f"u{chance.randrange(5)}", kind=chance.choice(EVENT_KINDS), item=f"i{chance.randrange(6)}",
            at=float(chance.randrange(40)), value=chance.choice([None, 0.5, 30.0]),
        )
        for k in range(n)
    ]  # fmt: skip


def kept(path: Path, batches: list[list[Event]]) -> dict[str, Any]:
    with closing(open_store(path)) as store:
        store.put_items([Item(id=f"i{n}") for n in range(6)])
        for batch in batches:
            store.append(batch)
        events = sorted((event for _, event in store.events_after(0, 10**6)), key=lambda e: e.id)
        users = {user for _, user in store.users()}
        met = {user: store.items_of(user, ("hide", "play")).tolist() for user in users}
        return {"events": events, "users": users, "counts": store.counts(), "met": met}


def test_any_order_and_any_repeats_end_the_same(tmp_path: Path) -> None:
    """As networks deliver: shuffled, cut into batches anywhere, each one or more times."""
    events = random_events(120)
    expected = kept(tmp_path / "sorted.db", [events])
    chance = random.Random(1)
    for n in range(6):
        sent = events + chance.sample(events, 60)
        chance.shuffle(sent)
        cuts = sorted(chance.sample(range(len(sent)), 10))
        batches = [sent[a:b] for a, b in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
        assert kept(tmp_path / f"{n}.db", batches) == expected
