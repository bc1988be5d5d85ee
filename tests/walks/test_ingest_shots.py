"""What ingest keeps of a film's shots, what it tells while it works, and that no picture outlives its item."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from matinee.ingest import ingest
from matinee.ingest.frames import OLD, sweep
from matinee.ingest.live import NAME, Live
from matinee.ingest.report import Report
from matinee.settings import SETTINGS, Library
from matinee.store import open_store
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


def scenes(lengths, first=0):
    return np.concatenate([
        np.stack([made.scene(first + hue, 96, 128, n) for n in range(length)]) for hue, length in enumerate(lengths)
    ])  # fmt: skip


@pytest.fixture
def media(tmp_path):
    folder = tmp_path / "media"
    folder.mkdir()
    made.write_media(folder / "film.mp4", scenes([20, 15, 25]), gop=100)
    return folder


def pictures(library):
    return {p.name for p in library.covers.iterdir()}


def test_shots_become_facts_and_pictures(library, store, media):
    ingest(library, store, [media])
    facts = store.facts("film.mp4")
    assert facts["media"]["shots"] == {"n": 3, "rule": "own"}
    shots = facts["shots"]
    assert [s["start"] for s in shots] == pytest.approx([0, 2.0, 3.5], abs=0.11)
    assert [s["end"] for s in shots] == pytest.approx([2.0, 3.5, 6.0], abs=0.11)
    for hue, shot in enumerate(shots):
        with Image.open(library.path / shot["frame"]) as picture:
            assert (picture.format, max(picture.size) <= 240) == ("JPEG", True)
            small = np.asarray(picture.resize((32, 24), Image.Resampling.BOX)).astype(int)
        wanted = Image.fromarray(made.scene(hue, 96, 128)).resize((32, 24), Image.Resampling.BOX)
        assert np.abs(small - np.asarray(wanted)).mean() < 25
    assert len(pictures(library)) == 4  # and the cover


def test_no_picture_outlives_what_it_shows(library, store, media):
    ingest(library, store, [media])
    first = pictures(library)
    made.write_media(media / "film.mp4", scenes([30, 30], first=5), gop=100)
    ingest(library, store, [media])
    second = pictures(library)
    assert (len(first & second), len(second)) == (0, 3)
    left = library.covers / ("ab" * 32 + ".jpg")  # of a run that was killed before it said whose it is
    young = library.covers / ("cd" * 20 + "-0.jpg")
    own = library.covers / "mine.jpg"
    for path in (left, young, own):
        path.write_bytes(b"\xff\xd8")
    os.utime(left, (time.time() - OLD - 9, time.time() - OLD - 9))
    sweep(library.path, store)
    assert pictures(library) == second | {young.name, own.name}


def test_deleting_an_item_takes_its_pictures_and_leaves_those_of_its_twin(library, store, media):
    from matinee.serve.service import Service

    (media / "twin.mp4").write_bytes((media / "film.mp4").read_bytes())
    made.write_media(media / "other.mp4", scenes([20, 20], first=7), gop=100)
    ingest(library, store, [media])
    before = pictures(library)
    assert store.facts("twin.mp4")["shots"] == store.facts("film.mp4")["shots"]
    service = Service(library, store)
    assert service.delete_item("other.mp4")
    assert len(pictures(library)) == len(before) - 3
    assert service.delete_item("twin.mp4")
    assert len(pictures(library)) == len(before) - 3
    assert service.delete_item("film.mp4")
    assert pictures(library) == set()


def test_shots_can_be_left_out_and_asked_for_later(library, store, media):
    (library.path / SETTINGS).write_text("[reading]\nshots = false\n")
    without = Library.open(library.path)
    ingest(without, store, [media])
    facts = store.facts("film.mp4")
    assert "shots" not in facts
    assert "shots" not in facts["media"]
    assert ingest(without, store, [media]).unchanged == 1
    (library.path / SETTINGS).write_text("")
    assert ingest(Library.open(library.path), store, [media]).taken == 1
    assert len(store.facts("film.mp4")["shots"]) == 3


def test_a_library_in_its_own_media_folder_does_not_take_in_its_pictures(tmp_path):
    library = Library.create(tmp_path)
    made.write_media(tmp_path / "film.mp4", scenes([20, 15]), gop=100)
    store = open_store(library.database)
    for _ in range(2):
        ingest(library, store, [tmp_path])
    assert [item.id for _, item in store.items()] == ["film.mp4"]
    store.close()


def test_ingest_json_tells_how_far_it_is(library, store, media):
    (media / "broken.mkv").write_bytes(b"\x1a\x45\xdf\xa3" + bytes(500))
    seen = []

    def look(what, done, total):
        path = library.path / NAME
        if path.exists():
            seen.append(json.loads(path.read_bytes()))

    ingest(library, store, [media], look)
    last = json.loads((library.path / NAME).read_bytes())
    assert (last["finished"], last["current"], last["within"]) == (True, "", 0.0)
    assert (last["report"]["taken"], last["report"]["refused"]) == (1, 1)
    (note,) = last["report"]["notes"]
    assert note["status"] == "refused"
    assert note["path"].endswith("broken.mkv")
    assert note["en"]
    assert note["zh"]
    assert seen
    assert not any(s["finished"] for s in seen)
    assert not [p for p in library.path.iterdir() if p.name.endswith(".part")]


def test_a_state_that_cannot_be_written_stops_nothing(tmp_path):
    live = Live(tmp_path / "nowhere", Report())
    live.within("a.mp4", 0.5)
    live.step("media", 1, 2)
    live.write(finished=True)
    assert live.slowest() == ("a.mp4", 0.5)
    assert live.state(False)["within"] == 0.5


INGEST = """
import sys
from pathlib import Path
from matinee.ingest import ingest
from matinee.settings import Library
from matinee.store import open_store
library = Library.open(Path(sys.argv[1]))
store = open_store(library.database)
ingest(library, store, [Path(sys.argv[2])])
"""


def test_two_ingests_at_once_make_one_item_of_each_file(library, tmp_path, media):
    for n in range(6):
        made.write_media(media / f"s{n}.wav", sound=made.piano((50 + n,), seconds=0.5))
    both = [
        subprocess.Popen(
            [sys.executable, "-c", INGEST, str(library.path), str(media)], stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for child in both:
        _, said = child.communicate(timeout=120)
        assert child.returncode == 0, said
    store = open_store(library.database)
    assert sorted(item.id for _, item in store.items()) == ["film.mp4", *(f"s{n}.wav" for n in range(6))]
    assert ingest(library, store, [media]).unchanged == 7
    named = {s["frame"] for s in store.facts("film.mp4")["shots"]} | {store.facts("film.mp4")["cover"]["file"]}
    assert {f"covers/{name}" for name in pictures(library)} == named
    store.close()


def test_watch_takes_in_what_comes_and_ends_well(library, media, tmp_path):
    """A real process: a file that grows is left alone until it is still; Ctrl-C is a good end."""
    report = tmp_path / "report.json"
    whole = (media / "film.mp4").read_bytes()
    os.utime(media / "film.mp4", (time.time() - 60, time.time() - 60))
    grows = media / "grows.mp4"
    command = [sys.executable, "-m", "matinee", "ingest", str(media), "--watch", "-L", str(library.path)]
    child = subprocess.Popen([*command, "--report", str(report), "--json"], stdout=subprocess.PIPE, text=True)
    try:
        grows.write_bytes(whole[: len(whole) // 2])
        wait_for(report, meanwhile=lambda: os.utime(grows))  # it goes on changing, however slow the machine is
        store = open_store(library.database)
        assert [item.id for _, item in store.items()] == ["film.mp4"]
        with grows.open("ab") as file:
            file.write(whole[len(whole) // 2 :])
            file.write(b"\0")  # other bytes than the first film's
        deadline = time.monotonic() + 60
        while len(store.files()) < 2 and time.monotonic() < deadline:
            time.sleep(0.2)
        assert {f.item: f.status for f in store.files()} == {"film.mp4": "taken", "grows.mp4": "taken"}
        store.close()
    finally:
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=60)
    assert child.returncode == 0
    assert json.loads(report.read_bytes())["taken"] == 1


def wait_for(path, meanwhile):
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        meanwhile()
        time.sleep(0.1)


def test_the_vectors_of_shots_can_be_exported(library, store, media, tmp_path):
    made.write_media(media / "short.mp4", scenes([20], first=9), gop=100)
    (library.path / SETTINGS).write_text('[reading]\npooling = "gem"\n')
    ingest(Library.open(library.path), store, [media])
    out = tmp_path / "shots.npz"
    command = [sys.executable, "-m", "matinee", "export", "vectors", str(out), "--space", "frames.shots"]
    subprocess.run([*command, "-L", str(library.path)], check=True)
    with np.load(out, allow_pickle=False) as found:
        ids, vectors, at = found["ids"].tolist(), found["vectors"], found["at"]
    film, short = ids.index("film.mp4"), ids.index("short.mp4")
    assert vectors.shape == (2, 3, 1280)
    assert at[film].tolist() == pytest.approx([0, 2, 3.5], abs=0.11)
    assert np.linalg.norm(vectors[film], axis=1) == pytest.approx([1, 1, 1], abs=1e-3)
    assert np.isnan(at[short]).tolist() == [False, True, True]
    assert np.isnan(vectors[short, 1:]).all()
    (space,) = [s for s in store.spaces() if s.name == "frames"]
    rows, pooled = store.vectors(space)
    (row,) = store.item_rows(["film.mp4"]).tolist()
    assert float(pooled[rows.tolist().index(row)] @ np.nanmean(vectors[film], axis=0)) > 0.8
