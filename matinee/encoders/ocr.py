"""Text in pictures: PP-OCRv4's detector and recogniser (PaddleOCR, Chinese and English), run by ONNX Runtime.

The detector marks where text is (DB, Liao et al. 2020, arXiv 1911.08947: shrunken text regions in a probability map);
each region's smallest rectangle is grown back, cut out upright and read by the recogniser (SVTR-LCNet, Du et al. 2022,
arXiv 2205.00159) as a sequence of characters (CTC, Graves et al. 2006). All of it NumPy, SciPy and Pillow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from matinee.encoders.onnx import broken, open_session
from matinee.media.tags import cleaned
from matinee.types import Doubles, Floats, Pixels

SIDE = 736  # a shorter side of fewer pixels is enlarged to this for the detector
LONGEST = 1600  # and a longer side that would pass this is not
LEAST = 0.3  # probability from which a pixel is text
BOX = 0.5  # mean probability from which a region is
GROWN = 1.6  # times area by perimeter that a region is grown by: what training had shrunk
SMALLEST = 3.0  # pixels of a region's shorter side in the map
REGIONS = 200  # of a picture, at most
HEIGHT, WIDTH, WIDEST = 48, 320, 2400  # of what the recogniser reads
BATCH = 8
TALL = 1.5  # a region so many times as high as wide holds a line that runs downwards


@dataclass(frozen=True, slots=True)
class Written:
    """A line of text, how sure it is in [0, 1], and its corners (4, 2) in pixels: top left, then clockwise."""

    text: str
    confidence: float
    corners: Doubles


@dataclass(frozen=True, slots=True)
class Reader:
    """Both networks. Thread-safe. On one core about one frame a second, more for frames without text."""

    detector: Any
    recogniser: Any
    characters: tuple[str, ...]

    def read(self, picture: Pixels) -> list[Written]:
        """The lines in a picture (height, width, 3) uint8 RGB, in the order of reading."""
        if min(picture.shape[:2]) < 16:
            return []
        boxes = in_order(regions(self.heat(picture), picture.shape[0], picture.shape[1]))
        said = self.recognise([cut(picture, corners) for corners in boxes])
        return [
            Written(text, round(sure, 3), corners)
            for corners, (text, sure) in zip(boxes, said, strict=True)
            if text.strip()
        ]

    def heat(self, picture: Pixels) -> Floats:
        """(height, width) probability that a pixel of the picture, made larger or smaller, is text."""
        height, width = fitting(picture.shape[0], picture.shape[1])
        batch = normal(resized(picture, width, height))[None]
        heat: Floats = self.detector.run(None, {self.detector.get_inputs()[0].name: batch})[0][0, 0]
        return heat

    def recognise(self, lines: Sequence[Pixels]) -> list[tuple[str, float]]:
        """The text of each cut-out line and how sure it is. Lines of like shape are read together."""
        said: list[tuple[str, float]] = [("", 0.0)] * len(lines)
        wide = [line.shape[1] / line.shape[0] for line in lines]
        order = np.argsort(wide, kind="stable")
        for at in range(0, len(order), BATCH):
            part = [int(i) for i in order[at : at + BATCH]]
            span = min(max(WIDTH, int(np.ceil(HEIGHT * max(wide[i] for i in part)))), WIDEST)
            batch = np.zeros((len(part), 3, HEIGHT, span), np.float32)
            for row, i in enumerate(part):
                width = min(span, max(1, int(np.ceil(HEIGHT * wide[i]))))
                batch[row, :, :, :width] = normal(resized(lines[i], width, HEIGHT))
            likely = self.recogniser.run(None, {self.recogniser.get_inputs()[0].name: batch})[0]
            for row, i in enumerate(part):
                said[i] = self.spelled(likely[row])
        return said

    def spelled(self, likely: Floats) -> tuple[str, float]:
        """Of (steps, characters) probabilities the likeliest of each step, repeats and blanks left out."""
        best = likely.argmax(axis=1)
        kept = (best != 0) & (best != np.concatenate([[-1], best[:-1]]))
        if not kept.any():
            return "", 0.0
        return cleaned("".join(self.characters[i] for i in best[kept]), 500), float(likely.max(axis=1)[kept].mean())


def load_reader(threads: int = 1) -> Reader:
    """Raises ``weights.missing`` or ``weights.refused``. About half a second."""
    from matinee.encoders import weights

    return load(weights.require("ocr"), threads)


def load(folder: Path, threads: int = 1) -> Reader:
    detector = open_session(folder / "ch_PP-OCRv4_det_infer.onnx", threads)
    recogniser = open_session(folder / "ch_PP-OCRv4_rec_infer.onnx", threads)
    told = recogniser.get_modelmeta().custom_metadata_map.get("character", "")
    characters = ("", *told.split("\n"), " ")  # 0 is the blank of CTC
    if recogniser.get_outputs()[0].shape[-1] != len(characters):
        raise broken("its characters are not those of its network")
    return Reader(detector, recogniser, characters)


# --- pictures for the networks ---------------------------------------------------------------------------------------


def fitting(height: int, width: int) -> tuple[int, int]:
    """The size at which the detector looks, in steps of 32 pixels."""
    scale = max(1.0, SIDE / min(height, width))
    scale = min(scale, max(LONGEST / max(height, width), 32 / min(height, width)))
    return max(32, round(height * scale / 32) * 32), max(32, round(width * scale / 32) * 32)


def resized(picture: Pixels, width: int, height: int) -> Pixels:
    from PIL import Image

    if picture.shape[:2] == (height, width):
        return picture
    image = Image.fromarray(np.ascontiguousarray(picture))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def normal(picture: Pixels) -> Floats:
    """(3, height, width) in [-1, 1], blue first, as the networks were trained."""
    return np.ascontiguousarray((picture[:, :, ::-1].astype(np.float32) / 127.5 - 1).transpose(2, 0, 1))


def cut(picture: Pixels, corners: Doubles) -> Pixels:
    """The picture within four corners, laid straight; a line that runs downwards is turned."""
    from PIL import Image

    side = np.linalg.norm(corners - np.roll(corners, -1, axis=0), axis=1)
    width, height = max(1, round(max(side[0], side[2]))), max(1, round(max(side[1], side[3])))
    left, top = np.floor(corners.min(axis=0)).astype(int)
    right, bottom = np.ceil(corners.max(axis=0)).astype(int) + 1
    part = Image.fromarray(np.ascontiguousarray(picture[max(top, 0) : bottom, max(left, 0) : right]))
    quad = (corners - [max(left, 0), max(top, 0)])[[0, 3, 2, 1]].ravel()  # Pillow goes round the other way
    line = np.asarray(
        part.transform((width, height), Image.Transform.QUAD, quad.tolist(), Image.Resampling.BICUBIC)
    )  # fmt: skip
    return np.rot90(line) if height >= TALL * width else line


# --- from the map to regions -----------------------------------------------------------------------------------------


def regions(heat: Floats, height: int, width: int) -> list[Doubles]:
    """Corners (4, 2) of the text regions in a picture of this size, from the detector's map (h, w)."""
    from scipy import ndimage

    mask = ndimage.binary_dilation(heat > LEAST, np.ones((2, 2), bool))
    named, count = ndimage.label(mask, np.ones((3, 3), int))
    if not count:
        return []
    boxes = ndimage.find_objects(named)
    sizes = ndimage.sum_labels(mask, named, np.arange(1, count + 1))
    found: list[tuple[float, Doubles]] = []
    for i in np.argsort(-sizes, kind="stable")[: 4 * REGIONS]:
        rows, columns = boxes[i]
        part = named[rows, columns] == i + 1
        rectangle = smallest(outline(part) + np.array([columns.start, rows.start]))
        if min(rectangle.sides) < SMALLEST or rectangle.mean(heat) < BOX:
            continue
        grown = rectangle.grown(GROWN)
        if min(grown.sides) < SMALLEST + 2:
            continue
        corners = grown.corners() * [width / heat.shape[1], height / heat.shape[0]]
        found.append((float(sizes[i]), np.clip(corners, 0, [width - 1, height - 1])))
    return [corners for _, corners in found[:REGIONS]]


