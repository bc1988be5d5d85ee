"""Nearest neighbours of encoders on what labels there are: halves of one video, and classes of the demo's sounds.

Videos of MATINEE_DATA and of the demo: the second half of each among all, asked by its first half. Sounds of the demo,
by what they are in their manifest: the class of the nearest other one.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from matinee import registry
from matinee.demo.manifest import manifest
from matinee.encoders.classic_fitted import fit_visual_words
from matinee.encoders.table import load_encoder
from matinee.media.answers import Job, Walls
from matinee.media.read import open_file, reading
from matinee.media.tasks import preload, run
from matinee.settings import cache_folder
from matinee.types import Clip

CLASSES = {"bird": "bird", "drum machine": "drum", "acoustic": "acoustic music", "electronic": "electronic music",
           "coin": "coin", "error": "error", "explosion": "explosion", "fall": "fall", "game over": "game over",
           "hurt": "hurt", "jump": "jump", "laser": "laser", "lose": "lose", "secret": "secret", "level up": "upgrade",
           "power up": "upgrade", "upgrade": "upgrade"}  # fmt: skip


def read(path: Path) -> Clip:
    return reading(run(Job(walls=Walls(), shots=False), open_file(path)), "", 0).clip


def videos() -> tuple[list[str], list[Clip], list[Clip]]:
    root = os.environ.get("MATINEE_DATA")
    paths = sorted((Path(root) / "media" / "video").iterdir()) if root else []
    paths += [p for p in sorted((cache_folder() / "samples" / "video").glob("*")) if ".web." not in p.name]
    names, first, second = [], [], []
    for path in paths:
        frames = read(path).frames
        if frames is not None and len(frames) >= 4:
            names.append(path.stem)
            first.append(Clip(frames=frames[: len(frames) // 2]))
            second.append(Clip(frames=frames[len(frames) // 2 :]))
    return names, first, second


def sounds() -> tuple[list[str], list[Clip]]:
    plan = manifest()
    kinds, clips = [], []
    for sample in plan.samples:
        kind = next((name for tag, name in CLASSES.items() if tag in sample.tags), "")
        if kind and sample.file.split("/")[0] in ("sound", "music"):
            clips.append(Clip(sound=read(registry.fetch([plan.datum(sample)], cache_folder() / "samples")[0]).sound))
            kinds.append(kind)
    return kinds, clips


def main() -> None:
    preload()
    names, first, second = videos()
    if not names:
        print("skipped: set MATINEE_DATA, or start the demo once for its samples")
        return
    both = [*first, *second]
    words = {
        f"SIFT {'keypoints' if sparse else 'on a grid'}": fit_visual_words(both, 256, sparse=sparse)
        for sparse in (False, True)
    }
    encoders = {"EfficientNet-Lite0": load_encoder("frames"), "colour and HOG": load_encoder("frames.classic"), **words}
    print(f"{len(names)} videos: the other half is the nearest")
    for name, encoder in encoders.items():
        begun = time.process_time()
        a, b = np.nan_to_num(encoder.encode(first)), np.nan_to_num(encoder.encode(second))
        spent = (time.process_time() - begun) / sum(len(c.frames) for c in both if c.frames is not None)
        right = ((a @ b.T).argmax(axis=1) == np.arange(len(names))).mean()
        print(f"  {name:20} {right:.3f}   {1000 * spent:.1f} ms a frame")
    kinds, clips = sounds()
    print(f"{len(clips)} sounds of {len(set(kinds))} classes: the nearest is of the same class")
    for name in ("sound", "sound.classic"):
        rows = np.nan_to_num(load_encoder(name).encode(clips))
        like = rows @ rows.T
        np.fill_diagonal(like, -2)
        right = np.mean([kinds[int(j)] == kinds[i] for i, j in enumerate(like.argmax(axis=1))])
        print(f"  {name:20} {right:.3f}")


if __name__ == "__main__":
    main()
