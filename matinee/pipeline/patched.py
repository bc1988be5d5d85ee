"""One item put into a catalogue without reading all the others again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.types import Ints, Item

if TYPE_CHECKING:
    from matinee.pipeline.catalogue import Catalogue


def put(catalogue: Catalogue, row: int, item: Item) -> Catalogue | None:
    """The catalogue with an item new or replaced at a row, its shelves as they were. None where that is not to be had
    by changing a little: the row was deleted before, or a collection loses its last item. Copies arrays, O(size), but
    looks at one item."""
    old = catalogue.items[row] if row < catalogue.size else None
    if (old is None and row < catalogue.size) or (old is not None and old.id != item.id):
        return None
    size = max(catalogue.size, row + 1)
    places = {name: at for at, name in enumerate(catalogue.collections)}
    place = places.setdefault(item.collection, len(places))
    collection = _at(catalogue.collection, size, row, place, -1)
    categories = left(catalogue, row, item.categories)
    for name in dict.fromkeys(item.categories):
        held = categories.get(name, np.empty(0, np.int64))
        at = int(np.searchsorted(held, row))
        if at == len(held) or held[at] != row:
            categories[name] = np.insert(held, at, row)
    if old is not None and old.collection != item.collection and not (collection == places[old.collection]).any():
        return None
    items = [*catalogue.items, *[None] * (size - catalogue.size)]
    items[row] = item
    return replace(
        catalogue, items=tuple(items), rows={**catalogue.rows, item.id: row}, collections=tuple(places),
        alive=_at(catalogue.alive, size, row, True, False), collection=collection, categories=categories,
        released=_at(catalogue.released, size, row, -np.inf if item.released is None else item.released, -np.inf),
        expires=_at(catalogue.expires, size, row, np.inf if item.expires is None else item.expires, np.inf),
    )  # fmt: skip


def left(catalogue: Catalogue, row: int, stays: Sequence[str] = ()) -> dict[str, Ints]:
    """The rows of each category once the item at a row has none but ``stays``; of which none is left is not named."""
    categories, old = dict(catalogue.categories), catalogue.items[row] if row < catalogue.size else None
    for name in set(old.categories).difference(stays) if old is not None else ():
        categories[name] = categories[name][categories[name] != row]
        if not len(categories[name]):
            del categories[name]
    return categories


def keep(catalogue: Catalogue, fresh: Catalogue, row: int, of: dict[str, tuple[Callable[[Any], Any], Any]]) -> None:
    """Takes over what was worked out for every item, with one row worked out anew. ``of``: by the name of a cached
    property how it is told of an item, and what stands where there is none."""
    item = fresh.items[row] if row < fresh.size else None
    for name, (told, none) in of.items():
        if (known := catalogue.__dict__.get(name)) is not None:
            fresh.__dict__[name] = _at(known, fresh.size, row, told(item), none)


def _at(values: Any, size: int, row: int, value: Any, none: Any) -> Any:
    """A copy (size,) with another value in one row; rows that are new hold ``none``."""
    out = np.full(size, none, values.dtype)
    out[: len(values)] = values
    out[row] = value
    return out
