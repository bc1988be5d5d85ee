"""The schema, as numbered steps. A step is never changed once released; a new one is appended.

``PRAGMA user_version`` says how many steps a file has seen. Each step is one transaction, so a crash leaves the file
before or after it. Before an existing file is changed, a copy of it is kept beside it (``matinee.db.before-2``).
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from matinee.errors import MatineeError
from matinee.store.sums import sum_of, sum_of_vector

Step = Callable[[sqlite3.Connection], None]
APPLICATION = 0x4D544E45  # "MTNE", in the file's header: whose file this is


def first(connection: sqlite3.Connection) -> None:
    """Rows of ``items`` and ``users`` stay for ever (``alive = 0``; ``id`` NULL when erased): max + 1 never reuses one.

    ``state`` has one row: the revision readers refresh on, counts kept exact by every writer, the release in force.
    """
    for statement in FIRST.split(";"):
        connection.execute(statement)
    connection.execute("INSERT INTO state VALUES (0, 0, 0, 0, 0, NULL)")


FIRST = """
CREATE TABLE state (one INTEGER PRIMARY KEY CHECK (one = 0), revision INTEGER NOT NULL, items INTEGER NOT NULL,
  users INTEGER NOT NULL, events INTEGER NOT NULL, release TEXT REFERENCES releases (digest)) STRICT;
CREATE TABLE items (row INTEGER PRIMARY KEY, alive INTEGER NOT NULL, id TEXT NOT NULL UNIQUE, body TEXT) STRICT;
CREATE TABLE users (row INTEGER PRIMARY KEY, id TEXT UNIQUE) STRICT;
CREATE TABLE events (sequence INTEGER PRIMARY KEY AUTOINCREMENT, user INTEGER NOT NULL REFERENCES users (row),
  item INTEGER REFERENCES items (row), kind INTEGER NOT NULL, at REAL NOT NULL, value REAL, id TEXT NOT NULL UNIQUE,
  text TEXT, session TEXT, slate TEXT) STRICT;
CREATE INDEX events_of_user ON events (user, at, sequence, item, kind, value);
CREATE TABLE spaces (number INTEGER PRIMARY KEY, name TEXT NOT NULL, revision TEXT NOT NULL, dim INTEGER NOT NULL,
  UNIQUE (name, revision)) STRICT;
CREATE TABLE vectors (number INTEGER PRIMARY KEY, space INTEGER NOT NULL REFERENCES spaces (number),
  hash TEXT NOT NULL, data BLOB NOT NULL, UNIQUE (space, hash)) STRICT;
CREATE TABLE links (space INTEGER NOT NULL REFERENCES spaces (number), item INTEGER NOT NULL REFERENCES items (row),
  vector INTEGER NOT NULL REFERENCES vectors (number), PRIMARY KEY (space, item)) STRICT, WITHOUT ROWID;
CREATE INDEX links_of_item ON links (item);
CREATE TABLE facts (item INTEGER NOT NULL REFERENCES items (row), key TEXT NOT NULL, value TEXT NOT NULL,
  PRIMARY KEY (item, key)) STRICT, WITHOUT ROWID;
CREATE INDEX facts_by_key ON facts (key, item);
CREATE TABLE files (path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, hash TEXT NOT NULL,
  item TEXT, status TEXT NOT NULL, note TEXT NOT NULL) STRICT;
CREATE TABLE releases (number INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, manifest TEXT NOT NULL) STRICT;
CREATE TABLE erasures (user INTEGER PRIMARY KEY REFERENCES users (row), done INTEGER NOT NULL) STRICT
"""


def second(connection: sqlite3.Connection) -> None:
    """Row checksums (``store.sums``), and ``lineage``: a store and its backups share it, two libraries never do."""
    connection.create_function("sum_of", -1, sum_of, deterministic=True)
    connection.create_function("sum_of_vector", 2, sum_of_vector, deterministic=True)
    for table, columns in SUMMED.items():
        connection.execute(f"ALTER TABLE {table} ADD COLUMN sum INTEGER")
        call = f"sum_of_vector({columns})" if table == "vectors" else f"sum_of({columns})"
        connection.execute(f"UPDATE {table} SET sum = {call}")  # noqa: S608
    connection.execute("ALTER TABLE state ADD COLUMN lineage TEXT")
    connection.execute("UPDATE state SET lineage = ?", (secrets.token_hex(16),))


def third(connection: sqlite3.Connection) -> None:
    """Merged users (``merges``), which release was in force when (``in_force``), and an index for all that a user ever
    hid or saw. A release in force already gets the time 0."""
    for statement in THIRD.split(";"):
        connection.execute(statement)
    for (digest,) in connection.execute("SELECT release FROM state WHERE release IS NOT NULL").fetchall():
        connection.execute("INSERT INTO in_force VALUES (1, ?, 0.0, ?)", (digest, sum_of(1, digest, 0.0)))


THIRD = """
CREATE TABLE merges (user INTEGER PRIMARY KEY REFERENCES users (row), target INTEGER NOT NULL REFERENCES users (row),
  sum INTEGER) STRICT;