@dataclass(frozen=True, slots=True)
class Rectangle:
    """``centre`` (2,), ``axis`` (2,) the unit vector along its first side, ``sides`` (2,)."""

    centre: Doubles
    axis: Doubles
    sides: tuple[float, float]

    def corners(self) -> Doubles:
        """Top left, top right, bottom right, bottom left."""
        along, across = self.axis * self.sides[0] / 2, np.array([-self.axis[1], self.axis[0]]) * self.sides[1] / 2
        four = self.centre + np.array([-along - across, along - across, along + across, -along + across])
        four = four[np.argsort(four[:, 0], kind="stable")]
        left, right = four[:2], four[2:]
        left, right = left[np.argsort(left[:, 1])], right[np.argsort(right[:, 1])]
        return np.stack([left[0], right[0], right[1], left[1]])

    def grown(self, ratio: float) -> Rectangle:
        """Each side moved outwards by ratio times area over perimeter."""
        a, b = self.sides
        by = ratio * a * b / max(2 * (a + b), 1e-6)
        return Rectangle(self.centre, self.axis, (a + 2 * by, b + 2 * by))

    def mean(self, heat: Floats) -> float:
        """The mean of a map within it."""
        four = self.corners()
        left, top = np.maximum(np.floor(four.min(axis=0)).astype(int), 0)
        right, bottom = np.ceil(four.max(axis=0)).astype(int) + 1
        part = heat[top:bottom, left:right]
        y, x = np.mgrid[top : top + part.shape[0], left : left + part.shape[1]]
        dx, dy = x - self.centre[0], y - self.centre[1]
        along, across = dx * self.axis[0] + dy * self.axis[1], dy * self.axis[0] - dx * self.axis[1]
        inside = (np.abs(along) <= self.sides[0] / 2 + 0.5) & (np.abs(across) <= self.sides[1] / 2 + 0.5)
        return float(part[inside].mean()) if inside.any() else 0.0


