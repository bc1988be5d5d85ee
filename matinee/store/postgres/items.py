"""Items, their facts and files, and releases, in PostgreSQL. The rules are those of ``store.items``."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from matinee.protocols import FileRecord
from matinee.store.items import CHUNK, body_of, decode_item, json_of, plain
from matinee.store.postgres.connection import Connection, Server
from matinee.store.releases import unknown_release
from matinee.store.trouble import bad_text, unknown_item, usable_text
from matinee.types import Ints, Item


def bump(c: Connection) -> None:
    c.execute("UPDATE state SET revision = revision + 1")


def rows_of(c: Connection, ids: Sequence[str], *, alive: bool = True) -> dict[str, int]:
    """Rows of the ids that are there and, with ``alive``, not deleted."""
    asked = [one for one in dict.fromkeys(ids) if usable_text(one)]
    return dict(c.execute("SELECT id, number FROM items WHERE id = ANY(%s) AND alive >= %s", (asked, alive)).fetchall())


def row_of(c: Connection, id: str) -> int:
    if (row := rows_of(c, [id]).get(id)) is None:
        raise unknown_item(id)
    return row


def place_for(c: Connection, ids: Sequence[str]) -> dict[str, int]:
    """Rows for items that are not there yet, as of deleted ones, so that events may wait for them."""
    following = (c.execute("SELECT coalesce(max(number), -1) + 1 FROM items").fetchone() or (0,))[0]
    rows = {one: row for row, one in enumerate(dict.fromkeys(ids), following)}
    sql = "INSERT INTO items (number, alive, id) SELECT n, false, i FROM unnest(%s::bigint[], %s::text[]) AS t (n, i)"
    c.execute(sql, (list(rows.values()), list(rows)))
    return rows


def put_items(server: Server, items: Sequence[Item]) -> Ints:
    bodies = {item.id: body_of(item) for item in items}
    if not bodies:
        return np.empty(0, np.int64)
    with server.write() as c:
        sql = "SELECT id, number, alive FROM items WHERE id = ANY(%s)"
        known = c.execute(sql, (list(bodies),)).fetchall()
        rows: dict[str, int] = {id_: number for id_, number, _ in known}
        following = (c.execute("SELECT coalesce(max(number), -1) + 1 FROM items").fetchone() or (0,))[0]
        for new in (given for given in bodies if given not in rows):
            rows[new], following = following, following + 1
        c.execute(
            "INSERT INTO items (number, alive, id, body)"
            " SELECT n, true, i, b FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS t (n, i, b)"
            " ON CONFLICT (number) DO UPDATE SET alive = true, body = excluded.body",
            ([rows[given] for given in bodies], list(bodies), list(bodies.values())),
        )
        c.execute("UPDATE state SET items = items + %s", (len(bodies) - sum(alive for *_, alive in known),))
        bump(c)
    return np.array([rows[item.id] for item in items], np.int64)


def delete_item(server: Server, id: str) -> bool:
    with server.write() as c:
        if (row := rows_of(c, [id]).get(id)) is None:
            return False
        c.execute("UPDATE items SET alive = false, body = NULL WHERE number = %s", (row,))
        c.execute("DELETE FROM links WHERE item = %s", (row,))
        c.execute("DELETE FROM facts WHERE item = %s", (row,))
        c.execute("UPDATE state SET items = items - 1")
        bump(c)
    return True


def item(server: Server, id: str) -> Item | None:
    if not usable_text(id):
        return None
    found = server.one("SELECT body FROM items WHERE id = %s AND alive", (id,))
    return decode_item(found[0]) if found else None


def items(server: Server) -> Iterator[tuple[int, Item]]:
    after = -1
    while True:
        sql = "SELECT number, body FROM items WHERE number > %s AND alive ORDER BY number LIMIT %s"
        piece = server.all(sql, (after, CHUNK))
        for row, body in piece:
            yield row, decode_item(body)
        if len(piece) < CHUNK:
            return
        after = piece[-1][0]


def deleted_items(server: Server) -> Ints:
    found = server.all("SELECT number FROM items WHERE NOT alive ORDER BY number")
    return np.array([row for (row,) in found], np.int64)


def item_rows(server: Server, ids: Sequence[str]) -> Ints:
    with server.lend() as c:
        rows = rows_of(c, ids)
    return np.array([rows.get(given, -1) for given in ids], np.int64)


def put_fact(server: Server, id: str, key: str, value: Any) -> None:
    text = json_of(f"The fact {key!r} of {id!r}", value)
    if not key or not usable_text(key):
        raise bad_text("fact key")
    with server.write() as c:
        sql = "INSERT INTO facts VALUES (%s, %s, %s) ON CONFLICT (item, key) DO UPDATE SET value = excluded.value"
        c.execute(sql, (row_of(c, id), key, text))
        bump(c)


def facts(server: Server, id: str) -> dict[str, Any]:
    if not usable_text(id):
        return {}
    sql = (
        "SELECT f.key, f.value FROM items i JOIN facts f ON f.item = i.number"
        " WHERE i.id = %s AND i.alive ORDER BY f.key"
    )
    return {key: msgspec.json.decode(value) for key, value in server.all(sql, (id,))}


def all_facts(server: Server, key: str) -> list[tuple[int, Any]]:
    found = server.all("SELECT item, value FROM facts WHERE key = %s ORDER BY item", (key,))
    return [(row, msgspec.json.decode(value)) for row, value in found]


def put_file(server: Server, record: FileRecord) -> None:
    told = (record.size, record.mtime_ns, record.hash, record.item, record.status, plain(record.note))
    with server.write() as c:
        c.execute(
            "INSERT INTO files VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (path) DO UPDATE SET"
            " size = excluded.size, mtime_ns = excluded.mtime_ns, hash = excluded.hash, item = excluded.item,"
            " status = excluded.status, note = excluded.note",
            (os.fsencode(record.path), *told),
        )


def files(server: Server) -> list[FileRecord]:
    found = server.all("SELECT path, size, mtime_ns, hash, item, status, note FROM files ORDER BY path")
    return [FileRecord(os.fsdecode(bytes(path)), *rest) for path, *rest in found]


def put_release(server: Server, digest: str, manifest: Mapping[str, Any]) -> None:
    text = json_of(f"The manifest of {digest}", dict(manifest))
    if not digest or not usable_text(digest):
        raise bad_text("release digest")
    with server.write() as c:
        c.execute(
            "INSERT INTO releases SELECT coalesce(max(number), 0) + 1, %s, %s FROM releases"
            " ON CONFLICT (digest) DO UPDATE SET manifest = excluded.manifest",
            (digest, text),
        )
        bump(c)


def use_release(server: Server, digest: str) -> None:
    with server.write() as c:
        sql = "SELECT 1 FROM releases WHERE digest = %s"
        if not usable_text(digest) or not c.execute(sql, (digest,)).fetchone():
            raise unknown_release(digest)
        if c.execute("SELECT release FROM state").fetchone() == (digest,):
            return
        sql = "INSERT INTO in_force SELECT coalesce(max(number), 0) + 1, %s, %s FROM in_force"
        c.execute(sql, (digest, time.time()))
        c.execute("UPDATE state SET release = %s", (digest,))
        bump(c)


def drop_release(server: Server, digest: str) -> bool:
    if not usable_text(digest):
        return False
    with server.write() as c:
        sql = "DELETE FROM releases WHERE digest = %s AND digest IS DISTINCT FROM (SELECT release FROM state)"
        if not c.execute(sql, (digest,)).rowcount:
            return False
        bump(c)
    return True


def releases_used(server: Server) -> list[tuple[float, str]]:
    return [(at, digest) for at, digest in server.all("SELECT at, digest FROM in_force ORDER BY number")]


def release(server: Server) -> tuple[str, dict[str, Any]] | None:
    found = server.one("SELECT r.digest, r.manifest FROM state s JOIN releases r ON r.digest = s.release")
    return (found[0], msgspec.json.decode(found[1])) if found else None


def releases(server: Server) -> list[tuple[str, dict[str, Any]]]:
    found = server.all("SELECT digest, manifest FROM releases ORDER BY number")
    return [(digest, msgspec.json.decode(manifest)) for digest, manifest in found]
