"""Every implementation assigned to its Protocol: nothing runs here, the strict type checker proves that each fits."""

from __future__ import annotations

from pathlib import Path

from matinee.protocols import Store
from matinee.store.sqlite import SQLiteStore


def sqlite(path: Path) -> Store:
    return SQLiteStore(path)
