"""Feedback on a slate, why an item, the log as it grows, titles by language, slow heads; over real HTTP."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from matinee.client import Client
from matinee.serve import forms
from matinee.serve.forms import Ask
from matinee.settings import Library
from matinee.store import open_store
from matinee.types import Item
from tests.walks.serving import Server, serving
from tests.walks.test_serve import fill


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("slates")
    fill(folder)
    (folder / "matinee.toml").write_text("[access]\nseconds = 1.0\n")
    store = open_store(Library.open(folder).database)
    store.put_items([
        Item(id="zh", title="Seven Samurai", properties={"title_zh": "七武士", "title_en": 7}, categories=("war",))
    ])  # fmt: skip
    store.close()
    with serving(folder) as running:
        yield running


def test_feedback_on_a_slate_becomes_events_once(server: Server) -> None:
    with Client(server.url) as client:
        slate = client.recommend("viewer", n=5)
        items = [item.item for item in slate.items]
        told = forms.FeedbackIn(
            user="viewer", shown=tuple(items), events=(forms.SaidIn(item=items[0], kind="like"),), session="s1"
        )
        first, second = client.feedback(slate.slate, told), client.feedback(slate.slate, told)
        assert (first.accepted, first.duplicates) == (6, 0)
        assert (second.accepted, second.duplicates) == (0, 6)
        kept = client.events("viewer")
        assert {event.slate for event in kept} == {slate.slate}
        assert sorted(event.kind for event in kept) == ["impression"] * 5 + ["like"]
        assert items[0] not in [item.item for item in client.recommend("viewer", n=60).items]
        odd = client.feedback(slate.slate, forms.FeedbackIn(user="viewer", shown=("no such item", items[1])))
        assert [r.error for r in odd.rejected] == ["event.unknown_item"]
    wrong = server.client.post(f"/api/v1/slates/{slate.slate}/feedback", json={"user": "x", "shown": "abc"})
    assert wrong.status_code == 400
    assert wrong.json()["code"] == "body.wrong"


def test_why_an_item_and_what_stands_in_its_way(server: Server) -> None:
    server.post({"id": "w1", "user": "why", "item": "i3", "kind": "like"}, {"id": "w2", "user": "why", "item": "i6",
                "kind": "hide"})  # fmt: skip
    with Client(server.url) as client:
        top = client.recommend("why", n=1, ask=Ask(diversity=0.0)).items[0]
        told = client.reasons("why", top.item)
        assert told.place == 1
        assert told.dropped is None
        assert [r.kind for r in told.reasons] == [r.kind for r in top.reasons]
        hidden = client.reasons("why", "i6")
        assert hidden.dropped in ("seen", "hidden")
        assert hidden.place is None
        assert hidden.note
    assert server.client.get("/api/v1/users/why/reasons/none").status_code == 404
    assert server.client.get("/api/v1/users/why/reasons/i3", params={"scenario": "x"}).status_code == 400


def test_the_log_as_it_grows(server: Server) -> None:
    with Client(server.url) as client:
        before = client.log(n=3)
        assert len(before.events) == 3
        server.post({"id": "l1", "user": "log", "item": "i3", "kind": "save"}, {"id": "l2", "user": "log", "item": "i4",
                    "kind": "play"})  # fmt: skip
        after = client.log(before.last)
        assert [event.id for event in after.events] == ["l1", "l2"]
        assert client.log(after.last).events == ()
        assert client.log(after.last).last == after.last
        saves = server.get("events", after=before.last, kind="save")["events"]
        assert [event["id"] for event in saves] == ["l1"]


def test_titles_in_the_language_of_the_answer(server: Server) -> None:
    for lang, title in (("zh", "七武士"), ("en", "Seven Samurai")):
        hits = server.get("search", q="samurai", lang=lang)["items"]
        assert [hit["title"] for hit in hits] == [title]


def dribble(server: Server, first: bytes, pause: float) -> tuple[bytes, float]:
    place = urlsplit(server.url)
    started = time.monotonic()
    with socket.create_connection((place.hostname, place.port), timeout=10) as connection:
        connection.sendall(first)
        got = b""
        connection.settimeout(pause)
        while time.monotonic() - started < 8:
            try:
                part = connection.recv(4096)
            except TimeoutError:
                try:
                    connection.sendall(b"x")
                    continue
                except OSError:
                    break
            except OSError:
                break
            if not part:
                break
            got += part
    return got, time.monotonic() - started


def test_a_head_that_dribbles_is_cut_off_and_a_slow_body_too(server: Server) -> None:
    got, took = dribble(server, b"GET /api/v1/health HTTP/1.1\r\nhost: 127.0.0.1\r\nx-slow: ", 0.2)
    assert b"408" in got.split(b"\r\n")[0]
    assert took < 6
    whole = b"GET /api/v1/scenarios HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
    got, took = dribble(server, whole + b"GET /api/v1/health HTTP/1.1\r\nx: ", 0.2)  # the second head of a connection
    assert got.startswith(b"HTTP/1.1 200")
    assert b"408 Request Timeout" in got
    # the control: a connection that is idle between two requests is not a slow head
    with httpx.Client(base_url=server.url) as client:
        assert client.get("/api/v1/scenarios").status_code == 200
        time.sleep(1.6)
        assert client.get("/api/v1/scenarios").status_code == 200


def test_the_log_and_feedback_want_their_roles(tmp_path: Path) -> None:
    from matinee.serve.keys import digest

    fill(tmp_path)
    keys = [f'{{role = "{role}", sha256 = "{digest(role * 8)}"}}' for role in ("read", "write", "admin")]
    (tmp_path / "matinee.toml").write_text(f"[access]\nkeys = [{', '.join(keys)}]\n")
    with serving(tmp_path) as server:

        def status(role: str, method: str, path: str) -> int:
            headers = {"authorization": f"Bearer {role * 8}"}
            return server.client.request(method, f"/api/v1/{path}", headers=headers, json={"user": "u"}).status_code

        assert [status(role, "GET", "events") for role in ("read", "write", "admin")] == [403, 403, 200]
        assert [status(role, "POST", "slates/s/feedback") for role in ("read", "write", "admin")] == [403, 202, 202]
        assert [status(role, "GET", "users/u1/reasons/i3") for role in ("read", "write", "admin")] == [200, 200, 200]
