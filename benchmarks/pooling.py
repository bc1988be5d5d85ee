"""Temporal pooling: the second half of a video among all others, found by its first half; by class, by each pooling.

Real clips (MATINEE_DATA) and the demo's where they are at hand. Twenty of them are signs by one person before one wall:
there the halves differ least from other videos. ``films``: halves of films made of shots, with title cards between.
"""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.shots import film, shots_of
from matinee.encoders.frames import prepared
from matinee.encoders.pool import POOLS, unit
from matinee.encoders.table import load_encoder
from matinee.media.answers import Job, Walls
from matinee.media.read import open_file, reading
from matinee.media.tasks import preload, run
from matinee.settings import cache_folder
from matinee.types import Clip

DRAWN = ("big-buck-bunny", "crystal", "elf", "frog", "monster", "pig", "rabbit")
CAMERAS = ("bottle-detection", "car-detection", "one-by-one", "bikes", "carphone", "city-lights", "office", "welcome")


def kind_of(name: str) -> str:
    for kind, starts in {"sign": ("asl_",), "drawn": DRAWN, "camera": CAMERAS}.items():
        if name.startswith(starts):
            return kind
    return ""


def found(first: np.ndarray, second: np.ndarray) -> float:
    """How often the other half is the nearest."""
    nearest = (unit(first) @ unit(second).T).argmax(axis=1)
    return float((nearest == np.arange(len(first))).mean())


def by_class(rows: np.ndarray, kinds: list[str]) -> float:
    """Nearest other video of the same class, over those that have one."""
    like = unit(rows) @ unit(rows).T
    np.fill_diagonal(like, -2)
    named = [i for i, k in enumerate(kinds) if k]
    return float(np.mean([kinds[int(like[i].argmax())] == kinds[i] for i in named]))


def main() -> None:
    if not os.environ.get("MATINEE_DATA"):
        print("skipped: set MATINEE_DATA")
        return
    preload()
    encoder = load_encoder("frames")
    folder = Path(os.environ["MATINEE_DATA"]) / "media" / "video"
    videos = sorted(folder.iterdir())
    videos += [p for p in sorted((cache_folder() / "samples" / "video").glob("*")) if ".web." not in p.name]
    names, frames = [], []
    for path in videos:
        got = reading(run(Job(walls=Walls(), shots=True), open_file(path)), "", 0)
        if got.clip.frames is not None and len(got.clip.frames) >= 4:
            names.append(path.stem)
            frames.append(encoder.encode_frames(prepared([got.clip]))[0])
    halves = [(f[: len(f) // 2], f[len(f) // 2 :]) for f in frames]
    signs = [i for i, n in enumerate(names) if n.startswith("asl_")]
    films, stock = [], shots_of(folder)
    cards = np.zeros((3, 240, 426, 3), np.uint8)
    cards[:, 100:140, 100:320] = 255
    for seed in range(24):  # two copies of a film: other frames of the same shots, each with title cards
        made, changes = film(stock, seed, 7)
        edges = [0, *changes, len(made)]
        at = [[int(a + share * (b - a)) for a, b in pairwise(edges)] for share in (0.2, 0.8)]
        films.append([encoder.encode_frames(prepared([Clip(frames=np.concatenate([made[k], cards]))]))[0] for k in at])
    rng = np.random.default_rng(0)
    draws = [[[rng.choice(len(h), min(3, len(h)), replace=False) for h in pair] for pair in halves] for _ in range(40)]
    print(f"{len(names)} videos, {len(signs)} signs, {len(films)} films")
    for name, pool in POOLS.items():
        first, second = (np.stack([pool(h[k]) for h in halves]) for k in (0, 1))
        whole = np.stack([pool(f) for f in frames])
        drawn = []
        for draw in draws:
            few = [np.stack([pool(h[k][d[k]]) for h, d in zip(halves, draw, strict=True)]) for k in (0, 1)]
            drawn.append(found(*few))
        of_films = [np.stack([pool(f[k]) for f in films]) for k in (0, 1)]
        print(
            f"{name:10} other half {found(first, second):.3f}  of the signs {found(first[signs], second[signs]):.3f}"
            f"  class {by_class(whole, [kind_of(n) for n in names]):.3f}  three frames {np.mean(drawn):.3f}"
            f"  films with cards {found(*of_films):.3f}"
        )


if __name__ == "__main__":
    main()
