"""Logs with a heading: CSV, TSV, JSONL, Parquet (user, item and optionally timestamp, value, kind), RecBole's atomic
``.inter``, and Gorse's JSONL export (``FeedbackType``, ``UserId``, ``ItemId``, ``Timestamp``). Headings are those of
``matinee.data.columns``.

RecBole: Zhao et al., CIKM 2021, atomic files. Item tables beside a log: ``ITEM_TABLES``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from matinee.data import cells
from matinee.data.catalogue import item_of, read_items
from matinee.data.columns import STARS, fields_of, kind_of, plain
from matinee.data.datasets.frame import Raw
from matinee.data.rows import JSON_SUFFIXES, headings, refuse, rows
from matinee.types import Item

if TYPE_CHECKING:
    import polars as pl

SUFFIXES = (".csv", ".tsv", ".inter", ".parquet", *JSON_SUFFIXES)
LOGS = ("events", "interactions", "ratings", "log", "feedback", "train")  # the log of a folder is called one of these
ITEM_TABLES = ("items", "item", "films", "movies", "videos", "tracks")  # and its item table one of these
COLUMNS = ("user", "item", "at", "value", "kind")
MILLISECONDS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))  # as in ``cells.moment``


def log_file(path: Path) -> Path | None:
    """The log itself, or the one in a folder: by name, ``FOLDER.inter`` first."""
    if path.is_file():
        return path if path.suffix.lower() in SUFFIXES else None
    if not path.is_dir():
        return None
    inter = sorted(path.glob("*.inter"))
    named = [path / f"{name}{suffix}" for name in LOGS for suffix in SUFFIXES]
    return next((file for file in [*inter[:1], *named] if file.is_file()), None)


def reads(path: Path) -> bool:
    file = log_file(path)
    return file is not None and kind_of(_headings(file), "") == "events"


def read(path: Path) -> Raw:
    """Raises ``catalogue.unreadable`` where the file is not what its name says."""
    file = log_file(path)
    if file is None:
        raise FileNotFoundError(path)
    names = _headings(file)
    fields = fields_of(names, "events")
    if "item" not in fields:
        raise refuse(file, "it has no column for the item.", "没有条目列。", "dataset.unknown")
    wanted = {name: named[0] for name, named in fields.items() if name in COLUMNS}
    frame, unreadable = _frame(file, wanted)
    style = style_of(file)
    stars = "value" in wanted and plain(wanted["value"]) in (*STARS, "value")
    items, item_files = beside(file)
    repairs = {"unreadable": unreadable}
    return Raw(style, frame, True, (file, *item_files), items, stars=stars, repairs=repairs)


def style_of(file: Path) -> str:
    """``recbole``, ``gorse``, or what a plain table's name ends in."""
    if file.suffix == ".inter":
        return "recbole"
    gorse = {"feedbacktype", "userid", "itemid"} <= {plain(name) for name in _headings(file)}
    return "gorse" if gorse else file.suffix.lower().lstrip(".")


def _headings(file: Path) -> list[str]:
    try:
        return headings(file)
    except OSError:
        return []


def _frame(file: Path, wanted: dict[str, str]) -> tuple[pl.DataFrame, int]:
    import polars as pl

    unreadable = 0
    try:
        if file.suffix.lower() == ".parquet":
            frame = pl.read_parquet(file, columns=list(wanted.values()))
        elif file.suffix.lower() in JSON_SUFFIXES:
            frame, unreadable = _json_frame(file, wanted)
        else:
            frame = _csv_frame(file)
    except pl.exceptions.PolarsError as error:
        raise refuse(file, f"it cannot be read: {error}.", f"无法读取：{error}。") from error
    frame = frame.select(pl.col(heading).alias(name) for name, heading in wanted.items())
    frame = frame.with_columns(_ids(frame, name) for name in ("user", "item"))
    if "at" in wanted:
        frame = frame.with_columns(_times(frame["at"]).alias("at"))
    if "kind" in wanted:
        frame = frame.with_columns(pl.col("kind").cast(pl.String, strict=False))
    return frame, unreadable


def _csv_frame(file: Path) -> pl.DataFrame:
    import polars as pl

    with file.open("rb") as f:
        first = f.readline()
    separator = max("\t,;", key=lambda d: first.count(d.encode()))
    quote = None if file.suffix == ".inter" else '"'
    frame = pl.read_csv(
        file, separator=separator, infer_schema=False, truncate_ragged_lines=True, quote_char=quote,
        encoding="utf8-lossy",
    )  # fmt: skip
    return frame.rename({name: name.strip().removeprefix("\ufeff") for name in frame.columns})


def _json_frame(file: Path, wanted: dict[str, str]) -> tuple[pl.DataFrame, int]:
    import polars as pl

    columns: dict[str, list[Any]] = {heading: [] for heading in wanted.values()}
    unreadable = 0
    for _, row in rows(file):
        if isinstance(row, dict):
            for heading, column in columns.items():
                cell = row.get(heading)
                column.append(None if cell is None or isinstance(cell, dict | list) else _plain_text(cell))
        else:
            unreadable += 1
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String)), unreadable


