"""Descriptors counted on the collection: promises of an encoder, rare words weigh more, textures are told apart."""

from __future__ import annotations

import io

import numpy as np
import pytest

from matinee.encoders.classic import words
from matinee.encoders.classic_fitted import descriptors, fit_tfidf, fit_visual_words, place
from matinee.types import Clip

TEXTS = [
    "the film about a submarine", "the film about a submarine crew", "the film about a wedding", "the film about love",
    "关于潜水艇的电影", "潜水艇里的船员", "关于婚礼的电影", "the film of the year",
]  # fmt: skip


def texture(kind, seed):
    """(96, 128, 3): stripes in a direction, checks, or blobs, each time elsewhere and of another contrast."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:96, :128] + rng.integers(0, 50, 2)[:, None, None]
    grey = {
        "across": np.sin(y / 2.5), "upright": np.sin(x / 2.5), "slanted": np.sin((x + y) / 3.5),
        "checks": np.sign(np.sin(x / 3) * np.sin(y / 3)),
    }[kind]  # fmt: skip
    grey = 128 + rng.uniform(40, 90) * grey + rng.normal(0, 4, grey.shape)
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


KINDS = ("across", "upright", "slanted", "checks")
PICTURES = [Clip(frames=texture(kind, seed)[None]) for kind in KINDS for seed in range(4)]
ROUGH = [  # stripes have edges and no keypoints
    Clip(
        frames=np.repeat(np.random.default_rng(n).integers(0, 255, (1, 12, 16, 1), np.uint8), 3, axis=3)
        .repeat(8, 1)
        .repeat(8, 2)
    )
    for n in range(8)
]
MADE = {"text": ([Clip(text=t) for t in TEXTS], fit_tfidf), "frames": (PICTURES, lambda c: fit_visual_words(c, 32)),
        "keypoints": (ROUGH, lambda c: fit_visual_words(c, 32, sparse=True))}  # fmt: skip


@pytest.mark.parametrize("reads", list(MADE))
def test_keeps_the_promises_of_an_encoder(reads):
    clips, fit = MADE[reads]
    encoder = fit(clips)
    rows = encoder.encode([*clips, Clip(), Clip(text="?!", frames=np.full((1, 64, 64, 3), 9, np.uint8))])
    assert rows.shape == (len(clips) + 2, encoder.space.dim)
    assert rows.dtype == np.float32
    assert np.allclose(np.linalg.norm(rows[:-2], axis=1), 1, atol=1e-5)
    assert np.isnan(rows[-2:]).all()
    assert np.array_equal(rows[2:3], encoder.encode(clips[2:3]))
    buffer = io.BytesIO()
    np.savez(buffer, **encoder.arrays())
    buffer.seek(0)
    with np.load(buffer, allow_pickle=False) as arrays:
        again = type(encoder).from_arrays(dict(arrays))
    assert again.space == encoder.space
    assert np.array_equal(again.encode(clips), rows[:-2])
    assert fit(clips[::2]).space != encoder.space


def test_a_rare_word_says_more_than_a_common_one():
    clips = [Clip(text=t) for t in TEXTS]
    encoder = fit_tfidf(clips)
    a = encoder.encode(clips)
    both = np.abs(encoder.encode([Clip(text="the submarine")])[0])
    rare, common = (both[place(word, 4096)[0]] for word in words("submarine the"))
    assert np.isclose(rare / common, (np.log(9 / 3) + 1) / (np.log(9 / 6) + 1))  # of 8 texts 2 and 5 have it
    assert a[0] @ a[1] > a[0] @ a[2]
    assert a[4] @ a[6] > 0.3  # 关于, 的电, 电影
    assert a[5] @ a[4] > a[5] @ a[6] + 0.2  # 潜水艇
    assert abs(a[0] @ a[4]) < 0.1  # another language has other words: that is what trained encoders are for


def test_textures_find_their_like():
    rows = fit_visual_words(PICTURES, 32).encode(PICTURES)
    cosine = rows @ rows.T
    np.fill_diagonal(cosine, -1)
    kind = np.repeat(np.arange(len(KINDS)), 4)
    assert (kind[cosine.argmax(axis=1)] == kind).mean() == 1


def test_descriptors_do_not_see_contrast_and_a_flat_picture_has_none():
    picture = texture("checks", 0)
    dim = (picture.astype(np.float32) * 0.5 + 30).astype(np.uint8)
    a, b = descriptors(picture), descriptors(dim)
    assert a.shape[1] == 128
    assert np.allclose(np.linalg.norm(a, axis=1), 1, atol=1e-4)
    assert np.einsum("ij,ij->i", a, b).mean() > 0.97
    assert len(descriptors(np.full((50, 50, 3), 77, np.uint8))) == 0
    with pytest.raises(ValueError, match="edge"):
        fit_visual_words([Clip()])
