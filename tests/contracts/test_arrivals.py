"""The cold-start expert over a catalogue that grows: the same scores as the model it was trained as, and a place for
what comes, at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from matinee.data.facts import collections_of, fact_vectors, year_of
from matinee.models.marec import MARec, MARecModel
from matinee.pipeline.catalogue import Catalogue, of_items
from matinee.pipeline.neighbours import Neighbours
from matinee.pipeline.taste import without
from matinee.serve.arrivals import Arrived
from matinee.types import Candidates, Floats, Interactions, Item, Query, Space
from tests.contracts.checkerboard import ITEMS, START, checkerboard, query

SPACES = {name: Space(name, "1", dim) for name, dim in (("text", 6), ("frames", 5), ("sound", 4))}
COLOURS = ("Red", "Blue")


def item(row: int) -> Item:
    colour = row % 2
    return Item(
        id=f"i{row}", title=f"{COLOURS[colour]} {row} ({1960 + 30 * colour})", categories=(COLOURS[colour],),
        creators=(f"Maker {colour}, Helper {row}",), language="English" if row % 4 else "French",
    )  # fmt: skip


def every(items: list[int] | range) -> Candidates:
    rows = np.asarray(items, np.int64)
    return Candidates(rows, np.full(len(rows), np.nan, np.float32), np.zeros(len(rows), np.int64))


@pytest.fixture(scope="module")
def board() -> Interactions:
    return replace(checkerboard(), facts=fact_vectors({row: item(row) for row in range(ITEMS)}, ITEMS))


@pytest.fixture(scope="module")
def model(board: Interactions) -> MARecModel:
    return MARec().fit(board, seed=0)


def catalogue(board: Interactions, n: int = ITEMS) -> Catalogue:
    made = of_items([item(row) for row in range(n)])
    for row in range(n):
        made = made.with_item(row, item(row), {SPACES[name]: board.features[name][row] for name in SPACES})
    return made


def over(model: MARecModel, shelf: Catalogue) -> Arrived:
    e = model.ease
    return Arrived(model, Neighbours(e.name, e.values, e.starts, e.columns, e.known, e.power, e.decay), shelf)


@pytest.mark.parametrize("rows", [(0, 4, 8), (1, 3, 2, 5, 9, 11), (7,)])
def test_scores_trials_and_reasons_are_the_models_own(board: Interactions, model: MARecModel, rows) -> None:
    expert, asked, items = over(model, catalogue(board)), query(list(rows)), every(range(ITEMS))
    expected = model.score(asked, items)
    np.testing.assert_allclose(expert.score(asked, items), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(expert.explain(asked, items.items).sum(1), expected, rtol=1e-3, atol=1e-5)
    trials = expert.table(asked, items.items).scores(list(rows[:1]))
    left = without(asked, rows[0])
    if len(left.history):
        kept = model.score(left, items)
        own = np.argsort(-trials[1], kind="stable")[:5], np.argsort(-kept, kind="stable")[:5]
        assert own[0].tolist() == own[1].tolist()
    else:
        assert np.isnan(trials[1]).all()
    assert expert.retrieve(asked, 5).items.tolist() == model.retrieve(asked, 5).items.tolist()


def test_a_new_item_has_its_place_at_once(board: Interactions, model: MARecModel) -> None:
    """Row 24 is like row 0 in all, 25 like row 1; neither was there when the model was trained."""
    shelf = catalogue(board)
    for row, twin in ((24, 0), (25, 1)):
        new = {SPACES[name]: board.features[name][twin] for name in SPACES}
        shelf = shelf.with_item(row, replace_id(item(twin), f"i{row}"), new)
    expert = over(model, shelf)
    even, odd = query([0, 4, 8, 12]), query([1, 5, 9, 13])
    assert np.isnan(model.score(even, every([24, 25]))).all()
    a, b = expert.score(even, every([24, 25])), expert.score(odd, every([24, 25]))
    assert a[0] > a[1]
    assert b[1] > b[0]
    np.testing.assert_allclose(expert.now.content[[24, 25]], model.content[[0, 1]], atol=1e-4)
    terms = expert.table(even, np.array([24])).terms(np.array([0]))
    assert {"text", "frames", "sound"} <= set(terms)
    assert sum(part.sum() for part in terms.values()) == pytest.approx(float(a[0]), rel=1e-3)


def test_a_place_is_worked_out_once_and_again_when_the_item_changes(board: Interactions, model: MARecModel) -> None:
    shelf = catalogue(board).with_item(24, Item(id="new", title="Blue 24 (1990)", categories=("Blue",)), {})
    expert = over(model, shelf)
    first = expert.now.content[24]
    again = replace(expert, catalogue=shelf)
    assert again.kept is expert.kept
    np.testing.assert_array_equal(again.now.content[24], first)
    changed = shelf.with_item(24, Item(id="new", title="Red 24 (1960)", categories=("Red",)), {})
    moved = replace(expert, catalogue=changed)
    score = moved.score(query([0, 4, 8]), every([24]))[0]
    assert score > expert.score(query([0, 4, 8]), every([24]))[0]


def test_an_item_of_which_nothing_is_known_has_no_score(board: Interactions, model: MARecModel) -> None:
    expert = over(model, catalogue(board).with_item(24, Item(id="bare"), {}))
    assert np.isnan(expert.score(query([0, 4]), every([24]))).all()
    assert np.isnan(expert.score(Query(now=START), every([0, 24]))).all()


def test_facts_need_no_vocabulary_and_never_change() -> None:
    one, two = item(0), Item(id="x", title="Something else", description="of the red ones", released=0.0)
    alone, beside = fact_vectors({0: one}, 1), fact_vectors({0: two, 3: one}, 5)
    for name, matrix in alone.items():
        np.testing.assert_array_equal(matrix[0], beside[name][3])
        assert not beside[name][1].any()
    assert year_of(two) == 1970.0
    assert year_of(Item(id="y", title="1984")) is None
    assert year_of(Item(id="z", title="z", released=1e300)) is None
    shared: Floats = alone["words"][0] * beside["words"][0]
    assert shared.any()  # "red"
    assert fact_vectors({}, 3) == {}


def test_collections_are_numbered_only_where_there_are_several() -> None:
    films = {0: Item(id="a", collection="films"), 2: Item(id="b", collection="music"), 3: Item(id="c")}
    assert collections_of(films, 4).tolist() == [1, 0, 2, 0]
    assert not len(collections_of({0: films[0]}, 1))
    assert not len(collections_of({}, 3))


def replace_id(one: Item, id: str) -> Item:
    import msgspec

    return msgspec.structs.replace(one, id=id)
