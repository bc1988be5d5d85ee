"""Vectors in PostgreSQL, as bytea under (space, content hash). The rules are those of ``store.vectors``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from matinee.store.postgres.connection import Connection, Server
from matinee.store.postgres.items import bump, row_of
from matinee.store.trouble import usable_text
from matinee.store.vectors import checked, same_dim, stacked, unknown_vector
from matinee.types import Bools, Floats, Ints, Space


def number_of(c: Connection, space: Space) -> int | None:
    sql = "SELECT number, dim FROM spaces WHERE name = %s AND revision = %s"
    found = c.execute(sql, (space.name, space.revision)).fetchone()
    return same_dim(space, found) if found else None


def put_vectors(server: Server, space: Space, hashes: Sequence[str], vectors: Floats) -> None:
    rows = checked(space, hashes, vectors)
    if not len(rows):
        return
    blobs = {given: row.tobytes() for given, row in zip(hashes, rows, strict=True)}  # the last of a hash wins
    with server.write() as c:
        if (number := number_of(c, space)) is None:
            number = int((c.execute("SELECT coalesce(max(number), 0) + 1 FROM spaces").fetchone() or (1,))[0])
            c.execute("INSERT INTO spaces VALUES (%s, %s, %s, %s)", (number, space.name, space.revision, space.dim))
        c.execute(
            "INSERT INTO vectors (space, hash, data) SELECT %s, h, d FROM unnest(%s::text[], %b::bytea[]) AS t (h, d)"
            " ON CONFLICT (space, hash) DO UPDATE SET data = excluded.data",
            (number, list(blobs), list(blobs.values())),
        )
        bump(c)


def has_vectors(server: Server, space: Space, hashes: Sequence[str]) -> Bools:
    asked = [given for given in hashes if usable_text(given)]
    with server.lend() as c:
        if (number := number_of(c, space)) is None:
            return np.zeros(len(hashes), np.bool_)
        sql = "SELECT hash FROM vectors WHERE space = %s AND hash = ANY(%s)"
        found = {known for (known,) in c.execute(sql, (number, asked))}
    return np.array([given in found for given in hashes], np.bool_)


def link_content(server: Server, item: str, space: Space, hash: str) -> None:
    with server.write() as c:
        row, number = row_of(c, item), number_of(c, space)
        sql = "SELECT number FROM vectors WHERE space = %s AND hash = %s"
        found = c.execute(sql, (number, hash)).fetchone() if usable_text(hash) else None
        if found is None:
            raise unknown_vector(space, hash)
        c.execute(
            "INSERT INTO links VALUES (%s, %s, %s) ON CONFLICT (space, item) DO UPDATE SET vector = excluded.vector",
            (number, row, found[0]),
        )
        bump(c)


def vectors(server: Server, space: Space) -> tuple[Ints, Floats]:
    with server.lend() as c:
        if (number := number_of(c, space)) is None:
            return np.empty(0, np.int64), np.empty((0, space.dim), np.float32)
        with c.cursor(binary=True) as cursor:
            cursor.execute(
                "SELECT l.item, v.data FROM links l JOIN vectors v ON v.number = l.vector WHERE l.space = %s"
                " ORDER BY l.item",
                (number,),
            )
            found = cursor.fetchall()
    rows = np.fromiter((row for row, _ in found), np.int64, len(found))
    return rows, stacked([data for _, data in found], space.dim)


def spaces(server: Server) -> list[Space]:
    found = server.all('SELECT name, revision, dim FROM spaces ORDER BY name COLLATE "C", revision COLLATE "C"')
    return [Space(*row) for row in found]
