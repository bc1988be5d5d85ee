"""The catalogue in order, in parts; items by their ids."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from matinee.settings import Library
from matinee.store import open_store
from matinee.types import Event, Item
from tests.walks.serving import Server, serving

TITLES = ("Zebra", "apple", "Éclair", "banana", "")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("listing")
    store = open_store(Library.create(folder).database)
    first = [Item(id=f"t{n}", title=title, categories=("A",), duration=60.0 - n) for n, title in enumerate(TITLES)]
    rest = [Item(id=f"m{n}", title=f"many {n:04d}", collection="many", categories=("B",)) for n in range(300)]
    store.put_items([*first, *rest, Item(id="gone", title="a", expires=1.0)])
    store.append([Event(id=f"e{n}", user="u", item="m7", kind="finish", at=time.time()) for n in range(3)])
    store.close()
    with serving(folder) as running:
        yield running


def ids(server: Server, **asked: object) -> list[str]:
    return [item["item"] for item in server.get("items", **asked)["items"]]


def test_every_item_once_in_order(server: Server) -> None:
    whole = [item for offset in range(0, 305, 100) for item in ids(server, n=100, offset=offset)]
    assert len(whole) == len(set(whole)) == server.get("items")["total"] == 305
    assert [i for i in whole if i.startswith("t")] == ["t1", "t3", "t2", "t4", "t0"]  # t4 goes by its id
    assert ids(server, offset=9999) == []


def test_sorted_and_narrowed(server: Server) -> None:
    assert ids(server, sort="popular", n=1) == ["m7"]
    assert ids(server, sort="new", n=1) == ["m299"]
    assert ids(server, sort="short", n=5) == ["t4", "t3", "t2", "t1", "t0"]
    assert ids(server, sort="long", n=1) == ["t0"]
    assert set(ids(server, category="A")) == {"t0", "t1", "t2", "t3", "t4"}
    assert server.get("items", collection="many")["total"] == 300
    assert server.get("items", category="no such")["items"] == []
    assert ids(server, where='title == "apple"') == ["t1"]


def test_by_ids(server: Server) -> None:
    assert ids(server, id=["m3", "nobody", "t0"]) == ["m3", "t0"]


def test_a_new_item_is_in_it_at_once(server: Server) -> None:
    server.put("new", title="aaa", categories=["New"])
    assert ids(server, category="New") == ["new"]
    server.client.delete("/api/v1/items/new")
    assert ids(server, category="New") == []


def test_what_is_no_order_is_refused(server: Server) -> None:
    for wrong in ({"sort": "mood"}, {"n": 0}, {"offset": -1}, {"where": "title =="}):
        assert server.client.get("/api/v1/items", params=wrong).status_code == 400
