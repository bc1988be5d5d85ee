"""The schema in PostgreSQL (its own schema, ``matinee``), as numbered steps in one transaction, as in
``store.migrations``. PostgreSQL keeps its own page checksums (``initdb --data-checksums``), so rows carry none."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import LiteralString

from matinee.errors import MatineeError
from matinee.store.postgres.connection import Connection, logger

LOCK = 0x4D544E45

FIRST: tuple[LiteralString, ...] = (
    "CREATE TABLE releases (number bigint PRIMARY KEY, digest text NOT NULL UNIQUE, manifest text NOT NULL)",
    "CREATE TABLE state (one integer PRIMARY KEY CHECK (one = 0), version integer NOT NULL, lineage text NOT NULL,"
    " revision bigint NOT NULL, sequence bigint NOT NULL, items bigint NOT NULL, users bigint NOT NULL,"
    " events bigint NOT NULL, release text REFERENCES releases (digest))",
    'CREATE TABLE items (number bigint PRIMARY KEY, alive boolean NOT NULL, id text COLLATE "C" NOT NULL UNIQUE,'
    " body text)",
    'CREATE TABLE users (number bigint PRIMARY KEY, id text COLLATE "C" UNIQUE)',
    "CREATE TABLE events (sequence bigint PRIMARY KEY, who bigint NOT NULL REFERENCES users (number),"
    " item bigint REFERENCES items (number), kind smallint NOT NULL, at double precision NOT NULL,"
    ' value double precision, id text COLLATE "C" NOT NULL UNIQUE, text text, session text, slate text)',
    "CREATE INDEX events_of_user ON events (who, at, sequence) INCLUDE (item, kind, value)",
    "CREATE TABLE spaces (number bigint PRIMARY KEY, name text NOT NULL, revision text NOT NULL, dim integer NOT NULL,"
    " UNIQUE (name, revision))",
    "CREATE TABLE vectors (number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
    ' space bigint NOT NULL REFERENCES spaces (number), hash text COLLATE "C" NOT NULL, data bytea NOT NULL,'
    " UNIQUE (space, hash))",
    "ALTER TABLE vectors ALTER COLUMN data SET STORAGE EXTERNAL",  # floats do not compress
    "CREATE TABLE links (space bigint NOT NULL REFERENCES spaces (number),"
    " item bigint NOT NULL REFERENCES items (number), vector bigint NOT NULL REFERENCES vectors (number),"
    " PRIMARY KEY (space, item))",
    "CREATE INDEX links_of_item ON links (item)",
    'CREATE TABLE facts (item bigint NOT NULL REFERENCES items (number), key text COLLATE "C" NOT NULL,'
    " value text NOT NULL, PRIMARY KEY (item, key))",
    "CREATE INDEX facts_by_key ON facts (key, item)",
    "CREATE TABLE files (path bytea PRIMARY KEY, size bigint NOT NULL, mtime_ns bigint NOT NULL, hash text NOT NULL,"
    " item text, status text NOT NULL, note text NOT NULL)",
    "CREATE TABLE erasures (who bigint PRIMARY KEY REFERENCES users (number), done boolean NOT NULL)",
)
SECOND: tuple[LiteralString, ...] = (
    "CREATE TABLE merges (who bigint PRIMARY KEY REFERENCES users (number),"
    " target bigint NOT NULL REFERENCES users (number))",
    "CREATE TABLE in_force (number bigint PRIMARY KEY, digest text NOT NULL, at double precision NOT NULL)",
    "INSERT INTO in_force SELECT 1, release, 0 FROM state WHERE release IS NOT NULL",
    "CREATE INDEX events_by_kind ON events (who, kind, item)",
)
THIRD: tuple[LiteralString, ...] = (
    "CREATE TABLE profiles (who bigint PRIMARY KEY REFERENCES users (number), body text NOT NULL)",
)
STEPS: tuple[Sequence[LiteralString], ...] = (FIRST, SECOND, THIRD)


def migrate(c: Connection) -> None:
    """Makes or updates the tables. Raises ``store.newer`` or ``store.encoding`` and changes nothing then."""
    encoding = (c.execute("SHOW server_encoding").fetchone() or ("",))[0]
    if encoding != "UTF8":
        raise MatineeError(
            "store.encoding",
            f"The PostgreSQL database keeps text as {encoding}. Make one with:"
            " createdb --encoding=UTF8 --template=template0",
            f"PostgreSQL 数据库的文本编码为 {encoding}。请用以下命令新建："
            "createdb --encoding=UTF8 --template=template0",
        )
    if (c.execute("SHOW fsync").fetchone() or ("",))[0] != "on":
        logger.warning("this PostgreSQL server runs with fsync=off: a power cut may lose what was acknowledged")
    with c.transaction():
        c.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))  # servers that start together take turns
        version = 0
        if (c.execute("SELECT to_regclass('matinee.state')").fetchone() or (None,))[0] is not None:
            version = (c.execute("SELECT version FROM state").fetchone() or (0,))[0]
        if version > len(STEPS):
            raise MatineeError(
                "store.newer",
                f"The PostgreSQL store was written by a newer Matinee (schema {version}; this one knows {len(STEPS)})."
                " Update Matinee with `pip install -U matinee`. The store was left as it is.",
                f"PostgreSQL 存储由更新版本的 Matinee 写入（模式 {version}，当前版本只认识到 {len(STEPS)}）。"
                "请用 `pip install -U matinee` 更新。该存储未被改动。",
                exit_code=1,
            )
        if version == 0:
            c.execute("CREATE SCHEMA IF NOT EXISTS matinee")
        for step in STEPS[version:]:
            for statement in step:
                c.execute(statement)
        if version == 0:
            sql = "INSERT INTO state VALUES (0, %s, %s, 0, 0, 0, 0, 0, NULL)"
            c.execute(sql, (len(STEPS), secrets.token_hex(16)))
        elif version < len(STEPS):
            c.execute("UPDATE state SET version = %s", (len(STEPS),))
