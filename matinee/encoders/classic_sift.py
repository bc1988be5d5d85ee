"""Keypoints and their descriptors, with nothing trained: the scale-invariant feature transform.

Lowe 2004, "Distinctive image features from scale-invariant keypoints" (IJCV 60/2): extrema of differences of Gaussians
over place and scale (section 3), weak ones and those along edges left out (section 4), each turned to the main
direction of its surroundings (section 5), described by 4 x 4 cells of 8 directions, cut at 0.2 (section 6). Not refined
below a pixel and not doubled in size at the start: bags of words need neither.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from matinee.types import Bools, Doubles, Floats, Ints, Pixels

SIDE = 192  # shorter side at which a picture is looked at
OCTAVES, SCALES, SIGMA = 4, 3, 1.6
CONTRAST, EDGE = 0.012, 10.0  # of a difference of Gaussians of brightness 0 to 1; how much longer than wide an edge is
CELLS, ANGLES, TURNS = 4, 8, 36
MOST = 300  # keypoints of a picture, the strongest


@dataclass(frozen=True, slots=True)
class Keypoints:
    """``y``, ``x`` (n,) pixels of the picture at ``SIDE``, ``scale`` (n,) sigma there, ``angle`` (n,) radians;
    ``descriptors`` (n, 128) float32 unit rows, cut at 0.2."""

    y: Floats
    x: Floats
    scale: Floats
    angle: Floats
    descriptors: Floats


def keypoints(frame: Pixels) -> Keypoints:
    """The strongest keypoints of an RGB picture. About 40 ms."""
    from PIL import Image
    from scipy.ndimage import gaussian_filter

    image = Image.fromarray(frame).convert("L")
    ratio = SIDE / min(image.size)
    size = (max(8, round(image.width * ratio)), max(8, round(image.height * ratio)))
    base = np.asarray(image.resize(size, Image.Resampling.BICUBIC), np.float32) / 255
    base = gaussian_filter(base, float(np.sqrt(SIGMA**2 - 0.5**2)))
    parts: list[Floats] = []
    for octave in range(OCTAVES):
        if min(base.shape) < 24:
            break
        stack = [base]
        for k in range(1, SCALES + 3):
            before, after = SIGMA * 2 ** ((k - 1) / SCALES), SIGMA * 2 ** (k / SCALES)
            stack.append(gaussian_filter(stack[-1], float(np.sqrt(after**2 - before**2))))
        smooth = np.stack(stack)
        level, y, x, strength = extrema(np.diff(smooth, axis=0))
        parts.append(
            described(smooth, level, y, x, strength, 2.0**octave) if len(y) else np.empty((0, 133), np.float32)
        )
        base = smooth[SCALES][::2, ::2]
    rows = np.concatenate([*parts, np.empty((0, 133), np.float32)])
    rows = rows[np.argsort(-rows[:, 4], kind="stable")[:MOST]]
    return Keypoints(rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3], rows[:, 5:])


def extrema(differences: Floats) -> tuple[Ints, Ints, Ints, Floats]:
    """(level, y, x, strength) of points that stand out over their 26 neighbours, are strong, and are no edge."""
    from scipy.ndimage import maximum_filter, minimum_filter

    strong = np.abs(differences) >= CONTRAST
    peak = (differences == maximum_filter(differences, 3)) & (differences > 0)
    pit = (differences == minimum_filter(differences, 3)) & (differences < 0)
    found = strong & (peak | pit)
    found[[0, -1]] = False
    found[:, :5], found[:, -5:], found[:, :, :5], found[:, :, -5:] = False, False, False, False
    level, y, x = np.nonzero(found & ~edge(differences))
    return level, y, x, np.abs(differences[level, y, x])


def edge(d: Floats) -> Bools:
    """Where a difference of Gaussians bends much more across than along (section 4.1)."""
    out = np.ones(d.shape, np.bool_)
    middle = d[:, 1:-1, 1:-1]
    yy = d[:, 2:, 1:-1] + d[:, :-2, 1:-1] - 2 * middle
    xx = d[:, 1:-1, 2:] + d[:, 1:-1, :-2] - 2 * middle
    xy = (d[:, 2:, 2:] - d[:, 2:, :-2] - d[:, :-2, 2:] + d[:, :-2, :-2]) / 4
    determinant = yy * xx - xy**2
    out[:, 1:-1, 1:-1] = (determinant <= 0) | ((yy + xx) ** 2 * EDGE >= (EDGE + 1) ** 2 * determinant)
    return out


def described(smooth: Floats, level: Ints, y: Ints, x: Ints, strength: Floats, grid: float) -> Floats:
    """(n, 133): y, x, scale, angle, strength and the descriptor of each keypoint of one octave."""
    down, across = np.gradient(smooth, axis=(1, 2))
    size, turn = np.hypot(down, across), np.arctan2(down, across)
    sigma = SIGMA * 2 ** (level / SCALES)
    angle = main_direction(size, turn, level, y, x, sigma)
    half = (np.arange(4 * CELLS) + 0.5) / CELLS - CELLS / 2  # places in cells, 16 along each side
    v, u = (g.ravel() for g in np.meshgrid(half, half, indexing="ij"))
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    width = 3 * sigma[:, None]  # pixels of a cell
    at_y, at_x = y[:, None] + width * (sin * u + cos * v), x[:, None] + width * (cos * u - sin * v)
    here, where = sampled(size, level, at_y, at_x), sampled(turn, level, at_y, at_x)
    weight = here * np.exp(-(u**2 + v**2) / (2 * (CELLS / 2) ** 2))
    place = ((where - angle[:, None]) / (2 * np.pi) % 1) * ANGLES
    low = np.floor(place).astype(np.int64) % ANGLES
    part = place - np.floor(place)
    cell = (np.floor(v + CELLS / 2).astype(np.int64) * CELLS + np.floor(u + CELLS / 2).astype(np.int64))[None]
    rows = np.zeros((len(y), CELLS * CELLS * ANGLES), np.float64)
    number = np.arange(len(y))[:, None]
    np.add.at(rows, (number, cell * ANGLES + low), weight * (1 - part))
    np.add.at(rows, (number, cell * ANGLES + (low + 1) % ANGLES), weight * part)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    rows = np.minimum(rows, 0.2)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    about = np.stack([y * grid, x * grid, sigma * grid, angle, strength], axis=1)
    return np.concatenate([about, rows], axis=1).astype(np.float32)


def main_direction(size: Floats, turn: Floats, level: Ints, y: Ints, x: Ints, sigma: Doubles) -> Floats:
    """(n,) radians: the peak of a histogram of 36 directions around each keypoint, weighed by a Gaussian of 1.5
    sigma."""
    reach = np.linspace(-3, 3, 13)
    dy, dx = (g.ravel() for g in np.meshgrid(reach, reach, indexing="ij"))
    step = 1.5 * sigma[:, None]
    at_y, at_x = y[:, None] + step * dy, x[:, None] + step * dx
    weight = sampled(size, level, at_y, at_x) * np.exp(-(dy**2 + dx**2) / 2)
    bins = (sampled(turn, level, at_y, at_x) / (2 * np.pi) % 1 * TURNS).astype(np.int64) % TURNS
    count = np.zeros((len(y), TURNS))
    np.add.at(count, (np.arange(len(y))[:, None], bins), weight)
    count = (count + np.roll(count, 1, axis=1) + np.roll(count, -1, axis=1)) / 3
    best = count.argmax(axis=1)
    rows = np.arange(len(y))
    left, middle, right = count[rows, best - 1], count[rows, best], count[rows, (best + 1) % TURNS]
    bend = np.minimum(left + right - 2 * middle, -1e-12)
    return np.asarray((best + 0.5 + 0.5 * (left - right) / bend) * 2 * np.pi / TURNS, np.float32)


def sampled(planes: Floats, level: Ints, y: Doubles, x: Doubles) -> Floats:
    """(n, k) values of a stack of pictures at the pixels nearest to places; 0 beyond their edges."""
    rows, columns = np.rint(y).astype(np.int64), np.rint(x).astype(np.int64)
    height, width = planes.shape[1:]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    found = planes[level[:, None], np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)]
    return np.asarray(np.where(inside, found, 0), np.float32)
