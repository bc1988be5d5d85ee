"""Real inputs to check quantised networks on: names of things, the library's own pictures, made sounds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from matinee.encoders.labels import names
from matinee.types import Clip, Floats, Pixels

MOST = 128
BATCH = 16


def texts(language: str = "") -> list[str]:
    """Texts of one to six names, in English, Chinese or both."""
    pairs = [*names("imagenet")[:256], *names("audioset")[:128]]
    said = [pair[n % 2 if not language else int(language == "zh")] for n, pair in enumerate(pairs)]
    return [", ".join(said[n : n + 1 + n % 6]) for n in range(0, len(said), 3)]


def pictures(folder: Path | None) -> list[Pixels]:
    """At most 128 of a folder's JPEG files, spread evenly, as (h, w, 3): those that Matinee wrote itself below
    ``covers``, so they need no fence."""
    from PIL import Image

    files = sorted(folder.glob("*.jpg")) if folder is not None and folder.is_dir() else []
    found = []
    for file in files[:: max(1, len(files) // MOST)][:MOST]:
        try:
            with Image.open(file) as picture:
                picture.draft("RGB", (512, 512))
                found.append(np.asarray(picture.convert("RGB"), np.uint8))
        except (OSError, ValueError):
            continue
    return found


def clips(folder: Path | None) -> list[Clip]:
    return [Clip(frames=picture[None]) for picture in pictures(folder)]


def sounds() -> Iterator[Floats]:
    """Forty made sounds of two seconds at 16 kHz: chords, sweeps, noise in bands, beats."""
    rng, t = np.random.default_rng(0), np.arange(32_000) / 16_000
    for n in range(40):
        base = rng.uniform(80, 1200)
        chord = sum(np.sin(2 * np.pi * base * k * t) / k for k in (1, rng.uniform(1.2, 1.6), 2, 3))
        sweep = np.sin(2 * np.pi * (base * t + rng.uniform(-200, 900) * t**2))
        noise = np.convolve(rng.standard_normal(len(t)), np.hanning(int(rng.integers(3, 60))), "same")
        beat = np.exp(-((t * rng.uniform(1, 8)) % 1) * 6)
        mixed = (chord, sweep, noise, noise * beat, chord * beat)[n % 5]
        yield np.asarray(0.3 * mixed / np.abs(mixed).max(), np.float32)
