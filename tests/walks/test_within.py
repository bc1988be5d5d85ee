"""What is inside an item, over HTTP: shots and their pictures, the transcript, captions; facts of a wrong form harm
nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from matinee.settings import Library
from matinee.store import open_store
from matinee.types import Item
from tests.walks.serving import Server, serving

JPEG = b"\xff\xd8\xff\xe0 a picture \xff\xd9"
TALK = "He said: <b>--> 5 & 6</b>\nand left"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("within")
    library = Library.create(folder)
    library.covers.mkdir()
    (library.covers / "0123456789abcdef.jpg").write_bytes(JPEG)
    (folder / "secret.jpg").write_bytes(b"secret")
    store = open_store(library.database)
    store.put_items([Item(id="a/b", title="A film"), Item(id="bare"), Item(id="wrong")])
    frames = ["covers/0123456789abcdef.jpg", "covers/../secret.jpg", None]
    shots = [{"start": 2.0 * i, "end": 2.0 * i + 2, "frame": frame} for i, frame in enumerate(frames)]
    store.put_fact("a/b", "shots", shots)
    segments = [[0.5, 2.25, TALK], [3661.0, 3662.5, "later"], [9, 9, "at once"]]
    store.put_fact("a/b", "transcript", {"language": "en", "from": "whisper-base", "segments": segments})
    store.put_fact("a/b", "topics", [["a dog", "一只狗", 0.8, "frames"]])
    store.put_fact("a/b", "labels.frames", [["tench", 0.5]])
    store.put_fact("a/b", "seen_text", [["EXIT", 0.9, 4.0]])
    store.put_fact("a/b", "chapters", [[0, 5, "One"]])
    for key in ("shots", "transcript", "topics", "seen_text", "chapters"):
        store.put_fact("wrong", key, [1, "two", None, {"start": "x"}, ["a", "b", "c"], [-1, 2, "three"]])
    store.close()
    with serving(folder) as running:
        yield running


def test_an_item_says_what_is_in_it(server: Server) -> None:
    told = server.get("items/a%2Fb")
    assert told["shots"][0] == {"start": 0.0, "end": 2.0, "frame": "/api/v1/items/a%2Fb/frames/0"}
    assert told["shots"][2]["frame"] is None
    assert told["transcript"]["from"] == "whisper-base"
    assert told["transcript"]["segments"][1] == [3661.0, 3662.5, "later"]
    assert told["topics"] == [{"name": "a dog", "confidence": 0.8, "by": "frames"}]
    assert told["labels"]["frames"] == [["tench", 0.5]]
    assert told["seen_text"] == [{"text": "EXIT", "confidence": 0.9, "at": 4.0}]
    assert told["chapters"] == [{"start": 0.0, "end": 5.0, "title": "One"}]


def test_names_are_in_the_language_asked_for(server: Server) -> None:
    told = server.get("items/a%2Fb", lang="zh")
    assert told["topics"][0]["name"] == "一只狗"
    assert re.search("[\u4e00-\u9fff]", told["labels"]["frames"][0][0])


def test_lists_name_topics_in_the_language_asked_for_and_filters_know_both(server: Server) -> None:
    paths = {"items": {}, "search": {"q": "film"}, "users/x/recommendations": {}, "items/bare/similar": {"by": "all"}}
    for path, params in paths.items():
        for lang, name in (("en", "a dog"), ("zh", "一只狗")):
            for more in (
                {"params": {**params, "lang": lang}},
                {"params": params, "headers": {"accept-language": lang}},
            ):
                answer = server.client.get(f"/api/v1/{path}", **more).json()
                about = {i["item"]: i["about"] for i in answer["items"]}
                assert about.get("a/b", [name]) == [name], path
                assert about.get("bare", []) == []
                assert about or "similar" in path
    for where, holds in (
        ('"a dog" in topics', True), ('"一只狗" in topics', True), ('"A DOG" in topics', True),
        ('"dog" in topics', False),
        ('"一只猫" in topics or "cats" in topics', False), ('not "一只狗" in topics', False),
    ):  # fmt: skip
        for path in ("items", "users/x/recommendations"):
            told = [i["item"] for i in server.get(path, where=where)["items"]]
            assert ("a/b" in told) == holds, (path, where)
    assert server.client.get("/api/v1/items", params={"where": "topic == 3"}).json()["code"] == "where.wrong"


def test_a_frame_is_served_and_nothing_else(server: Server) -> None:
    answer = server.client.get("/api/v1/items/a%2Fb/frames/0")
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "image/jpeg", JPEG)
    for wrong in (
        "a%2Fb/frames/1",
        "a%2Fb/frames/2",
        "a%2Fb/frames/3",
        "a%2Fb/frames/-1",
        "bare/frames/0",
        "no/frames/0",
    ):
        assert server.client.get(f"/api/v1/items/{wrong}").status_code == 404, wrong


def test_captions_are_webvtt_and_never_markup(server: Server) -> None:
    answer = server.client.get("/api/v1/items/a%2Fb/captions.vtt")
    assert answer.headers["content-type"].startswith("text/vtt")
    header, first, second, third = answer.text.strip().split("\n\n")
    assert header == "WEBVTT"
    assert first == "00:00:00.500 --> 00:00:02.250\nHe said: &lt;b&gt;--&gt; 5 &amp; 6&lt;/b&gt; and left"
    assert second.startswith("01:01:01.000 --> 01:01:02.500")
    assert third.startswith("00:00:09.000 --> 00:00:09.001")  # a cue ends after it begins
    for without in ("bare", "wrong", "no-such"):
        assert server.client.get(f"/api/v1/items/{without}/captions.vtt").status_code == 404


def test_facts_of_a_wrong_form_count_as_absent(server: Server) -> None:
    told = server.get("items/wrong")
    assert (told["shots"], told["transcript"], told["topics"], told["seen_text"]) == ([], None, [], [])
    assert told["chapters"] == []
    bare = server.get("items/bare")
    assert (bare["shots"], bare["transcript"]) == ([], None)


def test_the_schema_names_the_parts(server: Server, tmp_path: Path) -> None:
    schema = server.client.get("/schema/openapi.json").json()
    assert {"shots", "transcript", "topics"} <= schema["components"]["schemas"]["Whole"]["properties"].keys()
