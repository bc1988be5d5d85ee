"""``matinee demo`` as a new user meets it: real samples, interrupted and taken up again, served, and started anew."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from matinee.data.catalogue import read_users
from matinee.demo import run
from matinee.demo.manifest import manifest
from matinee.demo.samples import Fetched, fetch, write_clips, write_movies, write_viewers
from matinee.errors import MatineeError
from matinee.settings import Library
from tests import weights
from tests.walks import wheels
from tests.walks.serving import free_port, worked

PLAN = manifest()


def test_the_manifest_keeps_its_promises():
    kinds = Counter(sample.categories[0] for sample in PLAN.samples)
    assert kinds["video"] >= 6
    assert kinds["sound"] + kinds["music"] + kinds["speech"] >= 60
    for name in ("id", "file", "sha256", "title", "title_zh"):
        named = [getattr(sample, name) for sample in PLAN.samples]
        assert len(set(named)) == len(named), name
    for sample in PLAN.samples:
        assert sample.licence
        assert sample.credit
        assert len(sample.tags) >= 2
        assert any("\u4e00" <= c <= "\u9fff" for tag in sample.tags for c in tag), sample.id
        if sample.licence.startswith("not stated"):
            assert sample.origin, sample.id
    assert sum(pin.size for pin in PLAN.wheels.values()) + 56_200_000 < 600e6


def test_a_sample_that_is_gone_is_reported_and_the_rest_goes_on(tmp_path, monkeypatch):
    source = tmp_path / "wheels"
    content = b"RIFF real enough"
    wheel = wheels.make(source, {"snd/a.wav": content})
    wheels.only_source(monkeypatch, source)
    import hashlib

    import msgspec

    sha256 = hashlib.sha256(content).hexdigest()
    there = msgspec.structs.replace(
        PLAN.samples[-1], file="sound/a.wav", wheel="here", member="snd/a.wav", sha256=sha256, size=len(content)
    )
    pin = msgspec.structs.replace(
        PLAN.wheels["arcade"], name=wheel.name, version="1.0", sha256=wheel.sha256, size=wheel.size
    )
    plan = msgspec.structs.replace(PLAN, wheels={**PLAN.wheels, "here": pin}, samples=(PLAN.samples[0], there))
    told: list[tuple[str, MatineeError]] = []
    got: Fetched = fetch(plan, tmp_path / "out", lambda *_: None, lambda *what: told.append(what))
    assert [pin for pin, _ in told] == ["recbole==1.2.1", f"{PLAN.wheels[PLAN.samples[0].wheel].wheel.pin}"]
    assert {error.code for _, error in told} == {"registry.gone"}
    assert list(got.files) == ["sound/a.wav"]
    assert write_movies(got.files, tmp_path / "items", tmp_path / "events") == 0
    assert write_clips(plan.samples, got.files, tmp_path / "clips.jsonl", lambda *_: None) == 1
    assert json.loads((tmp_path / "clips.jsonl").read_text())["properties"]["licence"] == there.licence


def test_viewers_come_with_what_groups_are_made_of_and_not_with_where_they_live(tmp_path):
    source = tmp_path / "ml-100k.user"
    source.write_text(
        "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n7\t24\tF\twriter\t85711\n"
    )
    target = tmp_path / "viewers.csv"
    assert write_viewers({"movielens/ml-100k.user": source}, target) == 1
    (row,) = [user for batch in read_users(target).batches() for user in batch]
    assert (row.id, row.profile) == ("viewer-7", {"age": 24, "gender": "F", "occupation": "writer"})
    assert "85711" not in target.read_text()
    assert write_viewers({}, tmp_path / "none.csv") == 0


@pytest.mark.parametrize("by", ["environment", "settings"])
def test_it_goes_into_no_store_but_its_own(tmp_path, monkeypatch, by):
    library = tmp_path / "demo"
    run.require_own_store(library)  # neither there yet
    other = tmp_path / "other.db"
    if by == "environment":
        monkeypatch.setenv("MATINEE_STORE", str(other))
    else:
        library.mkdir()
        (library / "matinee.toml").write_text(f'store = "{other}"\n')
    with pytest.raises(MatineeError, match="MATINEE_STORE") as refused:
        run.prepared(library, run.Teller(lambda _: None, lambda *_: None, lambda *_: None))
    assert refused.value.code == "demo.store"
    assert not other.exists()
    assert not (library / "matinee.db").exists()


def environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("MATINEE_LIBRARY", "LC_ALL")}
    return {**kept, "MATINEE_LANG": "en", "OMP_NUM_THREADS": "2"}


def started(library: Path, port: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "matinee", "demo", "-L", str(library), "-p", str(port)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment(), cwd=library.parent)


def until(child: subprocess.Popen[str], words: str, seconds: float) -> list[str]:
    """What it says until it says this."""
    lines: list[str] = []
    over = time.monotonic() + seconds
    while time.monotonic() < over and (line := child.stderr.readline()):
        lines.append(line.rstrip())
        if words in line:
            return lines
    raise AssertionError(f"never said {words!r}: {lines}")


def stopped(child: subprocess.Popen[str]) -> tuple[int, list[str]]:
    child.send_signal(signal.SIGINT)
    _, rest = child.communicate(timeout=30)
    return child.returncode, rest.strip().splitlines()


def ask(port: int, path: str, lang: str = "en"):
    answer = httpx.get(f"http://127.0.0.1:{port}/api/v1/{path}", headers={"Accept-Language": lang}, timeout=60)
    answer.raise_for_status()
    return answer.json()


@pytest.mark.xdist_group("demo")
def test_the_demo_from_nothing_to_the_second_start(tmp_path):
    weights.fetched()
    port, library = free_port(), tmp_path / "demo"
    child = started(library, port)
    try:  # interrupted in the middle of ingest
        until(child, "3/4", 600)
        time.sleep(2)
        code, last = stopped(child)
        assert code == 130
        assert "goes on from there" in last[-1]
        assert "Traceback" not in "\n".join(last)

        child = started(library, port)
        said = until(child, f"http://127.0.0.1:{port}", 600)
        skipped = [line for line in said if "skipped" in line]
        if skipped:
            pytest.skip(f"some samples cannot be had here: {skipped}")
        the_library_is_whole(port)
        another = subprocess.run(
            [sys.executable, "-m", "matinee", "demo", "-L", str(tmp_path / "other"), "-p", str(port)],
            capture_output=True, text=True, env=environment(), timeout=20, check=False,
        )  # fmt: skip
        assert another.returncode == 1
        assert f"make demo PORT={port + 1}" in another.stderr
        assert not (tmp_path / "other").exists()  # told before any work
        code, last = stopped(child)
        assert (code, last[-1]) == (0, "Stopped.")

        before = worked()
        child = started(library, port)
        until(child, f"http://127.0.0.1:{port}", 120)
        assert ask(port, "health")["items"] == 93 + 1682
        assert stopped(child)[0] == 0
        assert worked() - before < 15  # of processor, about 2 on a quiet machine: the clock tells what else runs there
        what_cannot_serve_is_learned_again(library)
    finally:
        child.kill()
        child.communicate()


def what_cannot_serve_is_learned_again(path: Path) -> None:
    library, said = Library.open(path), []
    teller = run.Teller(said.append, lambda *_: None, lambda *_: None)
    run.learn_again(library, teller)
    assert said == []  # a release that serves is left alone
    (folder,) = library.releases.glob("*/manifest.json")
    folder.unlink()
    run.learn_again(library, teller)
    assert len(said) == 1
    run.learn_again(library, teller)
    assert len(said) == 1


def the_library_is_whole(port: int) -> None:
    health = ask(port, "health")
    assert (health["items"], health["users"], health["events"]) == (93 + 1682, 943, 100_000)
    assert health["release"]
    clips = ask(port, "users/nobody/recommendations?n=200&collection=clips")["items"]
    kinds = Counter(clip["kind"] for clip in clips)
    assert len(clips) == 93
    assert kinds["video"] >= 6
    assert kinds["audio"] >= 60
    assert all(clip["play"] for clip in clips)
    assert all(clip["cover"] for clip in clips if clip["kind"] in ("video", "image"))
    for clip in clips:
        played = httpx.get(f"http://127.0.0.1:{port}{clip['play']}", headers={"Range": "bytes=0-15"}, timeout=20)
        assert played.status_code == 206
        assert len(played.content) == 16
        assert played.headers["Content-Type"].split("/")[0] in ("video", "audio", "image"), clip["item"]
    meant = {"夜晚的城市": "city-lights", "a lion": "lion", "鸭子": "birds-08", "Star Wars": "movie-50"}
    for words, wanted in meant.items():
        found = [hit["item"] for hit in ask(port, f"search?q={quote(words)}&n=3")["items"]]
        assert wanted in found, (words, found)
    slate = ask(port, "users/viewer-196/recommendations?n=10&collection=movies", "zh")
    assert all(item["reasons"] for item in slate["items"])
    assert "看" in slate["items"][0]["reasons"][0]["text"]
