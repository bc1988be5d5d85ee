"""Mends what ``check`` finds and can be made again: indices, counts, vectors, pictures, the release in force.

What only a backup has (an item, an event, a user) is never guessed. A copy of the file is kept before anything is
changed (``matinee.db.before-repair``), and an erasure later removes that copy too.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import msgspec
import numpy as np

from matinee.errors import MatineeError
from matinee.store.check import Damage, check, covers, damage, made_by_steps, picture_wrong, releases
from matinee.store.connection import connect
from matinee.store.items import bump
from matinee.store.migrations import keep_copy
from matinee.store.named import inside, pictures
from matinee.store.sqlite import SQLiteStore
from matinee.store.sums import sum_of, sum_of_vector
from matinee.store.trouble import told
from matinee.store.vectors import UNIT

INGEST = ("ingest its files again.", "请重新导入其文件。")
Mend = Callable[[sqlite3.Connection, Path], Iterator[Damage]]


def repair(path: Path, folder: Path) -> tuple[list[Damage], list[Damage]]:
    """(what was mended, what is left), each piece with its place and what to do next. Stop the server first: nobody
    else may write meanwhile. Raises ``store.*`` errors when the file cannot be read at all."""
    if not check(path, folder):
        return [], []
    mended: list[Damage] = []
    with told(path), closing(connect(path)) as c:
        keep_copy(c, path.with_name(f"{path.name}.before-repair"))
        for mend in MENDS:
            c.execute("BEGIN IMMEDIATE")
            try:
                found = list(mend(c, folder))
                c.execute("COMMIT")
                mended += found
            except (sqlite3.DatabaseError, msgspec.MsgspecError, UnicodeDecodeError):
                if c.in_transaction:  # a page that cannot be read: that part is left as it is, and named by ``check``
                    c.execute("ROLLBACK")
    with suppress(MatineeError):  # what is still wrong is named below
        SQLiteStore(path).close()  # opening finishes an erasure that was cut short
    return mended, check(path, folder)


def indices(c: sqlite3.Connection, folder: Path) -> Iterator[Damage]:
    """Made again from the rows, those that are missing too."""
    del folder
    sql = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    expected = made_by_steps(sql)
    there = dict(c.execute(sql).fetchall())
    for name, text in expected.items():
        if there.get(name) != text:
            c.execute(f'DROP INDEX IF EXISTS "{name}"')
            c.execute(text)
            yield damage("repair.index", name, "was made again.", "已重新建立。")
    lines = [line for (line,) in c.execute("PRAGMA integrity_check(100)") if line != "ok"]
    if lines and all("index" in line for line in lines):
        c.execute("REINDEX")
        yield damage("repair.index", "database", "its indices were made again.", "索引已全部重新建立。")


def counts(c: sqlite3.Connection, folder: Path) -> Iterator[Damage]:
    del folder
    held = c.execute(
        "SELECT (SELECT count(*) FROM items WHERE alive), (SELECT count(*) FROM users WHERE id IS NOT NULL"
        " AND row NOT IN (SELECT user FROM merges)), (SELECT count(*) FROM events)"
    ).fetchone()
    if c.execute("SELECT items, users, events FROM state").fetchone() != held:
        c.execute("UPDATE state SET items = ?, users = ?, events = ?", held)
        yield damage("repair.count", "state", "was counted again.", "已重新计数。")


def vectors(c: sqlite3.Connection, folder: Path) -> Iterator[Damage]:
    """Damaged vectors and links go; the files behind them are marked to be read again."""
    del folder
    sql = "SELECT v.number, s.name, s.dim, v.hash, v.data, v.sum FROM vectors v JOIN spaces s ON s.number = v.space"
    gone = [
        (number, f"vector {content} in {space}")
        for number, space, dim, content, data, kept in c.execute(sql)
        if sum_of_vector(content, data) != kept or not _unit(data, dim)
    ]
    items = {i for n, _ in gone for (i,) in c.execute("SELECT item FROM links WHERE vector = ?", (n,))}
    bad = [
        (space, item)
        for space, item, vector, kept, fits in c.execute(
            "SELECT l.space, l.item, l.vector, l.sum, v.space = l.space AND i.alive FROM links l"
            " LEFT JOIN vectors v ON v.number = l.vector LEFT JOIN items i ON i.row = l.item"
        )
        if not fits or sum_of(space, item, vector) != kept
    ]
    c.executemany("DELETE FROM links WHERE vector = ?", [(number,) for number, _ in gone])
    c.executemany("DELETE FROM links WHERE space = ? AND item = ?", bad)
    c.executemany("DELETE FROM vectors WHERE number = ?", [(number,) for number, _ in gone])
    _read_again(c, items | {item for _, item in bad})
    for place in [place for _, place in gone] + [f"link of item row {item}" for _, item in bad]:
        yield damage("repair.vector", place, f"was taken out: {INGEST[0]}", f"已移除：{INGEST[1]}")


def images(c: sqlite3.Connection, folder: Path) -> Iterator[Damage]:
    """Facts that name a picture which is gone go; ``covers`` names them before."""
    if not any(covers(c, folder)):
        return
    for row, key, name in list(pictures(c)):
        if inside(name) and not picture_wrong(folder / name):
            continue
        c.execute("DELETE FROM facts WHERE item = ? AND key = ?", (row, key))
        _read_again(c, {row})
        yield damage("repair.cover", f"{name} of item row {row}", f"is forgotten: {INGEST[0]}", f"已移除：{INGEST[1]}")


def in_force(c: sqlite3.Connection, folder: Path) -> Iterator[Damage]:
    """A release in force that is damaged gives its place to the last one used that is whole, or to none."""
    (used,) = c.execute("SELECT release FROM state").fetchone()
    wrong = {piece.place.split("/")[1] for piece in releases(c, folder)}
    if used not in wrong:
        return
    before = c.execute("SELECT digest FROM in_force ORDER BY number DESC").fetchall()
    whole = next((d for (d,) in before if d not in wrong and (folder / "releases" / d).is_dir()), None)
    c.execute("UPDATE state SET release = ?", (whole,))
    if whole is not None:
        number = c.execute("SELECT max(number) + 1 FROM in_force").fetchone()[0]
        row = (number, whole, 0.0)
        c.execute("INSERT INTO in_force VALUES (?, ?, ?, ?)", (*row, sum_of(*row)))
    bump(c)
    en = f"gave its place to {whole}." if whole else "is no longer in force."
    zh = f"已由 {whole} 取代。" if whole else "已停用。"
    yield damage(
        "repair.release", f"releases/{used}", f"{en} Train again: matinee train", f"{zh}请重新训练：matinee train"
    )


def _read_again(c: sqlite3.Connection, rows: Iterable[int]) -> None:
    """Makes ingest take the files behind these items for changed."""
    sql = "DELETE FROM files WHERE item = (SELECT id FROM items WHERE row = ?)"
    c.executemany(sql, [(row,) for row in rows])
    c.executemany("DELETE FROM facts WHERE key = 'media' AND item = ?", [(row,) for row in rows])
    bump(c)


def _unit(data: bytes, dim: int) -> bool:
    vector = np.frombuffer(data, "<f4") if len(data) == dim * 4 else np.zeros(0, np.float32)
    return bool(abs(float(np.linalg.norm(vector.astype(np.float64))) - 1) <= UNIT)


MENDS: tuple[Mend, ...] = (indices, counts, vectors, images, in_force)
