"""Fingerprints: another encoding, another size and a trim are found; other things are not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from matinee.encoders.prints import frame_print, near_pairs, print_of, sound_print
from matinee.types import Clip
from tests import made


def melody(seed, seconds=12.0):
    keys = np.random.default_rng(seed).integers(50, 80, int(seconds * 4))
    return made.piano(tuple(keys.tolist()), seconds)


def pictures(seed, count=6):
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(count):
        rough = Image.fromarray(rng.integers(0, 255, (6, 8, 3), np.uint8))
        out.append(np.asarray(rough.resize((340, 256), Image.Resampling.BICUBIC)))
    return np.stack(out)


def again(frame, quality=30):
    """The same picture smaller, brighter and from a poor JPEG."""
    out = io.BytesIO()
    small = Image.fromarray(frame).resize((170, 128))
    ImageEnhance.Brightness(small).enhance(1.2).save(out, "JPEG", quality=quality)
    return np.asarray(Image.open(out).resize((340, 256)))


def found(clips, fresh=None):
    prints = {row: print_of(clip) for row, clip in enumerate(clips)}
    return {
        (min(n.first, n.second), max(n.first, n.second), n.by) for n in near_pairs(prints, fresh or range(len(clips)))
    }


def test_other_encodings_and_sizes_of_pictures_are_found():
    one, two = pictures(1), pictures(2)
    copy = np.stack([again(f) for f in one])
    assert found([Clip(frames=one), Clip(frames=two), Clip(frames=copy)]) == {(0, 2, "picture")}
    assert found([Clip(frames=one), Clip(frames=copy[2:5])]) == {(0, 1, "picture")}  # a part of it
    assert found([Clip(frames=one), Clip(frames=np.concatenate([two, copy[:1]]))]) == set()  # one frame in common


def test_blank_frames_resemble_nothing():
    blank = np.full((4, 256, 340, 3), 7, np.uint8)
    assert frame_print(blank[0]) is None
    assert found([Clip(frames=blank), Clip(frames=blank)]) == set()


@pytest.mark.parametrize("change", ["louder", "noisy", "trimmed", "dull"])
def test_a_changed_sound_is_found(change):
    sound = melody(1)
    rng = np.random.default_rng(0)
    changed = {
        "louder": np.clip(sound * 2.5, -1, 1),
        "noisy": sound + rng.normal(0, 0.01, len(sound)),
        "trimmed": sound[40_123:140_000],
        "dull": np.convolve(sound, np.ones(4) / 4, "same"),
    }[change].astype(np.float32)
    clips = [Clip(sound=sound), Clip(sound=melody(2)), Clip(sound=changed), Clip(sound=melody(3))]
    assert found(clips) == {(0, 2, "sound")}
    assert found(clips, [1, 3]) == set()


def test_silence_has_no_print():
    assert len(sound_print(np.zeros(32_000, np.float32))) == 0
    assert print_of(Clip()) == {}
    assert found([Clip(sound=np.zeros(320_000, np.float32))] * 2) == set()
