"""The covers of a library's items, for recipes that learn from pixels."""

from __future__ import annotations

from matinee.media.thumbs import Progress, thumbs
from matinee.protocols import Store
from matinee.settings import Library
from matinee.types import Pixels


def covers(library: Library, store: Store, n_items: int, progress: Progress) -> Pixels:
    """(n_items, 32, 32, 3) uint8, all black for an item without a cover in the library's own folder."""
    files = {
        row: library.path / item.cover
        for row, item in store.items()
        if row < n_items and item.cover and (library.path / item.cover).parent == library.covers
    }
    return thumbs({row: file for row, file in files.items() if file.is_file()}, n_items, progress)
