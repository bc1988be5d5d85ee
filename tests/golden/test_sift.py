"""Keypoints: where they lie, and that they are found again when a picture is turned, made smaller or made darker."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from matinee.encoders.classic_sift import SIDE, keypoints


def picture(seed=1, side=SIDE):
    rough = np.random.default_rng(seed).integers(0, 255, (14, 14), np.uint8)
    grey = np.asarray(Image.fromarray(rough).resize((side, side), Image.Resampling.BICUBIC))
    return np.repeat(grey[..., None], 3, axis=2)


def matches(one, other):
    """Pairs whose descriptors are each other's nearest, clearly before the next."""
    like = one.descriptors @ other.descriptors.T
    best = like.argmax(axis=1)
    second = np.partition(like, -2, axis=1)[:, -2]
    sure = np.arccos(np.clip(like.max(axis=1), -1, 1)) < 0.8 * np.arccos(np.clip(second, -1, 1))
    return [(i, j) for i, j in enumerate(best.tolist()) if sure[i] and like[:, j].argmax() == i]


def test_a_blob_is_found_in_its_middle_at_its_size():
    y, x = np.mgrid[:SIDE, :SIDE]
    for sigma in (4.0, 8.0):
        blob = 255 * np.exp(-((y - 90) ** 2 + (x - 60) ** 2) / (2 * sigma**2))
        found = keypoints(np.repeat(blob.astype(np.uint8)[..., None], 3, axis=2))
        assert (found.y[0], found.x[0]) == (pytest.approx(90, abs=2), pytest.approx(60, abs=2))
        assert found.scale[0] == pytest.approx(sigma, rel=0.35)


def test_flat_pictures_and_straight_edges_have_none():
    assert len(keypoints(np.full((SIDE, SIDE, 3), 90, np.uint8)).y) == 0
    edge = np.zeros((SIDE, SIDE, 3), np.uint8)
    edge[:, SIDE // 2 :] = 200
    assert len(keypoints(edge).y) == 0


@pytest.mark.parametrize("change", ["same", "turned", "smaller", "darker"])
def test_most_are_found_again_where_they_must_be(change):
    frame = picture()
    changed = {
        "same": frame,
        "turned": np.rot90(frame),
        "smaller": np.asarray(Image.fromarray(frame).resize((150, 150), Image.Resampling.BICUBIC)),
        "darker": (frame * 0.6 + 20).astype(np.uint8),
    }[change]
    one, other = keypoints(frame), keypoints(np.ascontiguousarray(changed))
    pairs = matches(one, other)
    right = 0
    for i, j in pairs:
        y, x = (SIDE - 1 - one.x[i], one.y[i]) if change == "turned" else (one.y[i], one.x[i])
        right += np.hypot(other.y[j] - y, other.x[j] - x) < 4
    assert len(one.y) > 40
    assert len(pairs) > 0.4 * len(one.y)
    assert right > 0.9 * len(pairs)


def test_another_picture_shares_next_to_nothing():
    one, other = keypoints(picture(1)), keypoints(picture(2))
    assert len(matches(one, other)) < 0.15 * len(one.y)
    assert one.descriptors.shape[1] == 128
    assert np.linalg.norm(one.descriptors, axis=1) == pytest.approx(1, abs=1e-4)
