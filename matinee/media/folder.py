"""Which files lie under the paths a user names, and what their names say."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from matinee.media.read import MEDIA
from matinee.media.side import is_art

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


def without_art(paths: Iterable[Path]) -> Iterator[Path]:
    """Leaves out posters and other pictures that belong to the video or sound beside them."""
    folders: dict[Path, list[Path]] = {}
    for path in paths:
        folders.setdefault(path.parent, []).append(path)
    for files in folders.values():
        stems = {p.stem.lower() for p in files if MEDIA.get(p.suffix.lower()) in ("video", "audio")}
        yield from (p for p in files if not stems or not is_art(p, stems))


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
        for path in without_art(walk(root)):
            if path.suffix.lower() in CATALOGUES:
                catalogues[path] = None
            elif path.suffix.lower() in MEDIA:
                media.setdefault(path, Found(path, root))
    return list(media.values()), list(catalogues)


def readable_name(path: Path) -> bool:
    """Whether a name is text that a database and a page can show: valid Unicode and no control signs."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return not any(unicodedata.category(c) == "Cc" for c in str(path))
