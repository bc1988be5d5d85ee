"""One suite for every Store. A store is made by name; all it is asked for is an empty place to open (``target``)."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from matinee.errors import MatineeError
from matinee.protocols import Appended, Counts, FileRecord, Store, Strangers
from matinee.store import open_store
from matinee.types import EVENT_KINDS, Event, Item, Space
from tests.contracts.postgres_server import Postgres, running

STORES = ["sqlite", pytest.param("postgres", marks=pytest.mark.xdist_group("postgres"))]
SPACE = Space("text", "1", 4)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with running("fsync=off") as server:  # what survives a crash is tested in test_store_postgres.py
        yield server


@pytest.fixture(params=STORES)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty place that ``open_store`` accepts, for this test alone."""
    if request.param == "sqlite":
        yield str(tmp_path / "matinee.db")
    else:
        with request.getfixturevalue("postgres").database() as address:
            yield address


@pytest.fixture
def store(target: str) -> Iterator[Store]:
    opened = open_store(target)
    yield opened
    opened.close()


def items(*ids: str) -> list[Item]:
    return [Item(id=one, title=f"title of {one}") for one in ids]


def event(id: str, at: float, item: str | None = "a", **more: object) -> Event:
    return Event(id=id, at=at, item=item, **{"user": "u", "kind": "play", **more})


def unit(*rows: list[float]) -> np.ndarray:
    matrix = np.array(rows, np.float32)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


# items


def test_rows_are_dense_and_in_order_of_first_sight(store: Store) -> None:
    assert store.put_items(items("b", "a", "b")).tolist() == [0, 1, 0]
    assert store.put_items(items("c", "a")).tolist() == [2, 1]
    assert [(row, item.id) for row, item in store.items()] == [(0, "b"), (1, "a"), (2, "c")]
    assert store.item_rows(["c", "nobody", "b", "c"]).tolist() == [2, -1, 0, 2]
    assert store.put_items([]).tolist() == []
    assert store.item_rows([]).dtype == np.int64


def test_an_item_comes_back_as_it_was(store: Store) -> None:
    whole = Item(
        id="剧集/1 'x\"; --", title="Ünïcode \U0001f3ac", description="line\nline", tags=("a", "b"),
        categories=("电影",), creators=("c",), language="zh", duration=1.5, released=-1e9, expires=4e9,
        media="m.mp4", cover="c.jpg",
        series="s", season=0, episode=3, collection="films", properties={"b": [1, None, {"x": 2.5}], "a": True},
    )  # fmt: skip
    store.put_items([whole])
    assert store.item(whole.id) == whole
    assert list(store.item(whole.id).properties) == ["b", "a"]
    assert store.item("nobody") is None


def test_put_replaces_the_item_and_keeps_its_row(store: Store) -> None:
    store.put_items(items("a", "b"))
    assert store.put_items([Item(id="a", title="new")]).tolist() == [0]
    assert store.item("a") == Item(id="a", title="new")
    assert store.counts() == Counts(2, 0, 0)


def test_a_deleted_item_is_gone_and_gets_its_row_back(store: Store) -> None:
    store.put_items(items("a", "b"))
    assert store.delete_item("b")
    assert not store.delete_item("b")
    assert not store.delete_item("nobody")
    assert store.item("b") is None
    assert store.item_rows(["b"]).tolist() == [-1]
    assert store.counts().items == 1
    assert store.put_items(items("c", "b")).tolist() == [2, 1]  # row 1 was never given to c
    assert store.item("b") == items("b")[0]
    assert store.counts().items == 3


def test_many_items_come_in_pieces_and_whole(store: Store) -> None:
    rows = store.put_items(items(*(f"i{n}" for n in range(4_500))))
    assert rows.tolist() == list(range(4_500))
    assert [row for row, _ in store.items()] == list(range(4_500))


@pytest.mark.parametrize("bad", [Item(id=""), Item(id="a\0b"), Item(id="a\ud800"), Item(id="a", title="\ud800")])
def test_text_that_is_no_text_is_refused_and_nothing_of_the_batch_is_kept(store: Store, bad: Item) -> None:
    with pytest.raises(MatineeError) as caught:
        store.put_items([*items("good"), bad])
    assert caught.value.code == "text.invalid"
    assert store.counts() == Counts(0, 0, 0)


# events


