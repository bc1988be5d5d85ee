"""``PostgresStore``: one PostgreSQL database. ``matinee.protocols.Store`` says what each method promises."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

from matinee.errors import MatineeError
from matinee.protocols import WELCOME, Appended, Counts, FileRecord, Log, Strangers
from matinee.store.postgres import events, items, people, vectors
from matinee.store.postgres.connection import Server, logger
from matinee.store.postgres.copy import from_sqlite, to_sqlite
from matinee.store.postgres.schema import migrate
from matinee.types import Bools, Event, EventKind, Floats, Ints, Item, Space


class PostgresStore:
    """Connects to ``postgresql://user@host/database`` and makes or updates its tables.

    Raises ``store.unreachable``, ``.refused``, ``.newer`` or ``.encoding``.
    """

    __slots__ = ("server",)

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        self.server = Server(url, read_only=read_only)
        try:
            with self.server.lend() as c:
                migrate(c)  # which writes nothing to a store that is up to date
        except BaseException:
            self.server.close()
            raise
        if read_only:
            return
        try:
            events.scrub(self.server)
        except MatineeError as error:  # a long reader elsewhere must not keep this store from opening
            logger.warning("an erasure is not finished yet: %s", error)

    def together(self) -> AbstractContextManager[None]:
        return self.server.together()

    def put_items(self, items_: Sequence[Item]) -> Ints:
        return items.put_items(self.server, items_)

    def delete_item(self, id: str) -> bool:
        return items.delete_item(self.server, id)

    def item(self, id: str) -> Item | None:
        return items.item(self.server, id)

    def items(self) -> Iterable[tuple[int, Item]]:
        return items.items(self.server)

    def deleted_items(self) -> Ints:
        return items.deleted_items(self.server)

    def item_rows(self, ids: Sequence[str]) -> Ints:
        return items.item_rows(self.server, ids)

    def append(self, events_: Sequence[Event], strangers: Strangers = WELCOME) -> Appended:
        return events.append(self.server, events_, strangers)

    def events_of(
        self, user: str, n: int, before: float | None = None, kind: EventKind | None = None
    ) -> list[Event]:  # fmt: skip
        return events.events_of(self.server, user, n, before, kind)

    def events_after(
        self, after: int | None, n: int, kinds: Sequence[EventKind] = ()
    ) -> list[tuple[int, Event]]:  # fmt: skip
        return events.events_after(self.server, after, n, kinds)

    def items_of(self, user: str, kinds: Sequence[EventKind] = ()) -> Ints:
        return events.items_of(self.server, user, kinds)

    def history(self, user: str, n: int, before: float) -> Log:
        return events.history(self.server, user, n, before)

    def log(self, after: int = 0, *, deleted: bool = False) -> Log:
        return events.log(self.server, after, deleted=deleted)

    def rewritten(self, last: int) -> str:
        return events.rewritten(self.server, last)

    def put_users(self, ids: Sequence[str]) -> int:
        return people.put_users(self.server, ids)

    def put_profiles(self, profiles: Mapping[str, Mapping[str, Any]]) -> int:
        return people.put_profiles(self.server, profiles)

    def profile(self, user: str) -> dict[str, Any]:
        return people.profile(self.server, user)

    def profiles(self) -> Iterable[tuple[int, dict[str, Any]]]:
        return people.profiles(self.server)

    def users(self) -> Iterable[tuple[int, str]]:
        return people.users(self.server)

    def merge_user(self, session: str, user: str) -> bool:
        return people.merge_user(self.server, session, user)

    def erase_user(self, user: str) -> bool:
        return events.erase_user(self.server, user)

    def names_of(self, user: str) -> tuple[str, ...]:
        return people.names_of(self.server, user)

    def erased_users(self) -> Ints:
        return people.erased_users(self.server)

    def counts(self) -> Counts:
        return Counts(*(self.server.one("SELECT items, users, events FROM state") or (0, 0, 0)))

    def revision(self) -> int:
        return int((self.server.one("SELECT revision FROM state") or (0,))[0])

    def put_vectors(self, space: Space, hashes: Sequence[str], vectors_: Floats) -> None:
        vectors.put_vectors(self.server, space, hashes, vectors_)

    def has_vectors(self, space: Space, hashes: Sequence[str]) -> Bools:
        return vectors.has_vectors(self.server, space, hashes)

    def link_content(self, item: str, space: Space, hash: str) -> None:
        vectors.link_content(self.server, item, space, hash)

    def vectors(self, space: Space) -> tuple[Ints, Floats]:
        return vectors.vectors(self.server, space)

    def spaces(self) -> list[Space]:
        return vectors.spaces(self.server)

    def put_fact(self, item: str, key: str, value: Any) -> None:
        items.put_fact(self.server, item, key, value)

    def facts(self, item: str) -> dict[str, Any]:
        return items.facts(self.server, item)

    def all_facts(self, key: str) -> Iterable[tuple[int, Any]]:
        return items.all_facts(self.server, key)

    def put_file(self, record: FileRecord) -> None:
        items.put_file(self.server, record)

    def files(self) -> list[FileRecord]:
        return items.files(self.server)

    def put_release(self, digest: str, manifest: Mapping[str, Any]) -> None:
        items.put_release(self.server, digest, manifest)

    def release(self) -> tuple[str, dict[str, Any]] | None:
        return items.release(self.server)

    def releases(self) -> list[tuple[str, dict[str, Any]]]:
        return items.releases(self.server)

    def use_release(self, digest: str) -> None:
        items.use_release(self.server, digest)

    def drop_release(self, digest: str) -> bool:
        return items.drop_release(self.server, digest)

    def releases_used(self) -> list[tuple[float, str]]:
        return items.releases_used(self.server)

    def close(self) -> None:
        self.server.close()


def copied(url: str, path: Path) -> None:
    """All rows of the store at an address as an SQLite file. Raises ``store.*`` errors."""
    with closing(PostgresStore(url, read_only=True)) as store:
        to_sqlite(store.server, path)


def replaced(path: Path, url: str) -> None:
    """The rows of an SQLite file in the place of all that the store at an address holds."""
    with closing(PostgresStore(url)) as store:
        from_sqlite(path, store.server)
        events.scrub(store.server)
