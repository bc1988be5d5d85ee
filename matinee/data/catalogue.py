"""A catalogue is a file of items, users or events: CSV, TSV, JSONL or Parquet. Read it like this::

    table = read_catalogue(path)            # or read_items(path), read_events(path), read_users(path)
    for batch in table.batches():           # lists of Item, Event or User, at most 1,000 long
        ...
    print(table.report.say())               # complete once the batches are used up

Stated rules: headings are those of ``matinee.data.columns``; list columns are split on ``|``; times are Unix seconds or
milliseconds or ISO 8601; an empty cell is a missing one. A row that cannot be used is left out and reported with its
number and the reason, the rest goes on. A row whose id came before in the file is a duplicate: the first one stays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from matinee.data import cells
from matinee.data.columns import (
    COLUMNS,
    KIND_NAMES,
    LIST_FIELDS,
    STARS,
    TEXTS,
    Kind,
    fields_of,
    kind_of,
    nearest,
    plain,
)
from matinee.data.rows import SUFFIXES, Bad, Row, headings, refuse, rows
from matinee.types import EVENT_KINDS, Event, Item

BATCH = 1000
KEPT = 1000  # bad rows kept with their reasons; beyond that they are only counted


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A user of a users table. The store makes users of their events; ``profile`` says who they are: what is known by a
    usual name under that (country, language, age, gender, occupation), the rest under its own heading."""

    id: str
    profile: dict[str, Any] = {}


T = TypeVar("T", Item, Event, User)
Fields = dict[str, tuple[str, ...]]


@dataclass(slots=True)
class CatalogueReport:
    """What reading a table found; grows while its batches are read. ``untimed`` events got their row number as time."""

    path: Path
    kind: Kind
    rows: int = 0
    taken: int = 0
    duplicates: int = 0
    refused: int = 0
    untimed: int = 0
    bad: list[Bad] = field(default_factory=list)

    def say(self) -> str:
        parts = [f"{self.path.name}: {self.taken} of {self.rows} {self.kind} taken"]
        parts += [f"{self.duplicates} duplicates"] if self.duplicates else []
        parts += [f"{self.untimed} without a time, in the order of the file"] if self.untimed else []
        parts += [f"{self.refused} rows refused"] if self.refused else []
        lines = [f"  row {b.row}: {b.reason}" for b in self.bad[:10]]
        return "\n".join(["; ".join(parts), *lines])


@dataclass(frozen=True, slots=True)
class Table(Generic[T]):
    """One catalogue file and how its rows become nouns. ``batches`` reads it once from the start."""

    kind: Kind
    report: CatalogueReport
    make: Callable[[int, Row], T]

    def batches(self) -> Iterator[list[T]]:
        seen: set[str] = set()
        batch: list[T] = []
        for number, row in rows(self.report.path):
            noun = self._take(number, row, seen)
            if noun is not None:
                batch.append(noun)
            if len(batch) == BATCH:
                yield batch
                batch = []
        if batch:
            yield batch

    def _take(self, number: int, row: Row | Bad, seen: set[str]) -> T | None:
        self.report.rows += 1
        try:
            if isinstance(row, Bad):
                raise cells.CellError(row.reason)
            noun = self.make(number, row)
        except cells.CellError as error:
            self.report.refused += 1
            if len(self.report.bad) < KEPT:
                self.report.bad.append(Bad(number, str(error)))
            return None
        if noun.id in seen:
            self.report.duplicates += 1
            return None
        seen.add(noun.id)
        self.report.taken += 1
        return noun


def is_catalogue(path: Path) -> bool:
    """Whether the name says that it may be one; ``sniff`` looks inside."""
    return path.suffix.lower() in SUFFIXES


def sniff(path: Path) -> Kind:
    """What a table holds, by its headings. Raises ``catalogue.unknown`` or ``.unreadable``."""
    if not is_catalogue(path):
        known = ", ".join(SUFFIXES)
        raise refuse(
            path,
            f"not a catalogue. It must end in {known}.",
            f"不是目录文件。文件名须以 {known} 结尾。",
            "catalogue.unknown",
        )
    names = headings(path)
    kind = kind_of(names, path.stem)
    if kind is None:
        shown = ", ".join(names[:12]) or "nothing"
        raise refuse(
            path,
            f"its columns ({shown}) are not those of items (id, title), users (user) or events (user, item).",
            f"列（{shown}）既不是条目（id、title），也不是用户（user），也不是事件（user、item）。",
            "catalogue.unknown",
        )
    return kind


def read_catalogue(path: Path) -> Table[Item] | Table[Event] | Table[User]:
    """The table of any kind; ``table.kind`` says which. Reads only the header now."""
    kind = sniff(path)
    return read_items(path) if kind == "items" else read_events(path) if kind == "events" else read_users(path)


def read_items(path: Path) -> Table[Item]:
    fields = _fields(path, "items", ("id",))
    return Table("items", CatalogueReport(path, "items"), lambda _, row: item_of(row, fields))


def read_events(path: Path) -> Table[Event]:
    fields = _fields(path, "events", ("user",))
    report = CatalogueReport(path, "events")

    def make(number: int, row: Row) -> Event:
        event = event_of(row, fields, number)
        report.untimed += "at" not in fields
        return event

    return Table("events", report, make)


def read_users(path: Path) -> Table[User]:
    fields = _fields(path, "users", ("id",))
    return Table("users", CatalogueReport(path, "users"), lambda _, row: user_of(row, fields))


def _fields(path: Path, kind: Kind, needed: tuple[str, ...]) -> Fields:
    fields = fields_of(headings(path), kind)
    for name in needed:
        if name not in fields:
            called = ", ".join(COLUMNS[kind][name])
            raise refuse(
                path,
                f"a table of {kind} needs a column for {name}, called one of: {called}.",
                f"{kind} 表缺少 {name} 列，列名可为：{called}。",
                "catalogue.unknown",
            )
    return fields


