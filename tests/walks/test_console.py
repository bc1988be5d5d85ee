"""The operator's endpoints: gaps, refused files, ingest, events, releases and back, a request taken apart, map,
coverage, settings without their secrets; all behind the admin key where there are keys."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from matinee.protocols import FileRecord
from matinee.serve.compare import later_than
from matinee.serve.keys import digest
from matinee.serve.survey import curve, gini
from matinee.settings import Library
from matinee.store import open_store
from matinee.train import train
from matinee.types import Event, Interactions, Item, Space
from tests.walks.chromium import until
from tests.walks.serving import Server, serving

KINDS = ("Drama", "Comedy", "Horror")
ADMIN, READER = "an-admin-key-of-chance", "a-reader-key-of-chance"


def library_at(folder: Path) -> Library:
    library = Library.create(folder)
    store = open_store(library.database)
    items = [Item(id=f"i{n}", title=f"Number {n}", categories=(KINDS[n % 3],)) for n in range(90)]
    store.put_items([*items, Item(id="bare")])
    chance = np.random.default_rng(0)
    vectors = np.eye(8, dtype=np.float32)[[n % 3 for n in range(90)]] + 0.2 * chance.normal(size=(90, 8))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    space = Space("text", "test", 8)
    store.put_vectors(space, [f"h{n}" for n in range(90)], vectors)
    for n in range(90):
        store.link_content(f"i{n}", space, f"h{n}")
    now = time.time()
    store.append(
        [
            Event(id=f"{u}-{k}", user=f"u{u}", item=f"i{(u % 3) + 3 * ((u + k) % 20)}", kind="finish", at=now - 999 + k)
            for u in range(20)
            for k in range(16)
        ]
    )
    store.put_file(FileRecord("/films/bad.mkv", 7, 1, "0" * 64, None, "refused", "it is empty | 文件为空 | 0.1.0"))
    store.put_file(FileRecord("/films/good.mkv", 7, 1, "1" * 64, "i1", "taken"))
    store.put_file(FileRecord("/films/half.mkv", 7, 1, "2" * 64, "i2", "partly", "no sound"))
    train(library, store)
    store.append([Event(id="later", user="u1", item="i50", kind="like", at=now)])
    train(library, store)
    store.close()
    return library


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("console")
    library_at(folder)
    with serving(folder) as running:
        yield running


def test_the_catalogue_and_its_gaps(server: Server) -> None:
    told = server.get("console/catalogue")
    assert told["items"] == 91
    assert told["kinds"] == {"text": 91}
    gaps = {gap["field"]: gap for gap in told["gaps"]}
    assert gaps["title"] == {"field": "title", "missing": 1, "items": ["bare"]}
    assert gaps["categories"]["items"] == ["bare"]
    assert gaps["vector text"]["missing"] == 1
    assert gaps["description"]["missing"] == 91


def test_refused_files_say_why(server: Server) -> None:
    told = server.get("console/refused")
    assert (told["total"], told["by_status"]) == (2, {"refused": 1, "partly": 1})
    assert [(f["path"], f["note"]) for f in told["files"]] == [
        ("/films/bad.mkv", "it is empty"), ("/films/half.mkv", "no sound"),
    ]  # fmt: skip
    chinese = server.get("console/refused", lang="zh")["files"]
    assert [f["note"] for f in chinese] == ["文件为空", "no sound"]


def test_ingest_as_it_runs(server: Server, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert server.get("console/ingest") == {"progress": None, "age": None}
    library = Path(server.process.args[3])  # type: ignore[index,arg-type]
    (library / "ingest.json").write_text(json.dumps({"stage": "media", "done": 3, "total": 9, "finished": False}))
    told = server.get("console/ingest")
    assert told["progress"]["done"] == 3
    assert 0 <= told["age"] < 60
    (library / "ingest.json").write_text("{cut")
    assert server.get("console/ingest")["progress"] is None


def test_events_as_they_come(server: Server) -> None:
    told = server.get("console/events", n=5)
    assert len(told["events"]) == 5
    last = told["last"]
    assert server.get("console/events", after=last)["events"] == []
    server.post({"id": "new one", "user": "u2", "kind": "save", "item": "i7", "at": time.time()})
    news = server.get("console/events", after=last)
    assert [(e["user"], e["kind"], e["title"]) for e in news["events"]] == [("u2", "save", "Number 7")]
    assert news["last"] > last


def test_a_release_is_put_back(server: Server) -> None:
    told = server.get("console/releases")
    assert len(told["releases"]) == 2
    now, before = told["releases"]
    assert (now["in_force"], before["in_force"]) == (True, False)
    assert set(now["weights"]) >= {"popular", "ease"}
    answer = server.client.post("/api/v1/console/releases/use", json={"digest": before["digest"]})
    assert answer.status_code == 200
    assert answer.json()["in_force"] == before["digest"]
    until(lambda: server.get("users/u1/recommendations")["release"] == before["digest"])
    for body, status in (({"digest": "nothing"}, 404), ({"digest": 7}, 400), ({}, 400)):
        assert server.client.post("/api/v1/console/releases/use", json=body).status_code == status
    server.client.post("/api/v1/console/releases/use", json={"digest": now["digest"]})
    until(lambda: server.get("health")["release"] == now["digest"])


def test_releases_are_measured_on_the_same_cases(server: Server) -> None:
    told = until(lambda: (m := server.get("console/releases/compare")) and m["ready"] and m)
    assert len(told["releases"]) == 2
    assert told["cases"] == 200 or told["cases"] >= 10
    assert told["unseen"] is False  # both were trained with nearly all there is
    for one in told["releases"]:
        assert 0 < one["ndcg"] <= one["hit"] <= 1
        assert 0 < one["coverage"] <= 1
        assert one["novelty"] > 0


def test_what_came_after_training_is_what_counts() -> None:
    many = np.arange(100)
    data = Interactions(many % 10, many, many.astype(float), np.ones(100, np.float32), 10, 100)
    assert later_than(data, [{"made": {"events": 60}}, {"made": {"events": 40}}]) == 0.4
    assert later_than(data, [{"made": {"events": 90}}]) == 0  # ten are too few
    assert later_than(data, [{"made": {}}]) == 0


def test_a_damaged_release_is_not_put_in_force(server: Server) -> None:
    now, before = server.get("console/releases")["releases"]
    folder = Path(server.process.args[3]) / "releases" / before["digest"]  # type: ignore[index,arg-type]
    file = next(folder.glob("*.safetensors"))
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    answer = server.client.post("/api/v1/console/releases/use", json={"digest": before["digest"]})
    file.write_bytes(whole)
    assert (answer.status_code, answer.json()["code"]) == (400, "release.corrupt")
    assert server.get("console/releases")["in_force"] == now["digest"]


def test_a_request_taken_apart_is_the_request(server: Server) -> None:
    told = server.get("console/request", user="u1", n=5)
    slate = server.get("users/u1/recommendations", n=5)
    assert [i["item"] for i in told["items"] if i["place"] is not None] == [i["item"] for i in slate["items"]]
    assert {f["name"]: f["dropped"] for f in told["filters"]} == slate["dropped"]
    assert sum(s["alone"] for s in told["sources"]) == told["candidates"]
    assert told["candidates"] - sum(f["dropped"] for f in told["filters"]) == told["left"]
    seen = next(f for f in told["filters"] if f["name"] == "seen")
    assert seen["dropped"] == 17
    assert seen["examples"][0]["title"].startswith("Number")
    assert abs(sum(e["weight"] for e in told["experts"]) - 1) < 0.01
    assert all(len(i["experts"]) == len(told["experts"]) for i in told["items"])
    assert server.client.get("/api/v1/console/request", params={"user": "u1", "scenario": "?"}).status_code == 400


def test_the_map_keeps_neighbours(server: Server) -> None:
    told = until(lambda: (m := server.get("console/map")) and m["ready"] and m)
    assert (told["space"], len(told["points"]), set(told["categories"])) == ("text", 90, set(KINDS))
    places = np.array([point[:2] for point in told["points"]])
    own = np.array([point[4] for point in told["points"]])
    apart = ((places[:, None] - places[None]) ** 2).sum(2)
    np.fill_diagonal(apart, np.inf)
    assert np.mean(own[apart.argmin(1)] == own) > 0.9
    assert server.client.get("/api/v1/console/map", params={"space": "none"}).status_code == 404


def test_coverage(server: Server) -> None:
    told = server.get("console/coverage")
    assert told["asked"] == 20
    assert told["watched"] == pytest.approx(60 / 91, abs=0.02)
    assert 0 < told["recommended"] <= 1
    ranks = [rank for rank, _ in told["curve"]]
    assert ranks == sorted(set(ranks))
    assert {share["category"] for share in told["categories"]} == set(KINDS)


def test_gini_and_curve() -> None:
    assert gini(np.array([1, 1, 1, 1])) == 0
    assert gini(np.array([0, 0, 0, 4])) == 0.75
    assert gini(np.array([], np.int64)) == 0
    assert curve(np.array([0, 3, 9, 0])) == ((1, 9.0), (2, 3.0))


def test_settings_hide_secrets_and_all_wants_the_admin_key(tmp_path: Path) -> None:
    library = Library.create(tmp_path)
    keys = f'{{role = "read", sha256 = "{digest(READER)}"}}'
    (tmp_path / "matinee.toml").write_text(f"[training]\nseed = 7\n[access]\nkeys = [{keys}]\n")
    assert library.path == tmp_path
    with serving(tmp_path, MATINEE_KEY=ADMIN) as server:
        admin = {"x-api-key": ADMIN}
        answer = server.client.get("/api/v1/console/settings", headers=admin)
        told = {s["name"]: s for s in answer.json()["settings"]}
        assert (told["training.seed"]["value"], told["training.seed"]["changed"]) == (7, True)
        assert told["serving.pool"]["changed"] is False
        assert told["access.keys"]["value"] == "(hidden) x 1"
        assert digest(READER) not in answer.text
        assert ADMIN not in answer.text
        assert answer.json()["environ"]["MATINEE_KEY"] is True
        for path in ("settings", "refused", "releases", "events", "ingest", "map", "coverage", "catalogue", "request"):
            for key, status in (("", 401), (READER, 403)):
                got = server.client.get(f"/api/v1/console/{path}", params={"user": "u"}, headers={"x-api-key": key})
                assert got.status_code == status, (path, key)
        assert server.client.get("/api/v1/console/coverage", headers=admin).status_code == 200  # of nothing at all
