"""Erasure of a user from SQLite: rows, indices, free pages and log, so that no byte of the id is left in the files.

Deleting rows is not enough: old pages lie in the write-ahead log and stale cells in page gaps, ``secure_delete`` or
not. So the rows go in one transaction that also writes an intent; then the file is rewritten (VACUUM) and the log cut
to nothing; then the intent is marked done. A store that finds an open intent when it is opened finishes it first.

The user's row number stays used, with no id, so that no one else gets it.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from matinee.errors import MatineeError
from matinee.store.connection import BUSY_MS, Database
from matinee.store.events import user_rows
from matinee.store.sums import sum_of
from matinee.store.trouble import usable_text

logger = logging.getLogger(__name__)


def erase_user(database: Database, user: str) -> bool:
    """False if there is no such user. When it returns True no byte of the id, and no event of the user, is in the
    database's files. Raises ``erase.pending`` when a reader elsewhere holds the old state for too long: the rows are
    gone then, and the rest is done by the next call or the next opening.

    Cost: rewriting the file, so seconds a gigabyte; writers wait meanwhile.
    """
    if not usable_text(user):
        return False
    with database.alone():  # not inside a transaction, which could be undone after the answer
        pass
    with database.write() as c:
        found = user_rows(c, [user])
        erase_rows(c, list(found.values()))
    scrub(database)
    return bool(found)


def erase_rows(connection: sqlite3.Connection, users: Sequence[int]) -> None:
    """Deletes what is known of these user rows, and of the ids merged into them, and notes the intent to scrub; within
    the caller's transaction."""
    for row in users:
        if not connection.execute("SELECT 1 FROM users WHERE row = ? AND id IS NOT NULL", (row,)).fetchone():
            continue
        gone = connection.execute("DELETE FROM events WHERE user = ?", (row,)).rowcount
        counted = connection.execute("SELECT 1 FROM merges WHERE user = ?", (row,)).fetchone() is None
        ids = [row, *(one for (one,) in connection.execute("SELECT user FROM merges WHERE target = ?", (row,)))]
        connection.execute("DELETE FROM merges WHERE target = ? OR user = ?", (row, row))
        for one in ids:
            connection.execute("DELETE FROM profiles WHERE user = ?", (one,))
            connection.execute("UPDATE users SET id = NULL, sum = ? WHERE row = ?", (sum_of(one, None), one))
            connection.execute("INSERT INTO erasures VALUES (?, 0) ON CONFLICT (user) DO UPDATE SET done = 0", (one,))
        sql = "UPDATE state SET users = users - ?, events = events - ?, revision = revision + 1"
        connection.execute(sql, (int(counted), gone))


def scrub(database: Database) -> None:
    """Finishes what open intents ask for; nothing if there are none."""
    database.drop_readers()
    with database.alone() as c:
        if not c.execute("SELECT 1 FROM erasures WHERE NOT done").fetchone():
            return
        for copy in database.path.parent.glob(f"{database.path.name}.before-*"):
            copy.unlink()  # a copy kept by a migration holds the user too
        c.execute("PRAGMA temp_store=DEFAULT")  # a large file must not be rewritten in memory
        try:
            c.execute("VACUUM")
        finally:
            c.execute("PRAGMA temp_store=MEMORY")
        cut_log(database, c)
        c.execute("UPDATE erasures SET done = 1 WHERE NOT done")
        cut_log(database, c)


def cut_log(database: Database, connection: sqlite3.Connection) -> None:
    deadline = time.monotonic() + BUSY_MS / 1000
    while connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        if time.monotonic() > deadline:
            raise MatineeError(
                "erase.pending",
                f"The user is gone from {database.path}, but a long read elsewhere keeps old pages in its log. Ask"
                " again when it has ended; opening the store also finishes it.",
                f"用户已从 {database.path} 删除，但别处的长时间读取仍使日志保留旧页。"
                "请在其结束后重试；重新打开存储也会完成清除。",
                status=503,
                exit_code=1,
            )
        time.sleep(0.02)


def resume(database: Database) -> None:
    """What a crash or a long reader left open, when the store is opened. Never stops the store from opening."""
    try:
        scrub(database)
    except (MatineeError, OSError) as error:
        logger.warning("an erasure is not finished yet: %s", error)


def erased_since(connection: sqlite3.Connection, lineage: str) -> list[int]:
    """Users erased from this store; none if a backup of that lineage is not this store's."""
    if connection.execute("SELECT lineage FROM state").fetchone()[0] != lineage:
        return []
    return [row for (row,) in connection.execute("SELECT user FROM erasures ORDER BY user")]


def backups_with_erased(database: Database, backups: Sequence[Path]) -> list[Path]:
    """Which of these database copies still hold users that this store has erased: to be deleted or kept locked away."""
    with database.read() as c:
        lineage = c.execute("SELECT lineage FROM state").fetchone()[0]
        gone = set(erased_since(c, lineage))
    holding = []
    for copy in backups:
        with closing(sqlite3.connect(f"{copy.absolute().as_uri()}?mode=ro", uri=True)) as c:
            try:
                same = c.execute("SELECT lineage FROM state").fetchone()[0] == lineage
                there = {row for (row,) in c.execute("SELECT row FROM users WHERE id IS NOT NULL")}
            except sqlite3.Error:
                continue
        if same and there & gone:
            holding.append(copy)
    return holding