def _plain_text(cell: Any) -> str | None:
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53 else str(cell)


def _ids(frame: pl.DataFrame, name: str) -> pl.Expr:
    """Ids as text; whole floats lose their ``.0``, blanks around them go."""
    import polars as pl

    if frame[name].dtype.is_float():
        whole = (pl.col(name) == pl.col(name).floor()).fill_null(value=False)
        as_int = pl.col(name).cast(pl.Int64, strict=False).cast(pl.String)
        return pl.when(whole).then(as_int).otherwise(pl.col(name).cast(pl.String)).alias(name)
    return pl.col(name).cast(pl.String, strict=False).str.strip_chars().alias(name)


def _times(column: pl.Series) -> pl.Series:
    """(n,) float64 Unix seconds by the rules of ``cells.moment``; null where a cell is no time."""
    import polars as pl

    if column.dtype.is_temporal():
        return column.cast(pl.Datetime("us")).dt.epoch("us") / 1e6
    numbers = column.cast(pl.Float64, strict=False)
    if column.dtype == pl.String and numbers.null_count() > column.null_count():
        numbers = column.map_elements(_moment, return_dtype=pl.Float64, skip_nulls=True)
    seconds = pl.lit(numbers)
    for bound, unit in reversed(MILLISECONDS):
        seconds = pl.when(pl.lit(numbers).abs() >= bound).then(pl.lit(numbers) / unit).otherwise(seconds)
    return pl.select(seconds.alias("at")).to_series()


def _moment(cell: str) -> float | None:
    try:
        return cells.moment(cell)
    except cells.CellError:
        return None


def beside(file: Path) -> tuple[dict[str, Item], tuple[Path, ...]]:
    """The item table beside a log: ``NAME.item`` of RecBole, or a table called as ``ITEM_TABLES`` says."""
    own = file.with_suffix(".item")
    if own.is_file():
        return recbole_items(own), (own,)
    for name in ITEM_TABLES:
        for suffix in (".csv", ".tsv", ".parquet", *JSON_SUFFIXES):
            table = file.with_name(name + suffix)
            if table != file and table.is_file() and kind_of(_headings(table), table.stem) == "items":
                return item_table(table), (table,)
    return {}, ()


def item_table(file: Path) -> dict[str, Item]:
    """Items by id from any table that ``matinee.data.catalogue`` reads, from ``.item`` or from MovieLens' own."""
    if file.suffix == ".item" and file.name != "u.item":
        return recbole_items(file)
    if {"itemid", "labels"} <= {plain(name) for name in _headings(file)} and file.suffix.lower() in JSON_SUFFIXES:
        return gorse_items(file)
    return {item.id: item for batch in read_items(file).batches() for item in batch}


def recbole_items(file: Path) -> dict[str, Item]:
    """``.item``: tab-separated, headings with their type; ``token_seq`` cells are lists split on blanks. A row with a
    cell that cannot be read (a year that is none) keeps its id, title and categories."""
    import csv

    found: dict[str, Item] = {}
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as f:
        reader = csv.reader(f, delimiter="\t", quoting=csv.QUOTE_NONE)
        names = next(reader, [])
        fields = fields_of(names, "items")
        lists = {h for h in names if h.endswith("_seq") and h not in fields.get("title", ())}
        for line in reader:
            row = {n: c.split() if n in lists else c for n, c in zip(names, line, strict=False)}
            if "class" in {plain(n) for n in names} and "categories" not in fields:
                fields["categories"] = tuple(n for n in names if plain(n) == "class")
            item = _item(row, fields) or _item(
                row, {k: fields[k] for k in ("id", "title", "categories") if k in fields}
            )
            if item is not None:
                found.setdefault(item.id, item)
    return found


def _item(row: dict[str, Any], fields: dict[str, tuple[str, ...]]) -> Item | None:
    try:
        return item_of(row, fields)
    except cells.CellError:
        return None


def gorse_items(file: Path) -> dict[str, Item]:
    """Gorse: ``ItemId``, ``Categories``, ``Timestamp``, ``Labels`` (a list, or an object of them), ``Comment``."""
    found: dict[str, Item] = {}
    for _, row in rows(file):
        if not isinstance(row, dict) or not row.get("ItemId"):
            continue
        labels = row.get("Labels")
        tags = _leaves(labels)
        try:
            item = Item(
                id=cells.text(row["ItemId"]), title=cells.text(row.get("Comment") or ""), tags=cells.texts(tags),
                categories=cells.texts(row.get("Categories") or []),
                released=cells.moment(row["Timestamp"]) if row.get("Timestamp") else None,
            )  # fmt: skip
        except cells.CellError:
            continue
        found.setdefault(item.id, item)
    return found


def _leaves(labels: Any) -> list[str]:
    """The words in labels of any nesting; numbers (embeddings) are not words."""
    if isinstance(labels, str):
        return [labels]
    parts = labels.values() if isinstance(labels, dict) else labels if isinstance(labels, list) else ()
    return [word for part in parts for word in _leaves(part)]
