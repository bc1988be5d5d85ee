"""Which files lie under the paths a user names, and what their names say."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from matinee.media.read import MEDIA
from matinee.media.tags import cleaned

CATALOGUES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
SKIPPED = ("@eadir", "$recycle.bin", "lost+found", "__macosx")  # what storage devices leave about


@dataclass(frozen=True, slots=True)
class Found:
    """A media file and the folder it was found under; ``id`` is its path from there, the same on every machine."""

    path: Path
    root: Path

    @property
    def id(self) -> str:
        relative = self.path.relative_to(self.root) if self.path != self.root else Path(self.path.name)
        return unicodedata.normalize("NFC", relative.as_posix())


def walk(root: Path) -> Iterator[Path]:
    """Regular files below a folder in a steady order. Links and hidden files are passed over."""
    for folder, folders, files in os.walk(root, followlinks=False):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f.lower() not in SKIPPED)
        for name in sorted(files):
            path = Path(folder) / name
            if not name.startswith(".") and not path.is_symlink():
                yield path


def find(paths: Sequence[Path]) -> tuple[list[Found], list[Path]]:
    """The media files and the catalogues under files and folders. A file named outright is taken whatever its name ends
    in; in folders the ending decides."""
    media: dict[Path, Found] = {}
    catalogues: dict[Path, None] = {}
    for given in paths:
        root = Path(os.path.abspath(given))
        if not root.is_dir():
            if root.suffix.lower() in CATALOGUES:
                catalogues[root] = None
            else:
                media.setdefault(root, Found(root, root.parent))
            continue
        for path in walk(root):
            if path.suffix.lower() in CATALOGUES:
                catalogues[path] = None
            elif path.suffix.lower() in MEDIA:
                media.setdefault(path, Found(path, root))
    return list(media.values()), list(catalogues)


def title_of(path: Path) -> str:
    """A file's name as a title: without its ending, with spaces for the marks that stand for them."""
    name = cleaned(path.stem, 300)
    if " " not in name:
        name = re.sub(r"[_.]+|(?<=\D)-(?=\D)", " ", name)
    return re.sub(r"\s+", " ", name).strip() or cleaned(path.name, 300)


def readable_name(path: Path) -> bool:
    """Whether a name is text that a database and a page can show: valid Unicode and no control signs."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return not any(unicodedata.category(c) == "Cc" for c in str(path))
