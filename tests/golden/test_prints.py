"""Fingerprints: another encoding, another size, a trim, a crop and bars are found; other things are not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from matinee.encoders.near import best_shift, near_pairs
from matinee.encoders.prints import FINE_MOST, cosines, print_of, read_print, sound_print
from matinee.types import Clip
from tests import made

RATE = 8  # marks a second


def melody(seed, seconds=12.0):
    keys = np.random.default_rng(seed).integers(50, 80, int(seconds * 4))
    return made.piano(tuple(keys.tolist()), seconds)


def room(seed=0):
    """A picture of a wall with things on it."""
    rough = Image.fromarray(np.random.default_rng(seed).integers(60, 200, (6, 8), np.uint8))
    return np.asarray(rough.resize((128, 96), Image.Resampling.BICUBIC)).astype(float)


def person(seed, count=40, wall=0):
    """Marks (n, 96, 128) of a bright blob that goes its own way before one and the same wall."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:96, 0:128]
    way = np.cumsum(rng.normal(0, 5, (count, 2)), axis=0)
    way = np.stack([np.convolve(w, np.ones(5) / 5, "same") for w in way.T], axis=1)
    places = np.stack([48 + np.clip(way[:, 0], -40, 40), 64 + np.clip(way[:, 1], -55, 55)], axis=1)
    grey = [room(wall) + 110 * np.exp(-((y - a) ** 2 + (x - b) ** 2) / 250) for a, b in places]
    return np.clip(np.stack(grey), 0, 255).astype(np.uint8)


def small(marks):
    """As the fence gives them: (n, 48, 64)."""
    return np.stack([np.asarray(Image.fromarray(m).resize((64, 48), Image.Resampling.BOX)) for m in marks])


def fact(marks, start=0.0, rate=RATE, **more):
    return print_of(Clip(), small(marks), (start + np.arange(len(marks)) / rate).tolist(), **more)


def again(mark, quality=30):
    """The same picture smaller, brighter and from a poor JPEG."""
    out = io.BytesIO()
    image = Image.fromarray(mark).resize((64, 48))
    ImageEnhance.Brightness(image).enhance(1.2).save(out, "JPEG", quality=quality)
    return np.asarray(Image.open(out).resize((128, 96)))


def cropped(mark, share):
    down, across = int(96 * share), int(128 * share)
    return np.asarray(Image.fromarray(mark[down : 96 - down, across : 128 - across]).resize((128, 96)))


def in_bars(mark):
    out = np.zeros((96, 128), np.uint8)
    out[12:84] = np.asarray(Image.fromarray(mark).resize((128, 72)))
    return out


def found(facts, fresh=None):
    pairs = near_pairs(dict(enumerate(facts)), fresh if fresh is not None else range(len(facts)))
    return {(min(n.first, n.second), max(n.first, n.second), n.by) for n in pairs}


def test_one_person_before_one_wall_is_not_one_video():
    """Every frame of one resembles one of the other: only how they change tells them apart."""
    others = [person(seed) for seed in range(8)]
    facts = [fact(m) for m in others]
    signs = [read_print(f).signs[:, 0] for f in facts]
    closest = np.bitwise_count(signs[0][:, None] ^ signs[1][None, :]).min(axis=1)
    assert (closest <= 12).mean() > 0.9  # the control: single pictures take them for the same
    assert found(facts) == set()


@pytest.mark.parametrize("change", ["again", "crop", "bars", "trim", "slower marks"])
def test_a_copy_is_found_among_clips_of_the_same_person(change):
    one = person(3)
    copy = {
        "again": lambda: fact(np.stack([again(m) for m in one])),
        "crop": lambda: fact(np.stack([cropped(m, 0.08) for m in one])),
        "bars": lambda: fact(np.stack([in_bars(m) for m in one])),
        "trim": lambda: fact(np.stack([again(m) for m in one[9:33]])),
        "slower marks": lambda: fact(one[::2], rate=RATE / 2),
    }[change]()
    facts = [fact(person(1)), fact(one), fact(person(2)), copy]
    assert found(facts) == {(1, 3, "picture")}
    assert found(facts, [0, 2]) == set()


def test_where_a_trim_begins_is_told():
    one = person(5)
    (near,) = near_pairs({0: fact(one), 1: fact(one[16:40])}, [0, 1])
    assert (near.share, near.shift) == (1.0, pytest.approx(2.0, abs=0.1))
    (near,) = near_pairs({0: fact(one[16:40]), 1: fact(one)}, [0])
    assert near.shift == pytest.approx(-2.0, abs=0.1)


def film(seed, shots=240):
    """Marks of a long film: a wall of its own in each shot."""
    return np.stack([room(seed * 1000 + n).clip(0, 255).astype(np.uint8) for n in range(shots)])


def test_the_trim_of_a_long_film_is_found_and_an_episode_with_the_same_titles_is_not():
    one, two = film(1), film(2)
    two[:20] = one[:20]
    trim = np.stack([again(m) for m in one[60:200]])
    facts = [fact(one, rate=0.25), fact(two, rate=0.25), fact(trim, rate=0.25)]
    assert len(one) > FINE_MOST
    assert found(facts) == {(0, 2, "picture")}
    shuffled = np.random.default_rng(0).permutation(one)
    assert found([fact(one, rate=0.25), fact(shuffled, rate=0.25)]) == set()  # the same pictures in another order


