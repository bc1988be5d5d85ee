"""The pictures of a data set's items.

A picture is what the item's ``cover`` names, within the folder of the log or of its item table; or a file called by the
item's id in a folder beside them called as ``FOLDERS`` says.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from matinee.data.datasets.frame import Dataset
from matinee.types import Item

FOLDERS = ("posters", "covers", "pictures", "images")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def pictures_of(data: Dataset) -> dict[int, Path]:
    """row -> the picture of an item of the log, where there is one."""
    keyed = ((row, key, data.catalogue.get(row)) for row, key in enumerate(data.items))
    return _pictures(data, keyed)


def pictures_beyond(data: Dataset) -> dict[int, Path]:
    """The same for the items that the log never names, by their place in ``data.beyond``."""
    return _pictures(data, ((at, item.id, item) for at, item in enumerate(data.beyond)))


def _pictures(data: Dataset, keyed: Iterable[tuple[int, str, Item | None]]) -> dict[int, Path]:
    folders = list(dict.fromkeys(file.resolve().parent for file in data.files))
    called = {
        picture.stem: picture
        for folder in folders for name in FOLDERS if (folder / name).is_dir()
        for picture in sorted((folder / name).iterdir()) if picture.suffix.lower() in SUFFIXES
    }  # fmt: skip
    found = {}
    for row, key, item in keyed:
        named = [folder / item.cover for folder in folders] if item is not None and item.cover else []
        inside = [p for p in named if any(p.resolve().is_relative_to(folder) for folder in folders) and p.is_file()]
        if inside or key in called:
            found[row] = inside[0] if inside else called[key]
    return found
