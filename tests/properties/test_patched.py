"""A catalogue changed item by item is the one that reading everything anew would make."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from matinee.pipeline.catalogue import Catalogue, of_items
from matinee.pipeline.shelf import LARGE, Shelf
from matinee.serve.find import Words
from matinee.types import Item, Space

SPACE = Space("text", "test", 4)
FEW = st.sampled_from(["a", "b", "c", "d"])
ITEM = st.builds(
    Item, id=st.just("-"), title=st.sampled_from(["", "Unknown", "A title"]), collection=FEW,
    categories=st.lists(FEW, max_size=3).map(tuple), released=st.none() | st.floats(0, 10),
    expires=st.none() | st.floats(0, 10), creators=st.lists(FEW, max_size=2).map(tuple),
    duration=st.none() | st.floats(1, 900), tags=st.lists(FEW, max_size=1).map(tuple),
    properties=st.dictionaries(st.sampled_from(["live_from", "live_until"]), st.floats(0, 9) | st.booleans()),
)  # fmt: skip
FILTERS = ('"a" in categories', "duration < 300", 'title == "a title" or "b" in tags', '"a" in topics')
KEPT = {"nameless", "lengths", "live", "order_of_arrival", "creator", "creators", "masks", "texts"}
STEP = st.tuples(st.integers(0, 8), st.none() | ITEM, st.booleans())


def told(catalogue: Catalogue) -> dict[str, object]:
    """All that is known of it, without the numbers that collections happen to have."""
    named = [catalogue.collections[at] if at >= 0 else None for at in catalogue.collection]
    return {
        "items": catalogue.items, "rows": dict(catalogue.rows), "alive": catalogue.alive.tolist(),
        "collection": [name for name, alive in zip(named, catalogue.alive, strict=True) if alive],
        "categories": {name: rows.tolist() for name, rows in catalogue.categories.items()},
        "released": catalogue.released[catalogue.alive].tolist(),
        "expires": catalogue.expires[catalogue.alive].tolist(),
        **worked_out(catalogue),
    }  # fmt: skip


def worked_out(catalogue: Catalogue) -> dict[str, object]:
    """What is kept for every item once it was asked for."""
    names = {number: name for name, number in catalogue.creators.items()}
    return {
        "nameless": catalogue.nameless.tolist(),
        "lengths": np.nan_to_num(catalogue.lengths, nan=-1).tolist(),
        "live": [times.tolist() for times in catalogue.live],
        "order": catalogue.order_of_arrival.tolist(),
        "creator": [names.get(number) for number in catalogue.creator.tolist()],
        "where": {text: catalogue.where(text).tolist() for text in FILTERS},
        "texts": catalogue.texts,
        "match": Words.of(catalogue).match("a title").tolist(),
    }


@given(st.lists(ITEM, max_size=5), st.lists(STEP, max_size=12))
def test_change_by_change_as_all_at_once(first: list[Item], steps: list[tuple[int, Item | None, bool]]) -> None:
    items: list[Item | None] = [Item(**{**fields(item), "id": f"i{row}"}) for row, item in enumerate(first)]
    catalogue = of_items(items)
    for row, item, look in steps:
        if look:
            worked_out(catalogue)  # now, and kept from then on
        if item is None:
            if row < len(items) and items[row] is not None:
                items[row], catalogue = None, catalogue.without(row)
            continue
        items += [None] * (row + 1 - len(items))
        items[row] = Item(**{**fields(item), "id": f"i{row}"})
        catalogue = catalogue.with_item(row, items[row], {})
    fresh = of_items(items)
    if any(step[2] for step in steps):
        assert set(catalogue.__dict__) >= KEPT  # none was dropped, so none is worked out from nothing here
    assert told(catalogue) == told(fresh)


def test_a_filter_text_is_asked_again_only_of_what_changed() -> None:
    items = [Item(id=f"i{row}", title="x", duration=float(row)) for row in range(50)]
    catalogue = of_items(items)
    before = catalogue.where("duration < 10")
    assert catalogue.where("duration < 10") is before
    catalogue = catalogue.with_item(3, Item(id="i3", title="x", duration=99.0), {}).without(4)
    catalogue = catalogue.with_item(51, Item(id="i51", title="x", duration=1.0), {})
    assert catalogue.masks["duration < 10"][1] == (3, 4, 51)
    after = catalogue.where("duration < 10")
    assert np.flatnonzero(after).tolist() == [0, 1, 2, 5, 6, 7, 8, 9, 51]
    assert np.flatnonzero(before).tolist() == list(range(10))  # requests under way go on with theirs
    assert catalogue.where("duration < 10") is after


def fields(item: Item) -> dict[str, object]:
    return {name: getattr(item, name) for name in item.__struct_fields__}


def test_a_vector_more_keeps_the_lists_and_the_shelf_as_if_built_with_it() -> None:
    chance = np.random.default_rng(0)
    vectors = chance.standard_normal((LARGE, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    shelf = Shelf.build(SPACE, np.arange(LARGE), vectors, LARGE)
    assert "lists" not in shelf.with_vector(3, vectors[0], LARGE).__dict__  # none there, none kept
    lists = shelf.lists
    items = [Item(id=f"i{row}", title="x") for row in range(LARGE)]
    catalogue = Catalogue(**{**of_items(items).__dict__, "shelves": {"text": shelf}})
    wanted = dict(enumerate(vectors))
    for row in (7, LARGE, LARGE + 2):  # another vector, a new item, a new one after a hole
        wanted[row] = vectors[row % 5]
        catalogue = catalogue.with_item(row, Item(id=f"i{row}", title="x"), {SPACE: wanted[row]})
        made = catalogue.shelves["text"]
        assert made.__dict__["lists"].vectors is lists.vectors  # not built again
        assert row in made.lists.near(made.centred(np.array([row]))[0], 5)[0]
        assert len(made.place) == catalogue.size
        np.testing.assert_array_equal(made.rows, sorted(wanted))
        np.testing.assert_array_equal(made.rows, np.flatnonzero(made.place >= 0))
        np.testing.assert_array_equal(made.take(made.rows), [wanted[known] for known in sorted(wanted)])
        length = np.linalg.norm(made.vectors - made.mean, axis=1)
        np.testing.assert_allclose(made.scale, 1 / length, rtol=1e-5)
    bare = catalogue.with_item(LARGE + 3, Item(id="bare", title="x"), {})
    assert bare.shelves["text"].__dict__["lists"].vectors is lists.vectors
