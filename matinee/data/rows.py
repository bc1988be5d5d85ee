"""CSV, JSONL and Parquet as one stream of (row number, row). A row that cannot be read is a ``Bad``, the rest goes on.

Row numbers are what an editor shows: the line of a CSV or JSONL file (where a quoted cell spans lines, its last), and
for Parquet the row, from 1.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from matinee.errors import MatineeError

Row = dict[str, Any]
TEXT_SUFFIXES = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
JSON_SUFFIXES = (".jsonl", ".ndjson")
SUFFIXES = (".csv", ".tsv", *JSON_SUFFIXES, ".parquet")


@dataclass(frozen=True, slots=True)
class Bad:
    """A row that was left out: its number and why."""

    row: int
    reason: str


def refuse(path: Path, en: str, zh: str, code: str = "catalogue.unreadable") -> MatineeError:
    return MatineeError(code, f"{path}: {en}", f"{path}：{zh}")


def headings(path: Path) -> list[str]:
    """The columns of a table. JSONL: the keys of its first 100 objects. Raises ``catalogue.unreadable``."""
    try:
        if path.suffix.lower() == ".parquet":
            import polars as pl

            try:
                return list(pl.read_parquet_schema(path))
            except pl.exceptions.PolarsError as error:
                raise refuse(
                    path, f"it is no Parquet file ({error}).", f"不是有效的 Parquet 文件（{error}）。"
                ) from None
        if path.suffix.lower() in JSON_SUFFIXES:
            keys: dict[str, None] = {}
            for count, (_, row) in enumerate(_jsonl(path)):
                if isinstance(row, dict):
                    keys.update(dict.fromkeys(row))
                if count >= 99:
                    break
            return list(keys)
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            return _header(file.readline())[1]
    except OSError as error:
        raise refuse(path, f"it cannot be read: {error.strerror}.", f"无法读取：{error.strerror}。") from error


def rows(path: Path) -> Iterator[tuple[int, Row | Bad]]:
    """Every row of the table, in order, one at a time: memory does not grow with the file."""
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _parquet(path)
    return _jsonl(path) if suffix in JSON_SUFFIXES else _csv(path)


def _header(line: str) -> tuple[str, list[str]]:
    """The delimiter that cuts a header into most parts, and the parts."""
    delimiter = max("\t,;", key=line.count)
    return delimiter, [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]


def _csv(path: Path) -> Iterator[tuple[int, Row | Bad]]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        delimiter, names = _header(file.readline())
        reader = csv.reader(file, delimiter=delimiter)
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield reader.line_num + 1, Bad(reader.line_num + 1, f"not CSV: {error}")
                continue
            number = reader.line_num + 1
            if not cells:
                continue
            if len(cells) != len(names):
                yield number, Bad(number, f"{len(cells)} cells where the header has {len(names)}")
            else:
                yield number, dict(zip(names, cells, strict=True))


def _jsonl(path: Path) -> Iterator[tuple[int, Row | Bad]]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            line = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
            if not line.strip():
                continue
            try:
                row = msgspec.json.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                yield number, Bad(number, f"not JSON: {error}")
                continue
            yield number, row if isinstance(row, dict) else Bad(number, "not a JSON object")


def _parquet(path: Path) -> Iterator[tuple[int, Row | Bad]]:
    import polars as pl

    lazy = pl.scan_parquet(path)
    size, start = 50_000, 0
    while True:
        try:
            part = lazy.slice(start, size).collect()
        except pl.exceptions.PolarsError as error:
            yield start + 1, Bad(start + 1, f"the rows from here on cannot be read: {error}")
            return
        yield from enumerate(part.iter_rows(named=True), start=start + 1)
        if len(part) < size:
            return
        start += size
