"""The watch log in SQLite: append whole batches once, read the last of one user, read all for training."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from sqlite3 import Connection
from typing import Any, get_args

import numpy as np

from matinee.protocols import Appended, Log, Strangers
from matinee.store.connection import Database
from matinee.store.items import place_for, rows_of
from matinee.store.sums import sum_of
from matinee.store.trouble import saying, usable_text
from matinee.types import INTEREST, Event, EventKind, Ints

KINDS: tuple[EventKind, ...] = get_args(EventKind)
CODES = {kind: code for code, kind in enumerate(KINDS)}
COLUMNS = np.dtype([("sequence", "i8"), ("user", "i8"), ("item", "i8"), ("kind", "i8"), ("at", "f8"), ("value", "f8")])
WITH_GONE = np.dtype([*COLUMNS.descr, ("gone", "i8")])
# NumPy reads these columns without a Python object for what is missing: no item is -1, no value is infinite (and is
# made NaN below; infinite values are refused at the door).
WHO = "(SELECT coalesce(m.target, u.row) FROM users u LEFT JOIN merges m ON m.user = u.row WHERE u.id = ?)"
AS_COLUMNS = "sequence, user, coalesce(item, -1), kind, at, coalesce(value, 9e999)"
INSERT = (
    "INSERT INTO events (user, item, kind, at, value, id, text, session, slate, sum)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def fault_of(event: Event) -> str | None:
    """Why an event cannot be kept whatever the store holds, as a code; None if it can."""
    texts = (event.id, event.user, event.item, event.text, event.session, event.slate)
    if not event.id or not event.user or not all(usable_text(text) for text in texts if text is not None):
        return "event.bad_text"
    if event.kind not in CODES:
        return "event.bad_kind"
    if not math.isfinite(event.at):
        return "event.bad_time"
    if event.value is not None and not math.isfinite(event.value):
        return "event.bad_value"
    of_interest = event.kind == "hide" and (event.text or "").startswith(INTEREST)
    return "event.no_item" if event.item is None and event.kind != "search" and not of_interest else None


@dataclass(frozen=True, slots=True)
class Sifted:
    """A batch by what becomes of it; ``refused`` is (position, code)."""

    new: list[Event]
    duplicates: int
    refused: tuple[tuple[int, str], ...]


def sift(
    events: Sequence[Event],
    faults: Sequence[str | None],
    known: set[str],
    items: Container[str] | None,
    users: Container[str] | None,
) -> Sifted:
    """What to append of a batch, given each event's ``fault_of``, the event ids known already, and the items and users
    there are (None: all are welcome); an id that comes twice in the batch counts once."""
    new: list[Event] = []
    refused: list[tuple[int, str]] = []
    seen, duplicates = set(known), 0
    for position, (event, fault) in enumerate(zip(events, faults, strict=True)):
        if fault:
            refused.append((position, fault))
        elif event.id in seen:
            duplicates += 1
        elif items is not None and event.item is not None and event.item not in items:
            refused.append((position, "event.unknown_item"))
        elif users is not None and event.user not in users:
            refused.append((position, "event.unknown_user"))
        else:
            seen.add(event.id)
            new.append(event)
    return Sifted(new, duplicates, tuple(refused))


@dataclass(frozen=True, slots=True)
class Judged:
    """A batch with each event's ``fault_of``; ``sound`` are those without one."""

    events: Sequence[Event]
    faults: list[str | None]
    sound: list[Event]

    def nothing(self) -> Appended:
        """The answer to a batch that holds nothing to append."""
        return Appended(0, 0, sift(self.events, self.faults, set(), (), None).refused)


def judged(events: Sequence[Event]) -> Judged:
    faults = [fault_of(event) for event in events]
    return Judged(events, faults, [event for event, fault in zip(events, faults, strict=True) if not fault])


