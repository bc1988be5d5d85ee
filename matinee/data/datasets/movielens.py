"""MovieLens as GroupLens ships it: ``u.data`` (100K), ``ratings.dat`` (1M, 10M), ``ratings.csv`` (20M and later).

Harper and Konstan, The MovieLens Datasets, ACM TiiS 5(4), 2015.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from matinee.data.datasets.frame import Raw
from matinee.types import Item

if TYPE_CHECKING:
    import polars as pl

RATING_FILES = ("u.data", "ratings.dat", "ratings.csv")
GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
TAGS = 20  # of each film, the most frequent
YEAR = re.compile(r"\((\d{4})\)\s*$")


def reads(path: Path) -> bool:
    """A folder with one of the rating files, or the file itself with the columns that GroupLens writes."""
    file = rating_file(path)
    if file is None:
        return False
    with file.open("rb") as f:
        first = f.readline(200).strip()
        second = f.readline(200).strip()
    if file.name == "ratings.csv":
        return first.lower().startswith(b"userid,movieid,rating")
    if file.name == "ratings.dat":
        return first.count(b"::") == 3
    return first.count(b"\t") == 3 or second.count(b"\t") == 3 or len(first.split()) == 4


def rating_file(path: Path) -> Path | None:
    if path.is_file():
        return path if path.name in RATING_FILES else None
    return next((path / name for name in RATING_FILES if (path / name).is_file()), None)


def read(path: Path) -> Raw:
    file = rating_file(path)
    if file is None:
        raise FileNotFoundError(path)
    frame, unreadable = _ratings(file)
    items, item_files = item_table(file.parent)
    return Raw("movielens", frame, True, (file, *item_files), items, repairs={"unreadable": unreadable})


def _ratings(file: Path) -> tuple[pl.DataFrame, int]:
    import polars as pl

    names = ["user", "item", "value", "at"]
    separator = {"ratings.csv": ",", "ratings.dat": "::"}.get(file.name, "\t")
    lines = pl.read_csv(
        file, has_header=False, separator="\x01", quote_char=None, new_columns=["line"], infer_schema=False,
        skip_rows=int(file.name == "ratings.csv"), encoding="utf8-lossy",
    )["line"]  # fmt: skip
    frame = lines.str.split_exact(separator, 3).struct.rename_fields(names).struct.unnest()
    at = pl.col("at").str.strip_chars().cast(pl.Float64, strict=False)
    frame = frame.with_columns(pl.col("user", "item").str.strip_chars(), at)
    whole = frame.filter(pl.all_horizontal(pl.col(name).is_not_null() for name in names))
    return whole, len(frame) - len(whole)


def item_table(folder: Path) -> tuple[dict[str, Item], tuple[Path, ...]]:
    """The film table in a folder, whichever of the three GroupLens forms it has; ({}, ()) where there is none."""
    for name, films in (("u.item", _u_item), ("movies.dat", _movies_dat), ("movies.csv", _movies_csv)):
        file = folder / name
        if file.is_file():
            tags = _tags(folder) if name == "movies.csv" else {}
            found = {key: _film(key, title, genres, tags.get(key, ())) for key, title, genres in films(file)}
            extra = (folder / "tags.csv",) if tags else ()
            return found, (file, *extra)
    return {}, ()


def _film(id: str, title: str, genres: tuple[str, ...], tags: tuple[str, ...]) -> Item:
    year = YEAR.search(title)
    released = datetime(int(year[1]), 1, 1, tzinfo=UTC).timestamp() if year and year[1] >= "1800" else None
    return Item(id=id, title=title, categories=genres, tags=tags, released=released, collection="movies")


def _u_item(file: Path) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    for line in _text(file).splitlines():
        cells = line.split("|")
        if len(cells) == 24:
            genres = tuple(g for g, flag in zip(GENRES_100K[1:], cells[6:], strict=True) if flag == "1")
            yield cells[0], cells[1], genres


def _movies_dat(file: Path) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    for line in _text(file).splitlines():
        cells = line.split("::")
        if len(cells) == 3:
            yield cells[0], cells[1], _genres(cells[2])


def _movies_csv(file: Path) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    import csv

    with file.open(encoding="utf-8", errors="replace", newline="") as f:
        for row in csv.DictReader(f):
            if row.get("movieId") and row.get("title") is not None:
                yield row["movieId"], row["title"], _genres(row.get("genres") or "")


def _genres(cell: str) -> tuple[str, ...]:
    return tuple(g for g in cell.strip().split("|") if g and not g.startswith("("))


def _tags(folder: Path) -> dict[str, tuple[str, ...]]:
    import csv
    from collections import Counter

    if not (folder / "tags.csv").is_file():
        return {}
    counts: dict[str, Counter[str]] = {}
    with (folder / "tags.csv").open(encoding="utf-8", errors="replace", newline="") as f:
        for row in csv.DictReader(f):
            if row.get("movieId") and (tag := (row.get("tag") or "").strip().lower()):
                counts.setdefault(row["movieId"], Counter())[tag] += 1
    return {film: tuple(tag for tag, _ in found.most_common(TAGS)) for film, found in counts.items()}


def _text(file: Path) -> str:
    """The older sets are Latin-1; some mirrors ship them as UTF-8."""
    content = file.read_bytes()
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")
