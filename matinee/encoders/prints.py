"""Fingerprints that survive another encoding, another size, a trim, a crop and black bars: what is kept of an item.

Pictures: 64 signs of a low-frequency cosine transform of small grey marks, at three crops, with their times; of short
videos also the marks themselves, 16 x 16. Sound: 32 signs a frame of how the energy of 33 bands changes along time and
pitch, Haitsma and Kalker 2002, "A Highly Robust Audio Fingerprinting System" (ISMIR), section 4.2; here 25 frames a
second of 16 kHz sound. Which items share them: ``matinee.encoders.near``.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matinee.types import Clip, Doubles, Floats, Pixels

Words = NDArray[np.uint32]
Signs = NDArray[np.uint64]
HOP, WINDOW = 640, 4096  # samples: 40 ms, 256 ms
SHORTEST = 75  # frames of sound: three seconds must agree
CROPS = (0.0, 0.05, 0.1)  # of each side
FINE_SIDE, FINE_MOST, DENSE = 16, 160, 1.05  # marks are kept whole up to so many, and so many seconds apart
FEATURELESS = 8.0  # a mark of less contrast than this, of 255, resembles every other such mark


@dataclass(frozen=True, slots=True)
class Print:
    """What was kept of an item. ``at`` (n,) seconds of the marks, ascending; ``signs`` (n, 3), one column for each of
    ``CROPS``, 0 for a featureless mark; ``fine`` (n, 16, 16) or none; ``words`` of sound, each 40 ms, in stretches
    ``heard`` (start in seconds, words); ``seconds`` the length, 0 where it is not known."""

    at: Doubles
    signs: Signs
    fine: Pixels | None
    words: Words
    heard: tuple[tuple[float, int], ...]
    seconds: float


def print_of(
    clip: Clip,
    marks: Pixels | None = None,
    mark_at: Sequence[float] = (),
    windows: Sequence[tuple[float, int]] = (),
    seconds: float | None = None,
) -> dict[str, Any]:
    """The fingerprints of a clip as a fact. ``marks`` (n, h, w) grey pictures at ``mark_at`` seconds; without any, the
    clip's frames serve. ``windows``: (start in seconds, samples) of each stretch of its sound. About 0.1 ms a mark."""
    out: dict[str, Any] = {}
    if marks is None and clip.frames is not None and len(clip.frames):
        marks = np.stack([grey_of(f) for f in clip.frames])
        mark_at = clip.frame_at.tolist() if clip.frame_at is not None else list(range(len(marks)))
    if marks is not None and len(marks):
        order = np.argsort(np.asarray(mark_at), kind="stable")
        marks = without_bars(marks[order])
        signs = np.stack([mark_signs(marks, crop) for crop in CROPS], axis=1)
        if signs.any():
            out |= {"at": [round(float(mark_at[i]), 3) for i in order], "signs": packed(signs.astype("<u8"))}
            apart = float(np.median(np.diff(np.sort(np.asarray(mark_at))))) if len(marks) > 2 else 0.0
            if len(marks) <= FINE_MOST and apart <= DENSE:
                out["fine"] = packed(shrunk(marks, FINE_SIDE, FINE_SIDE).round().astype(np.uint8))
    if clip.sound is not None:
        words, heard = sound_words(clip.sound, windows or [(0.0, len(clip.sound))])
        if len(words) >= SHORTEST // 3:
            out |= {"sound": packed(words.astype("<u4")), "heard": [list(h) for h in heard]}
    return out | ({"seconds": round(seconds, 3)} if out and seconds else {})


def read_print(fact: Mapping[str, Any]) -> Print:
    """From a fact; one of a former revision holds nothing."""
    at = np.array(fact.get("at", []), np.float64)
    signs = np.frombuffer(base64.b64decode(fact.get("signs", "")), "<u8").reshape(-1, len(CROPS))
    fine = np.frombuffer(base64.b64decode(fact["fine"]), np.uint8) if "fine" in fact and len(at) else None
    words = np.frombuffer(base64.b64decode(fact["sound"]), "<u4") if "heard" in fact else np.empty(0, np.uint32)
    heard = tuple((float(a), int(n)) for a, n in fact.get("heard", []))
    whole = fine.reshape(len(at), FINE_SIDE, FINE_SIDE) if fine is not None else None
    return Print(at, signs, whole, words, heard, float(fact.get("seconds") or 0.0))


