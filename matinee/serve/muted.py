"""Interests that a viewer took away. What was said of an interest is an event like any other, a ``hide`` without an
item: ``text`` is ``interest:category:Drama`` or ``interest:tag:jazz``, ``value`` 1 takes it away and 0 gives it back.
So it is durable, exported and erased with all else, and the next request follows it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from matinee.pipeline.catalogue import Catalogue
from matinee.protocols import Store
from matinee.types import INTEREST, Controls, Floats, History, Item, Query

HELD_BACK = 3.0  # deviations that an item of such an interest loses
REMEMBERED = 1000  # hides that are looked at
KINDS = ("category", "tag")


def muted(store: Store, user: str | None) -> frozenset[str]:
    """Names such as ``category:Drama`` that the viewer took away; the last word on each counts."""
    said: dict[str, bool] = {}
    for event in store.events_of(user, REMEMBERED, kind="hide") if user is not None else ():
        if event.item is None and event.text and event.text.startswith(INTEREST):
            said.setdefault(event.text.removeprefix(INTEREST), event.value != 0)
    return frozenset(name for name, away in said.items() if away)


def quieted(query: Query, catalogue: Catalogue, names: frozenset[str]) -> Query:
    """The query without these interests: what was liked counts as far as it is of others, and items of theirs are held
    back. The query itself where there are none. O(history)."""
    if not names:
        return query
    history = query.history
    kept = 1 - np.array([share(catalogue, int(row), names) for row in history.items], np.float32)
    strength: Floats = np.where(history.strength > 0, history.strength * kept, history.strength).astype(np.float32)
    boosts = tuple((holds(name), -HELD_BACK) for name in sorted(names))
    given = {name: getattr(query.controls, name) for name in Controls.__struct_fields__}
    controls = Controls(**{**given, "boost": (*query.controls.boost, *boosts)})
    return replace(query, history=History(history.items, history.at, strength, history.kinds), controls=controls)


def share(catalogue: Catalogue, row: int, names: frozenset[str]) -> float:
    """How much of an item is of these interests, 0 to 1: of its categories or of its tags, whichever is more."""
    item = catalogue.items[row] if 0 <= row < catalogue.size else None
    if item is None:
        return 0.0
    parts = [_part(f"{kind}:{each}" in names for each in named) for kind, named in named_in(item)]
    return max(parts, default=0.0)


def _part(held: Iterable[bool]) -> float:
    told = list(held)
    return sum(told) / len(told) if told else 0.0


def named_in(item: Item) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return (("category", item.categories), ("tag", item.tags))


def holds(name: str) -> str:
    """The filter text of an interest's items."""
    kind, _, value = name.partition(":")
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}" in {"categories" if kind == "category" else "tags"}'
