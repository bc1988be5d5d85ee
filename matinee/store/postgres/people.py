"""Users in PostgreSQL: made, listed, merged and erased. The rules are those of ``store.people`` and ``store.erase``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, LiteralString

import numpy as np

from matinee.store.people import NOTHING, Profile, checked_merge, decoded, encoded, joined, merged_elsewhere
from matinee.store.postgres.connection import Connection, Server
from matinee.store.trouble import usable_text
from matinee.types import Ints

WHO: LiteralString = (
    "(SELECT coalesce(m.target, u.number) FROM users u LEFT JOIN merges m ON m.who = u.number WHERE u.id = %s)"
)


def put_users(server: Server, ids: Sequence[str]) -> int:
    with server.write() as c:
        _, created = make_users(c, [user for user in ids if user and usable_text(user)])
        if created:
            c.execute("UPDATE state SET users = users + %s", (created,))
    return created


def user_rows(c: Connection, ids: Sequence[str]) -> dict[str, int]:
    """Rows of the users that are there; of a merged one the row it went into."""
    sql = (
        "SELECT u.id, coalesce(m.target, u.number) FROM users u LEFT JOIN merges m ON m.who = u.number"
        " WHERE u.id = ANY(%s)"
    )
    return dict(c.execute(sql, (list(dict.fromkeys(ids)),)).fetchall())


def make_users(c: Connection, users: Sequence[str]) -> tuple[dict[str, int], int]:
    """Rows of users, made where they are new, and how many were made."""
    rows = user_rows(c, users)
    following = (c.execute("SELECT coalesce(max(number), -1) + 1 FROM users").fetchone() or (0,))[0]
    new = [user for user in dict.fromkeys(users) if user not in rows]
    numbers = list(range(following, following + len(new)))
    c.execute("INSERT INTO users SELECT * FROM unnest(%s::bigint[], %s::text[])", (numbers, new))
    return rows | dict(zip(new, numbers, strict=True)), len(new)


def put_profiles(server: Server, profiles_: Mapping[str, Profile]) -> int:
    given = encoded(profiles_)
    with server.write() as c:
        rows, created = make_users(c, list(given))
        for user, body in given.items():
            put_profile(c, rows[user], body)
        if created:
            c.execute("UPDATE state SET users = users + %s", (created,))
    return created


def put_profile(c: Connection, row: int, body: str) -> None:
    if body == NOTHING:
        c.execute("DELETE FROM profiles WHERE who = %s", (row,))
    else:
        sql = "INSERT INTO profiles VALUES (%s, %s) ON CONFLICT (who) DO UPDATE SET body = excluded.body"
        c.execute(sql, (row, body))


def profile(server: Server, user: str) -> dict[str, Any]:
    if not usable_text(user):
        return {}
    found = server.one(f"SELECT body FROM profiles WHERE who = {WHO}", (user,))  # noqa: S608
    return decoded(found[0]) if found else {}


def profiles(server: Server) -> list[tuple[int, dict[str, Any]]]:
    return [(row, decoded(body)) for row, body in server.all("SELECT who, body FROM profiles ORDER BY who")]


def users(server: Server) -> list[tuple[int, str]]:
    found = server.all(
        "SELECT number, id FROM users u WHERE id IS NOT NULL"
        " AND NOT EXISTS (SELECT 1 FROM merges m WHERE m.who = u.number) ORDER BY number"
    )
    return [(number, user) for number, user in found]


def merge_user(server: Server, session: str, user: str) -> bool:
    checked_merge(session, user)
    with server.write() as c:
        rows, created = make_users(c, [session, user])
        own = (c.execute("SELECT number FROM users WHERE id = %s", (session,)).fetchone() or (-1,))[0]
        source, target = rows[session], rows[user]
        if source == target:
            return False
        if source != own:
            raise merged_elsewhere()
        c.execute("UPDATE events SET who = %s WHERE who = %s", (target, source))
        c.execute("UPDATE merges SET target = %s WHERE target = %s", (target, source))
        c.execute("INSERT INTO merges VALUES (%s, %s)", (source, target))
        told = dict(c.execute("SELECT who, body FROM profiles WHERE who IN (%s, %s)", (source, target)).fetchall())
        put_profile(c, source, NOTHING)
        put_profile(c, target, joined(told.get(target), told.get(source)))
        c.execute("UPDATE state SET users = users + %s", (created - 1,))
    return True


def names_of(server: Server, user: str) -> tuple[str, ...]:
    if not usable_text(user):
        return ()
    with server.lend() as c:
        if not (found := user_rows(c, [user])):
            return ()
        (row,) = found.values()
        sql = (
            "SELECT id FROM users WHERE number = %s OR number IN (SELECT who FROM merges WHERE target = %s)"
            " ORDER BY number <> %s, number"
        )
        return tuple(name for (name,) in c.execute(sql, (row, row, row)).fetchall())


def erased_users(server: Server) -> Ints:
    return np.array([row for (row,) in server.all("SELECT who FROM erasures ORDER BY who")], np.int64)


def erase_row(c: Connection, row: int) -> None:
    """Deletes what is known of the user of a row, and of the ids merged into it, and notes the intent to scrub."""
    if c.execute("SELECT 1 FROM users WHERE number = %s AND id IS NOT NULL", (row,)).fetchone() is None:
        return
    gone = c.execute("DELETE FROM events WHERE who = %s", (row,)).rowcount
    counted = c.execute("DELETE FROM merges WHERE who = %s", (row,)).rowcount == 0
    found = c.execute("DELETE FROM merges WHERE target = %s RETURNING who", (row,)).fetchall()
    for one in (row, *(who for (who,) in found)):
        c.execute("DELETE FROM profiles WHERE who = %s", (one,))
        c.execute("UPDATE users SET id = NULL WHERE number = %s", (one,))
        c.execute("INSERT INTO erasures VALUES (%s, false) ON CONFLICT (who) DO UPDATE SET done = false", (one,))
    sql = "UPDATE state SET users = users - %s, events = events - %s, revision = revision + 1"
    c.execute(sql, (int(counted), gone))
