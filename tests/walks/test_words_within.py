"""What is said and what stands written: taken in once, kept, found by words and by meaning, and gone on with."""

from __future__ import annotations

import json
import os
import re
import shutil
import time

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from matinee.errors import MatineeError
from matinee.ingest import again, heard, ingest
from matinee.media.timed import Transcript
from matinee.serve import asking
from matinee.serve.service import Service
from matinee.settings import Library
from matinee.store import open_store
from tests import made

pytest.importorskip("faster_whisper", reason="the extra speech is not installed")


@pytest.fixture(autouse=True)
def checkpoints():
    made.require_weights("text", "frames", "sound", "speech", "ocr")


@pytest.fixture
def media(tmp_path):
    """A talk and its copy, music, a slide, and a film with subtitles."""
    folder = tmp_path / "media"
    folder.mkdir()
    shutil.copy(made.sample("office-talk"), folder / "talk.mp4")
    shutil.copy(folder / "talk.mp4", folder / "copy.mp4")
    made.write_media(folder / "tune.ogg", sound=made.piano(seconds=4.0))
    slide = Image.new("RGB", (960, 540), (250, 250, 245))
    ImageDraw.Draw(slide).text((60, 200), "Photosynthesis in desert plants", (10, 10, 10), ImageFont.load_default(52))
    slide.save(folder / "slide.png")
    made.write_media(folder / "film.mp4", np.stack([made.scene(n // 5, 96, 128, n) for n in range(10)]),
                     made.piano(seconds=1.0))  # fmt: skip
    (folder / "film.en.srt").write_text("1\n00:00:00,100 --> 00:00:00,900\nThe volcano woke up at dawn.\n")
    return folder


def library_at(folder, **reading):
    lines = [f"{key} = {json.dumps(value)}" for key, value in reading.items()]
    Library.create(folder)
    (folder / "matinee.toml").write_text("\n".join(["[reading]", *lines]) + "\n")
    return Library.open(folder)


def test_words_are_heard_and_read_once_and_found(tmp_path, media, monkeypatch):
    folder = tmp_path / "library"
    library = library_at(folder)
    store = open_store(library.database)
    first = ingest(library, store, [media])
    assert (first.heard, first.written) == (0, 0)
    assert store.facts("talk.mp4").get("transcript") is None
    assert store.facts("film.mp4")["transcript"]["from"] == "subtitle"

    # switched on later: nothing is decoded anew but what is missing
    library = library_at(folder, speech=True, ocr=True)
    stages = []
    second = ingest(library, store, [media], lambda stage, done, total: stages.append((stage, done, total)))
    assert (second.taken, second.unchanged) == (0, 5)
    assert (second.heard, second.written) == (3, 4)  # the talk with its copy, the tune; pictures and films
    assert ("speech", 0, 2) in stages
    assert ("speech", 2, 2) in stages
    said = Transcript.of(store.facts("talk.mp4")["transcript"])
    assert said is not None
    assert (said.origin, said.language) == ("whisper-base", "en")
    assert {"lecturer", "psychology", "university", "nottingham"} <= set(re.findall(r"[a-z]+", said.text.lower()))
    assert all(0 <= a < b <= 8.2 for a, b, _ in said.lines)
    assert store.facts("copy.mp4")["transcript"] == store.facts("talk.mp4")["transcript"]
    assert store.facts("tune.ogg").get("transcript") is None
    assert store.facts("tune.ogg")["heard"]["lines"] == 0
    assert store.facts("film.mp4")["transcript"]["from"] == "subtitle"  # goes before what could be heard
    ((text, sure, at),) = store.facts("slide.png")["seen_text"]
    assert text.replace(" ", "") == "Photosynthesisindesertplants"
    assert (sure > 0.9, at) == (True, 0.0)

    def never(*_):
        raise AssertionError("it was gone through before")

    monkeypatch.setattr(again, "go_through", never)
    monkeypatch.setattr(heard, "go_through", never)
    assert ingest(library, store, [media]).unchanged == 5
    monkeypatch.undo()
    assert_found(Service(library, store))
    (media / "talk.nfo").write_text("<movie><title>A talk</title></movie>")  # described anew: what was heard stays
    assert ingest(library, store, [media]).heard == 0
    assert store.facts("talk.mp4")["transcript"]["from"] == "whisper-base"
    store.close()


def assert_found(service):
    def hits(query):
        return [h.item for h in asking.search(service, query, 5, "en").items]

    assert hits("nottingham")[0] in ("talk.mp4", "copy.mp4")
    assert set(hits("a professor of the human mind")[:2]) == {"talk.mp4", "copy.mp4"}
    assert hits("volcano")[0] == "film.mp4"
    assert hits("火山爆发")[0] == "film.mp4"
    assert hits("how leaves turn sunlight into sugar")[0] == "slide.png"
    assert "speech" in service.current().catalogue.shelves
    spoken = asking.similar(service, "talk.mp4", "speech", 3, "en").items
    assert [s.item for s in spoken] == ["copy.mp4"]


def test_a_long_talk_goes_on_where_it_was_interrupted(tmp_path, monkeypatch):
    monkeypatch.setattr("matinee.encoders.speech.PIECE", 6.0)
    folder = tmp_path / "media"
    folder.mkdir()
    shutil.copy(made.sample("office-talk"), folder / "talk.mp4")
    library = library_at(tmp_path / "library", speech=True)
    store = open_store(library.database)
    asked = []
    real = heard.piece

    def counted(opened, at, seconds, duration):
        asked.append(at)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return real(opened, at, seconds, duration)

    monkeypatch.setattr(heard, "piece", counted)
    with pytest.raises(KeyboardInterrupt):
        ingest(library, store, [folder])
    mark = store.facts("talk.mp4")["heard"]
    assert mark["until"] == asked[1] > 0
    assert store.facts("talk.mp4").get("transcript") is None
    assert ingest(library, store, [folder]).heard == 1
    assert asked[2] == mark["until"]  # not from the beginning
    said = Transcript.of(store.facts("talk.mp4")["transcript"])
    assert said is not None
    assert said.text.lower().startswith("hi")
    assert "until" not in store.facts("talk.mp4")["heard"]
    assert ingest(library, store, [folder]).heard == 0
    store.close()


def test_missing_weights_are_told_before_anything_is_heard(tmp_path, monkeypatch):
    folder = tmp_path / "media"
    folder.mkdir()
    made.write_media(folder / "tune.wav", sound=made.piano(seconds=1.0))
    library = library_at(tmp_path / "library", speech=True)
    store = open_store(library.database)
    real = "matinee.encoders.weights.require"
    from matinee.encoders import weights

    require = weights.require

    def without(name):
        if name == "speech":
            raise MatineeError("weights.missing", "none", "无")
        return require(name)

    monkeypatch.setattr(real, without)
    with pytest.raises(MatineeError) as error:
        ingest(library, store, [folder])
    assert error.value.code == "weights.missing"
    assert store.item("tune.wav") is not None  # what could be taken in is there
    monkeypatch.undo()
    library = library_at(tmp_path / "library", speech=True, language="klingon")
    with pytest.raises(MatineeError) as error:
        ingest(library, store, [folder])
    assert error.value.code == "speech.language"
    store.close()


def test_a_file_that_cannot_be_heard_is_told_and_not_tried_again(tmp_path, monkeypatch):
    folder = tmp_path / "media"
    folder.mkdir()
    path = made.write_media(folder / "tune.wav", sound=made.piano(seconds=1.0))
    library = library_at(tmp_path / "library")
    store = open_store(library.database)
    ingest(library, store, [folder])
    about = os.stat(path)
    path.write_bytes(b"\x00" * about.st_size)  # damaged on the disk, with the same size and time
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    library = library_at(tmp_path / "library", speech=True)
    report = ingest(library, store, [folder])
    assert [n.status for n in report.notes] == ["speech"]
    assert store.facts("tune.wav")["heard"]["failed"].startswith("media.")
    begun = time.monotonic()
    assert ingest(library, store, [folder]).notes == []
    assert time.monotonic() - begun < 5
    store.close()
