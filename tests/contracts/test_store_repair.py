"""``matinee check --repair``: what can be made again is, what only a backup has is left alone and named."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from matinee.protocols import FileRecord
from matinee.store.check import check
from matinee.store.repair import repair
from matinee.store.sqlite import SQLiteStore
from tests.contracts.test_store_check import SPACE, library  # noqa: F401  (a fixture)


def harmed(folder: Path, sql: str) -> None:
    with closing(sqlite3.connect(folder / "matinee.db")) as c:
        c.execute(sql)
        c.commit()


def mended(folder: Path) -> tuple[list[tuple[str, str]], list[str]]:
    """What was mended, and the codes of what is left."""
    done, left = repair(folder / "matinee.db", folder)
    assert all(piece.place in piece.en and piece.place in piece.zh for piece in done)
    assert left == check(folder / "matinee.db", folder)
    return [(piece.code, piece.place) for piece in done], [piece.code for piece in left]


def test_a_sound_library_is_left_alone(library: Path) -> None:  # noqa: F811
    before = (library / "matinee.db").read_bytes()
    assert mended(library) == ([], [])
    assert (library / "matinee.db").read_bytes() == before
    assert not list(library.glob("*.before-*"))


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("DROP INDEX events_of_user", [("repair.index", "events_of_user")]),
        ("UPDATE state SET events = 7, items = 3", [("repair.count", "state")]),
        ("UPDATE vectors SET data = zeroblob(256) WHERE hash = 'h7'", [("repair.vector", "vector h7 in text")]),
        ("UPDATE vectors SET data = zeroblob(3) WHERE hash = 'h7'", [("repair.vector", "vector h7 in text")]),
        ("INSERT INTO links VALUES (1, 49, 1, 0)", [("repair.vector", "link of item row 49")]),
        ("UPDATE links SET vector = 3 WHERE item = 7", [("repair.vector", "link of item row 7")]),
        ("INSERT INTO erasures VALUES (2, 0)", []),
    ],
)
def test_what_can_be_made_again_is(library: Path, sql: str, expected: list[tuple[str, str]]) -> None:  # noqa: F811
    harmed(library, sql)
    assert check(library / "matinee.db", library)
    assert mended(library) == (expected, [])
    with closing(SQLiteStore(library / "matinee.db")) as store:
        assert store.counts().events == 500 == len(store.log().items)
        rows, matrix = store.vectors(SPACE)
        assert np.isfinite(matrix).all()
        assert len(rows) >= 48


def test_the_file_behind_a_damaged_vector_is_read_again(library: Path) -> None:  # noqa: F811
    with closing(SQLiteStore(library / "matinee.db")) as store:
        for n in (7, 8):
            store.put_file(FileRecord(f"/m/{n}", 1, 1, f"h{n}", f"i{n}", "taken"))
            store.put_fact(f"i{n}", "media", {"kind": "video"})
    harmed(library, "UPDATE vectors SET data = zeroblob(256) WHERE hash = 'h7'")
    mended(library)
    with closing(SQLiteStore(library / "matinee.db")) as store:
        assert [record.item for record in store.files()] == ["i8"]
        assert "media" not in store.facts("i7")
        assert "media" in store.facts("i8")


def test_pictures_that_are_gone_are_forgotten(library: Path) -> None:  # noqa: F811
    (library / "covers/c.jpg").unlink()
    (library / "covers/s-0.jpg").unlink()
    done, left = mended(library)
    assert ([code for code, _ in done], left) == (["repair.cover", "repair.cover"], [])


def test_a_damaged_release_gives_its_place_to_the_one_before(library: Path) -> None:  # noqa: F811
    with closing(SQLiteStore(library / "matinee.db")) as store:
        store.use_release("old")
        store.use_release("d")
    (library / "releases/d/popular.safetensors").write_bytes(b"")
    assert mended(library) == ([("repair.release", "releases/d")], ["check.release"])  # d itself stays damaged
    with closing(SQLiteStore(library / "matinee.db")) as store:
        assert store.release() == ("old", {})
    shutil.rmtree(library / "releases")
    mended(library)
    with closing(SQLiteStore(library / "matinee.db")) as store:
        assert store.release() is None


def test_what_only_a_backup_has_is_not_guessed(library: Path) -> None:  # noqa: F811
    harmed(library, "UPDATE events SET at = at + 1 WHERE sequence = 4")
    harmed(library, "UPDATE items SET body = '{' WHERE row = 5")
    done, left = mended(library)
    assert done == []
    assert set(left) == {"check.row", "check.item"}
    assert (library / "matinee.db.before-repair").is_file()