def test_append_answers_one_by_one(store: Store) -> None:
    store.put_items(items("a", "gone"))
    store.delete_item("gone")
    batch = [
        event("1", 1.0), event("2", 2.0, "nobody"), event("1", 9.0), event("3", 3.0, "gone"),
        event("4", 4.0, None, kind="search", text="猫"), event("5", 5.0, None),
    ]  # fmt: skip
    refused = ((1, "event.unknown_item"), (3, "event.unknown_item"), (5, "event.no_item"))
    assert store.append(batch) == Appended(2, 1, refused)
    assert store.append(batch) == Appended(0, 3, refused)
    assert store.append([]) == Appended(0, 0, ())
    assert [e.id for e in store.events_of("u", 9)] == ["4", "1"]
    assert store.counts() == Counts(1, 1, 2)


def test_a_known_id_changes_nothing_even_with_other_content(store: Store) -> None:
    store.put_items(items("a", "b"))
    store.append([event("1", 1.0)])
    assert store.append([event("1", 7.0, "b", user="someone else")]) == Appended(0, 1)
    assert store.events_of("u", 9) == [event("1", 1.0)]
    assert store.counts().users == 1  # a duplicate makes no user


def test_a_redelivered_event_stays_a_duplicate_when_its_item_is_deleted(store: Store) -> None:
    store.put_items(items("a"))
    store.append([event("1", 1.0)])
    store.delete_item("a")
    assert store.append([event("1", 1.0), event("2", 2.0)]) == Appended(0, 1, ((1, "event.unknown_item"),))


