"""Users in SQLite: made before their first event, listed, and merged when a session turns out to be somebody."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from matinee.errors import MatineeError
from matinee.store.connection import Database
from matinee.store.events import WHO, make_users, user_rows
from matinee.store.sums import sum_of
from matinee.store.trouble import bad_text, usable_text
from matinee.types import Ints

Profile = Mapping[str, Any]
NOTHING = "{}"
SUMMED_EVENT = "sum_of(?, item, kind, at, value, id, text, session, slate)"


def put_users(database: Database, ids: Sequence[str]) -> int:
    with database.write() as c:
        _, created = make_users(c, [user for user in ids if user and usable_text(user)])
        if created:
            c.execute("UPDATE state SET users = users + ?", (created,))
    return created


def put_profiles(database: Database, profiles: Mapping[str, Profile]) -> int:
    given = encoded(profiles)
    with database.write() as c:
        rows, created = make_users(c, list(given))
        for user, body in given.items():
            put_profile(c, rows[user], body)
        if created:
            c.execute("UPDATE state SET users = users + ?", (created,))
    return created


def put_profile(c: sqlite3.Connection, row: int, body: str) -> None:
    if body == NOTHING:
        c.execute("DELETE FROM profiles WHERE user = ?", (row,))
    else:
        c.execute("INSERT OR REPLACE INTO profiles VALUES (?, ?, ?)", (row, body, sum_of(row, body)))


def profile(database: Database, user: str) -> dict[str, Any]:
    if not usable_text(user):
        return {}
    with database.read() as c:
        found = c.execute(f"SELECT body FROM profiles WHERE user = {WHO}", (user,)).fetchone()  # noqa: S608
    return decoded(found[0]) if found else {}


def profiles(database: Database) -> list[tuple[int, dict[str, Any]]]:
    with database.read() as c:
        return [(row, decoded(body)) for row, body in c.execute("SELECT user, body FROM profiles ORDER BY user")]


def encoded(profiles_: Mapping[str, Profile]) -> dict[str, str]:
    """Profiles as they are written, of the ids that can be kept."""
    whole = {user: given for user, given in profiles_.items() if user and usable_text(user)}
    return {user: msgspec.json.encode(dict(given)).decode() for user, given in whole.items()}


def decoded(body: str) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.json.decode(body)
    return told


def joined(of_user: str | None, of_session: str | None) -> str:
    """What is known of two who are one: of what both say, what the user said."""
    return msgspec.json.encode(decoded(of_session or NOTHING) | decoded(of_user or NOTHING)).decode()


def users(database: Database) -> list[tuple[int, str]]:
    sql = "SELECT row, id FROM users WHERE id IS NOT NULL AND row NOT IN (SELECT user FROM merges) ORDER BY row"
    with database.read() as c:
        return c.execute(sql).fetchall()


def merge_user(database: Database, session: str, user: str) -> bool:
    """One transaction: the events change hands, and the session's id stays as another name of the user, so that what
    its devices send late goes to the right person. Cost: about 10 us an event of the session."""
    checked_merge(session, user)
    with database.write() as c:
        rows, created = make_users(c, [session, user])
        own = int(c.execute("SELECT row FROM users WHERE id = ?", (session,)).fetchone()[0])
        source, target = rows[session], rows[user]
        if source == target:
            return False
        if source != own:
            raise merged_elsewhere()
        c.create_function("sum_of", -1, sum_of, deterministic=True)
        c.execute(f"UPDATE events SET user = ?, sum = {SUMMED_EVENT} WHERE user = ?", (target, target, source))  # noqa: S608
        c.execute("UPDATE merges SET target = ?, sum = sum_of(user, ?) WHERE target = ?", (target, target, source))
        c.execute("INSERT INTO merges VALUES (?, ?, ?)", (source, target, sum_of(source, target)))
        told = dict(c.execute("SELECT user, body FROM profiles WHERE user IN (?, ?)", (source, target)))
        put_profile(c, source, NOTHING)
        put_profile(c, target, joined(told.get(target), told.get(source)))
        c.execute("UPDATE state SET users = users + ?", (created - 1,))
    return True


def names_of(database: Database, user: str) -> tuple[str, ...]:
    if not usable_text(user):
        return ()
    with database.read() as c:
        if not (found := user_rows(c, [user])):
            return ()
        (row,) = found.values()
        sql = (
            "SELECT id FROM users WHERE row = ? OR row IN (SELECT user FROM merges WHERE target = ?) ORDER BY row != ?"
        )
        return tuple(name for (name,) in c.execute(sql, (row, row, row)))


def erased_users(database: Database) -> Ints:
    with database.read() as c:
        return np.array([row for (row,) in c.execute("SELECT user FROM erasures ORDER BY user")], np.int64)


def checked_merge(session: str, user: str) -> None:
    for name, given in (("session", session), ("user", user)):
        if not given or not usable_text(given):
            raise bad_text(name)
    if session == user:
        raise MatineeError(
            "merge.self",
            "A user cannot be merged into itself. Name the anonymous session's id and the user's.",
            "不能把用户合并到其自身。请指定匿名会话的 ID 和用户的 ID。",
        )


def merged_elsewhere() -> MatineeError:
    """Without the other user's name, which is not the asker's to know."""
    return MatineeError(
        "merge.elsewhere",
        "This session was merged into another user before. Start a new session id at every login and logout.",
        "该会话此前已合并到另一用户。请在每次登录和退出时使用新的会话 ID。",
        status=409,
    )
