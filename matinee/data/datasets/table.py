"""The formats of data sets that can be read, in the order in which a path is tried. One line a format."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from matinee.data.columns import nearest
from matinee.data.datasets import movielens, sequences, tables
from matinee.data.datasets.frame import Dataset, Raw, build
from matinee.data.datasets.people import people
from matinee.data.rows import refuse
from matinee.errors import MatineeError


@dataclass(frozen=True, slots=True)
class Format:
    reads: Callable[[Path], bool]
    read: Callable[[Path], Raw]
    looks: str


FORMATS: dict[str, Format] = {
    "movielens": Format(movielens.reads, movielens.read, "u.data, ratings.dat or ratings.csv as GroupLens ships them"),
    "table": Format(tables.reads, tables.read, "CSV, JSONL, Parquet or .inter with columns user and item"),
    "lightgcn": Format(sequences.reads_lightgcn, sequences.read_lightgcn, "a folder with train.txt and test.txt"),
    "sasrec": Format(sequences.reads_sasrec, sequences.read_sasrec, "text, a user and one item a line"),
    "sequences": Format(sequences.reads_sequences, sequences.read_sequences, "text, a user and its items a line"),
}


def read_dataset(path: Path, format: str | None = None) -> Dataset:
    """The data set at a file or folder. Its format is found by looking; ``format`` names it where that fails.

    Raises ``dataset.missing``, ``dataset.unknown`` (with what was looked for and what lies there) or
    ``dataset.format`` (with the nearest name).
    """
    if not path.exists():
        raise MatineeError("dataset.missing", f"There is nothing at {path}.", f"{path} 不存在。")
    if format is not None:
        if format not in FORMATS:
            near, all_names = nearest(format, FORMATS), ", ".join(FORMATS)
            raise MatineeError(
                "dataset.format",
                f"There is no format {format!r}; did you mean {near!r}? Known: {all_names}.",
                f"没有名为 {format!r} 的格式；是否指 {near!r}？可用：{all_names}。",
            )
        return build(_checked(path, FORMATS[format].read), path)
    for one in FORMATS.values():
        if _quietly(one.reads, path):
            return build(_checked(path, one.read), path)
    raise _unknown(path)


def is_dataset(path: Path) -> bool:
    """Whether ``read_dataset`` knows the format of a path."""
    return path.exists() and any(_quietly(one.reads, path) for one in FORMATS.values())


def style_of(path: Path) -> str | None:
    """What ``read_dataset`` would call the format of a path: a name of ``FORMATS``, with ``recbole``, ``gorse`` or what
    a plain table's name ends in for ``table``; None where it knows none. Reads a few lines."""
    found = next((name for name, one in FORMATS.items() if path.exists() and _quietly(one.reads, path)), None)
    file = tables.log_file(path) if found == "table" else None
    return found if file is None else tables.style_of(file)


def _quietly(reads: Callable[[Path], bool], path: Path) -> bool:
    try:
        return reads(path)
    except (OSError, MatineeError, UnicodeDecodeError):
        return False


def _checked(path: Path, read: Callable[[Path], Raw]) -> Raw:
    import polars as pl

    try:
        raw = read(path)
        known, files = people(path if path.is_dir() else path.parent)
        return replace(raw, people=known, files=(*raw.files, *(file for file in files if file not in raw.files)))
    except (OSError, csv.Error, pl.exceptions.PolarsError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise refuse(path, f"it cannot be read: {why}.", f"无法读取：{why}。") from error


def _unknown(path: Path) -> MatineeError:
    looked = "; ".join(one.looks for one in FORMATS.values())
    if path.is_dir():
        there = ", ".join(sorted(p.name for p in path.iterdir())[:8]) or "nothing"
        en, zh = f"the folder holds {there}", f"文件夹中有 {there}"
    elif path.suffix.lower() == ".zip":
        en, zh = "it is an archive; unpack it and name the folder", "这是压缩包；请先解压，再指定文件夹"
    elif path.stat().st_size == 0:
        en, zh = "it is empty", "文件是空的"
    else:
        with path.open("rb") as f:
            first = f.readline(80).decode("utf-8", "replace").strip()
        en, zh = f"it begins with {first!r}", f"开头是 {first!r}"
    return refuse(
        path,
        f"not a data set that can be read: {en}. Looked for: {looked}.",
        f"无法识别的数据集：{zh}。支持的格式：{looked}。",
        "dataset.unknown",
    )
