"""Descriptors without any training: for comparison, and for machines that cannot fetch a network.

Colour and gradient of frames (HOG: Dalal and Triggs 2005, CVPR), MFCC and mel statistics of sound (Davis and
Mermelstein 1980), hashed TF-IDF-like words of text (Weinberger et al. 2009, arXiv 0902.2206). No weights.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from matinee.encoders.sound import log_mel
from matinee.types import Clip, Floats, Pixels, Space

COLOURS, CELLS, ANGLES = 4, 4, 9
WORDS = 1024
COEFFICIENTS = 20


@dataclass(frozen=True, slots=True)
class ColourAndShape:
    """Frames: 64 colours of the whole and of its middle, gradients by direction in 4 x 4 cells; mean over frames."""

    space: Space = Space("frames.classic", "colour-hog-1", 2 * COLOURS**3 + CELLS * CELLS * ANGLES)

    def encode(self, clips: Sequence[Clip]) -> Floats:
        out = np.full((len(clips), self.space.dim), np.nan, np.float32)
        for i, clip in enumerate(clips):
            if clip.frames is not None and len(clip.frames):
                row = np.mean([self.frame(f) for f in clip.frames], axis=0)
                out[i] = row / max(float(np.linalg.norm(row)), 1e-12)
        return out

    def frame(self, rgb: Pixels) -> Floats:
        height, width = rgb.shape[:2]
        middle = rgb[height // 4 : height - height // 4, width // 4 : width - width // 4]
        colours = [np.sqrt(colour_histogram(part)) for part in (rgb, middle)]  # Hellinger: cosines of roots
        return np.concatenate([*colours, 1.4 * gradients(rgb)]).astype(np.float32)


def colour_histogram(rgb: Pixels) -> Floats:
    bins = (rgb[::2, ::2].astype(np.int64) * COLOURS) >> 8
    number = (bins[..., 0] * COLOURS + bins[..., 1]) * COLOURS + bins[..., 2]
    count = np.bincount(number.ravel(), minlength=COLOURS**3).astype(np.float32)
    return np.asarray(count / count.sum(), np.float32)


def gradients(rgb: Pixels) -> Floats:
    """(4 x 4 x 9,) unit: how much edge there is in each direction (unsigned) in each cell, lit alike everywhere."""
    from PIL import Image

    side = CELLS * 32
    grey = np.asarray(Image.fromarray(rgb).convert("L").resize((side, side), Image.Resampling.BOX), np.float32)
    down, right = np.gradient(np.sqrt(grey))
    size = np.hypot(down, right)
    angle = ((np.arctan2(down, right) % np.pi) / np.pi * ANGLES).astype(int) % ANGLES
    cell = np.arange(side) // 32
    place = (cell[:, None] * CELLS + cell[None, :]) * ANGLES + angle
    edges = np.bincount(place.ravel(), size.ravel(), CELLS * CELLS * ANGLES).reshape(-1, ANGLES)
    edges = np.minimum(edges / (np.linalg.norm(edges, axis=1, keepdims=True) + 1.0), 0.5)
    norm = float(np.linalg.norm(edges))
    return np.asarray(edges.ravel() / max(norm, 1e-12), np.float32)


@dataclass(frozen=True, slots=True)
class Timbre:
    """Sound: mean, spread and change of 20 MFCC, and the mean mel spectrum's shape."""

    space: Space = Space("sound.classic", "mfcc-1", 3 * COEFFICIENTS + 64)

    def encode(self, clips: Sequence[Clip]) -> Floats:
        from scipy.fft import dct

        out = np.full((len(clips), self.space.dim), np.nan, np.float32)
        for i, clip in enumerate(clips):
            if clip.sound is None or not len(clip.sound):
                continue
            mel = log_mel(np.pad(clip.sound, (0, max(0, 400 + 160 - len(clip.sound)))))
            mfcc = dct(mel, norm="ortho", axis=1)[:, 1 : COEFFICIENTS + 1]  # the first one is only how loud it is
            shape = mel.mean(axis=0) - mel.mean()
            parts = [mfcc.mean(axis=0), mfcc.std(axis=0), np.abs(np.diff(mfcc, axis=0)).mean(axis=0), shape]
            row = np.concatenate([p / max(float(np.linalg.norm(p)), 1e-6) for p in parts])
            if (norm := float(np.linalg.norm(row))) > 0:
                out[i] = row / norm
        return out


@dataclass(frozen=True, slots=True)
class HashedWords:
    """Text: words, and pairs of signs of Chinese, hashed to 1,024 signed places; a word that is said often or is short
    counts less. The same words in another language are not found: that is what the trained encoder is for."""

    space: Space = Space("text.classic", "hashed-words-1", WORDS)

    def encode(self, clips: Sequence[Clip]) -> Floats:
        out = np.full((len(clips), self.space.dim), np.nan, np.float32)
        for i, clip in enumerate(clips):
            row = np.zeros(WORDS, np.float32)
            for word, count in Counter(words(clip.text)).items():
                raw = int.from_bytes(hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=8).digest(), "little")
                weight = (1 + math.log(count)) * min(len(word), 6) / 6
                row[raw % WORDS] += weight if raw >> 63 else -weight
            if norm := float(np.linalg.norm(row)):
                out[i] = row / norm
        return out


def words(text: str) -> list[str]:
    """Lower-case words less a plain ending, and pairs of neighbouring Chinese signs."""
    found = []
    for part in re.findall(r"[\u3400-\u9fff]+|[^\W_\u3400-\u9fff]+", text.lower()):
        if "\u3400" <= part[0] <= "\u9fff":
            found += [part[i : i + 2] for i in range(len(part) - 1)] or [part]
        else:
            found.append(re.sub(r"(?<=\w{3})(ies|es|s|ing|ed)$", "", part))
    return found


def load_frames() -> ColourAndShape:
    return ColourAndShape()


def load_sound() -> Timbre:
    return Timbre()


def load_text() -> HashedWords:
    return HashedWords()
