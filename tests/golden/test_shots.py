"""Shots of made cuts, dissolves and pans, and of real films through the fence."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from matinee.media.fence import Fence
from matinee.media.read import read_shots
from matinee.media.shots import HEIGHT, WIDTH, ShotFinder, in_chunks
from tests import made


def moving(seed, count, speed=1.0):
    """A shot: a rough picture that is slowly panned, with a flickering grain."""
    rng = np.random.default_rng(seed)
    wide = Image.fromarray(rng.integers(0, 255, (6, 18, 3), np.uint8)).resize(
        (WIDTH * 3, HEIGHT), Image.Resampling.BICUBIC
    )
    wide = np.asarray(wide).astype(int)
    at = (np.arange(count) * speed).astype(int)
    frames = [wide[:, n : n + WIDTH] + rng.integers(-6, 7, (HEIGHT, WIDTH, 3)) for n in at]
    return np.clip(np.stack(frames), 0, 255).astype(np.uint8)


def joined(lengths, dissolve=0):
    """Shots one after the other; returns the frames and where the shots change."""
    speed = 0.1 if dissolve else 1.0
    out, cuts = moving(0, lengths[0], speed), []
    for seed, count in enumerate(lengths[1:], 1):
        shot = moving(seed, count, speed)
        if dissolve:
            share = np.linspace(0, 1, dissolve)[:, None, None, None]
            mixed = ((1 - share) * out[-dissolve:] + share * shot[:dissolve]).astype(np.uint8)
            cuts.append(len(out) - dissolve // 2)
            out = np.concatenate([out[:-dissolve], mixed, shot[dissolve:]])
        else:
            cuts.append(len(out))
            out = np.concatenate([out, shot])
    return out, cuts


def test_cuts_are_found_where_they_are():
    frames, cuts = joined([30, 12, 45, 20, 60, 9])
    assert ShotFinder().find(frames).tolist() == cuts


def test_dissolves_are_found_near_where_they_are():
    frames, cuts = joined([50, 60, 55, 45], dissolve=12)
    found = ShotFinder().find(frames)
    assert len(found) == len(cuts)
    assert np.abs(found - cuts).max() <= 6
    assert ShotFinder(slow=0).find(frames).tolist() == []  # the control: it is the slow part that finds them


def test_pans_grain_and_flicker_are_no_cuts():
    assert ShotFinder().find(moving(3, 90)).tolist() == []
    light = np.clip(moving(4, 90).astype(int) + (20 * np.sin(np.arange(90) / 3))[:, None, None, None], 0, 255)
    assert ShotFinder().find(light.astype(np.uint8)).tolist() == []
    assert ShotFinder().find(np.zeros((50, HEIGHT, WIDTH, 3), np.uint8)).tolist() == []
    assert ShotFinder().find(moving(1, 1)).tolist() == []


def test_a_long_film_is_judged_in_parts():
    lengths = np.random.default_rng(0).integers(40, 60, 150).tolist()
    frames, cuts = joined(lengths)
    assert len(frames) > 6000
    assert in_chunks(iter(frames), ShotFinder()) == (cuts, len(frames))


def test_a_file_through_the_fence(tmp_path):
    frames, cuts = joined([25, 20, 35])
    big = np.stack([np.asarray(Image.fromarray(f).resize((192, 108), Image.Resampling.BICUBIC)) for f in frames])
    path = made.write_media(tmp_path / "a.mp4", big, fps=10, gop=100)
    with Fence() as fence:
        starts, duration = read_shots(path, fence)
    assert starts == pytest.approx([0, *(c / 10 for c in cuts)], abs=0.11)
    assert duration == pytest.approx(8, abs=0.2)


def test_a_real_film():
    """Cut at 44, 285, 378 ... (looked at); no cut in the car park of one steady camera."""
    with Fence() as fence:
        starts, _ = read_shots(made.shared_video("big-buck-bunny-30s.mp4"), fence)
        calm, _ = read_shots(made.shared_video("bottle-detection.mp4"), fence)
    assert [round(s * 24) for s in starts[:4]] == [0, 44, 285, 378]
    assert len(calm) == 1
