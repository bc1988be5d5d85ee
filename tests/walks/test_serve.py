"""Over a real process and real HTTP: an event changes the next slate, nothing acknowledged is lost, any id works."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from matinee.protocols import FileRecord
from matinee.serve.run import bind
from matinee.settings import Library
from matinee.store import open_store
from matinee.types import Event, Item, Space
from tests.walks.serving import Server, free_port, quoted, serving, started

THEMES = ("jazz", "war", "cats")
SPACE = Space("text", "test", 8)


def fill(folder: Path) -> None:
    """60 films in three themes with vectors that cluster by theme; ten users watch some of the first 30."""
    library = Library.create(folder)
    store = open_store(library.database)
    items = [
        Item(
            id=f"i{i}",
            title=f"{THEMES[i % 3]} film {i}",
            categories=(THEMES[i % 3],),
            collection=("movies", "clips")[i % 2],
        )
        for i in range(60)
    ]
    store.put_items(items)
    chance = np.random.default_rng(0)
    vectors = np.eye(8)[[i % 3 for i in range(60)]] + 0.2 * chance.standard_normal((60, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    store.put_vectors(SPACE, [f"h{i}" for i in range(60)], vectors.astype(np.float32))
    for i in range(60):
        store.link_content(f"i{i}", SPACE, f"h{i}")
    at = time.time() - 86400
    events = [
        Event(id=f"e{u}-{k}", user=f"u{u}", item=f"i{(7 * u + 3 * k) % 30}", kind="like", at=at + k)
        for u in range(10)
        for k in range(6)
    ]
    assert store.append(events).accepted == 60
    store.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("library")
    fill(folder)
    with serving(folder) as running:
        yield running


def test_an_unknown_user_gets_a_varied_start_and_a_click_changes_the_next_slate(server: Server) -> None:
    before = server.get("users/newcomer/recommendations", n=9)
    assert len(before["items"]) == 9
    assert {c for i in before["items"] for c in i["categories"]} == set(THEMES)  # a bit of everything
    assert {i["collection"] for i in before["items"]} == {"movies", "clips"}

    told = server.post({"id": "n1", "user": "newcomer", "item": "i2", "kind": "like"})
    assert told == {"accepted": 1, "duplicates": 0, "rejected": []}
    after = server.get("users/newcomer/recommendations", n=9, diversity=0)
    assert [i["item"] for i in after["items"]] != [i["item"] for i in before["items"]]
    assert "i2" not in [i["item"] for i in after["items"]]
    assert after["dropped"]["seen"] == 1
    assert sum("cats" in i["categories"] for i in after["items"][:5]) >= 4  # i2 is a cat film
    assert any(r["item"] == "i2" and r["kind"] == "reads" for r in after["items"][0]["reasons"])


def test_the_same_event_twice_changes_nothing(server: Server) -> None:
    event = {"id": "twice", "user": "twin", "item": "i1", "kind": "play", "value": 30}
    assert server.post(event)["accepted"] == 1
    assert server.post(event) == {"accepted": 0, "duplicates": 1, "rejected": []}
    assert len(server.get("users/twin/events")["events"]) == 1


def test_hidden_items_never_come_back(server: Server) -> None:
    first = server.slate("hider", n=5)[0]
    server.post({"id": "hide1", "user": "hider", "item": first, "kind": "hide"})
    server.post({"id": "hide2", "user": "hider", "item": first, "kind": "impression"})
    assert first not in server.slate("hider", n=60)


def test_impressions_do_not_wash_a_taste_or_a_dislike_away(server: Server) -> None:
    server.post({"id": "w1", "user": "washed", "item": "i2", "kind": "like"})
    server.post({"id": "w2", "user": "washed", "item": "i4", "kind": "dislike"})
    server.post(*({"id": f"w-{k}", "user": "washed", "item": f"i{k % 60}", "kind": "impression"} for k in range(600)))
    slate = server.slate("washed", n=60, diversity=0)
    assert "i4" not in slate
    assert "i2" not in slate
    assert any(r["item"] == "i2" for r in server.get("users/washed/recommendations")["items"][0]["reasons"])


def test_events_are_told_back_newest_first(server: Server) -> None:
    now = time.time()
    server.post(
        *({"id": f"o{k}", "user": "order", "item": f"i{k}", "kind": "like", "at": now - 100 + k} for k in (2, 0, 1))
    )
    assert [e["item"] for e in server.get("users/order/events", n=2)["events"]] == ["i2", "i1"]


@pytest.mark.parametrize("kind", ["items", "users"])
@pytest.mark.parametrize(
    "id",
    [
        "a/b", "../x", "items", "similar", "%", "%2F", "猫", "🎬 film", "a b+c", "?q=1#f", "x.y..z", "a\\b", '"quoted"',
        "'; --", "<script>", "~", "ünï",
    ],
)  # fmt: skip
def test_ids_hold_any_character(server: Server, id: str, kind: str) -> None:
    if kind == "items":
        assert server.put(id, title="odd", categories=["jazz"])["item"] == id
        assert server.get(f"items/{quoted(id)}")["item"] == id
        assert server.post({"id": f"odd {id}", "user": "odd", "item": id, "kind": "like"})["accepted"] == 1
        assert server.get("users/odd/events", n=1)["events"][0]["item"] == id
        assert server.get(f"items/{quoted(id)}/similar")["item"] == id
        assert server.client.get(f"/api/v1/items/{quoted(id)}/media").status_code == 404
        assert server.client.delete(f"/api/v1/items/{quoted(id)}").status_code == 204
        assert server.client.get(f"/api/v1/items/{quoted(id)}").status_code == 404
    else:
        server.post({"id": f"by {id}", "user": id, "item": "i3", "kind": "like"})
        assert server.get(f"users/{quoted(id)}/events")["events"][0]["user"] == id
        assert server.get(f"users/{quoted(id)}/recommendations")["user"] == id


def test_ids_of_dots_travel_in_the_query(server: Server) -> None:
    """By raw lines of HTTP, as no client can fold them: only ``-`` is replaced, and what comes is one segment."""

    def status(line: str, body: str = "") -> int:
        with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as s:
            head = f"{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
            s.sendall((head + body).encode())
            return int(s.makefile("rb").readline().split()[1])

    for query, named in (("..", ".."), ("%2e", "."), ("%2E%2e", ".."), ("a%2Fb", "a/b"), ("x+y", "x y"), ("-", "-")):
        assert status(f"PUT /api/v1/items/-?item={query}", '{"title": "dots", "media": "/none.mp4"}') == 200
        found = server.client.get("/api/v1/items/-", params={"item": named}).json()
        assert found["item"] == named
        assert server.client.get(found["play"]).json()["code"] == "file.missing"  # its own address leads to it
        assert status(f"GET /api/v1/items/i1?item={query}") == 200
        assert (
            server.client.get("/api/v1/items/i1", params={"item": named}).json()["item"] == "i1"
        )  # no other is replaced
        assert status(f"DELETE /api/v1/items/-?item={query}") == 204
        assert status(f"GET /api/v1/items/-?item={query}") == 404
    assert status("GET /api/v1/items/-") == 404  # an item of that name
    assert status("GET /api/v1/items/-?item=") == 404
    assert status("GET /api/v1/items/-?item=%ff") == 400
    assert status("GET /api/v1/users/-/recommendations?user=%C3%BC/../..&n=1") == 200
    assert server.get("users/-/recommendations", user="a/../b", n=1)["user"] == "a/../b"
    assert server.get("users/-/reasons/-", user="..", item="i1")["item"] == "i1"


def test_an_item_put_now_is_recommended_found_and_after_delete_gone(server: Server) -> None:
    server.put("fresh", title="Zebra crossing", tags=["stripes"], collection="fresh only")
    assert server.slate("anyone", collection="fresh only") == ["fresh"]
    assert [i["item"] for i in server.get("search", q="zebra")["items"]] == ["fresh"]
    assert server.client.delete("/api/v1/items/fresh").status_code == 204
    assert server.slate("anyone", collection="fresh only") == []
    assert server.get("search", q="zebra")["items"] == []
    assert server.client.delete("/api/v1/items/fresh").status_code == 404


def test_when_nothing_is_left_it_says_so(server: Server) -> None:
    empty = server.get("users/u1/recommendations", collection="no such")
    assert empty["items"] == []
    assert "Nothing is left" in empty["note"]
    chinese = server.client.get("/api/v1/users/u1/recommendations?collection=no", headers={"accept-language": "zh-CN"})
    assert "没有" in chinese.json()["note"]


def test_limits_and_exclusions(server: Server) -> None:
    jazz = server.get("users/u1/recommendations", category="jazz", collection="clips", n=5)["items"]
    assert jazz
    assert all("jazz" in i["categories"] and i["collection"] == "clips" for i in jazz)
    both = server.client.get("/api/v1/users/u1/recommendations?category=jazz&category=war&n=50").json()["items"]
    assert {c for i in both for c in i["categories"]} == {"jazz", "war"}
    assert jazz[0]["item"] not in server.slate("u1", category="jazz", collection="clips", n=50, exclude=jazz[0]["item"])


def test_search_without_an_encoder_says_that_it_compared_words(server: Server) -> None:
    answer = server.get("search", q="jazz film 3")
    assert answer["items"][0]["item"] == "i3"
    assert "weights fetch text" in answer["note"]


def test_rows(server: Server) -> None:
    server.post({"id": "row1", "user": "rower", "item": "i4", "kind": "like"})
    rows = server.get("users/rower/rows", n=6)["rows"]
    kinds = [r["row"] for r in rows]
    assert kinds[0] == "for_you"
    assert {"because", "new"} <= set(kinds)
    because = next(r for r in rows if r["row"] == "because")
    assert because["item"] == "i4"
    assert "war film 4" in because["title"]
    assert all("war" in i["categories"] for i in because["items"][:3])
    for row in rows:
        ids = [i["item"] for i in row["items"]]
        assert len(ids) == len(set(ids))


BAD: list[tuple[Any, str]] = [
    ("text", "event.not_an_object"),
    ({"user": "b", "kind": "like", "item": "i1"}, "event.missing_field"),
    ({"id": "b", "user": "b", "kind": "like"}, "event.missing_field"),
    ({"id": "b", "user": "b", "kind": "adore", "item": "i1"}, "event.bad_kind"),
    ({"id": "b", "user": "b", "kind": ["like"], "item": "i1"}, "event.bad_kind"),
    ({"id": "b", "user": "b", "kind": "like", "item": "i1", "vaule": 1}, "event.unknown_field"),
    ({"id": "b", "user": 7, "kind": "like", "item": "i1"}, "event.bad_field"),
    ({"id": "b", "user": "x" * 2000, "kind": "like", "item": "i1"}, "event.bad_field"),
    ({"id": "b", "user": "b", "kind": "play", "item": "i1", "value": -3}, "event.bad_value"),
    ({"id": "b", "user": "b", "kind": "play", "item": "i1", "value": True}, "event.bad_value"),
    ({"id": "b", "user": "b", "kind": "like", "item": "i1", "at": 1.7e12}, "event.at_milliseconds"),
    ({"id": "b", "user": "b", "kind": "like", "item": "i1", "at": 4e9}, "event.at_future"),
    ({"id": "b", "user": "b", "kind": "like", "item": "i1", "at": -5}, "event.at_ancient"),
    ({"id": "b", "user": "b", "kind": "like", "item": "i1", "at": "soon"}, "event.bad_at"),
    ({"id": "b", "user": "b", "kind": "like", "item": "i1", "at": True}, "event.bad_at"),
    ({"id": "b", "user": "b", "kind": "like", "item": "never"}, "event.unknown_item"),
]


def test_each_event_is_judged_alone(server: Server) -> None:
    good = {"id": "good among bad", "user": "b", "kind": "like", "item": "i1", "at": "2024-05-01T12:00:00+02:00"}
    answer = server.client.post("/api/v1/events", json=[bad for bad, _ in BAD] + [good])
    assert answer.status_code == 202
    told = answer.json()
    assert told["accepted"] == 1
    assert [(r["index"], r["error"]) for r in told["rejected"]] == [(i, code) for i, (_, code) in enumerate(BAD)]
    assert all(r["message"] for r in told["rejected"])
    assert server.get("users/b/events")["events"][0]["at"] == 1714557600.0


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400), (b"{", 400), (b"\xff\xfe", 400), (b"[" * 100_000, 400), (b"\xef\xbb\xbf{}", 400),
        (b'{"id": NaN}', 202), (b'{"at":' + b"9" * 5000 + b"}", 400), (b"null", 202), (b"[]", 202),
        (b'{"id":"d","id":"d2","user":"d","kind":"search","text":"x"}', 202), (b"[" + b"1," * 20000 + b"1]", 413),
        (b" " * (9 * 1024 * 1024), 413), (gzip.compress(b" " * (50 * 1024 * 1024)), 400),
    ],
)  # fmt: skip
def test_odd_bodies(server: Server, body: bytes, status: int) -> None:
    started_at = time.perf_counter()
    answer = server.client.post("/api/v1/events", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert time.perf_counter() - started_at < 5
    if status >= 400:
        assert answer.headers["content-type"].startswith("application/problem+json")
        assert {"type", "title", "status", "detail", "code"} <= answer.json().keys()
    assert server.get("health")["status"] == "ok"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/items/none", 404), ("/api/v1/items/none/similar", 404), ("/api/v1/nothing", 404), ("/nothing", 404),
        ("/api/v1/users/u1/recommendations?n=0", 400), ("/api/v1/users/u1/recommendations?n=x", 400),
        ("/api/v1/users/u1/recommendations?diversity=2", 400), ("/api/v1/items/i1/similar?by=smell", 400),
        ("/api/v1/search", 400), ("/api/v1/search?q=", 400), ("/api/v1/items/%FF", 400),
        ("/assets/..%2F..%2Fhttp.py", 404),
        ("/assets/nope.js", 404), ("/api/v1/users/u1/recommendations?diversity=nan", 400),
    ],
)  # fmt: skip
def test_errors_are_problems(server: Server, path: str, status: int) -> None:
    answer = server.client.get(path)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.json()["status"] == status
    assert "Traceback" not in answer.text


def test_a_foreign_host_or_origin_is_refused(server: Server) -> None:
    assert server.client.get("/api/v1/health", headers={"host": "evil.example"}).status_code == 421
    assert server.client.get("/api/v1/health", headers={"host": "localhost:1"}).status_code == 200
    event = {"id": "csrf", "user": "v", "item": "i1", "kind": "like"}
    foreign = server.client.post("/api/v1/events", json=event, headers={"origin": "http://evil.example"})
    assert foreign.status_code == 403
    own = server.client.post("/api/v1/events", json=event, headers={"origin": server.url})
    assert own.status_code == 202


def test_the_schema_names_every_route(server: Server) -> None:
    schema = server.client.get("/schema").json()
    assert set(schema["paths"]) >= {
        "/api/v1/events", "/api/v1/users/{user}/recommendations", "/api/v1/users/{user}/events", "/api/v1/search",
        "/api/v1/items/{item}", "/api/v1/items/{item}/similar", "/api/v1/health",
    }  # fmt: skip
    assert schema["paths"]["/api/v1/events"]["post"]["requestBody"]
    assert set(schema["paths"]["/api/v1/items/{item}"]) >= {"get", "put", "delete"}


def test_the_page_has_a_strict_policy(server: Server) -> None:
    answer = server.client.get("/")
    assert answer.status_code == 200
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]


def test_nothing_acknowledged_is_lost_by_kill_9(tmp_path: Path) -> None:
    fill(tmp_path)
    acknowledged: list[str] = []
    with serving(tmp_path) as server:

        def write() -> None:
            client = httpx.Client(base_url=server.url, timeout=5)
            for k in range(100_000):
                event = {"id": f"k{k}", "user": "killed", "item": f"i{k % 30}", "kind": "play"}
                try:
                    if client.post("/api/v1/events", json=event).status_code == 202:
                        acknowledged.append(event["id"])
                except httpx.TransportError:
                    return

        writer = threading.Thread(target=write)
        writer.start()
        until = time.monotonic() + 30
        while len(acknowledged) < 50 and time.monotonic() < until:  # on a busy machine a second may not be enough
            time.sleep(0.01)
        server.kill()
        writer.join(10)
    assert len(acknowledged) > 10
    with serving(tmp_path) as server:
        kept = {e["id"] for e in server.get("users/killed/events", n=1000)["events"]}
        newest = set(acknowledged[-900:])
        assert newest <= kept
        assert server.get("health")["events"] >= 60 + len(acknowledged)
        assert server.stop() == 0


def test_media_and_ranges(tmp_path: Path) -> None:
    fill(tmp_path)
    file = tmp_path / "sound.ogg"
    content = bytes(range(256)) * 2000
    file.write_bytes(content)
    link = tmp_path / "link.ogg"
    link.symlink_to("/etc/hostname")
    (tmp_path / "covers").mkdir(exist_ok=True)
    (tmp_path / "covers" / "0123abcd.jpg").write_bytes(b"\xff\xd8cover")
    store = open_store(tmp_path / "matinee.db")
    store.put_items([Item(id=name, media=str(path)) for name, path in
                     [("heard", file), ("linked", link), ("never ingested", Path("/etc/passwd"))]])  # fmt: skip
    for name, path in (("heard", file), ("linked", link)):
        store.put_file(FileRecord(str(path), 1, 1, "h", name, "taken"))
    store.put_fact("heard", "cover", {"file": "covers/0123abcd.jpg"})
    store.put_fact("linked", "cover", {"file": "../matinee.db"})
    store.close()
    with serving(tmp_path) as server:

        def fetch(headers: dict[str, str] | None = None, item: str = "heard") -> httpx.Response:
            return server.client.get(f"/api/v1/items/{quoted(item)}/media", headers=headers)

        whole = fetch()
        assert (whole.status_code, whole.content) == (200, content)
        assert whole.headers["content-type"] == "audio/ogg"
        size = len(content)
        for asked, start, end in [
            ("0-99", 0, 100),
            ("100-", 100, size),
            ("-7", size - 7, size),
            ("5-999999999", 5, size),
        ]:
            part = fetch({"range": f"bytes={asked}"})
            assert part.status_code == 206
            assert part.content == content[start:end]
            assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
        beyond = fetch({"range": f"bytes={size}-"})
        assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{size}")
        assert fetch({"range": "bytes=-0"}).status_code == 416
        for ignored in ("bytes=5-2", "lines=1-2", "bytes=0-1,5-6", "bytes=-", "nonsense"):
            assert fetch({"range": ignored}).status_code == 200
        tag = whole.headers["etag"]
        assert fetch({"range": "bytes=0-9", "if-range": tag}).status_code == 206
        assert fetch({"range": "bytes=0-9", "if-range": '"other"'}).status_code == 200
        head = server.client.head("/api/v1/items/heard/media")
        assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(size))
        assert fetch(item="linked").status_code == 404  # the safety: a link is not followed
        assert fetch(item="never ingested").status_code == 404  # a path that only a client named
        assert server.client.get("/api/v1/items/heard/cover").content == b"\xff\xd8cover"
        assert server.client.get("/api/v1/items/linked/cover").status_code == 404
        item = server.get("items/heard")
        assert (item["cover"], item["play"]) == ("/api/v1/items/heard/cover", "/api/v1/items/heard/media")
        server.put("stolen", media="/etc/passwd")
        assert fetch(item="stolen").status_code == 404


def test_what_another_process_writes_appears_without_a_restart(tmp_path: Path) -> None:
    fill(tmp_path)
    with serving(tmp_path) as server:
        assert server.client.get("/api/v1/items/late").status_code == 404
        store = open_store(tmp_path / "matinee.db")
        store.put_items([Item(id="late", title="late", collection="late")])
        until = time.time() + 10
        while server.slate("u1", collection="late") != ["late"]:
            assert time.time() < until
            time.sleep(0.05)
        store.delete_item("late")
        assert server.slate("u1", collection="late") == []
        store.close()


def test_it_says_why_it_does_not_start(tmp_path: Path) -> None:
    fill(tmp_path)
    port = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        process = started(tmp_path, port=port)
        _, said = process.communicate(timeout=30)
        assert process.returncode != 0
        assert f"Port {port} is taken" in said
    process = started(tmp_path, host="0.0.0.0")  # noqa: S104
    _, said = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "a key is needed" in said


def test_json_is_what_the_contract_says(server: Server) -> None:
    answer = server.get("users/u1/recommendations", n=3)
    assert {"slate", "user", "release", "items", "dropped", "ms"} <= answer.keys()
    for place, item in enumerate(answer["items"]):
        assert {"item", "title", "score", "source", "reasons", "position"} <= item.keys()
        assert {"collection", "categories", "duration", "cover", "play", "kind"} <= item.keys()
        assert item["position"] == place
        for reason in item["reasons"]:
            assert {"kind", "item", "text", "weight"} <= reason.keys()
            assert 0 <= reason["weight"] <= 1
    assert {"status", "release", "items", "users", "events"} <= server.get("health").keys()
    assert json.dumps(server.get("collections"))
    assert server.get("users", n=3)["users"][0].keys() == {"user", "events"}


def test_a_new_release_is_taken_up_and_a_damaged_one_is_not(tmp_path: Path) -> None:
    from matinee.train import train

    fill(tmp_path)
    library = Library.open(tmp_path)
    with serving(tmp_path) as server:
        assert server.get("health")["release"] == ""
        assert "matinee train" in server.get("items/i3/similar", by="behaviour")["note"]
        store = open_store(library.database)
        digest = train(library, store)
        until = time.time() + 20
        while server.get("users/u1/recommendations")["release"] != digest:
            assert time.time() < until
            time.sleep(0.05)
        assert server.get("items/i3/similar", by="behaviour")["items"]
        assert server.slate("nobody at all", n=5)
        server.put("after training", title="jazz film new", categories=["jazz"], collection="clips")
        assert "after training" in server.slate("u1", n=70)  # recommendable without another training

        bad = library.releases / "0123456789abcdef"
        bad.mkdir()
        (bad / "manifest.json").write_text("{}")
        store.put_release("0123456789abcdef", {})
        store.use_release("0123456789abcdef")
        time.sleep(0.5)
        assert server.get("users/u1/recommendations")["release"] == digest
        store.use_release(digest)
        store.close()
        assert server.stop() == 0


def test_the_socket_is_one_whose_answers_are_sent_at_once() -> None:
    """asyncio sets TCP_NODELAY only on sockets that name TCP as their protocol; without it answers waited 40 ms."""
    with bind("127.0.0.1", 0) as bound:
        assert bound.proto == socket.IPPROTO_TCP