def write(c: Connection, given: Judged, strangers: Strangers) -> Appended:
    """Within the caller's transaction. About 5 us an event in large batches.

    An event kept for an item that is not there yet makes the item's row, as of a deleted one: whoever reads passes it
    over until the item is put."""
    known = _known_events(c, [event.id for event in given.sound])
    named = [event.item for event in given.sound if event.item is not None]
    keep = strangers.items == "keep"
    items = rows_of(c, named, alive=not keep)
    there = user_rows(c, [event.user for event in given.sound]) if strangers.users == "refuse" else None
    batch = sift(given.events, given.faults, known, None if keep else items, there)
    if batch.new:
        if keep:
            items |= place_for(c, [e.item for e in batch.new if e.item is not None and e.item not in items])
        users, created = make_users(c, [event.user for event in batch.new])
        c.executemany(INSERT, [_values(e, users[e.user], items) for e in batch.new])
        c.execute("UPDATE state SET events = events + ?, users = users + ?", (len(batch.new), created))
    return Appended(len(batch.new), batch.duplicates, batch.refused)


def _values(event: Event, user: int, items: dict[str, int]) -> tuple[Any, ...]:
    item = None if event.item is None else items[event.item]
    kind = CODES[event.kind]
    value = None if event.value is None else float(event.value)
    row = (user, item, kind, float(event.at), value, event.id, event.text, event.session, event.slate)
    return (*row, sum_of(*row))


def _known_events(connection: Connection, ids: list[str]) -> set[str]:
    sql = "SELECT e.id FROM json_each(?) j CROSS JOIN events e ON e.id = j.value"
    return {known for (known,) in connection.execute(sql, (json.dumps(ids, ensure_ascii=False),))}


def user_rows(connection: Connection, ids: Sequence[str]) -> dict[str, int]:
    """Rows of the users that are there; of a merged one the row it went into."""
    sql = (
        "SELECT u.id, coalesce(m.target, u.row) FROM json_each(?) j CROSS JOIN users u ON u.id = j.value"
        " LEFT JOIN merges m ON m.user = u.row"
    )
    return dict(connection.execute(sql, (json.dumps(list(dict.fromkeys(ids)), ensure_ascii=False),)).fetchall())


def make_users(connection: Connection, users: Sequence[str]) -> tuple[dict[str, int], int]:
    """Rows of users, made where they are new, and how many were made."""
    ids, rows = list(dict.fromkeys(users)), user_rows(connection, users)
    following: int = connection.execute("SELECT coalesce(max(row), -1) + 1 FROM users").fetchone()[0]
    new = enumerate((user for user in ids if user not in rows), following)
    made = [(row, user, sum_of(row, user)) for row, user in new]
    connection.executemany("INSERT INTO users (row, id, sum) VALUES (?, ?, ?)", made)
    return rows | {user: row for row, user, _ in made}, len(made)


WHOLE = (
    "SELECT e.sequence, e.id, w.id, e.kind, e.at, i.id, e.value, e.text, e.session, e.slate FROM events e"
    " JOIN users w ON w.row = e.user LEFT JOIN items i ON i.row = e.item"
)


def as_event(row: Sequence[Any]) -> tuple[int, Event]:
    """The sequence number and the event of a row in the order of ``WHOLE``."""
    sequence, e, user, kind, at, item, value, text, session, slate = row
    return sequence, Event(
        id=e, user=user, kind=KINDS[kind], at=at, item=item, value=value, text=text, session=session, slate=slate
    )


def events_of(
    database: Database, user: str, n: int, before: float | None, kind: EventKind | None
) -> list[Event]:  # fmt: skip
    if not usable_text(user):
        return []
    of_kind = "" if kind is None else f" AND e.kind = {CODES[kind]}"
    sql = f"{WHOLE} WHERE e.user = {WHO} AND e.at < ?{of_kind} ORDER BY e.at DESC, e.sequence DESC LIMIT ?"
    with database.read() as c:
        found = c.execute(sql, (user, math.inf if before is None else before, max(n, 0))).fetchall()
    return [as_event(row)[1] for row in found]