CREATE TABLE in_force (number INTEGER PRIMARY KEY, digest TEXT NOT NULL, at REAL NOT NULL, sum INTEGER) STRICT;
CREATE INDEX events_by_kind ON events (user, kind, item)
"""


def fourth(connection: sqlite3.Connection) -> None:
    """What is known of users beside what they did (``profiles``): country, language, age, as JSON. And an index of the
    items that are gone: a history asks of each of its items, and of the items themselves that was two thirds of its
    reading."""
    for statement in FOURTH.split(";"):
        connection.execute(statement)


FOURTH = """
CREATE TABLE profiles (user INTEGER PRIMARY KEY REFERENCES users (row), body TEXT NOT NULL, sum INTEGER) STRICT;
CREATE INDEX items_gone ON items (row) WHERE alive = 0
"""

SUMMED = {  # what each row's checksum covers, in this order
    "items": "row, id, body",
    "users": "row, id",
    "events": "user, item, kind, at, value, id, text, session, slate",
    "vectors": "hash, data",
    "facts": "item, key, value",
    "links": "space, item, vector",
    "files": "path, size, mtime_ns, hash, item, status, note",
    "spaces": "number, name, revision, dim",
    "releases": "digest, manifest",
}
SUMMED_SINCE = {"merges": "user, target", "in_force": "number, digest, at", "profiles": "user, body"}

STEPS: tuple[Step, ...] = (first, second, third, fourth)


def migrate(connection: sqlite3.Connection, path: Path, steps: Sequence[Step] = STEPS, *, copy: bool = True) -> None:
    """Brings the file to the newest schema, keeping a copy of an existing one first.

    Raises ``store.newer`` or ``store.foreign`` and changes nothing then.
    """
    version = check_version(connection, path, len(steps))
    if version == len(steps):
        return
    if version and copy:
        keep_copy(connection, path.with_name(f"{path.name}.before-{version + 1}"))
    while version < len(steps):
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Another process may have migrated while this one waited for the lock.
            version = check_version(connection, path, len(steps))
            if version < len(steps):
                steps[version](connection)
                version += 1
                connection.execute(f"PRAGMA application_id = {APPLICATION}")
                connection.execute(f"PRAGMA user_version = {version}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def check_version(connection: sqlite3.Connection, path: Path, newest: int) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    owner: int = connection.execute("PRAGMA application_id").fetchone()[0]
    tables: int = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if owner != APPLICATION and (tables or owner or version):
        raise MatineeError(
            "store.foreign",
            f"{path} is an SQLite database, but not Matinee's. Name another file; this one was left as it is.",
            f"{path} 是 SQLite 数据库，但不是 Matinee 的。请指定其他文件；该文件未被改动。",
        )
    if version > newest:
        raise MatineeError(
            "store.newer",
            f"{path} was written by a newer Matinee (schema {version}; this one knows {newest}). Update Matinee with"
            " `pip install -U matinee`, or restore a backup made by this version. The file was left as it is.",
            f"{path} 由更新版本的 Matinee 写入（模式 {version}，当前版本只认识到 {newest}）。"
            "请用 `pip install -U matinee` 更新，或恢复由当前版本制作的备份。该文件未被改动。",
            exit_code=1,
        )
    return version


def keep_copy(connection: sqlite3.Connection, copy: Path) -> None:
    """A consistent copy of the file as it was, on the disk before the first step begins."""
    if copy.exists():
        return
    part = copy.with_name(copy.name + ".part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(sqlite3.connect(part)) as target:
        connection.backup(target)
        target.execute("PRAGMA journal_mode=DELETE")
    for name in (part, part.parent):
        handle = os.open(name, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    part.replace(copy)
