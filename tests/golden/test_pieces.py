"""A stretch of sound and large frames, through the fence."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from matinee.errors import MatineeError
from matinee.media.answers import Job, Walls
from matinee.media.fence import Fence, open_file
from matinee.media.pieces import LARGE, RATE
from tests import hostile, made


@pytest.fixture(scope="module")
def fence():
    with Fence() as one:
        yield one


def ask(fence, path, **fields):
    fd = open_file(path)
    try:
        return fence.run(fd, Job(walls=Walls(), **fields))[0]
    finally:
        os.close(fd)


def sound_of(answer):
    return np.frombuffer(answer.sound, "<f4")


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.m4a", "a.ogg", "a.mp3"])
def test_a_stretch_is_where_it_should_be(fence, tmp_path, name):
    t = np.arange(30 * RATE) / RATE
    path = made.write_media(tmp_path / name, sound=(0.5 * np.sin(2 * np.pi * (200 + 60 * t) * t)).astype(np.float32))
    whole = sound_of(ask(fence, path, task="sound", sound=40.0))
    assert len(whole) == pytest.approx(30 * RATE, abs=0.1 * RATE)
    part = sound_of(ask(fence, path, task="sound", start=10.0, sound=5.0))
    assert len(part) == 5 * RATE
    piece, lags = part[2 * RATE : 3 * RATE], range(-200, 201)
    best = max(lags, key=lambda lag: float(piece @ whole[12 * RATE + lag : 13 * RATE + lag]))
    assert abs(best) <= 32  # 2 ms
    assert len(sound_of(ask(fence, path, task="sound", start=28.0, sound=5.0))) == pytest.approx(2 * RATE, abs=1600)
    beyond = ask(fence, path, task="sound", start=500.0, sound=5.0)
    assert (beyond.error, beyond.sound) == ("", b"")


def test_pieces_join_to_the_whole(fence, tmp_path):
    path = made.write_media(tmp_path / "a.wav", sound=made.piano(seconds=9.0))
    whole = sound_of(ask(fence, path, task="sound", sound=60.0))
    parts = [sound_of(ask(fence, path, task="sound", start=float(s), sound=3.0)) for s in range(0, 9, 3)]
    assert np.allclose(np.concatenate(parts), whole, atol=2e-3)


def test_large_frames_are_those_of_their_moments(fence, tmp_path):
    frames = np.stack([made.scene(n // 10, 180, 320, 0) for n in range(60)])
    path = made.write_media(tmp_path / "a.mp4", frames, fps=10)
    answer = ask(fence, path, task="large", frames=4, moments=(0.55, 2.55, 4.55, 4.56))
    assert answer.frame_count == 3  # the last two are one frame
    assert [round(at, 1) for at in answer.frame_at] == [0.6, 2.6, 4.6]
    shape = (answer.frame_count, answer.frame_height, answer.frame_width, 3)
    got = np.frombuffer(answer.frames, np.uint8).reshape(shape).astype(int)
    assert shape[1:] == (180, 320, 3)
    for picture, hue in zip(got, (0, 2, 4), strict=True):
        assert np.abs(picture - made.scene(hue, 180, 320, 0)).mean() < 20


def test_a_large_picture_is_upright_and_bounded(fence, tmp_path):
    image = Image.fromarray(made.scene(3, 1000, 2000))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned
    image.save(tmp_path / "a.jpg", exif=exif)
    answer = ask(fence, tmp_path / "a.jpg", task="large")
    assert (answer.frame_height, answer.frame_width) == (LARGE, LARGE // 2)
    assert ask(fence, made.write_media(tmp_path / "a.wav", sound=made.piano()), task="large").error == "no_streams"
    assert ask(fence, tmp_path / "a.jpg", task="sound").error


def test_hostile_files_are_answered_or_refused(fence, tmp_path):
    good = hostile.seeds(tmp_path)
    rng, outcomes = np.random.default_rng(5), {"answered": 0, "refused": 0}
    files = [raw for _, raw in hostile.crafted(good)][::3] + [hostile.mutant(raw, rng) for raw in good.values()]
    path = tmp_path / "x"
    for n, raw in enumerate(files):
        path.write_bytes(raw or b"\0")
        task = (
            {"task": "sound", "sound": 5.0, "start": float(n % 3)}
            if n % 2
            else {"task": "large", "moments": (0.1, 0.5)}
        )
        try:
            answer = ask(fence, path, **task)
        except MatineeError as error:
            outcomes["refused" if error.code.startswith("media.") else error.code] += 1
            continue
        sound = sound_of(answer)
        assert np.isfinite(sound).all()
        assert np.abs(sound).max(initial=0) <= 1
        outcomes["refused" if answer.error else "answered"] += 1
    assert min(outcomes.values()) > 5, outcomes
