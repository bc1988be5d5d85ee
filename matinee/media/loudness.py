"""How loud a sound is to the ear, and how much of it is silence."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from matinee.types import Doubles, Floats

BLOCK, STEP = 0.4, 0.1  # seconds
SILENT = -60.0  # LUFS of a block below which nothing is heard


@lru_cache(maxsize=4)
def weighting(rate: int) -> Doubles:
    """K-weighting of ITU-R BS.1770 as second-order sections: a shelf for the head, a high-pass for the ear. The
    standard gives coefficients at 48 kHz; these are its analog filters brought to any rate (bilinear transform)."""
    sections = []
    gain, q, pitch = 3.99984385397, 0.7071752369554193, 1681.9744509555319
    k = np.tan(np.pi * pitch / rate)
    high = 10 ** (gain / 20)
    middle = high**0.499666774155
    a0 = 1 + k / q + k * k
    shelf = [high + middle * k / q + k * k, 2 * (k * k - high), high - middle * k / q + k * k]
    sections.append([*(b / a0 for b in shelf), 1, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0])
    q, pitch = 0.5003270373253953, 38.13547087613982
    k = np.tan(np.pi * pitch / rate)
    a0 = 1 + k / q + k * k
    sections.append([1, -2, 1, 1, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0])
    return np.array(sections)


def smooth(n: int) -> int:
    """The least number from n on without a prime factor above 5: spectra of such lengths are quick."""
    odd = [3**b * 5**c for b in range(21) for c in range(15) if 3**b * 5**c < 2 * n]
    return int(min(k << max(0, (-(-n // k) - 1).bit_length()) for k in odd))


def filtered(sound: Floats, sections: Doubles) -> Doubles:
    """The sound through second-order sections, by its spectrum: the same as sample by sample, for what rings on after
    the end lies in the padding. Importing ``scipy`` for this would cost up to a second of every ingest."""
    size = smooth(len(sound) + 8000)
    turn = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    response = np.ones(len(turn), np.complex128)
    for b0, b1, b2, a0, a1, a2 in sections:
        response *= (b0 + b1 * turn + b2 * turn**2) / (a0 + a1 * turn + a2 * turn**2)
    out: Doubles = np.fft.irfft(np.fft.rfft(sound.astype(np.float64), size) * response, size)[: len(sound)]
    return out


def loudness(sound: Floats, rate: int = 16_000) -> tuple[float | None, float]:
    """(LUFS integrated with the standard's two gates, share of silent blocks); None of what is silent throughout.

    Mono. Of windows joined, it is the loudness of the windows. About 2 ms a second of sound.
    """
    size, step = int(BLOCK * rate), int(STEP * rate)
    if len(sound) < size:
        sound = np.pad(sound, (0, size - len(sound)))
    power = np.square(filtered(sound, weighting(rate)))
    total = np.concatenate([[0.0], np.cumsum(power)])
    starts = np.arange(0, len(sound) - size + 1, step)
    mean = (total[starts + size] - total[starts]) / size
    level = -0.691 + 10 * np.log10(np.maximum(mean, 1e-12))
    silence = float((level < SILENT).mean())
    heard = mean[level > -70]
    if not len(heard):
        return None, 1.0
    gate = -0.691 + 10 * np.log10(heard.mean()) - 10
    kept = mean[(level > -70) & (level > gate)]
    return round(float(-0.691 + 10 * np.log10(kept.mean())), 2), round(silence, 4)
