"""What is worked out of every item once and then asked for row by row. When one item changes, its row is worked out
anew and the rest is carried over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.pipeline.expression import parse
from matinee.pipeline.tokens import folded
from matinee.types import Bools, Doubles, Ints, Item

if TYPE_CHECKING:
    from matinee.pipeline.catalogue import Catalogue

NAMELESS = ("", "unknown", "untitled", "no title", "无标题", "未知")
MASKS = 32  # filter texts whose answer is kept
LATE = 1000  # items that may have changed since an answer was worked out; then it is forgotten
Texts = tuple[str, str, str, str]  # title; tags, categories and creators; description; words within
Mask = tuple[Bools, tuple[int, ...]]  # of which items a filter text holds, and those to be asked again


def nameless(item: Item | None) -> bool:
    return item is not None and item.title.strip().casefold() in NAMELESS


def length(item: Item | None, media: Mapping[str, Any]) -> float:
    told = item.duration if item is not None and item.duration else media.get("duration")
    return float(told) if isinstance(told, int | float) and told > 0 else np.nan


def live(item: Item | None) -> tuple[float, float]:
    told = [item.properties.get(name) if item else None for name in ("live_from", "live_until")]
    begun, ended = (float(t) if isinstance(t, int | float) and not isinstance(t, bool) else np.inf for t in told)
    return begun, ended


def texts(item: Item, within: str) -> Texts:
    names = folded(" ".join((*item.tags, *item.categories, *item.creators)))
    return folded(item.title), names, folded(item.description), within


def arrival(alive: Bools, released: Doubles) -> Ints:
    """Rows that are alive, newest first: by release time where known, else by row (a later row arrived later)."""
    rows = np.flatnonzero(alive)
    return rows[np.lexsort((-rows, -released[rows]))].astype(np.int64)


def numbered(names: dict[str, int], item: Item | None) -> int:
    """The number of an item's first creator, a new one where nobody has named that one; -1 where it names none."""
    return names.setdefault(item.creators[0], len(names)) if item is not None and item.creators else -1


def where(catalogue: Catalogue, text: str, known: Mask | None) -> Bools:
    """(size,) the items of which a filter text holds; of those that are ``known`` only what changed is asked again."""
    if known is not None and not known[1]:
        return known[0]
    topics, rows = catalogue.topics, catalogue.rows
    test = parse(text, lambda item: [name for pair in topics.get(rows[item.id], ()) for name in pair])
    items = catalogue.items
    if known is None:
        return np.fromiter((item is not None and test.holds(item) for item in items), np.bool_, catalogue.size)
    mask: Bools = grown(known[0], catalogue.size, False)
    for row in known[1]:
        mask[row] = (item := items[row]) is not None and test.holds(item)
    return mask


def carry(old: Catalogue, new: Catalogue, row: int) -> None:
    """Takes over what was worked out for every item, with one row worked out anew. Copies arrays, O(size), but looks at
    one item; a filter text is asked of it when it is next needed."""
    known, made, item = old.__dict__, new.__dict__, new.items[row]
    rows: dict[str, tuple[Callable[[], Any], Any]] = {
        "nameless": (lambda: nameless(item), False),
        "lengths": (lambda: length(item, new.media.get(row, {})), np.nan),
    }
    for name, (told, none) in rows.items():
        if name in known:
            made[name] = at(known[name], new.size, row, told(), none)
    if "live" in known:
        made["live"] = tuple(at(v, new.size, row, t, np.inf) for v, t in zip(known["live"], live(item), strict=True))
    if "texts" in known:
        told_of = list(known["texts"]) + [None] * (new.size - old.size)
        told_of[row] = None if item is None else texts(item, new.within.get(row, ""))
        made["texts"] = told_of
    if "creator" in known:
        names = dict(old.creators)
        made["creator"] = at(known["creator"], new.size, row, numbered(names, item), -1)
        made["creators"] = names
    if "order_of_arrival" in known:
        made["order_of_arrival"] = _moved(known["order_of_arrival"], new, row)
    made["masks"] = {
        text: (mask, (*late, row)) for text, (mask, late) in dict(old.masks).items() if len(late) < LATE
    }  # fmt: skip


def _moved(order: Ints, new: Catalogue, row: int) -> Ints:
    """The order of arrival with one row taken out and, where it is alive, put to its place."""
    rest: Ints = order[order != row]
    if not new.alive[row]:
        return rest
    then, at_row = new.released[rest], new.released[row]
    before = (then > at_row) | ((then == at_row) & (rest > row))
    moved: Ints = np.insert(rest, int(before.sum()), row)
    return moved


def grown(values: Any, size: int, none: Any) -> Any:
    """A copy (size,); rows that are new hold ``none``."""
    out = np.full(size, none, values.dtype)
    out[: len(values)] = values
    return out


def at(values: Any, size: int, row: int, value: Any, none: Any) -> Any:
    """A copy (size,) with another value in one row; rows that are new hold ``none``."""
    out = grown(values, size, none)
    out[row] = value
    return out


def all_texts(items: Sequence[Item | None], within: Mapping[int, str]) -> list[Texts | None]:
    return [None if item is None else texts(item, within.get(row, "")) for row, item in enumerate(items)]