def _one(row: Row, fields: Fields, name: str) -> Any:
    """The cell of a field, None where it is missing."""
    cell = row.get(fields[name][0]) if name in fields else None
    return None if cells.missing(cell) else cell


def _say(name: str, read: Callable[[Any], Any], cell: Any) -> Any:
    try:
        return read(cell)
    except cells.CellError as error:
        raise cells.CellError(f"{name}: {error}") from None


def _released(cell: Any) -> float:
    return cells.moment(cell, years=True)


ITEM_READERS: dict[str, Callable[[Any], Any]] = {
    "title": cells.text, "description": cells.text, "language": cells.text, "duration": cells.seconds,
    "released": _released, "expires": _released, "media": cells.text, "cover": cells.text, "series": cells.text,
    "season": cells.whole, "episode": cells.whole, "collection": cells.text,
}  # fmt: skip


def item_of(row: Row, fields: Fields) -> Item:
    """A row as an Item; ``fields`` is of ``columns.fields_of``. Raises ``CellError``."""
    found: dict[str, Any] = {}
    for name, read in ITEM_READERS.items():
        if (cell := _one(row, fields, name)) is not None:
            found[name] = _say(name, read, cell)
    for name in LIST_FIELDS:
        parts: tuple[str, ...] = ()
        for heading in fields.get(name, ()):
            if not cells.missing(cell := row.get(heading)):
                parts += _say(name, cells.texts, cell)
        found[name] = tuple(dict.fromkeys(parts))
    return Item(id=_id(_one(row, fields, "id"), "an item"), properties=_properties(row, fields), **found)


def user_of(row: Row, fields: Fields) -> User:
    usual = {name: _say(name, cells.plain, cell) for name in fields if (cell := _one(row, fields, name)) is not None}
    told = {name: cell for name, cell in usual.items() if name not in ("id", "properties")}
    return User(id=_id(_one(row, fields, "id"), "a user"), profile={**_properties(row, fields), **told})


def event_of(row: Row, fields: Fields, number: int) -> Event:
    """A row as an Event. Without a kind it is a rating where the value's heading says stars, a comment where there are
    words, else a play; without an id it gets one made of its content, so the same row read again is a duplicate. Raises
    ``CellError``."""
    user = _id(_one(row, fields, "user"), "a user")
    kind = _kind(_one(row, fields, "kind"), fields)
    item_cell = _one(row, fields, "item")
    if item_cell is None and kind != "search":
        raise cells.CellError(f"a {kind} without an item")
    item = None if item_cell is None else _say("item", cells.text, item_cell)
    at = _at(row, fields, number)
    value = _one(row, fields, "value")
    value = None if value is None else _say("value", cells.number, value)
    texts = {name: _one(row, fields, name) for name in ("text", "session", "slate")}
    found = {name: _say(name, cells.text, cell) for name, cell in texts.items() if cell is not None}
    given = _one(row, fields, "id")
    content = (user, item, kind, at, value, *([found["text"]] if "text" in found else []))
    name = _say("id", cells.text, given) if given is not None else made_id(content)
    return Event(id=name, user=user, item=item, kind=kind, at=at, value=value, **found)  # type: ignore[arg-type]


def _at(row: Row, fields: Fields, number: int) -> float:
    if "at" not in fields:
        return float(number)
    cell = _one(row, fields, "at")
    if cell is None:
        raise cells.CellError("no time")
    at: float = _say("time", cells.moment, cell)
    if at < 0:
        raise cells.CellError(f"time: {cell!r} lies before 1970")
    return at


def _id(cell: Any, whose: str) -> str:
    if cell is None:
        raise cells.CellError(f"{whose} without an id")
    name: str = _say("id", cells.text, cell)
    return name


def _kind(cell: Any, fields: Fields) -> str:
    if cell is None:
        if "value" in fields and plain(fields["value"][0]) in STARS:
            return "rating"
        return "comment" if "text" in fields and plain(fields["text"][0]) in TEXTS else "play"
    name: str = _say("kind", cells.text, cell)
    kind = KIND_NAMES.get(plain(name), plain(name))
    if kind not in EVENT_KINDS:
        raise cells.CellError(f"unknown kind {name!r}; the nearest is {nearest(kind, EVENT_KINDS)!r}")
    return kind


def made_id(content: tuple[str | float | None, ...]) -> str:
    """An event id made of what the event says (user, item, kind, at, value, text where there is one)."""
    return "row-" + hashlib.blake2b(msgspec.json.encode(content), digest_size=16).hexdigest()


def _properties(row: Row, fields: Fields) -> dict[str, Any]:
    """What no field took, missing cells left out; a ``properties`` column of objects is spread."""
    taken = {heading for headings in fields.values() for heading in headings}
    rest = {k: c for k, c in row.items() if k not in taken and not cells.missing(c)}
    inner = _one(row, fields, "properties")
    if isinstance(inner, str):
        try:
            inner = msgspec.json.decode(inner)
        except msgspec.DecodeError:
            raise cells.CellError("properties: not JSON") from None
    if inner is not None and not isinstance(inner, dict):
        raise cells.CellError("properties: not an object")
    whole: dict[str, Any] = msgspec.to_builtins({**rest, **(inner or {})})
    _say("properties", _encodable, whole)
    return whole


def _encodable(value: Any) -> None:
    try:
        msgspec.json.encode(value)
    except (UnicodeEncodeError, TypeError, OverflowError):
        raise cells.CellError("it is not UTF-8 or has no JSON form") from None
