"""The watch log in PostgreSQL, and the erasure of a user from it. The rules are those of ``store.events``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from matinee.protocols import Appended, Log
from matinee.store.events import CODES, COLUMNS, KINDS, as_log, fault_of, sift
from matinee.store.postgres.connection import Connection, Server
from matinee.store.postgres.items import rows_of
from matinee.store.trouble import usable_text
from matinee.types import Event


def append(server: Server, events: Sequence[Event]) -> Appended:
    faults = [fault_of(event) for event in events]
    sound = [event for event, fault in zip(events, faults, strict=True) if not fault]
    if not sound:
        return Appended(0, 0, sift(events, faults, set(), {}).refused)
    with server.write() as c:
        ids = [event.id for event in sound]
        known = {one for (one,) in c.execute("SELECT id FROM events WHERE id = ANY(%s)", (ids,))}
        items = rows_of(c, [event.item for event in sound if event.item is not None])
        batch = sift(events, faults, known, items)
        if batch.new:
            _insert(c, batch.new, items)
    return Appended(len(batch.new), batch.duplicates, batch.refused)


def _insert(c: Connection, new: list[Event], items: dict[str, int]) -> None:
    users, created = _user_rows(c, [event.user for event in new])
    last = (c.execute("SELECT sequence FROM state").fetchone() or (0,))[0]
    columns: list[list[Any]] = [
        list(range(last + 1, last + 1 + len(new))),
        [users[e.user] for e in new],
        [None if e.item is None else items[e.item] for e in new],
        [CODES[e.kind] for e in new],
        [float(e.at) for e in new],
        [None if e.value is None else float(e.value) for e in new],
        [e.id for e in new],
        [e.text for e in new],
        [e.session for e in new],
        [e.slate for e in new],
    ]
    c.execute(
        "INSERT INTO events (sequence, who, item, kind, at, value, id, text, session, slate)"
        " SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::smallint[], %s::double precision[],"
        " %s::double precision[], %s::text[], %s::text[], %s::text[], %s::text[])",
        columns,
    )
    sql = "UPDATE state SET sequence = sequence + %s, events = events + %s, users = users + %s"
    c.execute(sql, (len(new), len(new), created))


def put_users(server: Server, ids: Sequence[str]) -> int:
    with server.write() as c:
        _, created = _user_rows(c, [user for user in ids if user and usable_text(user)])
        if created:
            c.execute("UPDATE state SET users = users + %s", (created,))
    return created


def _user_rows(c: Connection, users: Sequence[str]) -> tuple[dict[str, int], int]:
    ids = list(dict.fromkeys(users))
    rows: dict[str, int] = dict(c.execute("SELECT id, number FROM users WHERE id = ANY(%s)", (ids,)).fetchall())
    following = (c.execute("SELECT coalesce(max(number), -1) + 1 FROM users").fetchone() or (0,))[0]
    new = [user for user in ids if user not in rows]
    numbers = list(range(following, following + len(new)))
    c.execute("INSERT INTO users SELECT * FROM unnest(%s::bigint[], %s::text[])", (numbers, new))
    return rows | dict(zip(new, numbers, strict=True)), len(new)


def events_of(server: Server, user: str, n: int, before: float | None) -> list[Event]:
    if not usable_text(user):
        return []
    found = server.all(
        "SELECT e.id, e.kind, e.at, i.id, e.value, e.text, e.session, e.slate FROM events e"
        " LEFT JOIN items i ON i.number = e.item WHERE e.who = (SELECT number FROM users WHERE id = %s)"
        " AND e.at < %s ORDER BY e.at DESC, e.sequence DESC LIMIT %s",
        (user, math.inf if before is None else before, max(n, 0)),
    )
    return [
        Event(id=e, user=user, kind=KINDS[kind], at=at, item=item, value=value, text=text, session=session, slate=slate)
        for e, kind, at, item, value, text, session, slate in found
    ]


def history(server: Server, user: str, n: int, before: float) -> Log:
    if not usable_text(user):
        return as_log(np.empty(0, COLUMNS))
    found = server.all(
        "SELECT e.sequence, e.who, coalesce(e.item, -1), e.kind, e.at, coalesce(e.value, 'Infinity'),"
        " (SELECT alive FROM items WHERE number = e.item)"
        " FROM events e WHERE e.who = (SELECT number FROM users WHERE id = %s) AND e.at < %s"
        " ORDER BY e.at DESC, e.sequence DESC LIMIT %s",
        (user, before, max(n, 0)),
    )
    return as_log(np.array([row[:6] for row in reversed(found) if row[6]], COLUMNS))


def log(server: Server, after: int) -> Log:
    """Streams through a cursor on the server, 50,000 events at a time."""
    with server.read() as c, c.cursor("log") as cursor:
        cursor.itersize = 50_000
        cursor.execute(
            "SELECT e.sequence, e.who, CASE WHEN i.alive THEN e.item ELSE -1 END, e.kind, e.at,"
            " coalesce(e.value, 'Infinity') FROM events e LEFT JOIN items i ON i.number = e.item"
            " WHERE e.sequence > %s ORDER BY e.sequence",
            (after,),
        )
        return as_log(np.fromiter(cursor, COLUMNS))


def erase_user(server: Server, user: str) -> bool:
    """As ``store.erase.erase_user`` for the tables and indices. The server's own write-ahead log, its archive and its
    replicas keep old bytes until they are recycled: only the server's keeper can shorten that."""
    if not usable_text(user):
        return False
    server.apart()
    with server.write() as c:
        found = c.execute("SELECT number FROM users WHERE id = %s", (user,)).fetchone()
        if found:
            gone = c.execute("DELETE FROM events WHERE who = %s", found).rowcount
            c.execute("UPDATE users SET id = NULL WHERE number = %s", found)
            c.execute("INSERT INTO erasures VALUES (%s, false) ON CONFLICT (who) DO UPDATE SET done = false", found)
            c.execute("UPDATE state SET users = users - 1, events = events - %s, revision = revision + 1", (gone,))
    scrub(server)
    return found is not None


def scrub(server: Server) -> None:
    """Rewrites the tables that held an erased user, so that no dead row stays; a crash before leaves the intent."""
    if not server.one("SELECT 1 FROM erasures WHERE NOT done"):
        return
    with server.lend() as c:
        c.execute("VACUUM (FULL) events")
        c.execute("VACUUM (FULL) users")
        c.execute("UPDATE erasures SET done = true WHERE NOT done")
