"""Text files of numbers or ids without a heading for each column.

- ``sequences``: a line is a user and then its items, oldest first, by tab or blank (``1<tab>31 86 20`` or ``1 31 86``);
  the first line may be a heading.
- ``sasrec``: a line is a user and one item, a user's lines oldest first (Kang and McAuley, ICDM 2018).
- ``lightgcn``: a folder with ``train.txt`` and ``test.txt``, a line is a user and its items in no order (He et al.,
  SIGIR 2020). Both files are read as one log: Matinee makes its own splits.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from matinee.data.datasets.frame import Raw
from matinee.data.datasets.movielens import item_table as movielens_items
from matinee.data.datasets.tables import beside
from matinee.types import Item

SUFFIXES = (".tsv", ".txt", ".dat", ".seq", "")
NAMES = ("sequences.tsv", "sequences.txt")
SNIFFED = 200  # lines looked at to tell the formats apart


def reads_lightgcn(path: Path) -> bool:
    return path.is_dir() and all(_lines_of_ids(path / name) for name in ("train.txt", "test.txt"))


def reads_sasrec(path: Path) -> bool:
    """Every line has exactly two words and some user comes twice."""
    if not path.is_file() or path.suffix not in SUFFIXES or not _lines_of_ids(path):
        return False
    lines = [line.split() for line in _head(path)]
    users = [line[0] for line in lines if line]
    return all(len(line) == 2 for line in lines if line) and len(set(users)) < len(users)


def reads_sequences(path: Path) -> bool:
    file = sequence_file(path)
    return file is not None and _lines_of_ids(file) and not reads_sasrec(file)


def sequence_file(path: Path) -> Path | None:
    if path.is_file():
        return path if path.suffix in SUFFIXES else None
    return next((path / name for name in NAMES if (path / name).is_file()), None)


def _head(file: Path) -> list[str]:
    with file.open(encoding="utf-8-sig", errors="replace") as f:
        return [line for _, line in zip(range(SNIFFED), f, strict=False)]


def _lines_of_ids(file: Path) -> bool:
    """Whether, after a heading at most, lines are blank-separated ids: digits in most words, no commas or colons."""
    if not file.is_file():
        return False
    lines = [line.split() for line in _head(file) if line.strip()]
    body = lines[1:] if lines and not _ids(lines[0]) else lines
    return bool(body) and all(_ids(line) for line in body) and any(len(line) > 1 for line in body)


def _ids(words: list[str]) -> bool:
    return all(any(c.isdigit() for c in w) and not set(w) & set(',;:{}"|.') for w in words)


def read_sequences(path: Path) -> Raw:
    file = sequence_file(path) or path
    return _raw("sequences", [file], ordered=True)


def read_sasrec(path: Path) -> Raw:
    return _raw("sasrec", [path], ordered=True)


def read_lightgcn(path: Path) -> Raw:
    return _raw("lightgcn", [path / "train.txt", path / "test.txt"], ordered=False)


def _raw(style: str, files: list[Path], *, ordered: bool) -> Raw:
    import polars as pl

    users: list[str] = []
    items: list[str] = []
    empty = 0
    for file in files:
        for user, own in _lines(file):
            users.extend([user] * len(own))
            items.extend(own)
            empty += not own
    known, tables = _items_beside(files[0])
    frame = pl.DataFrame({"user": users, "item": items}, schema={"user": pl.String, "item": pl.String})
    return Raw(style, frame, ordered, (*files, *tables), known, repairs={"users_without_items": empty})


def _lines(file: Path) -> Iterator[tuple[str, list[str]]]:
    with file.open(encoding="utf-8-sig", errors="replace") as f:
        for number, line in enumerate(f):
            words = line.split()
            if words and (number or _ids(words)):
                yield words[0], words[1:]


def _items_beside(file: Path) -> tuple[dict[str, Item], tuple[Path, ...]]:
    """A rich table beside it first, else one that MovieLens ships; of both, the rich one's items."""
    rich, rich_files = beside(file)
    plain, plain_files = movielens_items(file.parent)
    return {**plain, **rich}, (*plain_files, *rich_files)
