"""The only state: items, users, events, vectors, facts, files, releases. Open it with ``open_store``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from matinee.errors import MatineeError

if TYPE_CHECKING:
    from matinee.protocols import Store

DATABASE = "matinee.db"


def open_store(target: str | Path) -> Store:
    """The store at a file, in a library's folder, or at ``postgresql://user@host/database``.

    Raises ``store.*`` errors that say how to mend them.
    """
    if isinstance(target, str) and target.startswith(("postgresql://", "postgres://")):
        return _postgres(target)
    from matinee.store.sqlite import SQLiteStore

    path = Path(target)
    return SQLiteStore(path / DATABASE if path.is_dir() else path)


def _postgres(url: str) -> Store:
    try:
        from matinee.store.postgres.store import PostgresStore
    except ImportError as error:
        raise MatineeError(
            "store.extra_missing",
            "A PostgreSQL store needs an extra: pip install 'matinee[postgres]'",
            "PostgreSQL 存储需要额外组件：pip install 'matinee[postgres]'",
            exit_code=1,
        ) from error
    return PostgresStore(url)
