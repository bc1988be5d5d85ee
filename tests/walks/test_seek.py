"""A picture or a sound is sent over real HTTP, and what is like it comes back; what is neither is refused in words."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from matinee.client import Client
from matinee.errors import MatineeError
from matinee.ingest import ingest
from matinee.serve.keys import needed
from matinee.serve.seek import LARGEST, Seeker
from matinee.settings import Library, cache_folder
from matinee.store import open_store
from tests import hostile, made
from tests.walks.serving import SERVE, Server, serving

PICTURES = ("lion", "cheetah-portrait", "eiffel-tower", "cheetah-running")


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made.require_weights("text", "frames", "sound")
    folder = tmp_path_factory.mktemp("media")
    for name in PICTURES:
        shutil.copy(made.sample(name), folder / f"{name}.jpg")
    made.write_media(folder / "alarm.wav", sound=made.siren(seconds=4.0))
    made.write_media(folder / "piano.ogg", sound=made.piano(seconds=4.0))
    made.write_media(folder / "low.wav", sound=made.siren(150.0, 300.0, 1.5))
    return folder


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, media: Path) -> Path:
    folder = tmp_path_factory.mktemp("library")
    library = Library.create(folder)
    store = open_store(library.database)
    ingest(library, store, [media])
    store.close()
    return folder


@pytest.fixture(scope="module")
def server(library: Path, media: Path) -> Iterator[Server]:
    with serving(library, MATINEE_CACHE=str(cache_folder())) as running:
        running.put("book", title="Piano music", description="A musical instrument: the piano")
        for kind, name in (("picture", "lion.jpg"), ("sound", "alarm.wav")):
            until = time.monotonic() + 120  # a busy machine may load encoders for longer than a request may take
            while send(running, kind, (media / name).read_bytes()).status_code == 503 and time.monotonic() < until:
                time.sleep(0.5)
        yield running


def send(server: Server, kind: str, raw: bytes, **params: object):
    return server.client.post(f"/api/v1/search/{kind}", content=raw, params=params or None)


def test_what_looks_like_a_picture_comes_first(server: Server) -> None:
    for name in PICTURES:
        with Image.open(made.sample(name)) as whole:
            width, height = whole.size
            cut = whole.convert("RGB").crop((width // 12, height // 10, width - width // 15, height - height // 20))
        out = io.BytesIO()
        cut.resize((300, 220)).save(out, "JPEG", quality=60)  # another size, another shape, compressed anew
        answer = send(server, "picture", out.getvalue(), n=3)
        assert answer.status_code == 200, answer.text
        first = answer.json()["items"][0]
        assert (first["item"], first["matched"]) == (f"{name}.jpg", "picture")
        assert 0 < first["score"] <= 1
    assert "lion" in send(server, "picture", made.sample("lion").read_bytes()).json()["query"]


def test_what_sounds_like_a_sound_comes_first_and_words_about_it_too(server: Server, media: Path) -> None:
    sent = made.write_media(media.parent / "sent.mp3", sound=made.piano((62, 65, 69, 74), 3.0)).read_bytes()
    answer = send(server, "sound", sent, lang="zh").json()
    assert answer["items"][0]["item"] == "piano.ogg"
    assert answer["items"][0]["matched"] == "sound"
    found = {i["item"]: i for i in answer["items"]}
    assert found["book"]["matched"] == "text"  # it has no sound at all: the labels' meaning found it
    assert "钢琴" in answer["query"] or "音乐" in answer["query"]
    alarm = send(server, "sound", (media / "alarm.wav").read_bytes(), n=1).json()
    assert [i["item"] for i in alarm["items"]] == ["alarm.wav"]
    assert send(server, "sound", (media / "alarm.wav").read_bytes(), where='"x" in tags').json()["items"] == []


@pytest.mark.parametrize(
    ("kind", "raw", "status", "code"),
    [
        ("picture", b"", 400, "seek.empty"),
        ("picture", b"no picture at all" * 9, 422, "seek.not_picture"),
        ("sound", b"no sound at all" * 9, 422, "seek.not_sound"),
        ("sound", "JPG", 422, "seek.not_sound"),
        ("picture", "WAV", 422, "seek.not_picture"),
        ("picture", hostile.png_of(100_000, 100_000), 422, "media.too_many_pixels"),
        ("picture", b"\x89PNG\r\n\x1a\n" + bytes(64), 422, "media.damaged"),
        ("picture", bytes(LARGEST + 1), 413, "http.413"),
    ],
)
def test_what_cannot_be_looked_for_is_refused_in_words(server: Server, media: Path, kind, raw, status, code) -> None:
    real = {"JPG": "lion.jpg", "WAV": "alarm.wav"}
    answer = send(server, kind, (media / real[raw]).read_bytes() if isinstance(raw, str) else raw)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert len(answer.json()["detail"]) > 10
    assert answer.headers["content-type"].startswith("application/problem+json")


def test_hostile_files_harm_nobody(server: Server, tmp_path: Path, media: Path) -> None:
    good = hostile.seeds(tmp_path)
    for n, (_, raw) in enumerate(list(hostile.crafted(good))[::9]):
        answer = send(server, ("picture", "sound")[n % 2], raw[: 1 << 20] or b"\0")
        assert answer.status_code in (200, 422), (n, answer.text)
    again = send(server, "picture", (media / "lion.jpg").read_bytes(), n=1).json()
    assert [i["item"] for i in again["items"]] == ["lion.jpg"]


def test_the_schema_says_what_is_sent_and_a_reader_may_ask(server: Server) -> None:
    schema = server.client.get("/schema/openapi.json").json()
    for kind, types in (("picture", {"image/*"}), ("sound", {"audio/*", "video/*"})):
        operation = schema["paths"][f"/api/v1/search/{kind}"]["post"]
        content = operation["requestBody"]["content"]
        assert set(content) == types | {"application/octet-stream"}
        assert all(c["schema"] == {"type": "string", "format": "binary"} for c in content.values())
        assert {"200", "413", "422"} <= set(operation["responses"])
        assert needed("POST", f"/api/v1/search/{kind}") == "read"


def test_the_client_and_the_command_ask_the_same(server: Server, library: Path, media: Path) -> None:
    raw = (media / "lion.jpg").read_bytes()
    with Client(server.url) as client:
        assert client.search_picture(raw, n=1).items[0].item == "lion.jpg"
        assert client.search_sound((media / "alarm.wav").read_bytes(), n=1).items[0].item == "alarm.wav"
        with pytest.raises(MatineeError) as refused:
            client.search_sound(raw)
        assert refused.value.code == "seek.not_sound"
    command = [sys.executable, "-m", "matinee", "search", "-L", str(library), "--json", "-n", "1"]
    environ = {**os.environ, "MATINEE_CACHE": str(cache_folder())}
    told = subprocess.run(
        [*command, "--picture", media / "eiffel-tower.jpg"], capture_output=True, env=environ, check=True
    )
    assert [i["item"] for i in json.loads(told.stdout)["items"]] == ["eiffel-tower.jpg"]
    for wrong in (
        [],
        ["words", "--sound", "x"],
        ["--sound", str(media / "eiffel-tower.jpg")],
        ["--picture", "nowhere.png"],
    ):
        failed = subprocess.run([*command, *wrong], capture_output=True, env=environ, text=True, check=False)
        assert failed.returncode == 2, failed.stderr
        assert failed.stderr.strip()
        assert "Traceback" not in failed.stderr


def test_the_encoders_are_there_before_the_first_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made.require_weights("text", "frames", "sound")
    named = ("text", "frames", "sound")
    asked: list[str] = []
    warmed, without = Seeker(named), Seeker(named)
    warmed.start(lambda: asked.append("after")).join(60)
    assert asked == ["after"]

    def refuse(*_: object) -> None:
        raise AssertionError("loaded again")

    monkeypatch.setattr("matinee.encoders.senses.load_senses", refuse)
    assert warmed.senses("picture").encoders
    assert warmed.senses("sound").encoders
    with pytest.raises(AssertionError):  # one that was not started loads with the first file
        without.senses("picture")


def test_a_server_without_weights_starts_as_before_and_says_what_is_missing(tmp_path: Path) -> None:
    with serving(tmp_path) as running:
        answer = send(running, "picture", made.sample("lion").read_bytes())
        assert answer.json()["code"] == "weights.missing"
        assert running.client.get("/api/v1/health").status_code == 200


def test_a_server_begins_to_load_them_when_it_starts(tmp_path: Path) -> None:
    code = "import matinee.serve.seek as s; s.Seeker.start = lambda self, after: print('begun', flush=True); " + SERVE
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), "127.0.0.1", "0"],
                               stdout=subprocess.PIPE, text=True,
                               env={**os.environ, "MATINEE_CACHE": str(tmp_path / "none")})  # fmt: skip
    try:
        assert process.stdout is not None
        assert sorted(process.stdout.readline().split()[0] for _ in range(2)) == ["Matinee", "begun"]
    finally:
        process.terminate()
        process.communicate(timeout=20)
