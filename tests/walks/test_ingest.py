"""Ingest with real files, a real store and real encoders: taken once, kept, mended, resumed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from matinee.encoders.table import load_encoder
from matinee.errors import MatineeError
from matinee.ingest import ingest, text_of
from matinee.ingest.readers import BATCH, Plan, batched
from matinee.settings import Library
from matinee.store import open_store
from matinee.types import Clip
from tests import made


@pytest.fixture(autouse=True)
def checkpoints():
    made.require_weights("text", "frames", "sound")


@pytest.fixture
def library(tmp_path):
    return Library.create(tmp_path / "library")


@pytest.fixture
def store(library):
    with_store = open_store(library.database)
    yield with_store
    with_store.close()


@pytest.fixture
def media(tmp_path):
    """A folder with a video, a sound, a picture and a damaged file."""
    folder = tmp_path / "media"
    (folder / "films").mkdir(parents=True)
    frames = np.stack([made.scene(n // 10, 96, 128, n) for n in range(20)])
    made.write_media(
        folder / "films" / "The_first.film.mp4", frames, made.piano(seconds=2.0), tags={"genre": "Drama/Noir"}
    )
    made.write_media(folder / "alarm.wav", sound=made.siren(seconds=2.0))
    Image.fromarray(made.scene(5, 300, 400)).save(folder / "slope.png")
    (folder / "broken.mkv").write_bytes(b"\x1a\x45\xdf\xa3" + bytes(500))
    return folder


def test_batches_grow_smaller_towards_the_end():
    for n in (0, 1, 5, 33, 400):
        plans = [Plan(Path(str(k)), str(k), None, None) for k in range(n)]
        batches = batched(plans, 2)
        assert [plan for batch in batches for plan in batch] == plans
        sizes = [len(batch) for batch in batches]
        assert sizes == sorted(sizes, reverse=True)
        assert max(sizes, default=1) <= BATCH
        assert sizes[-2:] == [1] * min(n, 2)


def items(store):
    return {item.id: item for _, item in store.items()}


def spaces_of(store, item):
    (row,) = store.item_rows([item]).tolist()
    return {s.name for s in store.spaces() if row in store.vectors(s)[0]}


def test_a_folder_becomes_items(library, store, media):
    seen = []
    report = ingest(library, store, [media], lambda *step: seen.append(step))
    assert (report.taken, report.refused, report.partly) == (3, 1, 0)
    assert report.notes[0].path.endswith("broken.mkv")
    found = items(store)
    assert set(found) == {"films/The_first.film.mp4", "alarm.wav", "slope.png"}
    film = found["films/The_first.film.mp4"]
    assert (film.title, film.categories, film.media) == ("The first film", ("Drama", "Noir"), str(media / film.id))
    assert film.duration == pytest.approx(2, abs=0.1)
    assert (library.path / film.cover).read_bytes()[:2] == b"\xff\xd8"
    assert spaces_of(store, film.id) == {"text", "frames", "sound", "bridge.frames", "bridge.sound"}
    assert spaces_of(store, "alarm.wav") == {"text", "sound", "bridge.sound"}
    assert spaces_of(store, "slope.png") == {"text", "frames", "bridge.frames"}
    facts = store.facts("alarm.wav")
    assert facts["media"]["kind"] == "audio"
    assert len(facts["labels.sound"]) == 10
    assert "Siren" in [label for label, _ in facts["labels.sound"]]
    assert seen[-1] == ("media", 4, 4)
    assert json.loads(json.dumps(report.as_json()))["taken"] == 3
    assert "3" in report.say()


def test_words_find_what_was_heard(library, store, media):
    made.write_media(media / "x1.wav", sound=made.piano(seconds=3.0))
    made.write_media(media / "x2.wav", sound=made.siren(500, 1200, 3))
    ingest(library, store, [media])
    space = next(s for s in store.spaces() if s.name == "bridge.sound")
    rows, vectors = store.vectors(space)
    for words, wanted in (("emergency siren", "x2.wav"), ("警笛", "x2.wav"), ("piano", "x1.wav"), ("钢琴", "x1.wav")):
        score = vectors @ load_encoder("text").encode([Clip(text=words)])[0]
        names = [dict(store.items())[int(r)].id for r in rows[np.argsort(-score)]]
        assert names.index(wanted) < min(names.index(n) for n in names if n in {"x1.wav", "x2.wav"} - {wanted})


def test_a_second_run_decodes_nothing(library, store, media, monkeypatch):
    ingest(library, store, [media])
    revision = store.revision()
    monkeypatch.setattr("matinee.ingest.readers.read_open", lambda *_: pytest.fail("an unchanged file was read"))
    report = ingest(library, store, [media])
    assert (report.unchanged, report.taken, report.refused) == (3, 0, 1)
    assert store.revision() == revision


def test_changed_bytes_keep_the_id_and_equal_bytes_are_read_once(library, store, media, monkeypatch):
    ingest(library, store, [media])
    row = store.item_rows(["alarm.wav"])[0]
    before = store.facts("alarm.wav")["media"]["hash"]
    made.write_media(media / "alarm.wav", sound=made.piano(seconds=1.0))
    shutil.copy(media / "slope.png", media / "again.png")
    report = ingest(library, store, [media])
    assert (report.taken, report.linked, report.unchanged) == (1, 1, 2)
    assert store.item_rows(["alarm.wav"])[0] == row
    assert store.facts("alarm.wav")["media"]["hash"] != before
    assert spaces_of(store, "again.png") == spaces_of(store, "slope.png")
    assert store.facts("again.png")["same_as"] == {"item": "slope.png"}
    os.utime(media / "slope.png", (1, 1))  # touched, not changed
    monkeypatch.setattr("matinee.ingest.readers.read_open", lambda *_: pytest.fail("equal bytes were read again"))
    assert ingest(library, store, [media]).taken == 0


def test_a_lost_file_leaves_its_item_without_media(library, store, media):
    ingest(library, store, [media])
    (media / "alarm.wav").unlink()
    report = ingest(library, store, [media])
    assert report.missing == 1
    assert items(store)["alarm.wav"].media is None
    assert {f.status for f in store.files() if f.path.endswith("alarm.wav")} == {"missing"}
    made.write_media(media / "alarm.wav", sound=made.siren(seconds=2.0))
    ingest(library, store, [media])
    assert items(store)["alarm.wav"].media == str(media / "alarm.wav")


def test_a_manifest_describes_the_files_beside_it(library, store, media):
    rows = [
        {"id": "clip-1", "title": "An alarm goes off", "title_zh": "警报响起", "tags": ["alarm", "警报"],
         "media": "alarm.wav", "collection": "clips", "properties": {"licence": "CC0-1.0", "credit": "nobody"}},
        {"id": "clip-2", "title": "A lost film", "media": "films/lost.mp4", "collection": "clips"},
        {"id": "text-1", "title": "只有文字的条目", "categories": ["文字"], "collection": "words"},
    ]  # fmt: skip
    (media / "manifest.jsonl").write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in rows), encoding="utf-8")
    report = ingest(library, store, [media])
    found = items(store)
    assert (report.items, report.missing) == (3, 1)
    assert "alarm.wav" not in found
    assert (found["clip-1"].title, found["clip-1"].media) == ("An alarm goes off", str(media / "alarm.wav"))
    assert found["clip-1"].properties["licence"] == "CC0-1.0"
    assert found["clip-1"].duration == pytest.approx(2, abs=0.1)
    assert spaces_of(store, "clip-1") == {"text", "sound", "bridge.sound"}
    assert (found["clip-2"].media, spaces_of(store, "clip-2")) == (None, {"text"})
    assert spaces_of(store, "text-1") == {"text"}
    vector = load_encoder("text").encode([Clip(text=text_of(found["text-1"]))])[0]
    rows_, vectors = store.vectors(load_encoder("text").space)
    assert np.allclose(vectors[rows_.tolist().index(store.item_rows(["text-1"])[0])], vector, atol=1e-4)
    rows[0]["title"] = "The alarm again"
    (media / "manifest.jsonl").write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in rows), encoding="utf-8")
    ingest(library, store, [media])
    assert items(store)["clip-1"].title == "The alarm again"


def test_catalogues_of_items_and_events(library, store, tmp_path):
    (tmp_path / "items.csv").write_text("id,title,categories\na,First,x|y\nb,Second,\n,No id,\n", encoding="utf-8")
    lines = [f"e{n},u{n % 3},{'ab'[n % 2]},play,{1000 + n}" for n in range(50)]
    (tmp_path / "events.csv").write_text(
        "id,user,item,kind,at\n" + "\n".join([*lines, "e99,u1,zz,play,5"]), encoding="utf-8"
    )
    paths = [tmp_path / "events.csv", tmp_path / "items.csv"]
    report = ingest(library, store, paths)
    assert (report.items, report.events, report.rejected) == (2, 50, 2)
    assert store.counts().events == 50
    again = ingest(library, store, paths)
    assert (again.events, again.repeated) == (0, 50)


def test_a_table_of_users_makes_them_known(library, store, tmp_path):
    (tmp_path / "users.csv").write_text("user,age\nann,33\nbob,20\nann,33\n,9\n", encoding="utf-8")
    report = ingest(library, store, [tmp_path / "users.csv"])
    assert [user for _, user in store.users()] == ["ann", "bob"]
    assert (report.users, report.profiles, report.rejected) == (2, 2, 1)
    assert store.profile("ann") == {"age": 33}
    assert ingest(library, store, [tmp_path / "users.csv"]).users == 0


def test_odd_names_and_links_are_taken_or_refused_never_followed(library, store, tmp_path):
    folder = tmp_path / "odd"
    folder.mkdir()
    good = [
        " leading.wav",
        "-i.wav",
        "emoji 🎬.wav",
        "中文 名字.wav",
        "a" * 200 + ".wav",
        "quo'te\".wav",
        "per%20cent.wav",
    ]
    raw = made.write_media(tmp_path / "x.wav", sound=made.piano(seconds=0.5)).read_bytes()
    for n, name in enumerate(good):
        (folder / name).write_bytes(raw + bytes(n + 1))
    (folder / "new\nline.wav").write_bytes(raw)
    with open(os.fsencode(folder) + b"/bad\xff.wav", "wb") as file:
        file.write(raw)
    outside = tmp_path / "outside.wav"
    outside.write_bytes(raw)
    (folder / "link.wav").symlink_to(outside)
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.wav")
    report = ingest(library, store, [folder])
    assert set(items(store)) == set(good)
    assert report.refused == 3
    assert not any("outside" in f.path for f in store.files())


def test_two_folders_with_the_same_names_stay_apart(library, store, tmp_path):
    for n, name in enumerate(("one", "two")):
        (tmp_path / name).mkdir()
        made.write_media(tmp_path / name / "a.wav", sound=made.piano((60 + n,), seconds=0.5))
    ingest(library, store, [tmp_path / "one", tmp_path / "two"])
    assert len(items(store)) == 2
    assert ingest(library, store, [tmp_path / "two", tmp_path / "one"]).unchanged == 2
    assert len(items(store)) == 2


def test_a_path_that_is_not_there_is_said(library, store, tmp_path):
    with pytest.raises(MatineeError) as error:
        ingest(library, store, [tmp_path / "nowhere"])
    assert error.value.code == "ingest.nothing"


KILLED = """
import sys
from pathlib import Path
from matinee.ingest import ingest
from matinee.settings import Library
from matinee.store import open_store
library = Library.open(Path(sys.argv[1]))
store = open_store(library.database)
ingest(library, store, [Path(sys.argv[2])], lambda what, done, total: print(what, done, flush=True))
"""


def test_killed_anywhere_and_run_again_ends_the_same(library, tmp_path, media):
    for n in range(14):
        made.write_media(media / f"s{n:02}.wav", sound=made.piano((50 + n,), seconds=0.5))
    rng = np.random.default_rng(0)
    for _ in range(2):
        child = subprocess.Popen([sys.executable, "-c", KILLED, str(library.path), str(media)], stdout=subprocess.PIPE)
        while (line := child.stdout.readline()) and not line.startswith(b"media"):
            pass
        time.sleep(float(rng.uniform(0, 0.6)))
        child.kill()
        child.communicate()
    store = open_store(library.database)
    report = ingest(library, store, [media])
    assert report.taken + report.unchanged == 17
    found = items(store)
    assert len(found) == 17
    for item in found.values():
        assert "text" in spaces_of(store, item.id)
        if item.cover:
            assert (library.path / item.cover).read_bytes()[:2] == b"\xff\xd8"
    assert not [p for p in library.covers.iterdir() if p.name.endswith(".part")]
    assert ingest(library, store, [media]).unchanged == 17
    store.close()


def test_what_lies_beside_a_file_describes_it(library, store, media, tmp_path):
    folder = media / "The Expanse" / "Season 1"
    folder.mkdir(parents=True)
    frames = np.stack([made.scene(n // 10, 96, 128, n) for n in range(20)])
    made.write_media(folder / "S01E01.mp4", frames)
    (folder / "S01E01.en.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nThe spaceship is leaving the harbour.\n")
    ingest(library, store, [media])
    id_ = "The Expanse/Season 1/S01E01.mp4"
    item = items(store)[id_]
    assert (item.title, item.series, item.season, item.episode) == ("The Expanse S01E01", "The Expanse", 1, 1)
    assert spaces_of(store, id_) == {"text", "frames", "bridge.frames", "speech"}
    said = [[1.0, 2.0, "The spaceship is leaving the harbour."]]
    assert store.facts(id_)["transcript"] == {"language": "en", "from": "subtitle", "segments": said}
    space = next(s for s in store.spaces() if s.name == "speech")
    (spoken,) = store.vectors(space)[1]
    near, far = load_encoder("text").encode([Clip(text="太空飞船离开港口"), Clip(text="a recipe for soup")])
    assert spoken @ near > spoken @ far + 0.2
    cover = item.cover
    (folder / "S01E01.nfo").write_text(
        "<episodedetails><title>Dulcinea</title><plot>A girl is lost</plot></episodedetails>"
    )
    Image.fromarray(made.scene(7, 90, 60)).save(folder / "S01E01-poster.jpg")
    store.put_items([msgspec.structs.replace(item, tags=("mine",))])
    report = ingest(library, store, [media])
    assert (report.taken, report.refused) == (0, 1)
    item = items(store)[id_]
    assert (item.title, item.description, item.tags) == ("Dulcinea", "A girl is lost", ("mine",))
    assert item.cover != cover
    with Image.open(library.path / item.cover) as art:
        assert art.size == (60, 90)
    assert len(items(store)) == 4
    assert ingest(library, store, [media]).unchanged == 4
