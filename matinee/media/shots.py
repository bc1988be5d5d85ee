"""Where one shot ends and the next begins: from small frames, with nothing trained.

A cut shows as a change between two frames that stands out over the changes around it (a fast pan changes every frame),
as in the adaptive detectors of editing tools; a dissolve or a fade as a change between frames half a second apart that
stands out while no step within it does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from matinee.types import Doubles, Floats, Ints, Pixels

WIDTH, HEIGHT = 48, 27  # frames are judged at this size


CHUNK, OVERLAP = 3000, 60  # frames judged at a time, so that a long film takes little memory


@dataclass(frozen=True, slots=True)
class ShotFinder:
    """``ratio``: how far a change must stand out over its neighbours; ``least``: the smallest change that counts, of
    255; ``shortest``: frames in a shot; ``slow``: frames over which a dissolve is looked for; 0 leaves them out."""

    ratio: float = 3.0
    least: float = 12.0
    around: int = 3
    shortest: int = 6
    slow: int = 12
    slow_least: float = 28.0

    def find(self, frames: Pixels) -> Ints:
        """The numbers of the frames that begin a new shot (never 0), of (n, 27, 48, 3) frames. About 10 us a frame."""
        if len(frames) < 2:
            return np.empty(0, np.int64)
        signs = features(frames)
        step = np.abs(np.diff(signs, axis=0)).mean(axis=1)
        around = neighbours(step, self.around)
        cuts = [int(i) + 1 for i in np.flatnonzero((step >= self.least) & (step >= self.ratio * around + 2))]
        if self.slow and len(signs) > 2 * self.slow:
            cuts = [*cuts, *self.dissolves(signs, step, cuts)]
        kept: list[int] = []
        for cut in sorted(cuts):
            if cut >= self.shortest and (not kept or cut - kept[-1] >= self.shortest):
                kept.append(cut)
        return np.array(kept, np.int64)

    def dissolves(self, signs: Floats, step: Doubles, cuts: list[int]) -> list[int]:
        """Middles of slow changes: before and after are both calm, the picture between is a mix of the two."""
        n = self.slow
        jump = np.abs(signs[n:] - signs[:-n]).mean(axis=1)
        found = []
        for i in np.flatnonzero(jump >= self.slow_least).tolist():
            if jump[i] < jump[max(0, i - n) : i + n + 1].max() or any(abs(c - i - n // 2) <= n for c in cuts):
                continue
            first, last = signs[i], signs[i + n]
            share = np.linspace(0, 1, n + 1)[1:-1, None]
            mixed = np.abs(signs[i + 1 : i + n] - ((1 - share) * first + share * last)).mean()
            before, after = step[max(0, i - n) : i], step[i + n : i + 2 * n]
            calm = max(before.mean() if len(before) else 0.0, after.mean() if len(after) else 0.0)
            if mixed < 0.3 * jump[i] and calm < jump[i] / n:
                found.append(i + n // 2)
        return found


def in_chunks(frames: Iterable[Pixels], finder: ShotFinder) -> tuple[list[int], int]:
    """The first frames of shots in a stream of small frames, and how many frames there were."""
    kept: list[Pixels] = []
    cuts: list[int] = []
    start = count = 0
    for frame in frames:
        kept.append(frame)
        count += 1
        if len(kept) == CHUNK:
            cuts += [c + start for c in finder.find(np.stack(kept)).tolist() if c < CHUNK - OVERLAP // 2]
            start += CHUNK - OVERLAP
            kept = kept[-OVERLAP:]
    if kept:
        cuts += [c + start for c in finder.find(np.stack(kept)).tolist()]
    single: list[int] = []
    for cut in sorted(cuts):
        if not single or cut - single[-1] >= finder.shortest:
            single.append(cut)
    return single, count


def features(frames: Pixels) -> Floats:
    """(n, 864): means of 3 x 3 blocks, and the sorted brightness. A pan moves the first, not the second."""
    n = len(frames)
    blocks = frames.reshape(n, 9, 3, 16, 3, 3).astype(np.float32).mean(axis=(2, 4)).reshape(n, -1)
    light = np.sort(frames.astype(np.float32).mean(axis=3).reshape(n, -1), axis=1)[:, ::3]
    return np.concatenate([blocks, light], axis=1)


def neighbours(step: Doubles, around: int) -> Doubles:
    """The mean of the ``around`` changes before and after each, itself left out."""
    window, own = np.ones(2 * around + 1), slice(around, around + len(step))  # "same" is the longer one's length
    total = np.convolve(step, window)[own] - step
    count = np.convolve(np.ones_like(step), window)[own] - 1
    return np.asarray(total / np.maximum(count, 1))
