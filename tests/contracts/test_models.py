"""One suite over every model: the answer on a checkerboard, equal runs, arrays there and back, silence where nothing is
known, reasons that add up, and data at its smallest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from matinee.models import RECIPES, load_model, load_recipe, tensors
from matinee.models.batch import BatchScorer
from matinee.models.linear import ItemWeights, item_weights
from matinee.types import Candidates
from tests.contracts.checkerboard import ITEMS, START, USERS, checkerboard, log, query, rated

UNPERSONAL = {"popular", "popular_recent", "popular_fading", "random"}
PERSONAL = sorted(set(RECIPES) - UNPERSONAL)
RATED = {"explicit_mf"}  # learns from likes against dislikes, so it gets a board with both; knows items' means too
# what a blend says of an item depends on the others it is compared with, and it learns its weights
RELATIVE = {name for name in RECIPES if RECIPES[name].model.split(":")[0] in ("blend", "ranked")}
ADDS_UP = (
    "linear:ItemWeights", "content:ContentModel", "content_euclid:ContentEuclidModel", "interests:InterestsModel",
    "user_knn:UserKNNModel", "memories:MemoriesModel", "factors:Factors", "marec:MARecModel",
)  # fmt: skip
ADDITIVE = sorted(name for name in RECIPES if RECIPES[name].model in ADDS_UP)
NEURAL = {name for name in RECIPES if RECIPES[name].extra == "neural"}
KNOWS_COLD = {name for name in RECIPES if "content" in name} | {"marec", "default", "lambdarank"} | NEURAL
KNOWS_COLD |= {"blend", "blend_even", "switching"}
TINY = {"width": 16, "length": 10, "epochs": 20, "batch": 4, "rate": 0.01}


def recipe(name):
    """The recipe of a name; deep ones at a size for 320 events."""
    if name in NEURAL:
        pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'matinee[neural]'")
        given = {**TINY, "batch": 16} if RECIPES[name].looks else TINY
        return load_recipe(
            name, {key: value for key, value in given.items() if RECIPES[name].looks <= (key != "length")}
        )
    if RECIPES[name].extra == "ranker":
        pytest.importorskip("lightgbm", reason="LightGBM is not installed: pip install 'matinee[ranker]'")
    return load_recipe(name)


def every(items) -> Candidates:
    items = np.asarray(items, np.int64)
    return Candidates(items, np.full(len(items), np.nan, np.float32), np.zeros(len(items), np.int64))


@pytest.fixture(scope="module")
def board():
    return checkerboard()


@pytest.fixture(scope="module")
def fitted(board):
    kept = {}

    def fit(name):
        if name not in kept:
            kept[name] = recipe(name).fit(rated() if name in RATED else board, seed=7)
        return kept[name]

    return fit


@pytest.mark.parametrize("name", PERSONAL)
def test_own_colour_comes_first(name, fitted) -> None:
    for colour in (0, 1):
        watched = [colour, colour + 4, colour + 8]
        best = fitted(name).retrieve(query(watched), ITEMS).items
        fresh = [i for i in best if i not in watched][:5]
        assert len(fresh) == 5
        assert all(i % 2 == colour for i in fresh), fresh


@pytest.mark.parametrize("name", PERSONAL)
def test_a_dislike_pushes_its_colour_down(name, fitted) -> None:
    score = fitted(name).score(query([0, 3], [1.0, -1.0]), every(range(4, ITEMS - 2)))
    assert score[0::2].mean() > score[1::2].mean()


@pytest.mark.parametrize("name", PERSONAL)
def test_a_user_nobody_has_seen_is_served_from_the_history(name, fitted) -> None:
    unseen = query([2, 6, 10], user="somebody who was not in the log")
    assert np.isfinite(fitted(name).score(unseen, every(range(ITEMS - 2)))).all()


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_equal_data_and_seed_give_equal_models(name, board, fitted) -> None:
    again = recipe(name).fit(rated() if name in RATED else board, seed=7)
    one, two = fitted(name).arrays(), again.arrays()
    assert one.keys() == two.keys()
    assert all(np.array_equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_arrays_rebuild_the_model_through_a_file(name, fitted) -> None:
    model = fitted(name)
    rebuilt = load_model(name, tensors.unpack(tensors.pack(model.arrays())))
    assert rebuilt.name == model.name == name
    for items in ([], [1, 5], [0, 3, 8, 23, 99]):
        asked = query(items)
        np.testing.assert_array_equal(rebuilt.score(asked, every(range(30))), model.score(asked, every(range(30))))
        assert rebuilt.retrieve(asked, 9).items.tolist() == model.retrieve(asked, 9).items.tolist()
        np.testing.assert_array_equal(rebuilt.explain(asked, np.arange(30)), model.explain(asked, np.arange(30)))


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_arrays_are_finite(name, fitted) -> None:
    assert all(np.isfinite(array).all() for array in fitted(name).arrays().values())


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_retrieve_is_the_order_of_score(name, fitted) -> None:
    asked = query([1, 5, 9])
    found = fitted(name).retrieve(asked, 10)
    assert len(found) == 10
    assert len(set(found.items.tolist())) == 10
    assert found.items.dtype == np.int64
    assert found.score.dtype == np.float32
    assert (np.diff(found.score) <= 0).all()
    assert not found.source.any()
    if name not in RELATIVE:
        everything = fitted(name).score(asked, every(range(ITEMS)))
        np.testing.assert_allclose(everything[found.items], found.score, rtol=1e-4, atol=1e-5)
        rest = np.setdiff1d(np.arange(ITEMS), found.items)
        assert np.nanmax(everything[rest]) <= found.score[-1] + 1e-4


BATCHES = ("linear:ItemWeights", "marec:MARecModel", "factors:Factors")
BATCHED = sorted(name for name in RECIPES if RECIPES[name].model in BATCHES)


@pytest.mark.parametrize("items", [list(range(ITEMS)), [3, ITEMS + 5, 0, 3, -1]])
@pytest.mark.parametrize("kept", [0, 3])
@pytest.mark.parametrize("name", BATCHED)
def test_a_batch_is_each_query_by_itself(name, kept, items, fitted) -> None:
    """Dense and sparse, repeats, dislikes, histories that say nothing, items out of reach."""
    model = fitted(name)
    weights = model.ease if name == "marec" else model
    if kept and isinstance(weights, ItemWeights) and not len(weights.starts):  # as above ``DENSE_ITEMS``
        sparse = item_weights(weights.name, weights.values, weights.known, weights.power, keep=kept)
        model = replace(model, ease=sparse) if name == "marec" else sparse
    assert isinstance(model, BatchScorer)
    disliked = query([0, 4, 1])
    disliked = replace(disliked, history=replace(disliked.history, strength=np.array([1, -1, 0.5], np.float32)))
    queries = [
        query([0, 4]),
        query([]),
        query([ITEMS + 5]),
        disliked,
        query([2, 2, 7, 0, 2]),
        query(list(range(ITEMS))),
    ]
    asked = every(items)
    each = np.stack([model.score(one, asked) for one in queries])
    np.testing.assert_allclose(model.score_batch(queries, asked.items), each, rtol=1e-4, atol=1e-5)
    assert not np.isnan(each[0]).all()


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_more_than_there_is_and_nothing_at_all(name, fitted) -> None:
    assert len(fitted(name).retrieve(query([1]), 1000)) <= ITEMS
    assert len(fitted(name).retrieve(query([1]), 0)) == 0
    assert fitted(name).score(query([1]), every([])).shape == (0,)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_items_out_of_reach_score_nan(name, fitted) -> None:
    score = fitted(name).score(query([1, 5]), every([3, ITEMS, ITEMS + 1000]))
    assert score.dtype == np.float32
    assert np.isfinite(score[0])
    assert np.isnan(score[1:]).all()


@pytest.mark.parametrize("name", sorted(set(RECIPES) - {"random"}))
def test_an_item_nobody_watched_is_known_to_content_only(name, fitted) -> None:
    score = fitted(name).score(query([1, 5]), every(range(ITEMS)))
    assert np.isfinite(score[ITEMS - 1]) == (name in KNOWS_COLD)
    if name in KNOWS_COLD:
        assert score[ITEMS - 1] > score[ITEMS - 2], "the odd history is nearer to the odd cold item"


@pytest.mark.parametrize("name", sorted(RECIPES))
@pytest.mark.parametrize("items", [[], [ITEMS + 5], [ITEMS + 5, 10**9]])
def test_a_history_that_says_nothing(name, items, fitted) -> None:
    asked = query(items)
    score = fitted(name).score(asked, every(range(ITEMS)))
    if name in UNPERSONAL | RATED | {"switching"}:  # the last falls back on what most watch
        assert np.isfinite(score).any()
        assert len(fitted(name).retrieve(asked, 5)) == 5
    elif name not in RELATIVE:
        assert np.isnan(score).all()
        assert len(fitted(name).retrieve(asked, 5)) == 0
    explained = fitted(name).explain(asked, np.arange(3))
    assert explained.shape in ((3, 0), (3, len(items)))
    assert not explained.any()


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_impressions_say_nothing(name, fitted) -> None:
    with_them, without = query([1, 4, 5], [1, 0, 1]), query([1, 5])
    score = [fitted(name).score(asked, every(range(ITEMS))) for asked in (with_them, without)]
    np.testing.assert_allclose(score[0], score[1], rtol=1e-5)


@pytest.mark.parametrize("name", ADDITIVE)
def test_reasons_sum_to_the_score(name, fitted) -> None:
    asked = query([1, 4, 5, 99, 1, 6], [1, 0.5, 0.8, 1, 0.4, -1])
    items = np.array([3, 0, 12, ITEMS - 1, ITEMS, 7])
    explained, score = fitted(name).explain(asked, items), fitted(name).score(asked, every(items))
    assert explained.shape == (6, 6)
    assert explained.dtype == np.float32
    spoken = np.isfinite(score)
    assert spoken.sum() >= 4
    np.testing.assert_allclose(explained[spoken].sum(1), score[spoken], rtol=1e-4, atol=1e-5)
    assert not explained[~spoken].any()
    assert not explained[:, 3].any(), "an item out of reach adds nothing"


SMALL = {
    "no items, no users": log([], 0, 0),
    "no events": log([], 3, 5),
    "one event": log([(0, 0, START, 1.0)], 1, 1),
    "one user": log([(0, i, START + i, 1.0) for i in range(5)], 1, 5),
    "users all the same": log([(u, i, START + i, 1.0) for u in range(9) for i in range(6)], 9, 7),
    "one item again and again": log([(0, 2, START + i, 1.0) for i in range(30)], 1, 4),
    "dislikes only": log([(u, i, START + i, -1.0) for u in range(3) for i in range(4)], 3, 4),
    "impressions only": log([(u, i, START + i, 0.0) for u in range(3) for i in range(4)], 3, 4),
    "one moment": log([(u, i, START, 1.0) for u in range(4) for i in range(u, 5)], 4, 5),
}


@pytest.mark.parametrize("name", sorted(RECIPES))
@pytest.mark.parametrize("what", SMALL)
def test_data_at_its_smallest(name, what) -> None:
    data = SMALL[what]
    model = recipe(name).fit(data, seed=0)
    assert all(np.isfinite(array).all() for array in model.arrays().values())
    for items in ([], [0], [0, 1, 2]):
        asked = query(items)
        found = model.retrieve(asked, 3)
        assert len(found) <= min(3, data.n_items)
        assert np.isfinite(found.score).all()
        assert (found.items < data.n_items).all()
        score = model.score(asked, every(range(data.n_items + 2)))
        assert score.shape == (data.n_items + 2,)
        assert not np.isinf(score).any()
        assert model.explain(asked, np.arange(2)).shape[0] == 2


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_models_do_not_change_what_they_are_given(name, board) -> None:
    before = [column.copy() for column in (board.users, board.items, board.at, board.strength)]
    features = {key: value.copy() for key, value in board.features.items()}
    model = recipe(name).fit(board, seed=1)
    model.score(query([1, 2]), every(range(ITEMS)))
    after = (board.users, board.items, board.at, board.strength)
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(np.array_equal(features[key], board.features[key]) for key in features)


def test_the_suite_would_find_a_wrong_answer(board) -> None:
    """A control: transitions turned inside out must fail the checkerboard."""
    model = load_recipe("transitions").fit(board, seed=7)
    wrong = ItemWeights("wrong", -model.values, model.starts, model.columns, model.known, model.power)
    best = wrong.retrieve(query([0, 4, 8]), ITEMS).items
    assert not all(i % 2 == 0 for i in best[:5])
    assert board.n_users == USERS
