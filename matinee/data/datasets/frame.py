"""What every reader of a data set hands over, and the rules that make a ``Dataset`` of it.

Stated rules, each counted in ``repairs``:

- ``unreadable``: a row that its format cannot read is left out.
- ``missing``: a row without a user, an item or (where the file has a time column) a time is left out.
- ``bad_value``: a value that is no number becomes none; the row stays.
- ``unknown_kind``: a row of a kind that is none of ours is left out.
- ``no_item``: a row that names no item by its kind (a search) is left out.
- ``duplicates``: a row equal to an earlier one in user, item, kind, time and value is left out. In files without times
  a pair stated again is one only where the order means nothing; in an ordered file it is a repeat and stays.
- ``unsorted``: rows are put in (user, time) order, ties in file order; counted are the rows that lay earlier in time
  than the row of the same user before them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.data.columns import KIND_NAMES, plain
from matinee.data.facts import collections_of, fact_vectors
from matinee.data.rows import Bad, refuse
from matinee.data.strength import RATING, strengths
from matinee.protocols import Log
from matinee.types import EVENT_KINDS, Floats, Interactions, Ints, Item, Pixels

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True)
class Raw:
    """What a reader found, before the rules.

    ``frame``: polars columns ``user``, ``item`` (text), and where the file has them ``at`` (float64 seconds),
    ``value`` (text or number), ``kind`` (text). ``ordered``: whether rows of a user are oldest first where there is no
    time. ``stars``: a value without a kind is stars. ``files``: all that was read. ``items``: what is known of items,
    ``people``: of users.
    """

    format: str
    frame: pl.DataFrame
    ordered: bool
    files: tuple[Path, ...]
    items: Mapping[str, Item] = field(default_factory=dict)
    people: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    stars: bool = True
    repairs: Mapping[str, int] = field(default_factory=dict)
    bad: tuple[Bad, ...] = ()


@dataclass(frozen=True, slots=True)
class Dataset:
    """A log with public ids, sorted by (user, time).

    ``users`` and ``items``: row -> id, in order of first sight in the file. ``log``: columns as the store gives them;
    ``value`` NaN = none. ``timed``: ``log.at`` is real time; otherwise it is the row's place among the user's own, from
    0, and means order only where ``ordered``. ``catalogue``: row -> Item where an item table knows it; ``beyond``:
    items of the table that the log never names. ``files``: all that was read. ``people``: what a table of users says of
    them, by id.
    """

    name: str
    format: str
    users: tuple[str, ...]
    items: tuple[str, ...]
    log: Log
    timed: bool
    ordered: bool
    catalogue: Mapping[int, Item]
    files: tuple[Path, ...]
    repairs: Mapping[str, int]
    bad: tuple[Bad, ...] = ()
    features: Mapping[str, Floats] = field(default_factory=dict)
    beyond: tuple[Item, ...] = ()
    pictures: Pixels | None = None
    people: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def interactions(self, feedback: str = "watched") -> Interactions:
        """The log for training. ``watched``: every rating counts 1, whatever its stars (what papers on MovieLens do);
        ``liked``: stars count as ``matinee.data.strength`` says. Other kinds always count as it says."""
        strength = strengths(self.log.kinds, self.log.value)
        if feedback == "watched":
            strength = np.where(self.log.kinds == RATING, np.float32(1.0), strength)
        size = len(self.users), len(self.items)
        facts, groups = fact_vectors(self.catalogue, size[1]), collections_of(self.catalogue, size[1])
        log = self.log
        known = dict(self.features)
        return Interactions(log.users, log.items, log.at, strength, *size, known, facts, groups, self.pictures)

    def with_features(self, features: Mapping[str, Floats]) -> Dataset:
        return replace(self, features={**self.features, **features})


def build(raw: Raw, path: Path) -> Dataset:
    """Applies the rules. Raises ``dataset.empty`` where no row is left. O(n log n)."""
    import polars as pl

    repairs = dict(raw.repairs)
    frame, timed = raw.frame, "at" in raw.frame.columns
    needed = ["user", "item", *(["at"] if timed else [])]
    if "kind" in frame.columns:
        itemless = pl.col("kind").str.to_lowercase().eq("search") & (pl.col("item").is_null() | (pl.col("item") == ""))
        frame = _count(repairs, "no_item", frame, itemless)
    blank = pl.any_horizontal(pl.col(c).is_null() for c in needed) | (pl.col("user") == "") | (pl.col("item") == "")
    blank = blank | ~pl.col("at").is_finite() if timed else blank
    frame = _count(repairs, "missing", frame, blank)
    frame = _values(repairs, frame)
    frame = _kinds(repairs, frame, stars=raw.stars)
    if not timed:
        place = pl.int_range(pl.len()).over("user").cast(pl.Float64)
        frame = frame.with_columns(place.alias("at"))
    if timed or not raw.ordered:
        subset = ["user", "item", "kind", "value", *(["at"] if timed else [])]
        kept = frame.unique(subset=subset, keep="first", maintain_order=True)
        repairs["duplicates"] = repairs.get("duplicates", 0) + len(frame) - len(kept)
        frame = kept
    if frame.is_empty():
        raise refuse(path, "no row of it can be used.", "没有任何可用的行。", "dataset.empty")
    return _arrays(raw, path, frame, timed=timed, repairs=repairs)


def _arrays(raw: Raw, path: Path, frame: pl.DataFrame, *, timed: bool, repairs: dict[str, int]) -> Dataset:
    users, user_rows = _rows_of(frame["user"])
    items, item_rows = _rows_of(frame["item"])
    at = frame["at"].to_numpy().astype(np.float64)
    by_user = np.argsort(user_rows, kind="stable")
    same = np.diff(user_rows[by_user]) == 0
    unsorted = int((same & (np.diff(at[by_user]) < 0)).sum())
    if unsorted:
        repairs["unsorted"] = unsorted
    order = np.lexsort((at, user_rows))
    log = Log(
        sequence=np.arange(1, len(order) + 1, dtype=np.int64),
        users=user_rows[order],
        items=item_rows[order],
        kinds=frame["kind"].to_numpy().astype(np.int64)[order],
        at=at[order],
        value=frame["value"].fill_null(float("nan")).to_numpy().astype(np.float64)[order],
    )
    catalogue = {row: raw.items[key] for row, key in enumerate(items) if key in raw.items}
    named = set(items)
    beyond = tuple(item for key, item in raw.items.items() if key not in named)
    counted = {name: count for name, count in repairs.items() if count}
    name = path.stem if path.is_file() else path.resolve().name
    return Dataset(
        name=name, format=raw.format, users=users, items=items, log=log, timed=timed, ordered=timed or raw.ordered,
        catalogue=catalogue, files=raw.files, repairs=counted, bad=raw.bad, beyond=beyond, people=raw.people,
    )  # fmt: skip


def _count(repairs: dict[str, int], name: str, frame: pl.DataFrame, out: pl.Expr) -> pl.DataFrame:
    kept = frame.filter(~out.fill_null(value=False))
    repairs[name] = repairs.get(name, 0) + len(frame) - len(kept)
    return kept


def _values(repairs: dict[str, int], frame: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    if "value" not in frame.columns:
        return frame.with_columns(pl.lit(None, pl.Float64).alias("value"))
    given = frame["value"]
    stated = given.is_not_null() & (given != "") if given.dtype == pl.String else given.is_not_null()
    value = given.cast(pl.Float64, strict=False)
    value = pl.select(pl.when(value.is_finite()).then(value).otherwise(None)).to_series()
    repairs["bad_value"] = int((stated & value.is_null()).sum())
    return frame.with_columns(value.alias("value"))


def _kinds(repairs: dict[str, int], frame: pl.DataFrame, *, stars: bool) -> pl.DataFrame:
    """``kind`` as codes. Where none is stated a row with a value is a rating (``stars``) and one without a play."""
    import polars as pl

    rating, play = EVENT_KINDS.index("rating"), EVENT_KINDS.index("play")
    default = pl.when(pl.col("value").is_not_null() & pl.lit(stars)).then(rating).otherwise(play)
    if "kind" not in frame.columns:
        return frame.with_columns(default.cast(pl.Int64).alias("kind"))
    codes = {}
    for name in frame["kind"].drop_nulls().unique().to_list():
        kind = KIND_NAMES.get(plain(name), plain(name))
        codes[name] = EVENT_KINDS.index(kind) if kind in EVENT_KINDS else -1
    blank = pl.col("kind").is_null() | (pl.col("kind").str.strip_chars() == "")
    code = pl.col("kind").replace_strict(codes, default=-1, return_dtype=pl.Int64)
    frame = frame.with_columns(pl.when(blank).then(default).otherwise(code).cast(pl.Int64).alias("kind"))
    return _count(repairs, "unknown_kind", frame, pl.col("kind") < 0)


def _rows_of(ids: pl.Series) -> tuple[tuple[str, ...], Ints]:
    """The distinct ids in order of first sight, and the (n,) int64 row of each."""
    import polars as pl

    distinct = ids.unique(maintain_order=True)
    frame = pl.DataFrame({"id": distinct, "row": np.arange(len(distinct), dtype=np.int64)})
    joined = pl.DataFrame({"id": ids}).join(frame, on="id", how="left", maintain_order="left")
    return tuple(distinct.to_list()), joined["row"].to_numpy().astype(np.int64)