def test_a_film_with_few_keyframes_is_laid_over_one_with_many():
    """One coder sets a keyframe every ten seconds, the other every two; shots last six."""
    shots = [room(500 + n).clip(0, 255).astype(np.uint8) for n in range(60)]
    sparse = np.stack([shots[min(59, int(t / 6))] for t in np.arange(0, 360, 10.0)])
    dense = np.stack([again(shots[int((t + 72) / 6)]) for t in np.arange(0, 216, 2.0)])
    (near,) = near_pairs({0: fact(sparse, rate=0.1), 1: fact(dense, rate=0.5)}, [0, 1])
    assert (near.by, near.share) == ("picture", pytest.approx(1.0, abs=0.1))
    assert near.shift == pytest.approx(72, abs=2.5)


def test_blank_and_still_pictures():
    blank = np.full((20, 96, 128), 7, np.uint8)
    assert "at" not in fact(blank)
    assert found([fact(blank), fact(blank)]) == set()
    still = np.stack([room(1).astype(np.uint8)] * 20)
    other = np.stack([room(2).astype(np.uint8)] * 20)
    assert found([fact(still), fact(other), fact(np.stack([again(m) for m in still]))]) == {(0, 2, "picture")}
    assert found([fact(still), fact(still[:8])]) == set()  # a still part of a still video is no evidence


def test_a_picture_file_and_its_smaller_copy():
    frames = [np.stack([room(seed).astype(np.uint8)] * 3, axis=-1)[None] for seed in (1, 2)]
    copy = np.asarray(Image.fromarray(frames[0][0]).resize((80, 60)))[None]
    at = np.zeros(1)
    facts = [print_of(Clip(frames=f, frame_at=at)) for f in (*frames, copy)]
    assert found(facts) == {(0, 2, "picture")}


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
    facts = [print_of(Clip(sound=s)) for s in (sound, melody(2), changed, melody(3))]
    assert found(facts) == {(0, 2, "sound")}
    assert found(facts, [1, 3]) == set()


def test_windows_of_a_long_sound_are_compared_where_they_overlap():
    """Of three minutes six windows are kept; the copy begins 20 s later, so its windows lie elsewhere."""
    whole = melody(7, 180.0)

    def kept(sound):
        length = len(sound) / 16_000
        starts = [(k + 0.5) / 6 * length - 5 for k in range(6)]
        parts = [sound[int(s * 16_000) : int(s * 16_000) + 160_000] for s in starts]
        windows = [(s, len(p)) for s, p in zip(starts, parts, strict=True)]
        return print_of(Clip(sound=np.concatenate(parts)), windows=windows, seconds=length)

    facts = [kept(whole), kept(melody(8, 180.0)), kept(whole[320_000:])]
    (near,) = near_pairs(dict(enumerate(facts)), [2])
    assert (near.second, near.by, near.share) == (0, "sound", 1.0)
    assert near.shift == pytest.approx(-20, abs=0.1)


def test_silence_has_no_print():
    assert len(sound_print(np.zeros(32_000, np.float32))) == 0
    assert print_of(Clip()) == {}
    assert found([print_of(Clip(sound=np.zeros(320_000, np.float32)))] * 2) == set()


def test_a_fact_of_a_former_revision_holds_nothing():
    old = read_print({"frames": ["00ff00ff00ff00ff"], "sound": "AAAA"})
    assert (len(old.at), len(old.words), old.fine) == (0, 0, None)


def test_the_best_shift_is_the_one_that_trying_each_finds():
    rng = np.random.default_rng(3)
    for n, m in ((9, 3), (40, 40), (80, 17), (31, 30)):
        x = rng.normal(size=(n, 144)).astype(np.float32)
        y = x[(n - m) // 2 :][:m] + rng.normal(0, 0.5, (m, 144)).astype(np.float32)
        tried = {}
        for lag in range(-m, n):
            a, b = max(0, lag), min(n, lag + m)
            if b - a >= max(3, (m + 1) // 2):
                tried[lag] = (
                    centred(x[a:b]).ravel()
                    @ centred(y[a - lag : b - lag]).ravel()
                    / np.sqrt(np.square(centred(x[a:b])).sum() * np.square(centred(y[a - lag : b - lag])).sum())
                )
        best = max(tried, key=tried.get)
        r, lag, common, _ = best_shift(x, y)
        assert (lag, common) == (best, min(n, best + m) - max(0, best))
        assert r == pytest.approx(tried[best], abs=1e-4)


def centred(rows):
    return rows - rows.mean(axis=0)


def test_low_frequencies_are_those_of_the_cosine_transform():
    scipy_fft = pytest.importorskip("scipy.fft")
    marks = np.random.default_rng(5).normal(size=(4, 32, 32))
    expected = scipy_fft.dctn(marks, axes=(1, 2), norm="ortho")[:, :8, :8]
    assert np.allclose(cosines(32, 8) @ marks @ cosines(32, 8).T, expected, atol=1e-4)