def outline(part: Any) -> Doubles:
    """(n, 2) x and y of the first and the last pixel of every row of a mask: its convex hull is the mask's."""
    rows = np.flatnonzero(part.any(axis=1))
    first = part[rows].argmax(axis=1)
    last = part.shape[1] - 1 - part[rows, ::-1].argmax(axis=1)
    return np.concatenate([np.stack([first, rows], 1), np.stack([last, rows], 1)]).astype(np.float64)


def smallest(points: Doubles) -> Rectangle:
    """The rectangle of least area around points; one of its sides lies on a side of their hull (Freeman and Shapira
    1975)."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        hull = points[ConvexHull(points).vertices]
    except (QhullError, ValueError):  # a line or a point: no area
        hull = points
    edges = np.roll(hull, -1, axis=0) - hull
    lengths = np.linalg.norm(edges, axis=1)
    axes = np.concatenate([edges[lengths > 0] / lengths[lengths > 0, None], [[1.0, 0.0]]])
    along, across = hull @ axes.T, hull @ np.stack([-axes[:, 1], axes[:, 0]])
    low, high = np.stack([along.min(0), across.min(0)]), np.stack([along.max(0), across.max(0)])
    best = int(((high - low)[0] * (high - low)[1]).argmin())
    a, b = (high[:, best] + low[:, best]) / 2
    axis = axes[best]
    return Rectangle(a * axis + b * np.array([-axis[1], axis[0]]), axis, (*(high - low)[:, best].tolist(),))


def in_order(boxes: list[Doubles]) -> list[Doubles]:
    """Lines from top to bottom, and those of one height from left to right."""
    if not boxes:
        return []
    tall = float(np.median([np.linalg.norm(b[3] - b[0]) for b in boxes]))
    rows: list[list[Doubles]] = []
    for box in sorted(boxes, key=lambda b: float(b[0][1])):
        if rows and abs(box[0][1] - rows[-1][0][0][1]) < tall / 2:
            rows[-1].append(box)
        else:
            rows.append([box])
    return [box for row in rows for box in sorted(row, key=lambda b: float(b[0][0]))]
