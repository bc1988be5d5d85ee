"""The watch log in PostgreSQL, and the erasure of a user from it. The rules are those of ``store.events``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, LiteralString

import numpy as np

from matinee.protocols import Appended, Log, Strangers
from matinee.store.events import CODES, COLUMNS, KINDS, as_event, as_log, fault_of, sift
from matinee.store.postgres.connection import Connection, Server
from matinee.store.postgres.items import place_for, rows_of
from matinee.store.postgres.people import WHO, erase_row, make_users, user_rows
from matinee.store.trouble import usable_text
from matinee.types import Event, EventKind, Ints


def append(server: Server, events: Sequence[Event], strangers: Strangers) -> Appended:
    faults = [fault_of(event) for event in events]
    sound = [event for event, fault in zip(events, faults, strict=True) if not fault]
    if not sound:
        return Appended(0, 0, sift(events, faults, set(), (), None).refused)
    with server.write() as c:
        ids = [event.id for event in sound]
        # planned for these ids each time: a plan made while the table was small would go through all of it for each id
        found = c.execute("SELECT id FROM events WHERE id = ANY(%s)", (ids,), prepare=False)
        known = {one for (one,) in found}
        named = [event.item for event in sound if event.item is not None]
        keep = strangers.items == "keep"
        items = rows_of(c, named, alive=not keep)
        there = user_rows(c, [event.user for event in sound]) if strangers.users == "refuse" else None
        batch = sift(events, faults, known, None if keep else items, there)
        if batch.new:
            if keep:
                items |= place_for(c, [e.item for e in batch.new if e.item is not None and e.item not in items])
            _insert(c, batch.new, items)
    return Appended(len(batch.new), batch.duplicates, batch.refused)


def _insert(c: Connection, new: list[Event], items: dict[str, int]) -> None:
    users, created = make_users(c, [event.user for event in new])
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


WHOLE: LiteralString = (
    "SELECT e.sequence, e.id, w.id, e.kind, e.at, i.id, e.value, e.text, e.session, e.slate FROM events e"
    " JOIN users w ON w.number = e.who LEFT JOIN items i ON i.number = e.item"
)


def events_of(server: Server, user: str, n: int, before: float | None, kind: EventKind | None) -> list[Event]:
    if not usable_text(user):
        return []
    kinds = list(range(len(KINDS))) if kind is None else [CODES[kind]]
    found = server.all(
        f"{WHOLE} WHERE e.who = {WHO} AND e.at < %s AND e.kind = ANY(%s) ORDER BY e.at DESC, e.sequence DESC LIMIT %s",
        (user, math.inf if before is None else before, kinds, max(n, 0)),
    )
    return [as_event(row)[1] for row in found]


def events_after(
    server: Server, after: int | None, n: int, kinds: Sequence[EventKind]
) -> list[tuple[int, Event]]:  # fmt: skip
    order: LiteralString = "DESC" if after is None else "ASC"
    found = server.all(
        f"{WHOLE} WHERE e.sequence > %s AND e.kind = ANY(%s) ORDER BY e.sequence {order} LIMIT %s",
        (-1 if after is None else after, [CODES[kind] for kind in kinds or KINDS], max(n, 0)),
    )
    return [as_event(row) for row in (found[::-1] if after is None else found)]


def items_of(server: Server, user: str, kinds: Sequence[EventKind]) -> Ints:
    if not usable_text(user):
        return np.empty(0, np.int64)
    found = server.all(
        f"SELECT d.item FROM (SELECT DISTINCT item FROM events WHERE who = {WHO} AND kind = ANY(%s)) d"  # noqa: S608
        " JOIN items i ON i.number = d.item WHERE i.alive ORDER BY d.item",
        (user, [CODES[kind] for kind in kinds or KINDS]),
    )
    return np.array([row for (row,) in found], np.int64)


def history(server: Server, user: str, n: int, before: float) -> Log:
    if not usable_text(user):
        return as_log(np.empty(0, COLUMNS))
    found = server.all(
        "SELECT e.sequence, e.who, coalesce(e.item, -1), e.kind, e.at, coalesce(e.value, 'Infinity'),"  # noqa: S608
        " (SELECT alive FROM items WHERE number = e.item)"
        f" FROM events e WHERE e.who = {WHO} AND e.at < %s"
        " ORDER BY e.at DESC, e.sequence DESC LIMIT %s",
        (user, before, max(n, 0)),
    )
    return as_log(np.array([row[:6] for row in reversed(found) if row[6]], COLUMNS))


def log(server: Server, after: int, *, deleted: bool) -> Log:
    """Streams through a cursor on the server, 50,000 events at a time."""
    with server.read() as c, c.cursor("log") as cursor:
        cursor.itersize = 50_000
        cursor.execute(
            "SELECT e.sequence, e.who, CASE WHEN i.alive OR (%s AND e.item IS NOT NULL) THEN e.item ELSE -1 END,"
            " e.kind, e.at, coalesce(e.value, 'Infinity') FROM events e LEFT JOIN items i ON i.number = e.item"
            " WHERE e.sequence > %s ORDER BY e.sequence",
            (deleted, after),
        )
        return as_log(np.fromiter(cursor, COLUMNS))


def rewritten(server: Server, last: int) -> str:
    sql = (
        "SELECT lineage, (SELECT count(*) FROM erasures), (SELECT count(*) FROM merges),"
        " events - (SELECT count(*) FROM events WHERE sequence > %s) FROM state"
    )
    return "/".join(str(part) for part in server.one(sql, (last,)) or ())


def erase_user(server: Server, user: str) -> bool:
    """As ``store.erase.erase_user`` for the tables and indices. The server's own write-ahead log, its archive and its
    replicas keep old bytes until they are recycled: only the server's keeper can shorten that."""
    if not usable_text(user):
        return False
    server.apart()
    with server.write() as c:
        found = user_rows(c, [user])
        for row in found.values():
            erase_row(c, row)
    scrub(server)
    return bool(found)


def scrub(server: Server) -> None:
    """Rewrites the tables that held an erased user, so that no dead row stays; a crash before leaves the intent."""
    if not server.one("SELECT 1 FROM erasures WHERE NOT done"):
        return
    with server.lend() as c:
        c.execute("VACUUM (FULL) events")
        c.execute("VACUUM (FULL) users")
        c.execute("VACUUM (FULL) profiles")
        c.execute("UPDATE erasures SET done = true WHERE NOT done")
