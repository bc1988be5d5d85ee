"""The only state: items, users, events, vectors, facts, files, releases. Open it with ``open_store``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matinee.protocols import Store

DATABASE = "matinee.db"


def open_store(target: str | Path) -> Store:
    """The store at a file, or in a library's folder. Raises ``store.*`` errors that say how to mend them."""
    from matinee.store.sqlite import SQLiteStore

    path = Path(target)
    return SQLiteStore(path / DATABASE if path.is_dir() else path)
