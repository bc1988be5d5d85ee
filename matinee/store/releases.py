"""Releases in SQLite: which trained models there are, and which one is in force."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import msgspec

from matinee.errors import MatineeError
from matinee.store.connection import Database
from matinee.store.items import bump, json_of
from matinee.store.sums import sum_of
from matinee.store.trouble import bad_text, usable_text


def put_release(database: Database, digest: str, manifest: Mapping[str, Any]) -> None:
    text = json_of(f"The manifest of {digest}", dict(manifest))
    if not digest or not usable_text(digest):
        raise bad_text("release digest")
    with database.write() as c:
        c.execute(
            "INSERT INTO releases (digest, manifest, sum) VALUES (?, ?, ?)"
            " ON CONFLICT (digest) DO UPDATE SET manifest = excluded.manifest, sum = excluded.sum",
            (digest, text, sum_of(digest, text)),
        )
        bump(c)


def use_release(database: Database, digest: str) -> None:
    """Raises ``release.unknown`` and changes nothing then."""
    with database.write() as c:
        if not usable_text(digest) or not c.execute("SELECT 1 FROM releases WHERE digest = ?", (digest,)).fetchone():
            raise unknown_release(digest)
        if c.execute("SELECT release FROM state").fetchone() == (digest,):
            return
        number = c.execute("SELECT coalesce(max(number), 0) + 1 FROM in_force").fetchone()[0]
        row = (number, digest, time.time())
        c.execute("INSERT INTO in_force VALUES (?, ?, ?, ?)", (*row, sum_of(*row)))
        c.execute("UPDATE state SET release = ?", (digest,))
        bump(c)


def drop_release(database: Database, digest: str) -> bool:
    if not usable_text(digest):
        return False
    with database.write() as c:
        sql = "DELETE FROM releases WHERE digest = ? AND digest IS NOT (SELECT release FROM state)"
        if not c.execute(sql, (digest,)).rowcount:
            return False
        bump(c)
    return True


def releases_used(database: Database) -> list[tuple[float, str]]:
    with database.read() as c:
        return c.execute("SELECT at, digest FROM in_force ORDER BY number").fetchall()


def release(database: Database) -> tuple[str, dict[str, Any]] | None:
    with database.read() as c:
        sql = "SELECT r.digest, r.manifest FROM state s JOIN releases r ON r.digest = s.release"
        found = c.execute(sql).fetchone()
    return (found[0], msgspec.json.decode(found[1])) if found else None


def releases(database: Database) -> list[tuple[str, dict[str, Any]]]:
    """Oldest first."""
    with database.read() as c:
        found = c.execute("SELECT digest, manifest FROM releases ORDER BY number").fetchall()
    return [(digest, msgspec.json.decode(manifest)) for digest, manifest in found]


def unknown_release(digest: str) -> MatineeError:
    return MatineeError(
        "release.unknown",
        f"There is no release {digest!r} in the store. `matinee releases` lists those that there are.",
        f"存储中没有发布版本 {digest!r}。可用 `matinee releases` 列出已有的版本。",
        status=404,
    )
