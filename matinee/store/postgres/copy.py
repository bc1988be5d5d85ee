"""All that a PostgreSQL store holds, as an SQLite file of the same rows, and back: for backups, for ``check``, and for
moving a library from one to the other."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, LiteralString

from matinee.store.migrations import migrate as make
from matinee.store.postgres.connection import Connection, Server
from matinee.store.postgres.people import erase_row
from matinee.store.sums import sum_of, sum_of_vector

PIECE = 5_000  # rows under way at a time
# table -> its columns here, in the order of SQLite's; each has a checksum behind them there, save ``erasures``
TABLES: tuple[tuple[LiteralString, LiteralString], ...] = (
    ("releases", "number, digest, manifest"),
    ("items", "number, alive, id, body"),
    ("users", "number, id"),
    ("events", "sequence, who, item, kind, at, value, id, text, session, slate"),
    ("spaces", "number, name, revision, dim"),
    ("vectors", "number, space, hash, data"),
    ("links", "space, item, vector"),
    ("facts", "item, key, value"),
    ("files", "path, size, mtime_ns, hash, item, status, note"),
    ("erasures", "who, done"),
    ("merges", "who, target"),
    ("in_force", "number, digest, at"),
    ("profiles", "who, body"),
)
Sum = Callable[[Sequence[Any]], int]
SUMS: dict[str, Sum] = {  # where the checksum does not cover the whole row as it stands
    "releases": lambda row: sum_of(*row[1:]),
    "items": lambda row: sum_of(row[0], row[2], row[3]),
    "events": lambda row: sum_of(*row[1:]),
    "vectors": lambda row: sum_of_vector(row[2], row[3]),
}


def to_sqlite(server: Server, path: Path) -> None:
    """Writes a new SQLite store with all rows as of one moment; writers go on meanwhile. Reading every row makes the
    server prove its page checksums."""
    with closing(sqlite3.connect(path, isolation_level=None)) as out, server.read() as c:
        make(out, path, copy=False)
        out.execute("PRAGMA synchronous=OFF")  # a new file, synced by the caller
        out.execute("BEGIN")
        for table, columns in TABLES:
            for rows in _pieces(c, table, columns):
                marks = ", ".join("?" * (len(rows[0])))
                out.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)  # noqa: S608
        told = c.execute("SELECT lineage, revision, sequence, items, users, events, release FROM state").fetchone()
        lineage, revision, sequence, *counts = told or ("", 0, 0, 0, 0, 0, None)
        sql = "UPDATE state SET lineage = ?, revision = ?, items = ?, users = ?, events = ?, release = ?"
        out.execute(sql, (lineage, revision, *counts))
        out.execute("DELETE FROM sqlite_sequence WHERE name = 'events'")
        out.execute("INSERT INTO sqlite_sequence VALUES ('events', ?)", (sequence,))
        out.execute("COMMIT")


def _pieces(c: Connection, table: LiteralString, columns: LiteralString) -> Iterator[list[tuple[Any, ...]]]:
    with c.cursor(f"copy_{table}") as cursor:
        cursor.itersize = PIECE
        cursor.execute(f"SELECT {columns} FROM {table}")  # noqa: S608
        while rows := cursor.fetchmany(PIECE):
            plain = [tuple(_plain(value) for value in row) for row in rows]
            yield plain if table == "erasures" else [(*row, SUMS.get(table, _whole)(row)) for row in plain]


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value


def _whole(row: Sequence[Any]) -> int:
    return sum_of(*row)


def from_sqlite(path: Path, server: Server) -> None:
    """Puts the rows of an SQLite store of this version in the place of all that is here, in one transaction. Whoever
    was erased here since is erased again; revision and sequence go on, so that readers take notice."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)) as given, server.write() as c:
        gone = [who for (who,) in c.execute("SELECT who FROM erasures ORDER BY who").fetchall()]
        (lineage,) = c.execute("SELECT lineage FROM state").fetchone() or ("",)
        revision, sequence, items, users, events, release, came = _state(given)
        c.execute("UPDATE state SET release = NULL")
        for table, _ in reversed(TABLES):
            c.execute(f"DELETE FROM {table}")  # noqa: S608
        for table, columns in TABLES:
            _fill(c, given, table, columns)
        c.execute(
            "UPDATE state SET lineage = %s, revision = greatest(revision, %s) + 1, sequence = greatest(sequence, %s),"
            " items = %s, users = %s, events = %s, release = %s",
            (came, revision, sequence, items, users, events, release),
        )
        highest = "SELECT coalesce(max(number), 0) + 1 FROM vectors"
        c.execute(f"SELECT setval(pg_get_serial_sequence('vectors', 'number'), ({highest}))")
        if lineage == came:
            for who in gone:
                erase_row(c, who)


def _state(given: sqlite3.Connection) -> tuple[Any, ...]:
    told = given.execute("SELECT revision, items, users, events, release, lineage FROM state").fetchone()
    last = given.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'events'").fetchone()[0]
    return (told[0], last, *told[1:])


def _fill(c: Connection, given: sqlite3.Connection, table: LiteralString, columns: LiteralString) -> None:
    booleans = {"items": 1, "erasures": 1}
    at = booleans.get(table)
    with c.cursor().copy(f"COPY {table} ({columns}) FROM STDIN") as out:
        for row in given.execute(f"SELECT * FROM {table}"):  # noqa: S608
            values = list(row[: columns.count(",") + 1])
            if at is not None:
                values[at] = bool(values[at])
            out.write_row(values)