def packed(array: NDArray[Any]) -> str:
    return base64.b64encode(array.tobytes()).decode()


# --- pictures --------------------------------------------------------------------------------------------------------


def grey_of(frame: Pixels) -> Pixels:
    """(48, 64) of a colour picture."""
    from PIL import Image

    return np.asarray(Image.fromarray(frame).convert("L").resize((64, 48), Image.Resampling.BOX))


def without_bars(marks: Pixels) -> Pixels:
    """The part of the picture that is not black in all marks: letterboxes and pillarboxes are no content."""
    lit = marks.max(axis=0) > 24
    rows, columns = (np.flatnonzero(lit.mean(axis=axis) > 0.1) for axis in (1, 0))
    if len(rows) < marks.shape[1] // 2 or len(columns) < marks.shape[2] // 2:
        return marks
    return marks[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


@lru_cache(maxsize=64)
def resampler(source: int, target: int, crop: float) -> Floats:
    """(target, source): means over equal parts of what a crop leaves, with fractions of the cells at their edges."""
    edges = np.linspace(source * crop, source * (1 - crop), target + 1)
    cells = np.arange(source)
    covered = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
    weights = np.maximum(covered, 0.0)
    out = np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)
    out.flags.writeable = False  # shared by all who ask
    return out


def shrunk(marks: Pixels | Floats, height: int, width: int, crop: float = 0.0) -> Floats:
    """(n, height, width) float32."""
    down, across = resampler(marks.shape[1], height, crop), resampler(marks.shape[2], width, crop)
    return np.asarray(down @ marks.astype(np.float32) @ across.T, np.float32)


@lru_cache(maxsize=1)
def cosines(n: int, lowest: int) -> Floats:
    """(lowest, n): the first rows of the orthonormal cosine transform (DCT-II) of n values."""
    rows = np.cos(np.pi * (np.arange(n) + 0.5) * np.arange(lowest)[:, None] / n) * np.sqrt(2 / n)
    rows[0] /= np.sqrt(2)
    return np.asarray(rows, np.float32)


def mark_signs(marks: Pixels, crop: float = 0.0) -> Signs:
    """(n,) 64 signs of each mark; 0 for one without features."""
    small = shrunk(marks, 32, 32, crop)
    low = (cosines(32, 8) @ small @ cosines(32, 8).T).reshape(len(marks), 64)
    signs = low > np.median(low[:, 1:], axis=1, keepdims=True)
    found = np.packbits(signs, axis=1, bitorder="little").view("<u8")[:, 0].astype(np.uint64)
    return np.where(small.std(axis=(1, 2)) < FEATURELESS, np.uint64(0), found)


# --- sound -----------------------------------------------------------------------------------------------------------


def sound_words(sound: Floats, windows: Sequence[tuple[float, int]]) -> tuple[Words, list[tuple[float, int]]]:
    """The words of each stretch, joined, and (start in seconds, words) of each."""
    parts: list[Words] = [np.empty(0, np.uint32)]
    heard: list[tuple[float, int]] = []
    at = 0
    for start, samples in windows:
        words = sound_print(sound[at : at + samples])
        at += samples
        if len(words):
            parts.append(words)
            heard.append((start, len(words)))
    return np.concatenate(parts), heard


def sound_print(sound: Floats) -> Words:
    """(n,) 32 signs for each 40 ms; of silence nothing."""
    count = 1 + (len(sound) - WINDOW) // HOP
    if count < 2 or float(np.abs(sound).max()) < 1e-3:
        return np.empty(0, np.uint32)
    hann = np.hanning(WINDOW).astype(np.float32)
    edges = np.geomspace(300, 3000, 34) * WINDOW / 16_000
    bins = np.round(edges).astype(int)
    view = np.lib.stride_tricks.sliding_window_view(sound, WINDOW)[::HOP]
    energy = np.empty((count, 33))
    for at in range(0, count, 256):
        power = np.square(np.abs(np.fft.rfft(view[at : at + 256] * hann, axis=1)))
        energy[at : at + 256] = np.add.reduceat(power, bins[:-1], axis=1)[:, :33]
    level = np.log(energy + 1e-9)
    change = np.diff(level[:, :-1] - level[:, 1:], axis=0)
    signs = (change > 0).astype(np.uint32)
    return np.asarray(signs @ (np.uint32(1) << np.arange(32, dtype=np.uint32)), np.uint32)
