"""Zero-shot tags: which of 120 topics an item is about, in English and Chinese, with nothing trained on tags.

An item's vectors in the text space (its words, what is said in it, what the label bridge saw and heard) are compared
with the names of the topics in both languages. What counts is how far a topic stands out over all topics, as any text
is a little like every other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from matinee.encoders.labels import names
from matinee.encoders.text import TextEncoder
from matinee.types import Floats

MIDDLE, WIDTH = 0.25, 0.05  # the excess over the mean that is believed half, and how fast belief grows
LEAST, MOST = 0.3, 6


@dataclass(frozen=True, slots=True)
class Topic:
    """``confidence`` in [0, 1]; ``by``: the space it was seen in (text, speech, bridge.frames, bridge.sound)."""

    en: str
    zh: str
    confidence: float
    by: str


@dataclass(frozen=True, slots=True)
class Topics:
    """``classes``: (n, dim) unit rows of the topics' names."""

    names: tuple[tuple[str, str], ...]
    classes: Floats

    def confidence(self, vectors: Floats) -> Floats:
        """(n, topics) in [0, 1]; 0 for rows of NaN."""
        cosine = np.nan_to_num(vectors) @ self.classes.T
        excess = cosine - cosine.mean(axis=1, keepdims=True)
        belief = 1 / (1 + np.exp(-(excess - MIDDLE) / WIDTH))
        there = np.asarray(np.isfinite(vectors).all(axis=1))
        return np.asarray(np.where(there[:, None], belief, 0), np.float32)

    def of(self, evidence: Mapping[str, Floats]) -> list[Topic]:
        """At most six topics of one item, likeliest first; ``evidence``: its (1, dim) vectors by space name."""
        best: dict[int, tuple[float, str]] = {}
        for by, row in evidence.items():
            belief = self.confidence(row)[0]
            for at in np.flatnonzero(belief >= LEAST).tolist():
                best[at] = max(best.get(at, (0.0, "")), (round(float(belief[at]), 3), by))
        ranked = sorted(best.items(), key=lambda pair: (-pair[1][0], pair[0]))[:MOST]
        return [Topic(*self.names[at], confidence, by) for at, (confidence, by) in ranked]


def topics(text: TextEncoder) -> Topics:
    """The built-in topics (``names/topics.tsv``); one encoding of every name, about 0.2 s."""
    pairs = names("topics")
    rows = text.encode_texts([en for en, _ in pairs]) + text.encode_texts([zh for _, zh in pairs])
    return Topics(pairs, rows / np.linalg.norm(rows, axis=1, keepdims=True))
