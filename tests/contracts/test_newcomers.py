"""What every family says of who and what is new: a user from the first event, an item by its content; where its
mathematics reaches neither, NaN and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from matinee.models import RECIPES
from tests.contracts.checkerboard import ITEMS, USERS, checkerboard, pictures, query, rated
from tests.contracts.test_models import PERSONAL, RATED, UNPERSONAL, every, recipe

# families whose models take in items that came after training: these and no others
GROW = {
    "content:ContentModel", "content_euclid:ContentEuclidModel", "interests:InterestsModel", "marec:MARecModel",
    "neural.served:SequenceModel", "neural.seen:SeenModel",
}  # fmt: skip
NEW = 4  # rows added after training: even, odd, even, and one of which nothing is known


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


def grown(model, board):
    """The model over features with the new rows, which copy items 0, 1 and 2; None where it takes in none."""
    if hasattr(model, "with_features"):
        features = {}
        for name, vectors in board.features.items():
            unknown = np.full((1, vectors.shape[1]), np.nan, np.float32)
            features[name] = np.concatenate([vectors, vectors[:3], unknown])
        return model.with_features(features)
    if hasattr(model, "with_pictures"):
        dark = np.zeros_like(board.pictures[:1])
        return model.with_pictures(np.concatenate([board.pictures, board.pictures[:3], dark]))
    return None


@pytest.mark.parametrize("name", PERSONAL)
def test_the_first_event_of_a_new_user_is_enough(name, fitted) -> None:
    for item in (2, 3):
        score = fitted(name).score(query([item], user=f"new-{USERS}"), every(range(ITEMS - 2)))
        assert np.isfinite(score).all()
        assert score[item % 2 :: 2].mean() > score[1 - item % 2 :: 2].mean(), "one event says the colour"


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_rows_that_came_after_training_are_nan_until_their_content_is_taken_in(name, fitted, board) -> None:
    model, fresh = fitted(name), every(range(ITEMS, ITEMS + NEW))
    assert np.isnan(model.score(query([1, 5]), fresh)).all()
    wider = grown(model, board)
    assert (wider is not None) == (RECIPES[name].model in GROW)
    if wider is None:
        return
    for items in ([2, 6], [1, 5]):
        score = wider.score(query(items), fresh)
        assert np.isfinite(score[:3]).all()
        assert np.isnan(score[3]), "nothing is known of it"
        own = items[0] % 2
        assert score[own] > score[1 - own], "its content says whom it suits"
    assert set(wider.retrieve(query([1, 5]), 3 * ITEMS).items.tolist()) >= {ITEMS, ITEMS + 1, ITEMS + 2}


@pytest.mark.parametrize("name", sorted(set(RECIPES) - UNPERSONAL))
def test_nobody_is_told_what_nobody_knows(name, fitted) -> None:
    """Never an infinity, never a number for a row that is out of reach, for any history."""
    far = every([ITEMS + 50, 10**12])
    for items in ([], [0], [ITEMS - 1], [ITEMS + 50], [0, 1, ITEMS + 50]):
        asked = query(items)
        assert np.isnan(fitted(name).score(asked, far)).all()
        assert not np.isinf(fitted(name).score(asked, every(range(ITEMS)))).any()
        found = fitted(name).retrieve(asked, ITEMS)
        assert np.isfinite(found.score).all()
        assert (found.items < ITEMS).all()


def test_the_board_has_pictures_of_two_colours() -> None:
    made = pictures(np.random.default_rng(0)).mean((1, 2))
    assert (made[0::2, 0] > made[0::2, 2]).all()
    assert (made[1::2, 0] < made[1::2, 2]).all()
