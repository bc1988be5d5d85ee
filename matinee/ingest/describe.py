"""What an item says of itself: the catalogue first, then what was edited in the store, then the files beside the media,
the container's tags, and the file's name. What was filled in is remembered, so it can be filled in anew."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from matinee.media.names import parse
from matinee.media.side import Side
from matinee.types import Item

FILLED = (
    "title", "description", "tags", "categories", "creators", "language", "duration", "released", "series", "season",
    "episode", "cover",
)  # fmt: skip
EMPTY = Item(id="")


def unfilled(item: Item, filled: Mapping[str, Any]) -> Item:
    """The item without what ingest filled in itself and nobody changed since."""
    now = msgspec.to_builtins(item)
    back = {k: getattr(EMPTY, k) for k, v in filled.items() if k in FILLED and now.get(k) == v}
    return msgspec.structs.replace(item, **back)


def described(base: Item, path: Path, kind: str, told: Mapping[str, str], side: Side) -> tuple[Item, dict[str, Any]]:
    """``base`` with its gaps filled, and what was filled in. ``told``: tags of the container."""
    named = parse(path, kind)
    fields = dict(side.fields)
    if "date" in fields:
        fields["released"] = moment(str(fields.pop("date")))
    tags = from_tags(told)
    year = datetime(named.year, 1, 1, tzinfo=UTC).timestamp() if named.year else None
    name: dict[str, Any] = {
        "title": named.title, "series": named.series, "season": named.season, "episode": named.episode,
        "released": year,
    }  # fmt: skip
    changes: dict[str, Any] = {}
    for key in FILLED:
        if getattr(base, key) in ("", (), None):
            value = next((s[key] for s in (fields, tags, name) if s.get(key) not in ("", (), None)), None)
            if value is not None:
                changes[key] = value
    properties = {**side.properties, **base.properties}
    item = msgspec.structs.replace(base, media=str(path), properties=properties, **changes)
    return item, {k: msgspec.to_builtins(v) for k, v in changes.items()}


def from_tags(tags: Mapping[str, str]) -> dict[str, Any]:
    """A container's tags as fields of an item."""
    number = {k: int(m[0]) for k in ("season", "episode") if (m := re.match(r"\d{1,5}", tags.get(k, "")))}
    creators = tags.get("artist") or tags.get("director") or tags.get("composer") or ""
    return {
        "title": tags.get("title"), "description": tags.get("description") or tags.get("comment"),
        "creators": parts(creators, r"[;/]|, (?=[A-Z])"),
        "categories": parts(tags.get("genre", ""), r"[;/,|]"), "tags": parts(tags.get("keywords", ""), r"[;,]"),
        "language": tags.get("language", "")[:20], "series": tags.get("show") or tags.get("album"),
        "released": moment(tags.get("date", "")), **number,
    }  # fmt: skip


def parts(text: str, marks: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(p.strip() for p in re.split(marks, text) if p.strip()))[:10]


def moment(date: str) -> float | None:
    """Unix seconds of a year, a day (also ``20240131``) or a time as tags write them."""
    match = re.match(r"(\d{4})(?:[-/.]?(\d{2})(?:[-/.]?(\d{2}))?)?(?!\d)", date)
    if not match:
        return None
    year, month, day = (int(part or 1) for part in match.groups())
    try:
        return datetime(year, month, day, tzinfo=UTC).timestamp()
    except ValueError:
        return None
