"""The default store: one SQLite file. ``matinee.protocols.Store`` says what each method promises."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

from matinee.protocols import WELCOME, Appended, Counts, FileRecord, Log, Strangers
from matinee.store import events, items, people, releases, vectors
from matinee.store.connection import Database, Mode, check_sqlite, connect, create_file
from matinee.store.erase import erase_user, resume
from matinee.store.group import Group
from matinee.store.migrations import STEPS, check_version, migrate
from matinee.store.place import require_local
from matinee.store.trouble import saying, told
from matinee.types import Bools, Event, EventKind, Floats, Ints, Item, Space


class SQLiteStore:
    """Opens the file, making or migrating it first. Raises ``store.unopenable``, ``.readonly``, ``.corrupt``,
    ``.newer``, ``.foreign``, ``.busy`` or ``.full``."""

    __slots__ = ("database", "group", "path")

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = Path(path)
        self.database = open_for_reading(self.path) if read_only else open_database(self.path)
        self.group = Group(self.database)

    def together(self) -> AbstractContextManager[None]:
        return self.database.together()

    def put_items(self, items_: Sequence[Item]) -> Ints:
        return items.put_items(self.database, items_)

    def delete_item(self, id: str) -> bool:
        return items.delete_item(self.database, id)

    def item(self, id: str) -> Item | None:
        return items.item(self.database, id)

    def items(self) -> Iterable[tuple[int, Item]]:
        return items.items(self.database)

    def deleted_items(self) -> Ints:
        return items.deleted_items(self.database)

    def item_rows(self, ids: Sequence[str]) -> Ints:
        return items.item_rows(self.database, ids)

    def append(self, events_: Sequence[Event], strangers: Strangers = WELCOME) -> Appended:
        return self.group.append(events_, strangers)

    def events_of(
        self, user: str, n: int, before: float | None = None, kind: EventKind | None = None
    ) -> list[Event]:  # fmt: skip
        return events.events_of(self.database, user, n, before, kind)

    def events_after(
        self, after: int | None, n: int, kinds: Sequence[EventKind] = ()
    ) -> list[tuple[int, Event]]:  # fmt: skip
        return events.events_after(self.database, after, n, kinds)

    def items_of(self, user: str, kinds: Sequence[EventKind] = ()) -> Ints:
        return events.items_of(self.database, user, kinds)

    def history(self, user: str, n: int, before: float) -> Log:
        return events.history(self.database, user, n, before)

    def log(self, after: int = 0, *, deleted: bool = False) -> Log:
        return events.log(self.database, after, deleted=deleted)

    def rewritten(self, last: int) -> str:
        return events.rewritten(self.database, last)

    def put_users(self, ids: Sequence[str]) -> int:
        return people.put_users(self.database, ids)

    def put_profiles(self, profiles: Mapping[str, Mapping[str, Any]]) -> int:
        return people.put_profiles(self.database, profiles)

    def profile(self, user: str) -> dict[str, Any]:
        return people.profile(self.database, user)

    def profiles(self) -> Iterable[tuple[int, dict[str, Any]]]:
        return people.profiles(self.database)

    def users(self) -> Iterable[tuple[int, str]]:
        return people.users(self.database)

    def merge_user(self, session: str, user: str) -> bool:
        return people.merge_user(self.database, session, user)

    def counts(self) -> Counts:
        with self.database.read() as c:
            return Counts(*c.execute("SELECT items, users, events FROM state").fetchone())

    def revision(self) -> int:
        with self.database.read() as c:
            return int(c.execute("SELECT revision FROM state").fetchone()[0])

    def put_vectors(self, space: Space, hashes: Sequence[str], vectors_: Floats) -> None:
        vectors.put_vectors(self.database, space, hashes, vectors_)

    def has_vectors(self, space: Space, hashes: Sequence[str]) -> Bools:
        return vectors.has_vectors(self.database, space, hashes)

    def link_content(self, item: str, space: Space, hash: str) -> None:
        vectors.link_content(self.database, item, space, hash)

    def vectors(self, space: Space) -> tuple[Ints, Floats]:
        return vectors.vectors(self.database, space)

    def spaces(self) -> list[Space]:
        return vectors.spaces(self.database)

    def put_fact(self, item: str, key: str, value: Any) -> None:
        items.put_fact(self.database, item, key, value)

    def facts(self, item: str) -> dict[str, Any]:
        return items.facts(self.database, item)

    def all_facts(self, key: str) -> Iterable[tuple[int, Any]]:
        return items.all_facts(self.database, key)

    def put_file(self, record: FileRecord) -> None:
        items.put_file(self.database, record)

    def files(self) -> list[FileRecord]:
        return items.files(self.database)

    def put_release(self, digest: str, manifest: Mapping[str, Any]) -> None:
        releases.put_release(self.database, digest, manifest)

    def release(self) -> tuple[str, dict[str, Any]] | None:
        return releases.release(self.database)

    def releases(self) -> list[tuple[str, dict[str, Any]]]:
        return releases.releases(self.database)

    def use_release(self, digest: str) -> None:
        releases.use_release(self.database, digest)

    def drop_release(self, digest: str) -> bool:
        return releases.drop_release(self.database, digest)

    def releases_used(self) -> list[tuple[float, str]]:
        return releases.releases_used(self.database)

    def erase_user(self, user: str) -> bool:
        return erase_user(self.database, user)

    def names_of(self, user: str) -> tuple[str, ...]:
        return people.names_of(self.database, user)

    def erased_users(self) -> Ints:
        return people.erased_users(self.database)

    def close(self) -> None:
        self.database.close()


def open_database(path: Path) -> Database:
    """The file, made or migrated first. On a disk that cannot be written, an up-to-date store opens for reading."""
    check_sqlite()
    require_local(path)
    with told(path):
        try:
            if not path.exists():
                create_file(path)
            if not os.access(path, os.W_OK):
                return open_for_reading(path)
            # Looked at before anything is changed: the file may be another program's, or a newer Matinee's.
            with closing(connect(path, reader=True)) as connection:
                check_version(connection, path, len(STEPS))
            with closing(connect(path)) as connection:
                migrate(connection, path)
            database = Database(path)
            resume(database)
            return database
        except OSError as error:
            raise saying(sqlite3.SQLITE_CANTOPEN, path, error.strerror or str(error)) from error


def open_for_reading(path: Path) -> Database:
    """An up-to-date file that is never written to, whether because the disk says so or the caller."""
    log = path.with_name(path.name + "-wal")
    with told(path):
        if not path.is_file():
            raise saying(sqlite3.SQLITE_CANTOPEN, path, "there is no such file")
        still = os.statvfs(path).f_flag & os.ST_RDONLY and not (log.exists() and log.stat().st_size)
        mode: Mode = "immutable" if still else "ro"
        with closing(connect(path, mode)) as connection:
            if check_version(connection, path, len(STEPS)) < len(STEPS):
                raise saying(sqlite3.SQLITE_READONLY, path, "its schema is older and must be brought up to date first")
        return Database(path, mode)