def test_a_refused_event_makes_no_user(store: Store) -> None:
    store.append([event("1", 1.0, "nobody", user="ghost")])
    assert list(store.users()) == []


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (event("", 1.0), "event.bad_text"),
        (event("1", 1.0, user=""), "event.bad_text"),
        (event("1\0", 1.0), "event.bad_text"),
        (event("1", 1.0, user="\ud800"), "event.bad_text"),
        (event("1", 1.0, text="\udfff"), "event.bad_text"),
        (event("1", math.nan), "event.bad_time"),
        (event("1", math.inf), "event.bad_time"),
        (event("1", 1.0, value=math.nan), "event.bad_value"),
        (event("1", 1.0, value=-math.inf), "event.bad_value"),
        (event("1", 1.0, kind="nonsense"), "event.bad_kind"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_position(store: Store, bad: Event, code: str) -> None:
    store.put_items(items("a"))
    assert store.append([event("ok", 1.0), bad]) == Appended(1, 0, ((1, code),))


def test_every_kind_and_field_comes_back(store: Store) -> None:
    store.put_items(items("a"))
    sent = [
        Event(id=k, user="u", kind=k, at=float(n), item="a", value=n / 3, text="t\n", session="s", slate="l")
        for n, k in enumerate(EVENT_KINDS)
    ]
    store.append(sent)
    assert store.events_of("u", 99) == sent[::-1]
    assert store.log().kinds.tolist() == list(range(len(EVENT_KINDS)))
    assert store.log().value.tolist() == [e.value for e in sent]


def test_order_is_time_then_arrival(store: Store) -> None:
    store.put_items(items("a"))
    store.append([event("1", 5.0), event("2", 3.0), event("3", 5.0)])
    store.append([event("4", 5.0), event("5", -1.0)])
    assert [e.id for e in store.events_of("u", 9)] == ["4", "3", "1", "2", "5"]
    assert [e.id for e in store.events_of("u", 2)] == ["4", "3"]
    assert [e.id for e in store.events_of("u", 9, 5.0)] == ["2", "5"]
    assert store.events_of("u", 0) == []
    assert store.events_of("nobody", 9) == []
    history = store.history("u", 9, 6.0)
    assert history.at.tolist() == [-1.0, 3.0, 5.0, 5.0, 5.0]
    assert history.sequence.tolist() == [store.log().sequence[n] for n in (4, 1, 0, 2, 3)]


def test_history_is_strictly_before_and_holds_living_items_only(store: Store) -> None:
    store.put_items(items("a", "b"))
    store.append([event("1", 1.0), event("2", 2.0, "b"), event("3", 3.0, None, kind="search"), event("4", 4.0)])
    store.append([event("x", 2.5, user="other")])
    assert store.history("u", 9, 4.0).items.tolist() == [0, 1]
    assert store.history("u", 9, math.nextafter(4.0, 5)).items.tolist() == [0, 1, 0]
    assert store.history("u", 1, 9.0).at.tolist() == [4.0]
    store.delete_item("a")
    assert store.history("u", 9, 9.0).items.tolist() == [1]
    assert store.log().items.tolist() == [-1, 1, -1, -1, -1]
    assert store.events_of("u", 1)[0].item == "a"  # what happened stays told
    store.put_items(items("a"))
    assert store.history("u", 9, 9.0).items.tolist() == [0, 1, 0]
    empty = store.history("nobody", 9, 9.0)
    assert len(empty.items) == 0
    assert (empty.items.dtype, empty.at.dtype, empty.value.dtype) == (np.int64, np.float64, np.float64)


def test_the_log_goes_on_from_where_a_reader_stopped(store: Store) -> None:
    store.put_items(items("a"))
    assert len(store.log().items) == 0
    store.append([event("1", 9.0, value=2.0), event("2", 1.0, user="v")])
    seen = store.log()
    assert (seen.users.tolist(), seen.at.tolist(), seen.items.tolist()) == ([0, 1], [9.0, 1.0], [0, 0])
    assert seen.value[0] == 2.0
    assert np.isnan(seen.value[1])
    assert (np.diff(seen.sequence) > 0).all()
    store.append([event("3", 0.0)])
    more = store.log(int(seen.sequence[-1]))
    assert more.at.tolist() == [0.0]
    assert len(store.log(int(more.sequence[-1])).items) == 0


def test_users_are_rows_in_order_of_first_sight(store: Store) -> None:
    store.put_items(items("a"))
    store.append([event("1", 1.0, user="b"), event("2", 1.0, user="a"), event("3", 1.0, user="b")])
    assert list(store.users()) == [(0, "b"), (1, "a")]


def test_case_and_spelling_of_ids_are_kept_apart(store: Store) -> None:
    ids = ("a", "A", "a ", "é", "e\u0301", "0", "00", "\U0001f3ac", "%", "_")
    assert store.put_items(items(*ids)).tolist() == list(range(len(ids)))
    store.append([event(one, 1.0, one, user=one) for one in ids])
    assert store.counts() == Counts(len(ids), len(ids), len(ids))
    assert store.item_rows(ids).tolist() == list(range(len(ids)))


def test_all_that_a_user_ever_hid_or_saw(store: Store) -> None:
    """However long ago: no limit of events, unlike ``history``."""
    store.put_items(items("a", "b", "c", "d"))
    store.append(
        [event("h", 0.0, "d", kind="hide"), event("x", 0.0, "c", kind="dislike"), event("s", 1.0, None, kind="search")]
    )
    store.append([event(f"p{n}", 5.0 + n, "ab"[n % 2]) for n in range(3_000)])
    store.append([event("o", 1.0, "c", user="other", kind="hide")])
    assert store.history("u", 2_000, math.inf).items.min() >= 0
    assert 3 not in store.history("u", 2_000, math.inf).items
    assert store.items_of("u", ("hide", "dislike")).tolist() == [2, 3]
    assert store.items_of("u", ["play"]).tolist() == [0, 1]
    assert store.items_of("u").tolist() == [0, 1, 2, 3]
    assert store.items_of("u", ["like"]).dtype == np.int64
    assert store.items_of("nobody", ["hide"]).tolist() == []
    assert store.items_of("\ud800").tolist() == []
    store.delete_item("d")
    assert store.items_of("u", ["hide"]).tolist() == []


def test_events_of_a_kind_and_after_a_number(store: Store) -> None:
    store.put_items(items("a"))
    store.append([event(f"{n}", 10.0 - n, kind="like" if n % 3 == 0 else "play", user=f"u{n % 2}") for n in range(8)])
    assert [e.id for e in store.events_of("u0", 9, kind="like")] == ["0", "6"]
    assert [e.id for e in store.events_of("u0", 1, kind="play")] == ["2"]
    whole = store.events_after(0, 99)
    assert [e.id for _, e in whole] == [f"{n}" for n in range(8)]
    assert [e.user for _, e in whole] == ["u0", "u1"] * 4
    assert [n for n, _ in whole] == store.log().sequence.tolist()
    assert [e.id for _, e in store.events_after(None, 3)] == ["5", "6", "7"]
    assert [e.id for _, e in store.events_after(None, 2, ["like"])] == ["3", "6"]
    assert [e.id for _, e in store.events_after(whole[2][0], 2)] == ["3", "4"]
    assert [e.id for _, e in store.events_after(whole[2][0], 2, ["like", "hide"])] == ["3", "6"]
    assert store.events_after(whole[-1][0], 5) == []
    assert store.events_after(None, 0) == []


def test_strangers_are_kept_or_refused(store: Store) -> None:
    store.put_items(items("a", "gone"))
    store.put_users(["u"])
    store.delete_item("gone")
    closed = Strangers(users="refuse")
    batch = [event("1", 1.0), event("2", 2.0, user="new"), event("3", 3.0, "later"), event("4", 4.0, "gone")]
    refused = ((1, "event.unknown_user"), (2, "event.unknown_item"), (3, "event.unknown_item"))
    assert store.append(batch, closed) == Appended(1, 0, refused)
    assert store.counts() == Counts(1, 1, 1)
    before = store.revision()
    assert store.append(batch, Strangers(items="keep")) == Appended(3, 1)
    assert store.revision() == before
    assert store.counts() == Counts(1, 2, 4)
    assert store.item("later") is None
    assert [item.id for _, item in store.items()] == ["a"]
    assert store.log().items.tolist() == [0, 0, -1, -1]
    assert store.history("u", 9, 9.0).items.tolist() == [0]
    assert store.put_items(items("b", "later", "gone")).tolist() == [3, 2, 1]  # the rows that waited
    assert store.history("u", 9, 9.0).items.tolist() == [0, 2, 1]
    assert store.log().items.tolist() == [0, 0, 2, 1]
    assert store.counts() == Counts(4, 2, 4)


# merged users


def test_a_session_becomes_a_user(store: Store) -> None:
    store.put_items(items("a", "b"))
    store.append([event("1", 1.0, user="s"), event("2", 2.0, "b", user="s", kind="hide"), event("3", 3.0)])
    assert store.merge_user("s", "u")
    assert not store.merge_user("s", "u")  # once is enough
    assert not store.merge_user("u", "s")  # they are one already
    assert [e.id for e in store.events_of("u", 9)] == ["3", "2", "1"]
    assert store.events_of("s", 9) == store.events_of("u", 9)
    assert {e.user for e in store.events_of("s", 9)} == {"u"}
    assert store.items_of("s", ["hide"]).tolist() == [1]
    assert store.counts() == Counts(2, 1, 3)
    assert [user for _, user in store.users()] == ["u"]
    assert set(store.log().users.tolist()) == {{u: r for r, u in store.users()}["u"]}
    assert store.append([event("4", 4.0, user="s"), event("1", 1.0, user="s")]) == Appended(1, 1)  # late, and again
    assert store.append([event("5", 5.0, user="s")], Strangers(users="refuse")).accepted == 1
    assert [e.id for e in store.events_of("u", 2)] == ["5", "4"]
    assert store.counts().users == 1
    assert store.history("s", 9, 9.0).at.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_chains_of_merges_are_one_person(store: Store) -> None:
    store.put_items(items("a"))
    store.append([event(f"{u}", float(n), user=u) for n, u in enumerate(["s0", "s1", "s2", "other"])])
    assert store.merge_user("s0", "s1")
    assert store.merge_user("s1", "anna")  # takes s0 along, and makes who was not there
    assert store.merge_user("unseen", "s0")  # by any of the names
    assert store.merge_user("s2", "s0")
    assert [e.id for e in store.events_of("unseen", 9)] == ["s2", "s1", "s0"]
    assert store.counts() == Counts(1, 2, 4)
    with pytest.raises(MatineeError) as caught:
        store.merge_user("s0", "other")
    assert (caught.value.code, caught.value.status) == ("merge.elsewhere", 409)
    assert "anna" not in caught.value.en
    for session, user, code in (("x", "x", "merge.self"), ("", "u", "text.invalid"), ("s", "\ud800", "text.invalid")):
        with pytest.raises(MatineeError) as caught:
            store.merge_user(session, user)
        assert caught.value.code == code
    assert [user for _, user in store.users()] == ["other", "anna"]


@pytest.mark.parametrize("name", ["s0", "s1", "u"])
def test_erasure_reaches_every_name_of_a_user(store: Store, name: str) -> None:
    store.put_items(items("a"))
    store.append([event(f"{u}", 1.0, user=u) for u in ("s0", "s1", "u", "other")])
    assert store.merge_user("s0", "u")
    assert store.merge_user("s1", "u")
    assert store.names_of(name)[0] == "u"
    assert set(store.names_of(name)) == {"u", "s0", "s1"}
    assert store.names_of("nobody") == ()
    assert len(store.erased_users()) == 0
    rows = dict((user, row) for row, user in store.users())  # noqa: C402
    assert store.erase_user(name)
    assert store.erased_users().tolist() == [0, 1, rows["u"]]
    assert store.counts() == Counts(1, 1, 1)
    assert [user for _, user in store.users()] == ["other"]
    for gone in ("s0", "s1", "u"):
        assert not store.erase_user(gone)
        assert store.events_of(gone, 9) == []
    store.append([event("again", 1.0, user="s0")])  # whoever comes back is new, and alone
    assert store.events_of("u", 9) == []
    assert store.counts().users == 2


# vectors


def test_vectors_are_kept_by_content_and_read_by_item(store: Store) -> None:
    store.put_items(items("a", "b", "c"))
    matrix = unit([1, 2, 3, 4], [4, 3, 2, 1])
    store.put_vectors(SPACE, ["h1", "h2"], matrix)
    assert store.has_vectors(SPACE, ["h2", "h3", "h1"]).tolist() == [True, False, True]
    store.link_content("c", SPACE, "h1")
    store.link_content("a", SPACE, "h2")
    rows, found = store.vectors(SPACE)
    assert rows.tolist() == [0, 2]
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    assert np.array_equal(found, matrix[::-1])
    store.link_content("a", SPACE, "h1")  # the bytes of a changed
    assert np.array_equal(store.vectors(SPACE)[1], matrix[[0, 0]])
    assert store.spaces() == [SPACE]


def test_vectors_of_deleted_items_are_not_given(store: Store) -> None:
    store.put_items(items("a", "b"))
    store.put_vectors(SPACE, ["h"], unit([1, 0, 0, 0]))
    for item in ("a", "b"):
        store.link_content(item, SPACE, "h")
    store.delete_item("a")
    assert store.vectors(SPACE)[0].tolist() == [1]
    assert store.has_vectors(SPACE, ["h"]).all()  # the content's vector is still known
    store.put_items(items("a"))
    assert store.vectors(SPACE)[0].tolist() == [1]  # a new item under an old id brings no old content


def test_spaces_do_not_mix(store: Store) -> None:
    store.put_items(items("a"))
    other = Space("text", "2", 2)
    store.put_vectors(SPACE, ["h"], unit([1, 0, 0, 0]))
    store.put_vectors(other, ["h"], unit([0, 1]))
    store.link_content("a", other, "h")
    assert len(store.vectors(SPACE)[0]) == 0
    assert store.vectors(SPACE)[1].shape == (0, 4)
    assert store.vectors(other)[1].tolist() == [[0, 1]]
    assert store.vectors(Space("never", "1", 3))[1].shape == (0, 3)
    assert store.spaces() == [SPACE, other]


@pytest.mark.parametrize(
    ("space", "matrix", "code"),
    [
        (SPACE, np.array([[np.nan, 0, 0, 1]], np.float32), "vector.not_finite"),
        (SPACE, np.array([[np.inf, 0, 0, 0]], np.float32), "vector.not_finite"),
        (SPACE, np.zeros((1, 4), np.float32), "vector.not_unit"),
        (SPACE, np.full((1, 4), 3, np.float32), "vector.not_unit"),
        (SPACE, unit([1, 0, 0]), "vector.wrong_dim"),
        (SPACE, unit([1, 0, 0, 0], [1, 0, 0, 0]), "vector.wrong_dim"),
        (Space("text", "1", 3), unit([1, 0, 0]), "vector.wrong_dim"),
    ],
)
def test_a_bad_vector_is_refused_and_nothing_is_kept(store: Store, space: Space, matrix: np.ndarray, code: str) -> None:
    store.put_vectors(SPACE, ["known"], unit([1, 0, 0, 0]))
    before = store.revision()
    with pytest.raises(MatineeError) as caught:
        store.put_vectors(space, ["h"], matrix)
    assert caught.value.code == code
    assert not store.has_vectors(SPACE, ["h"]).any()
    assert store.revision() == before


def test_links_need_both_ends(store: Store) -> None:
    store.put_items(items("a"))
    for item, code in (("a", "vector.unknown"), ("nobody", "item.unknown")):
        with pytest.raises(MatineeError) as caught:
            store.link_content(item, SPACE, "h")
        assert caught.value.code == code


# facts, files, releases


def test_facts_are_json_beside_an_item(store: Store) -> None:
    store.put_items(items("a", "b"))
    labels = [["cat", 0.75], ["猫", 0.125]]
    store.put_fact("b", "labels.frames", labels)
    store.put_fact("a", "labels.frames", [])
    store.put_fact("a", "media", {"kind": "video", "duration": None})
    store.put_fact("a", "labels.frames", [["dog", 0.5]])
    assert store.facts("a") == {"labels.frames": [["dog", 0.5]], "media": {"kind": "video", "duration": None}}
    assert list(store.all_facts("labels.frames")) == [(0, [["dog", 0.5]]), (1, labels)]
    assert list(store.all_facts("none")) == []
    assert store.facts("nobody") == {}
    store.delete_item("a")
    assert list(store.all_facts("media")) == []
    with pytest.raises(MatineeError) as caught:
        store.put_fact("a", "media", {})
    assert caught.value.code == "item.unknown"
    with pytest.raises(MatineeError) as caught:
        store.put_fact("b", "media", object())
    assert caught.value.code == "fact.invalid"


def test_files_keep_every_name(store: Store) -> None:
    odd = ["/m/a.mp4", "/m/新.mp4", "/m/\udcff\udcfe.mp4", "/m/new\nline", "/m/-i", "/m/" + "x" * 255]
    sent = [FileRecord(path, 2**40, 2**60, "h", None, "taken", "note") for path in odd]
    for record in sent:
        store.put_file(record)
    assert sorted(store.files(), key=lambda r: odd.index(r.path)) == sent
    changed = FileRecord("/m/-i", 1, 2, "h2", "a", "refused", "为什么")
    store.put_file(changed)
    assert [r for r in store.files() if r.path == "/m/-i"] == [changed]


def test_releases_swap_whole(store: Store) -> None:
    assert store.release() is None
    store.put_release("d1", {"models": ["ease"], "seed": 0})
    store.put_release("d2", {"models": []})
    assert store.release() is None
    store.use_release("d1")
    assert store.release() == ("d1", {"models": ["ease"], "seed": 0})
    with pytest.raises(MatineeError) as caught:
        store.use_release("nothing")
    assert caught.value.code == "release.unknown"
    assert store.release()[0] == "d1"
    store.use_release("d2")
    assert store.release() == ("d2", {"models": []})
    assert [digest for digest, _ in store.releases()] == ["d1", "d2"]


def test_which_release_was_in_force_when(store: Store) -> None:
    assert store.releases_used() == []
    for digest in ("d1", "d2"):
        store.put_release(digest, {})
    begin = time.time()
    for digest in ("d1", "d2", "d2", "d1"):
        store.use_release(digest)
    with pytest.raises(MatineeError):
        store.use_release("nothing")
    used = store.releases_used()
    assert [digest for _, digest in used] == ["d1", "d2", "d1"]
    assert begin <= used[0][0] <= used[1][0] <= used[2][0] <= time.time()


def test_a_release_out_of_force_is_dropped(store: Store) -> None:
    for digest in ("d1", "d2"):
        store.put_release(digest, {})
        store.use_release(digest)
    before = store.revision()
    assert not store.drop_release("d2")  # in force
    assert not store.drop_release("nothing")
    assert store.revision() == before
    assert store.drop_release("d1")
    assert [digest for digest, _ in store.releases()] == ["d2"]
    assert [digest for _, digest in store.releases_used()] == ["d1", "d2"]  # what was in force stays told
    assert store.release() == ("d2", {})


def test_the_revision_grows_with_all_but_events(store: Store) -> None:
    seen = [store.revision()]

    def grew() -> bool:
        seen.append(store.revision())
        return seen[-1] > seen[-2]

    store.put_items(items("a"))
    assert grew()
    store.put_vectors(SPACE, ["h"], unit([1, 0, 0, 0]))
    assert grew()
    store.link_content("a", SPACE, "h")
    assert grew()
    store.put_fact("a", "k", 1)
    assert grew()
    store.put_release("d", {})
    assert grew()
    store.use_release("d")
    assert grew()
    store.append([event("1", 1.0)])
    assert not grew()
    store.delete_item("a")
    assert grew()


def test_writes_together_are_one(store: Store) -> None:
    store.put_items(items("a"))
    with store.together():
        store.put_items(items("b"))
        store.append([event("1", 1.0, "b")])
        with store.together():  # the inner block is part of the outer
            store.put_fact("b", "k", 1)
        assert store.item("b") is None  # readers see it at the end
        with pytest.raises(MatineeError):
            store.put_fact("nobody", "k", 1)
        store.put_release("d", {})
    assert store.counts() == Counts(2, 1, 1)
    assert store.facts("b") == {"k": 1}
    assert [digest for digest, _ in store.releases()] == ["d"]


def stop_midway(store: Store) -> None:
    with store.together():
        store.put_items(items("b"))
        store.append([event("1", 1.0, "b")])
        raise ZeroDivisionError


def test_writes_together_are_none_if_the_block_raises(store: Store) -> None:
    store.put_items(items("a"))
    before = store.revision()
    with pytest.raises(ZeroDivisionError):
        stop_midway(store)
    assert store.counts() == Counts(1, 0, 0)
    assert store.revision() == before
    assert store.put_items(items("c")).tolist() == [1]


def test_a_user_is_erased(store: Store) -> None:
    store.put_items(items("a"))
    store.append([event("1", 1.0), event("2", 2.0), event("3", 3.0, user="other")])
    before = store.revision()
    assert store.erase_user("u")
    assert not store.erase_user("u")
    assert not store.erase_user("nobody")
    assert store.counts() == Counts(1, 1, 1)
    assert list(store.users()) == [(1, "other")]
    assert store.events_of("u", 9) == []
    assert store.log().users.tolist() == [1]
    assert store.revision() > before
    store.append([event("4", 1.0, user="new"), event("5", 1.0)])
    assert list(store.users()) == [(1, "other"), (2, "new"), (3, "u")]  # who comes back is someone new
    assert (np.diff(store.log().sequence) > 0).all()
    with pytest.raises(RuntimeError), store.together():
        store.erase_user("new")
    assert store.counts() == Counts(1, 3, 3)


# durability, threads, processes


def test_all_of_it_is_there_after_reopening(target: str) -> None:
    first = open_store(target)
    first.put_items(items("a", "b"))
    first.append([event("1", 1.0)])
    first.put_vectors(SPACE, ["h"], unit([1, 2, 2, 0]))
    first.link_content("b", SPACE, "h")
    first.put_fact("a", "k", [1])
    first.put_release("d", {"x": 1})
    first.use_release("d")
    before = first.revision()
    first.close()
    first.close()  # twice is once
    with pytest.raises(MatineeError) as caught:
        first.counts()
    assert caught.value.code == "store.closed"
    again = open_store(target)
    assert again.counts() == Counts(2, 1, 1)
    assert again.revision() == before
    assert again.vectors(SPACE)[0].tolist() == [1]
    assert again.facts("a") == {"k": [1]}
    assert again.release() == ("d", {"x": 1})
    assert again.append([event("1", 1.0), event("2", 2.0)]) == Appended(1, 1)
    again.close()


def test_opened_for_reading_it_reads_and_refuses_to_write(target: str) -> None:
    with closing(open_store(target)) as writer:
        writer.put_items(items("a"))
        with closing(open_store(target, read_only=True)) as reader:
            writer.append([event("1", 1.0)])
            assert reader.counts() == Counts(1, 1, 1)  # what another writes is seen
            refused = [
                lambda: reader.put_items(items("b")), lambda: reader.append([event("2", 1.0)]),
                lambda: reader.erase_user("u"), lambda: reader.merge_user("s", "u"), lambda: reader.put_users(["v"]),
                lambda: reader.put_profiles({"v": {"age": 1}}),
                lambda: reader.put_release("d", {}), lambda: reader.delete_item("a"),
            ]  # fmt: skip
            for call in refused:
                with pytest.raises(MatineeError) as caught:
                    call()
                assert (caught.value.code, caught.value.status) == ("store.readonly", 503)
            assert [e.id for e in reader.events_of("u", 9)] == ["1"]
    with closing(open_store(target, read_only=True)) as reader:  # with no writer beside it
        assert reader.counts() == Counts(1, 1, 1)


def test_users_are_made_once_and_before_their_first_event(store: Store) -> None:
    assert store.put_users(["b", "a", "b", ""]) == 2
    assert store.put_users(["a", "c"]) == 1
    assert list(store.users()) == [(0, "b"), (1, "a"), (2, "c")]
    assert store.counts().users == 3
    store.put_items([Item(id="i")])
    assert store.append([Event(id="e", user="c", item="i", kind="like", at=1.0)]).accepted == 1
    assert store.counts().users == 3
    assert store.events_of("a", 5) == []


def test_what_is_known_of_users_is_kept_replaced_merged_and_erased(store: Store) -> None:
    told = {"ann": {"country": "CN", "age": 31, "心": ["a", 1.5, True]}, "bob": {"age": 20}, "": {"x": 1}}
    assert store.put_profiles(told) == 2
    assert store.profile("ann") == told["ann"]
    assert (store.profile("nobody"), store.profile("a\udcff")) == ({}, {})
    assert list(store.profiles()) == [(0, told["ann"]), (1, told["bob"])]
    assert store.counts().users == 2
    assert store.put_profiles({"ann": {"age": 32}, "bob": {}, "cid": {}}) == 1
    assert list(store.profiles()) == [(0, {"age": 32})]
    assert [user for _, user in store.users()] == ["ann", "bob", "cid"]
    store.put_profiles({"session": {"age": 9, "language": "zh"}})
    store.merge_user("session", "ann")
    assert store.profile("session") == store.profile("ann") == {"age": 32, "language": "zh"}
    assert len(list(store.profiles())) == 1
    store.put_profiles({"session": {"age": 33}})  # another name of the same user
    assert store.profile("ann") == {"age": 33}
    assert store.counts().users == 3
    store.erase_user("ann")
    assert list(store.profiles()) == []
    assert store.profile("session") == {}
    store.put_profiles({"ann": {"age": 40}})  # who comes back is somebody new
    assert [row for row, _ in store.profiles()] == [4]


def test_profiles_are_put_together_or_not_at_all(store: Store) -> None:
    def broken() -> None:
        with store.together():
            store.put_profiles({"ann": {"age": 31}})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert (store.profile("ann"), store.counts().users) == ({}, 0)


def test_threads_write_and_read_at_once(store: Store) -> None:
    """Each of 4 writers sends every batch that all share, and its own; readers see only whole batches of five."""
    store.put_items(items("a"))
    failures: list[BaseException] = []
    done = threading.Event()

    def write(who: int) -> None:
        try:
            for n in range(15):
                store.append([event(f"{who}.{n}.{k}", float(n), user=f"w{who}") for k in range(5)])
                store.append([event(f"shared.{n}.{k}", float(n), user="shared") for k in range(5)])
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    def read() -> None:
        try:
            while not done.is_set():
                whole = store.log()
                assert len(whole.items) % 5 == 0
                assert len(store.history("shared", 200, 99.0).items) % 5 == 0
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    writers = [threading.Thread(target=write, args=(who,)) for who in range(4)]
    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in (*writers, *readers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in readers:
        thread.join()
    assert failures == []
    assert store.counts() == Counts(1, 5, 4 * 75 + 75)
    assert sorted(row for row, _ in store.users()) == list(range(5))


WRITER = """
import sys
from matinee.store import open_store
from matinee.types import Event, Item
store = open_store(sys.argv[1])
for n in range(30):
    rows = store.put_items([Item(id=f"shared{n}"), Item(id=f"{sys.argv[2]}{n}")])
    common = {"kind": "play", "at": float(n), "item": f"shared{n}"}
    store.append([Event(id=f"{sys.argv[2]}.{n}.{k}", user=sys.argv[2], **common) for k in range(3)])
    store.append([Event(id=f"shared.{n}", user="shared", **common)])
store.close()
"""


def test_processes_write_at_once(target: str) -> None:
    """Two that also race to make the store, and this one reading beside them."""
    with_ids = [[sys.executable, "-c", WRITER, target, name] for name in ("p", "q")]
    children = [subprocess.Popen(command, stderr=subprocess.PIPE) for command in with_ids]
    mine = open_store(target)
    seen = 0
    while any(child.poll() is None for child in children):
        log = mine.log()
        assert len(log.items) >= seen
        seen = len(log.items)
    said = [child.communicate()[1].decode() for child in children]
    assert [child.returncode for child in children] == [0, 0], said
    assert mine.counts() == Counts(90, 3, 2 * 90 + 30)
    assert [row for row, _ in mine.items()] == list(range(90))
    sequence = mine.log().sequence
    assert (np.diff(sequence) > 0).all()
    mine.close()
