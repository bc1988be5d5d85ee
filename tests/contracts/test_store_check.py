"""``check`` finds each kind of damage, names the piece, and says nothing of a sound library."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from matinee.release import save_release
from matinee.store.check import check
from matinee.store.sqlite import SQLiteStore
from matinee.types import Event, Item, Space
from tests.properties.killed import release_of

SPACE = Space("text", "1", 64)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A closed, sound library with something of everything."""
    with closing(SQLiteStore(tmp_path / "matinee.db")) as store:
        store.put_items([Item(id=f"i{n}", title=f"a title {n}", description="words " * 20) for n in range(50)])
        store.append(
            [Event(id=f"e{n}", user=f"u{n % 7}", kind="play", at=float(n), item=f"i{n % 50}") for n in range(500)]
        )
        matrix = np.random.default_rng(0).normal(size=(50, 64)).astype(np.float32)
        matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
        store.put_vectors(SPACE, [f"h{n}" for n in range(50)], matrix)
        for n in range(50):
            store.link_content(f"i{n}", SPACE, f"h{n}")
        store.delete_item("i49")
        store.put_profiles({"u2": {"age": 31}, "u3": {"country": "CN"}})
        (tmp_path / "covers").mkdir()
        (tmp_path / "covers/c.jpg").write_bytes(b"picture")
        store.put_fact("i1", "cover", {"file": "covers/c.jpg"})
        (tmp_path / "covers/s-0.jpg").write_bytes(b"picture of a shot")
        store.put_fact("i2", "shots", [{"start": 0, "end": 1, "frame": "covers/s-0.jpg"}, {"start": 1, "end": 2}])
        for digest in ("old", "d"):
            save_release(tmp_path / "releases" / digest, release_of(3))
            store.put_release(digest, {})
        store.use_release("d")
    return tmp_path


def found(library: Path) -> list[tuple[str, str]]:
    pieces = check(library / "matinee.db", library)
    assert all(piece.place in piece.en and piece.place in piece.zh for piece in pieces)
    return [(piece.code, piece.place) for piece in pieces]


def test_a_sound_library_has_no_damage(library: Path) -> None:
    assert found(library) == []
    assert check(library / "matinee.db") == []


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("DELETE FROM events WHERE sequence = 3", ("check.count", "events")),
        ("DELETE FROM users WHERE row = 3", ("check.rows", "users")),
        ("UPDATE events SET user = 999 WHERE sequence = 3", ("check.reference", "events 3")),
        ("UPDATE events SET at = at + 1 WHERE sequence = 4", ("check.row", "events 4")),
        ("UPDATE events SET kind = 99 WHERE sequence = 4", ("check.event", "event 4")),
        ("UPDATE items SET body = replace(body, 'title 5', 'title 6') WHERE row = 5", ("check.row", "items 5")),
        ("UPDATE items SET body = '{' WHERE row = 5", ("check.item", "item 'i5' (row 5)")),
        ("UPDATE users SET id = 'other' WHERE row = 2", ("check.row", "users 2")),
        ("UPDATE vectors SET data = zeroblob(256) WHERE hash = 'h7'", ("check.vector", "vector h7 in text")),
        ("UPDATE vectors SET data = zeroblob(3) WHERE hash = 'h7'", ("check.vector", "vector h7 in text")),
        ("INSERT INTO links VALUES (1, 49, 1, 0)", ("check.link", "link of item row 49 in text")),
        ("UPDATE links SET vector = 3 WHERE item = 7", ("check.row", "links 1 7")),
        ("DROP INDEX events_of_user", ("check.schema", "events_of_user")),
        ("INSERT INTO erasures VALUES (2, 0)", ("check.erasure", "user row 2")),
        ("UPDATE releases SET manifest = '{\"x\":1}' WHERE digest = 'd'", ("check.row", "releases d")),
        ('UPDATE facts SET value = \'{"file": "../x"}\'', ("check.cover", "cover ../x of item row 1")),
        ("UPDATE profiles SET body = replace(body, '31', '13') WHERE user = 2", ("check.row", "profiles 2")),
        ("UPDATE profiles SET body = '[1]' WHERE user = 2", ("check.profile", "profile of user row 2")),
        ("UPDATE profiles SET user = 99 WHERE user = 2", ("check.profile", "profile of user row 99")),
        ("DELETE FROM state", ("check.state", "state")),
    ],
)
def test_each_kind_is_named(library: Path, sql: str, expected: tuple[str, str]) -> None:
    with closing(sqlite3.connect(library / "matinee.db")) as c:
        c.execute(sql)
        c.commit()
    assert expected in found(library)