def events_after(
    database: Database, after: int | None, n: int, kinds: Sequence[EventKind]
) -> list[tuple[int, Event]]:  # fmt: skip
    of_kinds = f" AND e.kind IN ({codes_of(kinds)})" if kinds else ""
    order = "DESC" if after is None else "ASC"
    sql = f"{WHOLE} WHERE e.sequence > ?{of_kinds} ORDER BY e.sequence {order} LIMIT ?"
    with database.read() as c:
        found = c.execute(sql, (-1 if after is None else after, max(n, 0))).fetchall()
    return [as_event(row) for row in (found[::-1] if after is None else found)]


def items_of(database: Database, user: str, kinds: Sequence[EventKind]) -> Ints:
    """Read from the index ``events_by_kind``: about 0.1 us an event of these kinds."""
    if not usable_text(user):
        return np.empty(0, np.int64)
    sql = (
        f"SELECT d.item FROM (SELECT DISTINCT item FROM events WHERE user = {WHO}"  # noqa: S608
        f" AND kind IN ({codes_of(kinds or KINDS)})) d JOIN items i ON i.row = d.item WHERE i.alive ORDER BY d.item"
    )
    with database.read() as c:
        return np.array([row for (row,) in c.execute(sql, (user,))], np.int64)


def codes_of(kinds: Sequence[EventKind]) -> str:
    """Numbers only, so that they may stand in a statement."""
    return ", ".join(str(CODES[kind]) for kind in kinds)


def history(database: Database, user: str, n: int, before: float) -> Log:
    """Read from one covering index and that of the items that are gone: a quarter of a millisecond for 200 events."""
    if not usable_text(user):
        return as_log(np.empty(0, COLUMNS))
    sql = (
        f"SELECT {AS_COLUMNS}, EXISTS (SELECT 1 FROM items INDEXED BY items_gone WHERE alive = 0 AND row = item)"  # noqa: S608
        f" FROM events WHERE user = {WHO} AND at < ? ORDER BY at DESC, sequence DESC LIMIT ?"
    )
    with database.read() as c:
        rows = _filled(database, c.execute(sql, (user, before, max(n, 0))), WITH_GONE)[::-1]
    return as_log(rows[(rows["item"] >= 0) & (rows["gone"] == 0)])


def _filled(database: Database, found: Iterable[Any], columns: np.dtype[np.void]) -> np.ndarray[Any, np.dtype[np.void]]:
    try:
        return np.fromiter(found, columns)
    except TypeError as error:  # NULL where the schema has none
        raise saying(sqlite3.SQLITE_CORRUPT, database.path, "an event without its columns") from error


def log(database: Database, after: int, *, deleted: bool) -> Log:
    """Streams: memory is the columns', 48 bytes an event. About a microsecond an event."""
    sql = f"SELECT {AS_COLUMNS} FROM events WHERE sequence > ? ORDER BY sequence"  # noqa: S608
    dead = np.empty(0, np.int64)
    with database.read() as c:
        c.execute("BEGIN")  # items and events as of one moment
        rows = _filled(database, c.execute(sql, (after,)), COLUMNS)
        if len(rows) and not deleted:  # by their index: servers ask each second, and of all items that is 30 ms
            gone = c.execute("SELECT row FROM items INDEXED BY items_gone WHERE alive = 0")
            dead = np.array([row for (row,) in gone], np.int64)
    if len(dead):
        rows["item"][np.isin(rows["item"], dead)] = -1
    return as_log(rows)


def rewritten(database: Database, last: int) -> str:
    """Counts the events after ``last``, so it takes long only where there are many of them."""
    sql = (
        "SELECT lineage, (SELECT count(*) FROM erasures), (SELECT count(*) FROM merges),"
        " events - (SELECT count(*) FROM events WHERE sequence > ?) FROM state"
    )
    with database.read() as c:
        return "/".join(str(part) for part in c.execute(sql, (last,)).fetchone())


def as_log(rows: np.ndarray[Any, np.dtype[np.void]]) -> Log:
    value = rows["value"].copy()
    value[np.isinf(value)] = np.nan
    sequence, users, items, kinds, at = (
        np.ascontiguousarray(rows[n]) for n in ("sequence", "user", "item", "kind", "at")
    )
    return Log(sequence, users, items, kinds, at, value)
