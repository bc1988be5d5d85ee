"""A viewer takes an interest away and the next slate follows; it is exported and erased like any other event."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from matinee.settings import Library
from matinee.store import open_store
from matinee.types import Event, Item, Space
from tests.walks.serving import Server, quoted, serving

ODD = 'Film "noir" \\ / 黑色'
KINDS = ("Drama", "Comedy", ODD)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("interests")
    store = open_store(Library.create(folder).database)
    store.put_items(
        [Item(id=f"i{n}", title=f"Number {n}", categories=(KINDS[n % 3],), tags=("old",)) for n in range(120)]
    )
    space = Space("text", "test", 8)  # what each says is its kind, and a little of its own
    vectors = np.eye(8)[[n % 3 for n in range(120)]] + 0.3 * np.random.default_rng(0).normal(size=(120, 8))
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    store.put_vectors(space, [f"h{n}" for n in range(120)], vectors.astype(np.float32))
    for n in range(120):
        store.link_content(f"i{n}", space, f"h{n}")
    now = time.time()
    store.append(
        [
            Event(id=f"{u}-{k}", user=f"u{u}", item=f"i{3 * k + u % 3}", kind="finish", at=now - 999 + k)
            for u in range(12)
            for k in range(u % 4 + 5)
        ]
    )
    store.close()
    with serving(folder) as running:
        yield running


def kinds_of(server: Server, user: str) -> list[str]:
    return [i["categories"][0] for i in server.get(f"users/{user}/recommendations", n=12)["items"]]


@pytest.mark.parametrize(("user", "kind"), [("u0", "Drama"), ("u2", ODD)])
def test_an_interest_is_taken_away_and_given_back(server: Server, user: str, kind: str) -> None:
    told = server.get(f"users/{user}/interests")["interests"]
    assert told[0]["interest"] == f"category:{kind}"
    assert told[0]["weight"] == pytest.approx(1)
    assert told[0]["items"][0].startswith("i")
    before = kinds_of(server, user)
    held = before.count(kind)
    assert held > 0
    path = f"/api/v1/users/{user}/interests/{quoted('category:' + kind)}"
    answer = server.client.delete(path)
    assert answer.status_code == 200
    assert {i["interest"]: i["muted"] for i in answer.json()["interests"]}[f"category:{kind}"] is True
    assert kinds_of(server, user).count(kind) < held
    rows = server.get(f"users/{user}/rows")["rows"]
    assert kind not in [row.get("category") for row in rows]
    back = server.client.put(path).json()["interests"]
    assert [i["muted"] for i in back if i["interest"] == f"category:{kind}"] == [False]
    assert kinds_of(server, user).count(kind) == held


def test_it_is_the_viewers_data(server: Server) -> None:
    server.client.delete("/api/v1/users/u1/interests/tag%3Aold")
    exported = server.get("users/u1/export")["events"]
    assert [e["text"] for e in exported if e["kind"] == "hide"] == ["interest:tag:old"]
    assert server.client.delete("/api/v1/users/u1", params={"confirm": "u1"}).status_code == 200
    assert server.get("users/u1/interests")["interests"] == []


@pytest.mark.parametrize("wrong", ["Drama", "category:", "mood:sad", "category:" + "x" * 2000])
def test_what_is_no_interest_is_refused(server: Server, wrong: str) -> None:
    answer = server.client.delete(f"/api/v1/users/u3/interests/{quoted(wrong)}")
    assert (answer.status_code, answer.json()["code"]) == (400, "interest.wrong")


def test_nobody_is_made_by_it(server: Server) -> None:
    assert server.client.delete("/api/v1/users/nobody/interests/category%3ADrama").status_code == 404
    assert server.client.get("/api/v1/users/nobody/export").status_code == 404


def test_an_event_without_an_item_is_refused_as_before(server: Server) -> None:
    told = server.post({"id": "x", "user": "u4", "kind": "hide", "text": "interest:category:Drama"})
    assert [r["error"] for r in told["rejected"]] == ["event.missing_field"]


def test_a_write_key_is_enough(tmp_path: Path) -> None:
    from matinee.serve.keys import needed

    assert needed("DELETE", "/api/v1/users/u/interests/category%3Aa") == "write"
    assert needed("DELETE", "/api/v1/users/u") == "admin"
    assert needed("PUT", "/api/v1/items/users%2Fu%2Finterests%2Fa") == "admin"
    assert needed("GET", "/api/v1/console/settings") == "admin"


def test_events_by_kind(server: Server) -> None:
    now = time.time()
    told = [("a", "like", "i1"), ("b", "impression", "i2"), ("c", "save", "i3"), ("d", "like", "i4")]
    server.post(
        *({"id": f"k{i}", "user": "kim", "kind": k, "item": t, "at": now + n} for n, (i, k, t) in enumerate(told))
    )
    assert [e["item"] for e in server.get("users/kim/events", kind=["like", "save"])["events"]] == ["i4", "i3", "i1"]
    assert [e["item"] for e in server.get("users/kim/events", kind="like", n=1)["events"]] == ["i4"]
    assert len(server.get("users/kim/events")["events"]) == 4
    assert server.client.get("/api/v1/users/kim/events", params={"kind": "nod"}).status_code == 400
