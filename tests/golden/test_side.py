"""Names as media servers read them, and what lies beside media."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from matinee.ingest.describe import described, moment, unfilled
from matinee.ingest.run import passages
from matinee.media.folder import find
from matinee.media.loudness import filtered, loudness, smooth, weighting
from matinee.media.names import Named, parse
from matinee.media.side import Side, beside, from_info, from_nfo, poster, read_side
from matinee.media.timed import timed
from matinee.types import Item

NAMES = {
    "Blade Runner (1982).mkv": Named("Blade Runner", 1982),
    "Blade.Runner.1982.2160p.UHD.BluRay.x265-GRP.mkv": Named("Blade Runner", 1982),
    "2001 A Space Odyssey (1968) [1080p].mp4": Named("2001 A Space Odyssey", 1968),
    "1917.2019.1080p.mkv": Named("1917", 2019),
    "1917.mkv": Named("1917"),
    "Alien [1979].avi": Named("Alien", 1979),
    "流浪地球 (2019).mkv": Named("流浪地球", 2019),
    "my_holiday_video.mp4": Named("my holiday video"),
    "The Expanse - S01E02 - The Big Empty.mkv": Named("The Big Empty", None, "The Expanse", 1, 2),
    "The.Expanse.S03E10.720p.WEB-DL.mkv": Named("The Expanse S03E10", None, "The Expanse", 3, 10),
    "Doctor Who (2005) - s04e01.mkv": Named("Doctor Who S04E01", 2005, "Doctor Who", 4, 1),
    "firefly 1x03 bushwhacked.avi": Named("bushwhacked", None, "firefly", 1, 3),
    "Show/Season 2/05 - The Fifth.mkv": Named("The Fifth", None, "Show", 2, 5),
    "Show (2010)/Season 01/S01E04.mkv": Named("Show S01E04", 2010, "Show", 1, 4),
    "某剧/第2季/第03集.mkv": Named("某剧 S02E03", None, "某剧", 2, 3),
    "clip 1920x1080.mp4": Named("clip 1920x1080"),
}
TRACKS = {
    "01 - So What.flac": "So What", "03. Blue in Green.mp3": "Blue in Green", "2-05 Song.ogg": "Song",
    "99 Luftballons.mp3": "99 Luftballons", "05 Song.mp3": "Song",
    "Miles Davis - So What.flac": "Miles Davis - So What", "7.mp3": "7", "rain_on_the_roof.wav": "rain on the roof",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_read(name):
    assert parse(Path("/films") / name, "video") == NAMES[name]


@pytest.mark.parametrize("name", TRACKS)
def test_a_track_loses_its_number(name):
    assert parse(Path(name), "audio").title == TRACKS[name]


NFO = """<?xml version="1.0"?>
<episodedetails><title>Dulcinea</title><showtitle>The Expanse</showtitle><season>1</season><episode>1</episode>
<plot>A detective looks for a missing girl.</plot><genre>Science Fiction</genre><genre>Drama</genre>
<aired>2015-12-14</aired><director>Terry McDonough</director><actor><name>Thomas Jane</name></actor>
<tag>space</tag><studio>Syfy</studio></episodedetails>
https://example.org/appended-by-some-scrapers"""


def test_an_nfo_is_read():
    side = from_nfo(NFO)
    assert side.fields["title"] == "Dulcinea"
    assert side.fields["series"] == "The Expanse"
    assert (side.fields["season"], side.fields["episode"]) == (1, 1)
    assert side.fields["categories"] == ("Science Fiction", "Drama")
    assert side.fields["creators"] == ("Terry McDonough", "Thomas Jane")
    assert side.fields["tags"] == ("space",)
    assert side.properties == {"studio": "Syfy"}


@pytest.mark.parametrize(
    "text",
    ["", "no xml", "<a>", "<!DOCTYPE x [<!ENTITY a 'aaaa'>]><movie><title>&a;</title></movie>",
     "<!doctype x SYSTEM 'file:///etc/passwd'><movie><title>x</title></movie>", "<movie><season>-1</season></movie>",
     "<movie>" * 5000, "\0<movie/>"],
)  # fmt: skip
def test_a_bad_nfo_says_nothing(text):
    assert from_nfo(text).fields == {}


def test_yt_dlp_is_read():
    info = """{"title": "A talk", "description": "About\\u202e things", "uploader": "Somebody",
    "upload_date": "20240131",
    "tags": ["a", "b", 3], "categories": ["Education"], "language": "en", "license": "CC-BY", "webpage_url": "https://x.org/1",
    "chapters": [{"start_time": 0, "end_time": 60.5, "title": "Begin"}, {"start_time": "x"}], "series": null}"""
    side = from_info(info)
    assert side.fields == {
        "title": "A talk", "description": "About things", "creators": ("Somebody",), "date": "20240131",
        "tags": ("a", "b"), "categories": ("Education",), "language": "en",
    }  # fmt: skip
    assert side.properties == {"url": "https://x.org/1", "licence": "CC-BY"}
    assert side.chapters == ((0.0, 60.5, "Begin"),)
    for bad in ("", "[]", "{", "[" * 100_000, '{"title": 3, "tags": "x", "chapters": 5, "season_number": "2"}'):
        assert from_info(bad).fields.get("title") is None


SRT = (
    "1\n00:00:01,000 --> 00:00:02,000\n<i>Oh</i> dear.\n\n2\n00:00:03,000 --> 00:00:04,000\nHello\n\n3\n0 --> 1\nHello"
)
VTT = "WEBVTT\nKind: captions\n\n00:01.000 --> 00:02.000 align:start\n<c>你好</c>，世界\n\nNOTE x\n"
ASS = "[Events]\nFormat: a\nDialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,{\\i1}One,\\Ntwo\nComment: 0,x\n"
LRC = "[ti:Song]\n[00:12.00]First line\n[00:17.20]<00:17.20>Second line\n"


