"""Finds damage in a library and names each piece: pages, references, counts, rows, vectors, release files, covers.

Reads only, and goes on after what it finds, so that one broken page does not hide the rest. It takes the time
of reading all once.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from matinee.errors import MatineeError
from matinee.store.connection import connect
from matinee.store.migrations import STEPS, SUMMED, SUMMED_SINCE, check_version
from matinee.store.named import MANIFEST, inside, pictures, release_files, sha256_of
from matinee.store.sums import sum_of, sum_of_vector
from matinee.store.trouble import told
from matinee.store.vectors import UNIT
from matinee.types import EVENT_KINDS, Item

MOST = 100  # of one kind; a file that is broken all over need not be told page by page


@dataclass(frozen=True, slots=True)
class Damage:
    """``code`` for machines, ``place`` names the piece (a table's row, a file), the sentences say what is wrong and how
    to mend it."""

    code: str
    place: str
    en: str
    zh: str


Check = Callable[[sqlite3.Connection], Iterator[Damage]]


def check(path: Path, folder: Path | None = None) -> list[Damage]:
    """All damage found in the database and, where ``folder`` (the library's) is given, in
    ``releases/`` and ``covers/``.

    An empty list means: every page is well-formed, every row is what was written, every file is what its hash says.
    Raises ``store.foreign``, ``store.newer`` or ``store.unopenable``; damage is never raised.
    """
    found: list[Damage] = []
    try:
        with told(path), closing(connect(path, reader=True)) as c:
            found += _pages(c)
            if check_version(c, path, len(STEPS)) < len(STEPS):
                older = damage(
                    "check.older", path.name, "its schema is older: open it once.", "模式较旧：请先打开一次。"
                )
                return [*found, older]
            c.execute("BEGIN")  # one moment, while others write
            of_folder: tuple[Check, ...] = ()
            if folder is not None:
                of_folder = (partial(releases, folder=folder), partial(covers, folder=folder))
            for one in (*CHECKS, *of_folder):
                found += _guarded(one, c)
    except MatineeError as error:
        if error.code != "store.corrupt":
            raise
        found.append(Damage("check.page", path.name, error.en, error.zh))
    return found


RESTORE = (
    "Keep a copy of the file and restore a backup with `matinee restore`.",
    "请保留该文件的副本，并用 `matinee restore` 恢复备份。",
)


UNHELD = "a row claims to be larger than memory"  # what a torn length says; SQLite then reports that memory ran out


def damage(code: str, place: str, en: str, zh: str) -> Damage:
    return Damage(code, place, f"{place}: {en}", f"{place}：{zh}")


def _guarded(one: Check, connection: sqlite3.Connection) -> list[Damage]:
    """What one check finds; a page it cannot read ends that check alone."""
    found: list[Damage] = []
    try:
        for piece in one(connection):
            found.append(piece)
            if len(found) == MOST:
                break
    except (sqlite3.Error, msgspec.MsgspecError, UnicodeDecodeError, MemoryError) as error:
        why = UNHELD if isinstance(error, MemoryError) else error
        found.append(damage("check.page", "database", f"{why}. {RESTORE[0]}", f"{why}。{RESTORE[1]}"))
    return found


def _pages(connection: sqlite3.Connection) -> list[Damage]:
    """SQLite's own check of every page and index."""
    try:
        lines = [line for (line,) in connection.execute(f"PRAGMA integrity_check({MOST})") if line != "ok"]
    except MemoryError:
        lines = [UNHELD]
    return [damage("check.page", "database", f"{line}. {RESTORE[0]}", f"{line}。{RESTORE[1]}") for line in lines]


def made_by_steps(sql: str) -> dict[str, str]:
    """What a question about ``sqlite_master`` answers in a new database."""
    with closing(sqlite3.connect(":memory:")) as fresh:
        for step in STEPS:
            step(fresh)
        return dict(fresh.execute(sql).fetchall())


def schema(c: sqlite3.Connection) -> Iterator[Damage]:
    """The tables and indices are those that the steps make."""
    sql = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"
    expected = made_by_steps(sql)
    there = dict(c.execute(sql).fetchall())
    for name, text in expected.items():
        if there.get(name) != text:
            yield damage("check.schema", name, f"is not as it was made. {RESTORE[0]}", f"与创建时不同。{RESTORE[1]}")


def references(c: sqlite3.Connection) -> Iterator[Damage]:
    for table, row, parent, _ in c.execute("PRAGMA foreign_key_check"):
        yield damage(
            "check.reference",
            f"{table} {row}",
            f"names a row that is not in {parent}. {RESTORE[0]}",
            f"所指的行不在 {parent} 中。{RESTORE[1]}",
        )


def counts(c: sqlite3.Connection) -> Iterator[Damage]:
    told_counts = c.execute("SELECT items, users, events FROM state").fetchone()
    if told_counts is None:
        yield damage(
            "check.state", "state", f"its only row is missing. {RESTORE[0]}", f"唯一的一行不见了。{RESTORE[1]}"
        )
        return
    questions = {
        "items": "SELECT count(*) FROM items WHERE alive",
        "users": "SELECT count(*) FROM users WHERE id IS NOT NULL AND row NOT IN (SELECT user FROM merges)",
        "events": "SELECT count(*) FROM events",
    }
    for said, (name, sql) in zip(told_counts, questions.items(), strict=True):
        if (there := c.execute(sql).fetchone()[0]) != said:
            yield damage(
                "check.count",
                name,
                f"{said} were written and {there} are there. {RESTORE[0]}",
                f"写入了 {said} 条，现有 {there} 条。{RESTORE[1]}",
            )
    for name in ("items", "users"):
        highest, there = c.execute(f"SELECT max(row) + 1, count(*) FROM {name}").fetchone()  # noqa: S608
        if there and highest != there:
            yield damage("check.rows", name, f"rows are missing in between. {RESTORE[0]}", f"中间缺行。{RESTORE[1]}")


def rows(c: sqlite3.Connection) -> Iterator[Damage]:
    """Rows whose values are not those that were written: the checksum tells a single flipped bit."""
    keys = {"facts": "item || ' ' || key", "releases": "digest", "vectors": "hash", "events": "sequence",
        "spaces": "name", "files": "path",
        "merges": "user", "in_force": "number", "profiles": "user",
        "links": "space || ' ' || item"}  # fmt: skip
    for table, columns in (SUMMED | SUMMED_SINCE).items():
        sql = f"SELECT {keys.get(table, 'row')}, sum, {columns} FROM {table}"  # noqa: S608
        for place, kept, *values in c.execute(sql):
            own = (
                sum_of_vector if table == "vectors" and None not in values else sum_of
            )  # damage can take a column away
            if own(*values) != kept:
                en, zh = REDO if table == "vectors" else RESTORE
                yield damage(
                    "check.row", f"{table} {place}", f"is not what was written. {en}", f"与写入的内容不符。{zh}"
                )


REDO = ("Ingest its file again, or restore a backup.", "请重新导入其文件，或恢复备份。")


def bodies(c: sqlite3.Connection) -> Iterator[Damage]:
    for row, alive, name, body in c.execute("SELECT row, alive, id, body FROM items"):
        try:
            good = (msgspec.json.decode(body, type=Item).id == name) if alive else body is None
        except (msgspec.MsgspecError, TypeError, ValueError):
            good = False
        if not good:
            yield damage(
                "check.item", f"item {name!r} (row {row})", f"cannot be read. {RESTORE[0]}", f"无法读取。{RESTORE[1]}"
            )


def profiles(c: sqlite3.Connection) -> Iterator[Damage]:
    sql = "SELECT p.user, p.body, u.id IS NOT NULL FROM profiles p LEFT JOIN users u ON u.row = p.user"
    for user, body, there in c.execute(sql):
        try:
            good = there and isinstance(msgspec.json.decode(body), dict)
        except (msgspec.MsgspecError, TypeError, ValueError):
            good = False
        if not good:
            yield damage(
                "check.profile", f"profile of user row {user}", f"cannot be read, or is nobody's. {RESTORE[0]}",
                f"无法读取，或不属于任何用户。{RESTORE[1]}",
            )  # fmt: skip


def events(c: sqlite3.Connection) -> Iterator[Damage]:
    sql = "SELECT sequence FROM events WHERE kind NOT BETWEEN 0 AND ? OR (item IS NULL AND kind != ?)"
    for (sequence,) in c.execute(sql, (len(EVENT_KINDS) - 1, EVENT_KINDS.index("search"))):
        yield damage(
            "check.event", f"event {sequence}", f"is of no known kind. {RESTORE[0]}", f"类型未知。{RESTORE[1]}"
        )


def vectors(c: sqlite3.Connection) -> Iterator[Damage]:
    sql = "SELECT s.name, s.dim, v.hash, v.data FROM vectors v JOIN spaces s ON s.number = v.space"
    for space, dim, content, data in c.execute(sql):
        vector = np.frombuffer(data, "<f4") if len(data) == dim * 4 else np.zeros(0, np.float32)
        norm = float(np.linalg.norm(vector.astype(np.float64)))
        if not abs(norm - 1) <= UNIT:  # NaN compares false
            place = f"vector {content} in {space}"
            yield damage(
                "check.vector",
                place,
                f"has the norm {norm:g}, not 1. {REDO[0]}",
                f"范数为 {norm:g} 而不是 1。{REDO[1]}",
            )
    for space, row in c.execute(
        "SELECT s.name, l.item FROM links l JOIN spaces s ON s.number = l.space JOIN vectors v ON v.number = l.vector"
        " JOIN items i ON i.row = l.item WHERE v.space != l.space OR NOT i.alive"
    ):
        place = f"link of item row {row} in {space}"
        yield damage(
            "check.link", place, f"joins what does not belong together. {REDO[0]}", f"连接了不相属的内容。{REDO[1]}"
        )


def erasures(c: sqlite3.Connection) -> Iterator[Damage]:
    for (user,) in c.execute("SELECT user FROM erasures WHERE NOT done"):
        yield damage(
            "check.erasure",
            f"user row {user}",
            "its erasure was begun and not finished. Open the store once: that finishes it.",
            "其删除已开始但未完成。请打开一次存储以完成删除。",
        )


def releases(c: sqlite3.Connection, folder: Path) -> Iterator[Damage]:
    """Every file of every release is what its sealed manifest says. A release that is not in force may have been taken
    away; the one in force must be there."""
    used = c.execute("SELECT release FROM state").fetchone()
    for (digest,) in c.execute("SELECT digest FROM releases ORDER BY number"):
        home, place = folder / "releases" / digest, f"releases/{digest}"
        if not inside(digest) or "/" in digest:
            yield damage("check.release", place, "leads out of its folder.", "指向其文件夹之外。")
            continue
        try:
            files = release_files(home)
        except FileNotFoundError:
            if used == (digest,) or home.exists():
                yield _release(f"{place}/{MANIFEST}", "is missing", "不见了")
            continue
        except ValueError as error:
            yield _release(f"{place}/{MANIFEST}", str(error), "无法读取或被改动")
            continue
        for name, expected in files.items():
            if (actual := sha256_of(home / name)) is None:
                yield _release(f"{place}/{name}", "is missing", "不见了")
            elif actual != expected:
                yield _release(f"{place}/{name}", "is not what was written", "与写入的内容不符")


def _release(place: str, en: str, zh: str) -> Damage:
    return damage(
        "check.release", place, f"{en}. Train again with `matinee train`.", f"{zh}。请用 `matinee train` 重新训练。"
    )


def covers(c: sqlite3.Connection, folder: Path) -> Iterator[Damage]:
    """Every picture that a fact names is there and looks like one."""
    for row, key, name in pictures(c):
        place = f"{'cover' if key == 'cover' else 'picture'} {name} of item row {row}"
        wrong = picture_wrong(folder / name) if inside(name) else ("leads elsewhere", "指向别处")
        if wrong:
            en, zh = wrong
            yield damage(
                "check.cover", place, f"{en}. Ingest the item's file again.", f"{zh}。请重新导入该条目的文件。"
            )


def picture_wrong(path: Path) -> tuple[str, str] | None:
    """What is wrong with a picture's file, in two languages; None if nothing."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            return None if file.read(1) else ("is empty", "为空")
    except OSError:
        return ("is missing", "不见了")


CHECKS: tuple[Check, ...] = (schema, references, counts, rows, bodies, profiles, events, vectors, erasures)
