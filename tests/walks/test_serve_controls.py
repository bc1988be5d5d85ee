"""What an asker turns and an operator bounds: filters, pages, chance, scenarios, keys, rates, overload, erasure."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from matinee.serve.keys import digest
from matinee.settings import SETTINGS
from tests.walks.serving import Server, serving
from tests.walks.test_serve import fill


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("library")
    fill(folder)
    with serving(folder) as running:
        yield running


def test_the_filter_language_is_the_same_everywhere(server: Server) -> None:
    where = '"jazz" in categories and collection == "clips"'
    for items in (
        server.get("users/u1/recommendations", where=where, n=30)["items"],
        server.get("items/i3/similar", where=where, n=30)["items"],
        server.get("search", q="film", where=where, n=30)["items"],
    ):
        assert items
        assert all("jazz" in i["categories"] and i["collection"] == "clips" for i in items)
    wrong = server.client.get("/api/v1/users/u1/recommendations", params={"where": "duration <"})
    assert wrong.status_code == 400
    assert wrong.json()["code"] == "where.wrong"
    assert "example" in wrong.json()["detail"]


def test_pages_never_repeat_even_when_the_taste_turns_between(server: Server) -> None:
    seen: list[str] = []
    page = ""
    for number in range(20):
        answer = server.get("users/pager/recommendations", n=7, page=page)
        seen += [i["item"] for i in answer["items"]]
        server.post({"id": f"turn{number}", "user": "pager", "item": f"i{number}", "kind": "like"})
        page = answer.get("next", "")
        if not page:
            break
    assert len(seen) == len(set(seen))
    assert len(seen) > 30
    assert server.client.get("/api/v1/users/u1/recommendations?page=nonsense!").json()["code"] == "page.wrong"


def test_chance_is_told_and_the_seed_repeats_it(server: Server) -> None:
    server.slate("u2")
    time.sleep(1.2)  # what earlier tests posted is counted by now, so nothing else moves
    server.slate("u2")
    sure = server.get("users/u2/recommendations", n=10)["items"]
    assert all(i["propensity"] == 1 for i in sure)
    first = server.get("users/u2/recommendations", n=10, exploration=0.8, seed=3)
    again = server.get("users/u2/recommendations", n=10, exploration=0.8, seed=3)
    other = server.get("users/u2/recommendations", n=10, exploration=0.8, seed=4)
    ids = [[i["item"] for i in a["items"]] for a in (first, again, other)]
    assert ids[0] == ids[1] != ids[2]
    assert all(0 < i["propensity"] <= 1 for i in first["items"])
    assert first["items"][0]["propensity"] == 1


def test_chances_hold_no_person(tmp_path: Path) -> None:
    fill(tmp_path)
    with serving(tmp_path) as server:
        slate = server.get("users/secret-person/recommendations", n=5, exploration=0.5)
    lines = (tmp_path / "slates.jsonl").read_text().splitlines()
    told = json.loads(lines[0])
    assert told["slate"] == slate["slate"]
    assert told["items"] == [i["item"] for i in slate["items"]]
    assert told["propensities"] == pytest.approx([i["propensity"] for i in slate["items"]])
    assert "secret-person" not in lines[0]


def test_boost_and_novelty(server: Server) -> None:
    plain = server.get("users/u3/recommendations", n=10, diversity=0)["items"]
    boosted = server.get("users/u3/recommendations", n=10, diversity=0, boost='5:"cats" in categories')["items"]
    assert all("cats" in i["categories"] for i in boosted[:5])
    assert [i["item"] for i in plain] != [i["item"] for i in boosted]
    assert server.client.get("/api/v1/users/u3/recommendations?boost=lots").json()["code"] == "boost.wrong"


def test_a_list_that_was_looked_at_gives_way(server: Server) -> None:
    first = server.slate("visitor", n=5)
    for visit in range(4):
        server.post(*({"id": f"v{visit}-{i}", "user": "visitor", "item": i, "kind": "impression"} for i in first))
    later = server.slate("visitor", n=5)
    assert set(later) != set(first)


def test_when_all_was_seen_it_comes_again_and_says_so(server: Server) -> None:
    server.put("only", title="only", collection="tiny", categories=["odd"])
    server.put("hidden", title="hidden", collection="tiny", categories=["odd"])
    server.post(
        {"id": "f1", "user": "faller", "item": "only", "kind": "finish"},
        {"id": "f2", "user": "faller", "item": "hidden", "kind": "hide"},
    )
    answer = server.get("users/faller/recommendations", collection="tiny")
    assert [i["item"] for i in answer["items"]] == ["only"]  # and never what was hidden
    assert answer["fallback"] == ["seen"]
    assert "again" in answer["note"]
    wider = server.get("users/faller/recommendations", collection="tiny", category="none such")
    assert wider["fallback"] == ["seen", "category"]
    assert [i["item"] for i in wider["items"]] == ["only"]


def test_scenarios(server: Server) -> None:
    table = {s["scenario"]: s for s in server.get("scenarios")["scenarios"]}
    assert set(table) >= {"home", "short_video", "film", "series", "music", "live", "course", "knowledge_base"}
    for name in table:
        assert server.get("users/u1/recommendations", scenario=name)["scenario"] == name
    assert server.client.get("/api/v1/users/u1/recommendations?scenario=opera").json()["code"] == "scenario.unknown"

    for number in range(1, 5):
        server.put(f"s1e{number}", title=f"part {number}", series="Saga", season=1, episode=number, collection="tv")
    server.post({"id": "sr1", "user": "watcher", "item": "s1e2", "kind": "finish"})
    following = server.get("users/watcher/recommendations", scenario="series", collection="tv")["items"]
    assert following[0]["item"] == "s1e3"
    assert "Saga" in following[0]["reasons"][0]["text"]
    server.post({"id": "sr2", "user": "watcher", "item": "s1e4", "kind": "play", "value": 0.2})
    assert server.slate("watcher", scenario="series", collection="tv")[0] == "s1e4"  # begun: go on with it

    now = time.time()
    server.put("on", collection="air", properties={"live_from": now - 60, "live_until": now + 600})
    server.put("over", collection="air", properties={"live_from": now - 600, "live_until": now - 60})
    server.put("later", collection="air", properties={"live_from": now + 600})
    assert server.slate("u1", scenario="live", collection="air") == ["on"]

    server.post({"id": "mu1", "user": "listener", "item": "i9", "kind": "finish", "at": now - 86400})
    server.post({"id": "mu2", "user": "listener", "item": "i12", "kind": "finish"})
    playlist = server.slate("listener", scenario="music", n=40)
    assert "i9" in playlist  # loved yesterday: it may come again
    assert "i12" not in playlist  # just heard


def test_batch_and_stream(server: Server) -> None:
    answer = server.client.post("/api/v1/recommendations", json={"users": ["u1", "u2", "new"], "n": 3})
    assert [s["user"] for s in answer.json()["slates"]] == ["u1", "u2", "new"]
    assert all(len(s["items"]) == 3 for s in answer.json()["slates"])
    assert server.client.post("/api/v1/recommendations", json={"users": []}).json()["code"] == "batch.size"

    def lines() -> Iterator[bytes]:
        for k in range(2500):
            yield (
                json.dumps({"id": f"st{k}", "user": f"su{k % 7}", "item": f"i{k % 60}", "kind": "play"}).encode()
                + b"\n"
            )
        yield b"not json\n\n"
        yield b'{"id":"last","user":"su0","item":"i1","kind":"like"}'

    told = server.client.post("/api/v1/events/stream", content=lines()).json()
    assert told["accepted"] == 2501
    assert told["rejected"] == [{"index": 2500, "error": "event.not_an_object", "message": "an event is a JSON object"}]
    assert server.client.post("/api/v1/events/stream", content=lines()).json()["duplicates"] == 2501
    assert server.client.post("/api/v1/events/stream", content=b"x" * 100_000).status_code == 413


def test_export_and_erasure(server: Server) -> None:
    words = {"id": "ex2", "user": "leaver/1", "kind": "search", "text": "secret words"}
    server.post({"id": "ex1", "user": "leaver/1", "item": "i1", "kind": "like"}, words)
    data = server.get("users/leaver%2F1/export")
    assert {e["id"] for e in data["events"]} == {"ex1", "ex2"}
    assert server.client.delete("/api/v1/users/leaver%2F1?confirm=other").status_code == 400
    assert server.client.delete("/api/v1/users/leaver%2F1?confirm=leaver/1").json()["erased"] is True
    assert server.get("users/leaver%2F1/events")["events"] == []
    assert server.client.get("/api/v1/users/leaver%2F1/export").status_code == 404
    assert server.client.delete("/api/v1/users/leaver%2F1?confirm=leaver/1").status_code == 404
    assert len(server.slate("leaver/1", n=5)) == 5  # a stranger again


def test_metrics_hold_no_ids(server: Server) -> None:
    server.get("users/private-name/recommendations")
    text = server.client.get("/metrics").text
    assert 'matinee_requests_total{method="GET",route="/api/v1/users/{user}/recommendations",status="200"}' in text
    assert "matinee_stage_seconds_bucket" in text
    assert "# TYPE matinee_items gauge" in text
    assert "private-name" not in text
    for line in text.splitlines():
        assert line.startswith("# TYPE ") or float(line.rsplit(" ", 1)[1]) >= 0


def test_keys_and_roles(tmp_path: Path) -> None:
    fill(tmp_path)
    keys = {"read": "r" * 20, "write": "w" * 20, "admin": "a" * 20}
    rows = ", ".join(f'{{role = "{role}", sha256 = "{digest(key)}"}}' for role, key in keys.items())
    (tmp_path / SETTINGS).write_text(f"[access]\nkeys = [{rows}]\n")
    event = {"id": "k1", "user": "u", "item": "i1", "kind": "like"}
    with serving(tmp_path) as server:

        def status(method: str, path: str, key: str | None, **more: object) -> int:
            headers = {"authorization": f"Bearer {key}"} if key else {}
            return server.client.request(method, path, headers=headers, **more).status_code  # type: ignore[arg-type]

        assert status("GET", "/api/v1/health", None) == 200  # for whoever watches over the machine
        for key, reads, writes, rules in [
            (None, 401, 401, 401), ("wrong" * 5, 401, 401, 401), (keys["read"], 200, 403, 403),
            (keys["write"], 200, 202, 403), (keys["admin"], 200, 202, 200),
        ]:  # fmt: skip
            assert status("GET", "/api/v1/users/u1/recommendations", key) == reads
            assert status("POST", "/api/v1/events", key, json=event) == writes
            assert status("PUT", "/api/v1/items/new", key, json={}) == rules
            assert status("GET", "/metrics", key) == rules
            assert status("GET", "/api/v1/users/u1/export", key) == rules
        assert server.client.get("/api/v1/collections", headers={"x-api-key": keys["read"]}).status_code == 200
        cookie = server.client.post("/api/v1/session", json={"key": keys["read"]})
        assert "HttpOnly" in cookie.headers["set-cookie"]
        assert "SameSite=Strict" in cookie.headers["set-cookie"]
        assert server.client.get("/api/v1/collections").status_code == 200  # the cookie is the key now


def test_rates(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / SETTINGS).write_text("[access]\nrate = 5.0\nburst = 3.0\n")
    with serving(tmp_path) as server:
        answers = [server.client.get("/api/v1/collections") for _ in range(8)]
        statuses = [a.status_code for a in answers]
        assert 429 in statuses
        refused = next(a for a in answers if a.status_code == 429)
        assert int(refused.headers["retry-after"]) >= 1
        time.sleep(1.0)
        assert server.client.get("/api/v1/collections").status_code == 200


def test_overload_is_shed_and_passes(tmp_path: Path) -> None:
    """With one place at work and none in line most of a crowd is told to come back, and nobody waits long."""
    fill(tmp_path)
    (tmp_path / SETTINGS).write_text("[access]\nrunning = 1\nwaiting = 1\n")
    with serving(tmp_path) as server:
        statuses: list[int] = []

        def ask() -> None:
            with httpx.Client(base_url=server.url, timeout=20) as client:
                for _ in range(15):
                    answer = client.get("/api/v1/users/u1/rows")
                    statuses.append(answer.status_code)
                    if answer.status_code == 503:
                        assert answer.headers["retry-after"] == "1"
                        assert answer.json()["code"] == "server.busy"

        crowd = [threading.Thread(target=ask) for _ in range(8)]
        for one in crowd:
            one.start()
        for one in crowd:
            one.join(60)
        assert set(statuses) == {200, 503}
        assert len(statuses) == 120
        assert server.client.get("/api/v1/users/u1/rows").status_code == 200  # and at once well again


def test_a_weak_key_is_refused(tmp_path: Path) -> None:
    from tests.walks.serving import started

    fill(tmp_path)
    process = started(tmp_path, MATINEE_KEY="short")
    _, said = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "too short" in said
