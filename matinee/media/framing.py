"""One decoded frame made into what is kept of it: upright, with square pixels, small; and which one makes a cover."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from matinee.media.pictures import COVER, SIDE, WIDEST, jpeg, small, worth
from matinee.types import Floats, Pixels

FINALISTS = 4  # frames kept in cover size until it is known what the whole film looks like


def ratio_of(thing: Any) -> float:
    """How much wider than high a pixel is; 1 where nothing sensible is said."""
    ratio = float(getattr(thing, "sample_aspect_ratio", None) or 1.0)
    return ratio if 0.1 < ratio < 10 else 1.0


def scaled(frame: Any, side: int, *, shorter: bool, method: str = "BICUBIC") -> Pixels:
    """RGB with square pixels: the shorter side becomes ``side``, or the longer one if it is longer."""
    width, height = frame.width * ratio_of(frame), float(frame.height)
    scale = side / min(width, height) if shorter else min(1.0, side / max(width, height))
    scale = min(scale, 2 * WIDEST / max(width, height)) if shorter else scale
    size = max(2, round(width * scale)), max(2, round(height * scale))
    out: Pixels = frame.reformat(*size, format="rgb24", interpolation=method, threads=1).to_ndarray()
    return out


def upright(frame: Any, rgb: Pixels) -> Pixels:
    """Turned as the container says."""
    turns = round(int(frame.rotation) % 360 / 90)
    return np.ascontiguousarray(np.rot90(rgb, turns)) if turns else rgb


def displayed(context: Any, stream: Any) -> tuple[int, int]:
    """(width, height) in square pixels, before turning."""
    return round(context.width * ratio_of(stream)), int(context.height)


@dataclass(slots=True)
class Frames:
    """The frames that encoders get, as (seconds, picture), and the best covers among them. All are of one size and one
    angle: what is not like the first is left out."""

    kept: list[tuple[float, Pixels]] = field(default_factory=list)
    finalists: list[tuple[float, Floats, Pixels]] = field(default_factory=list)
    colours: list[Floats] = field(default_factory=list)
    angle: int | None = None

    def add(self, frame: Any, at: float | None = None) -> None:
        """Keeps a frame small, and large too when it may make the cover. About two milliseconds."""
        import av

        try:
            angle = int(frame.rotation) % 360
            picture = small(upright(frame, scaled(frame, SIDE, shorter=True)))
            self.angle = angle if self.angle is None else self.angle
            if angle != self.angle or (self.kept and picture.shape != self.kept[0][1].shape):
                return
            self.kept.append((max(0.0, float(frame.time or 0.0) if at is None else at), picture))
            self.colours.append(palette(picture))
            value = worth(picture)
            if value > 0 and (len(self.finalists) < FINALISTS or value > min(f[0] for f in self.finalists)):
                large = upright(frame, scaled(frame, COVER, shorter=False))
                self.finalists = sorted([*self.finalists, (value, self.colours[-1], large)], key=lambda f: -f[0])
                del self.finalists[FINALISTS:]
        except (av.FFmpegError, ValueError, MemoryError):
            return

    def cover(self) -> bytes:
        """A JPEG of the frame that is worth most and looks like the rest of the film; nothing when all are blank."""
        from PIL import Image

        if not self.finalists:
            return b""
        usual = np.mean(self.colours, axis=0)
        usual = usual / max(float(np.linalg.norm(usual)), 1e-9)
        best = max(self.finalists, key=lambda f: f[0] * (0.4 + 0.6 * float(f[1] @ usual)))
        return jpeg(Image.fromarray(best[2]))


def palette(rgb: Pixels) -> Floats:
    """(64,) unit: the roots of how often each of 4 x 4 x 4 colours occurs."""
    bins = rgb[::8, ::8].astype(np.int64) >> 6
    count = np.bincount(((bins[..., 0] * 4 + bins[..., 1]) * 4 + bins[..., 2]).ravel(), minlength=64)
    return np.asarray(np.sqrt(count / count.sum()), np.float32)
