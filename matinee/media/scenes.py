"""Small pictures kept while a video is gone through: one JPEG for each shot, and grey marks for fingerprints.

Both come from the same picture of at most 240 x 240, made once of a frame that was decoded anyway.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from matinee.media.answers import MARK_HEIGHT, MARK_WIDTH, MARKS, SCENES
from matinee.media.pictures import worth
from matinee.types import Pixels

THUMB = 240  # longer side of a shot's picture
WHOLE = 100  # pictures kept as they are: encoding costs as much as decoding some of them
BLANK = 0.02  # a picture of less worth than this is shown only where a shot has no other


def packed(rgb: Pixels) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(rgb).save(out, "JPEG", quality=80)
    return out.getvalue()


@dataclass(slots=True)
class Scenes:
    """Collects pictures; ``answer`` hands out those that shots need. Of the first hundred all is kept, of later ones a
    JPEG of about 10 KB."""

    at: list[float] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    pictures: list[Pixels | bytes] = field(default_factory=list)
    greys: list[Pixels] = field(default_factory=list)

    def add(self, moment: float, rgb: Pixels) -> None:
        """A picture of at most 240 x 240, upright. About a millisecond."""
        from PIL import Image

        if len(self.at) >= MARKS:
            return
        self.at.append(moment)
        self.value.append(worth(rgb))
        self.pictures.append(rgb if len(self.pictures) < WHOLE else packed(rgb))
        grey = Image.fromarray(rgb).convert("L").resize((MARK_WIDTH, MARK_HEIGHT), Image.Resampling.BOX)
        self.greys.append(np.asarray(grey))

    def picture(self, start: float, end: float) -> bytes:
        """The picture of most worth between two moments, the middle of a shot before its ends."""
        inside = [i for i, at in enumerate(self.at) if start - 1e-3 <= at < end - 1e-3]
        if not inside:
            return b""
        half = max((end - start) / 2, 1e-6)

        def good(i: int) -> float:
            return max(self.value[i], BLANK) * (1.25 - 0.5 * abs(self.at[i] - start - half) / half)

        best = self.pictures[max(inside, key=good)]
        picked = best if isinstance(best, bytes) else packed(best)
        return picked if len(picked) < 1 << 16 else b""

    def answer(self, starts: Sequence[float], end: float, *, whole: bool) -> dict[str, Any]:
        """Fields of an answer: the shots that begin at ``starts``, the last one ends at ``end``; evenly thinned."""
        edges = [*starts, max(end, starts[-1] + 1e-3)] if starts else []
        spans = list(pairwise(edges))
        keep = np.unique(np.linspace(0, len(spans) - 1, min(len(spans), SCENES)).round().astype(int)).tolist()
        return {
            "scenes": [(a, b, self.picture(a, b)) for a, b in (spans[i] for i in keep)],
            "scene_count": len(spans), "scenes_whole": whole,
            "marks": np.stack(self.greys).tobytes() if self.greys else b"", "mark_at": self.at,
        }  # fmt: skip
