"""Frames and sound as networks were trained to take them, read from the checkpoint's own preprocessing config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from matinee.encoders.hub.files import read_json
from matinee.types import Floats, Ints, Pixels

RATE = 16_000


@dataclass(frozen=True, slots=True)
class Look:
    """``size``: (height, width) to resize to, or the shorter side where ``shorter``; ``crop`` (height, width) is cut
    from the middle, (0, 0) for none; ``resample`` is Pillow's number; then x * scale, less ``mean``, over ``std``."""

    size: tuple[int, int]
    shorter: bool
    crop: tuple[int, int]
    resample: int
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, frame: Pixels) -> Floats:
        """(3, height, width) float32 of (h, w, 3) uint8."""
        from PIL import Image

        height, width = frame.shape[:2]
        if self.shorter:
            by = self.size[0] / min(height, width)
            target = (max(1, round(height * by)), max(1, round(width * by)))
        else:
            target = self.size
        picture = Image.fromarray(frame).resize(target[::-1], Image.Resampling(self.resample))
        if all(self.crop):
            top, left = (target[0] - self.crop[0]) // 2, (target[1] - self.crop[1]) // 2  # outside the picture: black
            picture = picture.crop((left, top, left + self.crop[1], top + self.crop[0]))
        x = np.asarray(picture, np.float32) * np.float32(self.scale) - np.array(self.mean, np.float32)
        x /= np.array(self.std, np.float32)
        return np.ascontiguousarray(x.transpose(2, 0, 1), np.float32)


def look_of(folder: Path, config: Mapping[str, Any]) -> Look:
    """From ``preprocessor_config.json`` (or ``processor_config.json``); where there is none, the network's own picture
    size and a range of -1 to 1."""
    own: dict[str, Any] = {}
    for name in ("preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json"):
        if (folder / name).exists() and not own:
            own = read_json(folder, name)
            own = own.get("image_processor") or own.get("video_processor") or own
    vision = config.get("vision_config") or config
    side = pair(vision.get("image_size", 224))
    size = own.get("size", {"height": side[0], "width": side[1]})
    shorter = isinstance(size, dict) and "shortest_edge" in size
    fraction = own.get("crop_pct")  # ConvNeXt: resize to 1 / crop_pct of the side, then cut the middle
    crop = pair(own.get("crop_size", side)) if own.get("do_center_crop", False) else (0, 0)
    target = pair(size)
    if fraction and shorter and target[0] < 384:
        crop, target = target, pair(int(target[0] / fraction))
    elif fraction:
        shorter = False
    if shorter and not all(crop):
        crop = side
    mean, std = (tuple(float(v) for v in own.get(key, (0.5,) * 3)) for key in ("image_mean", "image_std"))
    if not own.get("do_normalize", True):
        mean, std = (0.0,) * 3, (1.0,) * 3
    scale = float(own.get("rescale_factor", 1 / 255))
    if own.get("offset"):  # ViViT: to -1..1 before anything else
        scale, mean, std = 2 * scale if scale < 1 / 200 else scale, (1.0,) * 3, (1.0,) * 3
    return Look(target, shorter, crop, int(own.get("resample", 2)), scale, mean, std)


def pair(size: Any) -> tuple[int, int]:
    if isinstance(size, Mapping):
        if "shortest_edge" in size:
            return int(size["shortest_edge"]), int(size["shortest_edge"])
        return int(size["height"]), int(size["width"])
    if isinstance(size, list | tuple):
        return int(size[0]), int(size[1])
    return int(size), int(size)


def evenly(have: int, want: int) -> Ints:
    """(want,) positions spread over ``have``: the middles of equal parts, so the first of several is not the last."""
    return np.asarray(np.minimum((np.arange(want) + 0.5) * have / want, have - 1), np.int64)


def windows(sound: Floats, seconds: float, most: int = 6) -> list[Floats]:
    """At most ``most`` windows of so many seconds, spread evenly; the whole sound where it is shorter than one."""
    length = int(seconds * RATE)
    count = max(1, len(sound) // length)
    return [sound[k * length : (k + 1) * length] for k in (evenly(count, most) if count > most else range(count))]


def at_rate(sound: Floats, rate: int) -> Floats:
    """16 kHz mono at another rate. Nothing above 8 kHz is there to be had."""
    if rate == RATE:
        return sound
    from math import gcd

    from scipy.signal import resample_poly

    by = gcd(rate, RATE)
    return np.asarray(resample_poly(sound, rate // by, RATE // by), np.float32)
