"""One item put into a catalogue without reading all the others again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from matinee.pipeline.derived import at
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
    places = {name: spot for spot, name in enumerate(catalogue.collections)}
    place = places.setdefault(item.collection, len(places))
    collection = at(catalogue.collection, size, row, place, -1)
    categories = left(catalogue, row, item.categories)
    for name in dict.fromkeys(item.categories):
        held = categories.get(name, np.empty(0, np.int64))
        spot = int(np.searchsorted(held, row))
        if spot == len(held) or held[spot] != row:
            categories[name] = np.insert(held, spot, row)
    if old is not None and old.collection != item.collection and not (collection == places[old.collection]).any():
        return None
    items = [*catalogue.items, *[None] * (size - catalogue.size)]
    items[row] = item
    return replace(
        catalogue, items=tuple(items), rows={**catalogue.rows, item.id: row}, collections=tuple(places),
        alive=at(catalogue.alive, size, row, True, False), collection=collection, categories=categories,
        released=at(catalogue.released, size, row, -np.inf if item.released is None else item.released, -np.inf),
        expires=at(catalogue.expires, size, row, np.inf if item.expires is None else item.expires, np.inf),
    )  # fmt: skip


def left(catalogue: Catalogue, row: int, stays: Sequence[str] = ()) -> dict[str, Ints]:
    """The rows of each category once the item at a row has none but ``stays``; of which none is left is not named."""
    categories, old = dict(catalogue.categories), catalogue.items[row] if row < catalogue.size else None
    for name in set(old.categories).difference(stays) if old is not None else ():
        categories[name] = categories[name][categories[name] != row]
        if not len(categories[name]):
            del categories[name]
    return categories
