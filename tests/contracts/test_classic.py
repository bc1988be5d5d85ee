"""The untrained descriptors keep the promises of encoders, and tell what they can tell."""

from __future__ import annotations

import numpy as np
import pytest

from matinee.encoders.classic import ColourAndShape, HashedWords, Timbre, words
from matinee.protocols import Encoder
from matinee.types import Clip
from tests import made

CLASSIC: dict[str, Encoder] = {"text": HashedWords(), "frames": ColourAndShape(), "sound": Timbre()}
CLIPS = {
    "text": [Clip(text=t) for t in ("a dog in a park", "dogs in parks", "the stock market", "红色的汽车在路上")],
    "frames": [Clip(frames=np.stack([made.scene(n, 256, 300, k) for k in range(2)])) for n in (1, 1, 2, 3)],
    "sound": [Clip(sound=s) for s in (made.piano(), made.piano((57, 60, 64)), made.siren(), made.siren(300, 500, 2))],
}


@pytest.mark.parametrize("name", CLASSIC)
def test_unit_rows_and_nothing_of_nothing(name):
    encoder = CLASSIC[name]
    rows = encoder.encode([*CLIPS[name], Clip()])
    assert rows.shape == (5, encoder.space.dim)
    assert rows.dtype == np.float32
    assert np.allclose(np.linalg.norm(rows[:4], axis=1), 1, atol=1e-5)
    assert np.isnan(rows[4]).all()
    assert np.array_equal(rows[2:4], encoder.encode(CLIPS[name][2:4]))


@pytest.mark.parametrize("name", CLASSIC)
def test_like_is_nearer_than_unlike(name):
    rows = CLASSIC[name].encode(CLIPS[name])
    assert rows[0] @ rows[1] > max(rows[0] @ rows[2], rows[0] @ rows[3]) + 0.05


def test_short_and_blank_things_are_borne():
    blank = Clip(frames=np.zeros((1, 256, 256, 3), np.uint8), sound=np.zeros(3, np.float32), text="?!")
    assert np.isfinite(ColourAndShape().encode([blank])).all()
    assert np.isnan(HashedWords().encode([blank])).all()
    silent = Timbre().encode([blank])
    assert np.isnan(silent).all() or np.allclose(np.linalg.norm(silent), 1, atol=1e-5)


def test_words():
    assert words("The Dogs' parks: 红色汽车 x") == ["the", "dog", "park", "红色", "色汽", "汽车", "x"]
