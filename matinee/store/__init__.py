"""The only state: items, users, events, vectors, facts, files, releases. Open it with ``open_store``."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from matinee.errors import MatineeError

if TYPE_CHECKING:
    from matinee.protocols import Store

DATABASE = "matinee.db"


def open_store(target: str | Path, *, read_only: bool = False) -> Store:
    """The store at a file, in a library's folder, or at ``postgresql://user@host/database``. With ``read_only`` every
    write is refused with ``store.readonly``, and nothing is made or brought up to date.

    Raises ``store.*`` errors that say how to mend them.
    """
    if isinstance(target, str) and is_postgres(target):
        return _postgres(target, read_only)
    from matinee.store.sqlite import SQLiteStore

    path = Path(target)
    return SQLiteStore(path / DATABASE if path.is_dir() else path, read_only=read_only)


def is_postgres(target: str) -> bool:
    return target.startswith(("postgresql://", "postgres://"))


def serving(store: Store) -> AbstractContextManager[None]:
    """The right to serve a store, held until the block ends: one server at a time on an SQLite file that it writes to,
    any number on PostgreSQL and for reading. Raises ``store.served``."""
    from matinee.store.sqlite import SQLiteStore

    if not isinstance(store, SQLiteStore) or store.database.mode != "rw":
        return nullcontext()
    from matinee.store.place import only_server

    return only_server(store.path)


def _postgres(url: str, read_only: bool) -> Store:
    try:
        from matinee.store.postgres.store import PostgresStore
    except ImportError as error:
        raise MatineeError(
            "store.extra_missing",
            "A PostgreSQL store needs an extra: pip install 'matinee[postgres]'",
            "PostgreSQL 存储需要额外组件：pip install 'matinee[postgres]'",
            exit_code=1,
        ) from error
    return PostgresStore(url, read_only=read_only)
