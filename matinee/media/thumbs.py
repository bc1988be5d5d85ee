"""Pictures as small squares, for networks that learn from pixels. Decoded behind the fence, as everything is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from matinee.errors import MatineeError
from matinee.media.fence import Fence
from matinee.media.read import read_clip
from matinee.types import Pixels

SIDE = 32
Progress = Callable[[str, int, int], None]


def thumbs(files: Mapping[int, Path], n: int, progress: Progress, side: int = SIDE) -> Pixels:
    """(n, side, side, 3) uint8: the middle square of each row's picture, all black where none can be read. A video
    gives its middle frame. About 10 ms a picture."""
    from PIL import Image

    out = np.zeros((n, side, side, 3), np.uint8)
    if not files:
        return out
    with Fence() as fence:
        for done, (row, file) in enumerate(files.items(), start=1):
            try:
                frames = read_clip(file, fence).clip.frames
            except MatineeError:  # a picture that cannot be read is a picture that is not there
                continue
            if frames is not None and len(frames):
                whole = Image.fromarray(frames[len(frames) // 2])
                edge = min(whole.size)
                left, upper = (whole.width - edge) // 2, (whole.height - edge) // 2
                middle = whole.resize((side, side), Image.Resampling.BOX, (left, upper, left + edge, upper + edge))
                out[row] = np.maximum(np.asarray(middle), 1)  # a black picture is a picture too
            if done % 64 == 0 or done == len(files):
                progress("pictures", done, len(files))
    return out
