"""The log-mel spectrogram against a plain computation from its definition, and known answers."""

from __future__ import annotations

import numpy as np

from matinee.encoders.sound import filters, log_mel, patches
from tests import made


def plain_log_mel(sound):
    """By the definition, one frame and one band at a time, in float64."""
    window = [0.5 - 0.5 * np.cos(2 * np.pi * n / 400) for n in range(400)]

    def mel(hertz):
        return 1127 * np.log(1 + hertz / 700)

    edges = [mel(125) + k * (mel(7500) - mel(125)) / 65 for k in range(66)]
    rows = []
    for start in range(0, len(sound) - 399, 160):
        frame = np.zeros(512)
        frame[:400] = [s * w for s, w in zip(sound[start : start + 400], window, strict=True)]
        turn = np.exp(-2j * np.pi * np.outer(np.arange(257), np.arange(512)) / 512)
        size = np.abs(turn @ frame)
        row = []
        for low, mid, high in zip(edges, edges[1:], edges[2:], strict=False):
            total = 0.0
            for k in range(1, 257):
                at = mel(k * 16000 / 512)
                total += size[k] * max(0.0, min((at - low) / (mid - low), (high - at) / (high - mid)))
            row.append(np.log(total + 0.001))
        rows.append(row)
    return np.array(rows)


def test_agrees_with_the_definition():
    rng = np.random.default_rng(0)
    sound = (made.piano((69,), 0.1) + rng.normal(0, 0.05, 1600)).astype(np.float32)
    assert np.abs(log_mel(sound) - plain_log_mel(sound.astype(np.float64))).max() < 1e-3


def test_a_tone_lights_its_band():
    t = np.arange(16_000) / 16_000
    for hertz in (250, 1000, 4000):
        band = log_mel(np.sin(2 * np.pi * hertz * t).astype(np.float32)).mean(axis=0).argmax()
        centre = (filters()[:, band] * np.arange(257)).sum() / filters()[:, band].sum() * 16_000 / 512
        assert abs(centre - hertz) < 0.08 * hertz + 20


def test_silence_is_the_floor():
    assert np.allclose(log_mel(np.zeros(16_000, np.float32)), np.log(0.001))


def test_patches_cover_the_sound():
    assert patches(None).shape == (0, 96, 64)
    assert patches(np.empty(0, np.float32)).shape == (0, 96, 64)
    assert patches(np.zeros(100, np.float32)).shape == (1, 96, 64)
    assert patches(np.zeros(400 + 95 * 160, np.float32)).shape == (1, 96, 64)
    assert patches(np.zeros(400 + (95 + 48) * 160, np.float32)).shape == (2, 96, 64)
    long = np.random.default_rng(0).normal(0, 0.1, 160 * 5000).astype(np.float32)
    spectrum = log_mel(long)
    assert np.array_equal(patches(long)[7], spectrum[7 * 48 : 7 * 48 + 96])
    assert np.abs(log_mel(long[160 * 2500 :])[0] - spectrum[2500]).max() < 1e-5
