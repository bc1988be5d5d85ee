"""``matinee show``: a page of everything that is known of an item, in both languages, and the same as JSON."""

from __future__ import annotations

import json
import re

import pytest

from matinee.settings import Library
from matinee.store import open_store
from matinee.types import Item
from tests.walks.test_cli import matinee

LINES = [[float(n), n + 0.5, f"line number {n}"] for n in range(20)]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    path = tmp_path_factory.mktemp("show") / "library"
    store = open_store(Library.create(path).database)
    store.put_items([
        Item(id="film", title="A \x1b[31mred\u202e film", tags=("noir",), media="/nowhere/film.mkv", released=0.0,
             series="Nights", season=1, episode=2, description="Rain."),
        Item(id="bare", title="Bare"),
    ])  # fmt: skip
    facts = {
        "media": {"kind": "video", "duration": 3723.0, "width": 640, "height": 360, "container": "matroska",
                  "sound": 60.0, "loudness": -17.5, "silence": 0.25, "hash": "h"},
        "shots": [{"start": 60.0 * n, "end": 60.0 * n + 60, "frame": None} for n in range(30)],
        "topics": [["a dog", "一只狗", 0.8, "bridge.frames"], ["law", "法律", 0.5, "speech"]],
        "labels.frames": [["tench", 0.5], ["tabby", 0.001]],
        "transcript": {"language": "en", "from": "whisper-base", "segments": LINES},
        "seen_text": [["EXIT \x1b[2J", 0.93, 4.0]],
        "chapters": [[0.0, 60.0, "The harbour"]],
        "near": [{"item": "bare", "shared": [{"by": "frames", "share": 0.75}]}],
        "same_as": {"item": "twin"},
        "cover": {"file": "covers/abc.jpg"},
    }  # fmt: skip
    for key, value in facts.items():
        store.put_fact("film", key, value)
    store.put_fact("bare", "media", {"kind": "audio", "sound": 5.0})
    store.put_fact("bare", "topics", "nonsense")
    store.close()
    return path


def test_all_that_is_known_is_on_the_page(library):
    told = matinee("show", "film", "-L", library)
    assert told.returncode == 0, told.stderr
    page = re.sub(" +", " ", told.stdout)
    for part in ("matroska, 640 x 360", "1:02:03", "-17.5 LUFS, 25% silent", "Nights S01E02", "1970-01-01", "noir",
                 "Rain.", "covers/abc.jpg", "一只狗 · a dog", "0.80 ████████░░ by its pictures", "by what is said",
                 "Shots: 30",
                 "0:00.0 1:00.0 60.0 s", "... and 18 more (--all)", "The harbour", "Said (en, whisper-base)",
                 "line number 11", "... and 8 more (--all)", "0:04.0 0.93", "EXIT", "the same bytes",
                 "shares pictures 75%", "categories, creators, language"):  # fmt: skip
        assert part in page, (part, page)
    assert "line number 12" not in told.stdout
    assert "tabby" not in told.stdout  # too unlikely to be shown
    assert "\x1b" not in told.stdout
    assert "\u202e" not in told.stdout


def test_all_of_it_in_chinese(library):
    told = matinee("show", "film", "--all", "-L", library, lang="zh").stdout
    for part in (
        "时长",
        "镜头：30 个",
        "语音文字 (en, whisper-base)",
        "line number 19",
        "据画面",
        "共有画面 75%",
        "内容完全相同",
        "缺少",
    ):
        assert part in told, (part, told)
    bare = matinee("show", "bare", "-L", library, lang="zh").stdout
    assert "[reading] speech = true" in bare
    assert "简介、类别、作者、标签、语言、发行日期、封面" in bare


def test_the_same_as_json(library):
    told = json.loads(matinee("show", "film", "-L", library, "--json").stdout)
    assert len(told["transcript"]["segments"]) == 20
    assert told["topics_both"][0] == {"en": "a dog", "zh": "一只狗", "confidence": 0.8, "by": "bridge.frames"}
    assert told["near"][0]["item"] == "bare"
    assert (told["same_as"], told["cover_file"]) == ("twin", "covers/abc.jpg")
    assert told["missing"] == ["categories", "creators", "language"]
    assert told["seen_text"][0]["at"] == 4.0