@pytest.mark.parametrize(
    ("text", "ending", "words"),
    [(SRT, ".srt", "Oh dear.\nHello"), (VTT, ".vtt", "你好，世界"), (ASS, ".ass", "One, two"),
     (LRC, ".lrc", "First line\nSecond line")],
)  # fmt: skip
def test_words_are_taken_out_of_subtitles(text, ending, words):
    assert "\n".join(line[2] for line in timed(text, ending)) == words


def test_what_lies_beside_is_found_and_is_no_item(tmp_path):
    names = ["a.mkv", "a.nfo", "a.info.json", "a.zh.srt", "a-poster.jpg", "a.jpg", "fanart.jpg", "b.mp4", "holiday.jpg"]
    for name in names:
        (tmp_path / name).write_text("x")
    found = beside(tmp_path / "a.mkv", sorted(names))
    assert [p.name for p in found] == ["a.info.json", "a.nfo", "a.zh.srt", "a.jpg", "a-poster.jpg", "fanart.jpg"]
    assert poster(found).name == "a.jpg"
    media, _ = find([tmp_path])
    assert {f.id for f in media} == {"a.mkv", "b.mp4", "holiday.jpg"}
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "poster.jpg").write_text("x")  # a folder of pictures alone: they are the items
    assert {f.id for f in find([tmp_path / "only"])[0]} == {"poster.jpg"}


def test_side_files_together_and_links_not_followed(tmp_path):
    (tmp_path / "a.info.json").write_text('{"title": "From the page"}', encoding="utf-8")
    (tmp_path / "a.nfo").write_text("<movie><title>From the nfo</title><genre>Drama</genre></movie>", encoding="utf-8")
    (tmp_path / "secret.srt").write_text(SRT)
    (tmp_path / "a.srt").symlink_to(tmp_path / "secret.srt")
    (tmp_path / "a.zh.srt").write_bytes("1\n0:00 --> 0:01\n中文字幕\n".encode("gb18030"))
    side = read_side(beside(tmp_path / "a.mkv", sorted(p.name for p in tmp_path.iterdir())))
    assert (side.fields["title"], side.fields["categories"]) == ("From the page", ("Drama",))
    assert (side.lines, side.language) == (((0.0, 1.0, "中文字幕"),), "zh")


def test_gaps_are_filled_in_order_and_can_be_filled_anew():
    base = Item(id="x", description="mine")
    side = Side({"title": "From beside", "date": "20200102", "description": "theirs"}, {"url": "u"})
    item, filled = described(base, Path("/f/Name (1990).mkv"), "video", {"title": "Tag", "genre": "A/B"}, side)
    assert (item.title, item.description, item.categories) == ("From beside", "mine", ("A", "B"))
    assert item.released == datetime(2020, 1, 2, tzinfo=UTC).timestamp()
    assert unfilled(item, filled).title == ""
    edited = Item(id="x", title="By hand", categories=("A", "B"))
    assert unfilled(edited, filled).title == "By hand"
    assert unfilled(edited, filled).categories == ()


@pytest.mark.parametrize(
    ("date", "day"),
    [("2021", (2021, 1, 1)), ("20240131", (2024, 1, 31)), ("1999-12-31T23:00:00Z", (1999, 12, 31)),
     ("2024/02", (2024, 2, 1)),
     ("0000", None), ("20241399", None), ("soon", None), ("", None)],
)  # fmt: skip
def test_dates_of_tags(date, day):
    assert moment(date) == (datetime(*day, tzinfo=UTC).timestamp() if day else None)


def test_passages():
    assert passages("") == []
    assert [len(p.split()) for p in passages("word " * 100)] == [40, 40, 20]
    assert len(passages("词语 " * 100_000)) == 200


def test_lengths_of_spectra_are_the_least_smooth_ones():
    for n in (1, 7, 11, 8001, 24_001, 123_457, 968_000):
        candidates = (k for k in range(n, 2 * n + 1) if rest(k) == 1)
        assert smooth(n) == next(candidates)


def rest(n):
    for factor in (2, 3, 5):
        while n % factor == 0:
            n //= factor
    return n


def test_loudness_of_known_sounds():
    """BS.1770: a full-scale 997 Hz sine on one channel reads -3.01 LUFS."""
    t = np.arange(16_000 * 3) / 16_000
    sine = np.sin(2 * np.pi * 997 * t).astype(np.float32)
    assert loudness(sine)[0] == pytest.approx(-3.01, abs=0.1)
    assert loudness(sine * 0.1)[0] == pytest.approx(-23.01, abs=0.1)
    half = np.concatenate([sine, np.zeros_like(sine)])
    level, silence = loudness(half)
    assert level == pytest.approx(-3.01, abs=0.3)  # the gates leave the silence out
    assert silence == pytest.approx(0.5, abs=0.1)
    assert loudness(np.zeros(16_000, np.float32)) == (None, 1.0)
    assert loudness(sine[:100])[1] in (0.0, 1.0)
    scipy_signal = pytest.importorskip("scipy.signal")
    noise = np.random.default_rng(0).normal(0, 0.1, 40_000).astype(np.float32)
    wanted = scipy_signal.sosfilt(weighting(16_000), noise.astype(float))
    assert filtered(noise, weighting(16_000)) == pytest.approx(wanted, abs=1e-6)