def test_files_of_releases_and_covers(library: Path) -> None:
    release = library / "releases/d"
    model, manifest = release / "popular.safetensors", release / "manifest.json"
    whole = model.read_bytes(), manifest.read_text()
    model.write_bytes(whole[0][:-1] + b"x")
    (library / "covers/c.jpg").unlink()
    (library / "covers/s-0.jpg").write_bytes(b"")
    assert found(library) == [
        ("check.release", "releases/d/popular.safetensors"),
        ("check.cover", "cover covers/c.jpg of item row 1"),
        ("check.cover", "picture covers/s-0.jpg of item row 2"),
    ]
    model.unlink()
    assert "missing" in check(library / "matinee.db", library)[0].en
    model.write_bytes(whole[0])
    for changed in (whole[1].replace('"n_items": 1', '"n_items": 2'), "{", whole[1].replace("popular.s", "../a.s")):
        manifest.write_text(changed)
        assert found(library)[0] == ("check.release", "releases/d/manifest.json")
    manifest.unlink()
    assert found(library)[0] == ("check.release", "releases/d/manifest.json")


def test_a_release_that_was_taken_away_is_no_damage_unless_it_is_in_force(library: Path) -> None:
    shutil.rmtree(library / "releases/old")
    assert found(library) == []
    shutil.rmtree(library / "releases/d")
    assert found(library) == [("check.release", "releases/d/manifest.json")]


def content(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as c:
        # revision and lineage have no checksum: a flip there harms nobody
        return [line for line in c.iterdump() if not line.startswith('INSERT INTO "state"')]


def test_a_flipped_bit_is_found_or_changes_nothing_that_can_be_read(library: Path) -> None:
    """Pages have unused bytes; a flip there is no damage. Every other is found."""
    path = library / "matinee.db"
    sound, whole, unused = path.read_bytes(), content(path), 0
    chance = random.Random(1)
    places = [n for n in range(100, len(sound)) if sound[n]]
    for place in chance.sample(places, 150):
        broken = bytearray(sound)
        broken[place] ^= 1 << chance.randrange(8)
        path.write_bytes(broken)
        if not check(path):
            assert content(path) == whole, f"byte {place}"
            unused += 1
    assert unused < 15


def test_the_flips_need_the_checksums(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: without them SQLite's own check lets flips pass."""
    monkeypatch.setattr("matinee.store.check.CHECKS", ())
    path = library / "matinee.db"
    sound = path.read_bytes()
    place = sound.index(b"a title 7")
    path.write_bytes(sound[:place] + b"b" + sound[place + 1 :])
    assert check(path) == []


def test_a_torn_sector_is_found_or_was_unused(library: Path) -> None:
    path = library / "matinee.db"
    sound = path.read_bytes()
    for sector in range(1, len(sound) // 512, 7):
        broken = sound[: sector * 512] + b"\xff" * 512 + sound[(sector + 1) * 512 :]
        path.write_bytes(broken)
        if any(sound[sector * 512 : (sector + 1) * 512]) and not between(sound, sector):
            assert check(path), f"sector {sector}"


def between(sound: bytes, sector: int) -> bool:
    """Whether a sector lies wholly in what a page has not given to any row: old bytes that nothing reads."""
    page = sound[sector // 8 * 4096 :][:4096]
    if page[0] not in (2, 5, 10, 13) or sector < 8:
        return False
    pointers = (12 if page[0] in (2, 5) else 8) + 2 * int.from_bytes(page[3:5], "big")
    content = int.from_bytes(page[5:7], "big") or 65536
    return pointers <= sector % 8 * 512 and sector % 8 * 512 + 512 <= content


def test_cut_off_and_overwritten_files(library: Path) -> None:
    path = library / "matinee.db"
    sound = path.read_bytes()
    for broken in (sound[: len(sound) // 2], b"x" * len(sound), sound[:5000]):
        path.write_bytes(broken)
        assert found(library)[0][0] == "check.page"


def test_a_damaged_vector_scores_nothing(library: Path, caplog: pytest.LogCaptureFixture) -> None:
    with closing(sqlite3.connect(library / "matinee.db")) as c:
        data = bytearray(c.execute("SELECT data FROM vectors WHERE hash = 'h7'").fetchone()[0])
        data[2] ^= 1
        c.execute("UPDATE vectors SET data = ? WHERE hash = 'h7'", (bytes(data),))
        c.commit()
    with closing(SQLiteStore(library / "matinee.db")) as store:
        rows, matrix = store.vectors(SPACE)
    assert len(rows) == len(matrix) == 48
    assert 7 not in rows
    assert "matinee check" in caplog.text
