"""Items, their facts, and the files they came from, in SQLite."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from sqlite3 import Connection
from typing import Any

import msgspec
import numpy as np

from matinee.errors import MatineeError
from matinee.protocols import FileRecord
from matinee.store.connection import Database
from matinee.store.sums import sum_of
from matinee.store.trouble import bad_text, unknown_item, usable_text
from matinee.types import Ints, Item

CHUNK = 2_000
decode_item = msgspec.json.Decoder(Item).decode


def body_of(item: Item) -> str:
    """The item as JSON text. Raises ``text.invalid`` where a text is no text."""
    if not item.id or not usable_text(item.id):
        raise bad_text("item id")
    try:
        return msgspec.json.encode(item).decode()
    except (UnicodeEncodeError, TypeError, msgspec.MsgspecError) as error:
        raise bad_text(f"item {item.id!r}") from error


def json_of(what: str, value: Any) -> str:
    """A fact or manifest as JSON text. Raises ``fact.invalid``."""
    try:
        return msgspec.json.encode(value).decode()
    except (UnicodeEncodeError, TypeError, msgspec.MsgspecError) as error:
        raise MatineeError(
            "fact.invalid",
            f"{what} cannot be kept as JSON: {error}. Use texts, numbers, lists and mappings.",
            f"{what} 无法存为 JSON：{error}。请使用文本、数字、列表和映射。",
        ) from error


def bump(connection: Connection) -> None:
    connection.execute("UPDATE state SET revision = revision + 1")


def rows_of(connection: Connection, ids: Sequence[str], *, alive: bool = True) -> dict[str, int]:
    """Rows of the ids that are there; one statement however many there are."""
    asked = [one for one in dict.fromkeys(ids) if usable_text(one)]
    sql = "SELECT i.id, i.row FROM json_each(?) j CROSS JOIN items i ON i.id = j.value WHERE i.alive >= ?"
    return dict(connection.execute(sql, (json.dumps(asked, ensure_ascii=False), int(alive))).fetchall())


def put_items(database: Database, items: Sequence[Item]) -> Ints:
    bodies = {item.id: body_of(item) for item in items}
    with database.write() as c:
        dead_or_alive, alive = rows_of(c, list(bodies), alive=False), rows_of(c, list(bodies))
        rows = dict(dead_or_alive)
        following: int = c.execute("SELECT coalesce(max(row), -1) + 1 FROM items").fetchone()[0]
        for new in (given for given in bodies if given not in rows):
            rows[new], following = following, following + 1
        c.executemany(
            "INSERT INTO items (row, alive, id, body, sum) VALUES (?, 1, ?, ?, ?)"
            " ON CONFLICT (row) DO UPDATE SET alive = 1, body = excluded.body, sum = excluded.sum",
            [(rows[given], given, body, sum_of(rows[given], given, body)) for given, body in bodies.items()],
        )
        if bodies:
            c.execute("UPDATE state SET items = items + ?", (len(bodies) - len(alive),))
            bump(c)
    return np.array([rows[item.id] for item in items], np.int64)


def place_for(connection: Connection, ids: Sequence[str]) -> dict[str, int]:
    """Rows for items that are not there yet, as of deleted ones, so that events may wait for them."""
    following: int = connection.execute("SELECT coalesce(max(row), -1) + 1 FROM items").fetchone()[0]
    rows = {one: row for row, one in enumerate(dict.fromkeys(ids), following)}
    made = [(row, one, sum_of(row, one, None)) for one, row in rows.items()]
    connection.executemany("INSERT INTO items (row, alive, id, body, sum) VALUES (?, 0, ?, NULL, ?)", made)
    return rows


def delete_item(database: Database, id: str) -> bool:
    """The row stays as a tombstone, its facts and links go. Vectors stay: they belong to the content, not the item."""
    with database.write() as c:
        if (row := rows_of(c, [id]).get(id)) is None:
            return False
        c.execute("UPDATE items SET alive = 0, body = NULL, sum = ? WHERE row = ?", (sum_of(row, id, None), row))
        c.execute("DELETE FROM links WHERE item = ?", (row,))
        c.execute("DELETE FROM facts WHERE item = ?", (row,))
        c.execute("UPDATE state SET items = items - 1")
        bump(c)
    return True


def item(database: Database, id: str) -> Item | None:
    if not usable_text(id):
        return None
    with database.read() as c:
        found = c.execute("SELECT body FROM items WHERE id = ? AND alive", (id,)).fetchone()
    return decode_item(found[0]) if found else None


def items(database: Database) -> Iterator[tuple[int, Item]]:
    """In pieces, so no transaction stays open while the caller thinks: a later piece may be newer than a former."""
    after = -1
    while True:
        with database.read() as c:
            sql = "SELECT row, body FROM items WHERE row > ? AND alive ORDER BY row LIMIT ?"
            piece = c.execute(sql, (after, CHUNK)).fetchall()
        for row, body in piece:
            yield row, decode_item(body)
        if len(piece) < CHUNK:
            return
        after = piece[-1][0]


def deleted_items(database: Database) -> Ints:
    with database.read() as c:
        return np.array([row for (row,) in c.execute("SELECT row FROM items WHERE NOT alive ORDER BY row")], np.int64)


def item_rows(database: Database, ids: Sequence[str]) -> Ints:
    with database.read() as c:
        rows = rows_of(c, ids)
    return np.array([rows.get(given, -1) for given in ids], np.int64)


def row_of(connection: Connection, id: str) -> int:
    """The row of a living item. Raises ``item.unknown``."""
    if (row := rows_of(connection, [id]).get(id)) is None:
        raise unknown_item(id)
    return row


def put_fact(database: Database, id: str, key: str, value: Any) -> None:
    text = json_of(f"The fact {key!r} of {id!r}", value)
    if not key or not usable_text(key):
        raise bad_text("fact key")
    with database.write() as c:
        row = row_of(c, id)
        c.execute(
            "INSERT INTO facts VALUES (?, ?, ?, ?)"
            " ON CONFLICT (item, key) DO UPDATE SET value = excluded.value, sum = excluded.sum",
            (row, key, text, sum_of(row, key, text)),
        )
        bump(c)


def facts(database: Database, id: str) -> dict[str, Any]:
    if not usable_text(id):
        return {}
    with database.read() as c:
        sql = "SELECT f.key, f.value FROM items i JOIN facts f ON f.item = i.row WHERE i.id = ? AND i.alive"
        found = sorted(c.execute(sql, (id,)).fetchall())
    return {key: msgspec.json.decode(value) for key, value in found}


def all_facts(database: Database, key: str) -> list[tuple[int, Any]]:
    with database.read() as c:
        found = c.execute("SELECT item, value FROM facts WHERE key = ? ORDER BY item", (key,)).fetchall()
    return [(row, msgspec.json.decode(value)) for row, value in found]


def put_file(database: Database, record: FileRecord) -> None:
    """The path is kept as the file system's own bytes, so that names that are not UTF-8 come back whole."""
    told = (record.size, record.mtime_ns, record.hash, record.item, record.status, plain(record.note))
    row = (os.fsencode(record.path), *told)
    with database.write() as c:
        c.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*row, sum_of(*row)))


def files(database: Database) -> list[FileRecord]:
    with database.read() as c:
        found = c.execute("SELECT path, size, mtime_ns, hash, item, status, note FROM files ORDER BY path").fetchall()
    return [FileRecord(os.fsdecode(path), *rest) for path, *rest in found]


def plain(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
