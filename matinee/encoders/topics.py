"""Zero-shot tags: which of 120 topics an item is about, in English and Chinese, with nothing trained on tags.

An item's vectors in the text space (its words, what is said in it, what the label bridge saw and heard) are compared
with the names of the topics in both languages. What counts is how far a topic stands out over all topics, as any text
is a little like every other. Where a joint network looked or listened, its own words side names the topics, and belief
is the softmax it was trained with, over the topics and over a picture of nothing in particular (Radford et al. 2021,
"Learning Transferable Visual Models From Natural Language Supervision", section 3.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from matinee.encoders.labels import names
from matinee.protocols import Encoder
from matinee.types import Clip, Floats

# in units of how much the topics' own names differ: what is believed half, and how fast belief grows
MIDDLE, WIDTH = 2.42, 0.485
LEAST, MOST = 0.3, 6
TRANSLATED = 0.15  # how much nearer a name lies to its translation than to others, where both languages are known
SAYING = {  # what stands around a topic's name before a joint network, and what is asked for nothing in particular
    ("frames", "en"): ("a photo of {}", "a photo"),
    ("frames", "zh"): ("一张{}的照片", "一张照片"),
    ("sound", "en"): ("this is a sound of {}", "this is a sound"),
    ("sound", "zh"): ("{}的声音", "一段声音"),
}


@dataclass(frozen=True, slots=True)
class Topic:
    """``confidence`` in [0, 1]; ``by``: the space it was seen in (text, speech, bridge.frames, frames.joint ...)."""

    en: str
    zh: str
    confidence: float
    by: str


@dataclass(frozen=True, slots=True)
class Classes:
    """``vectors``: (n, dim) unit rows of the topics' names; ``unit``: the deviation of cosines between two of them.
    ``heat``: of a joint network, what its cosines are multiplied by before the softmax, else 0; ``nothing``: (dim,) its
    vector of nothing in particular."""

    vectors: Floats
    unit: float = 1.0
    heat: float = 0.0
    nothing: Floats | None = None

    def confidence(self, rows: Floats) -> Floats:
        """(n, topics) in [0, 1]; 0 for rows of NaN."""
        cosine = np.nan_to_num(rows) @ self.vectors.T
        if self.nothing is not None:
            logits = self.heat * np.concatenate([cosine, np.nan_to_num(rows) @ self.nothing[:, None]], axis=1)
            raised = np.exp(logits - logits.max(axis=1, keepdims=True))
            belief = (raised / raised.sum(axis=1, keepdims=True))[:, :-1]
        else:
            excess = (cosine - cosine.mean(axis=1, keepdims=True)) / self.unit
            belief = 1 / (1 + np.exp(-(excess - MIDDLE) / WIDTH))
        there = np.asarray(np.isfinite(rows).all(axis=1))
        return np.asarray(np.where(there[:, None], belief, 0), np.float32)


@dataclass(frozen=True, slots=True)
class Topics:
    """``text``: the topics as the text encoder has them, None without one; ``joint``: as joint networks have them, by
    the name of their space."""

    names: tuple[tuple[str, str], ...]
    text: Classes | None
    joint: Mapping[str, Classes] = field(default_factory=dict)

    def of(self, evidence: Mapping[str, Floats]) -> list[Topic]:
        """At most six topics of one item, likeliest first; ``evidence``: its (1, dim) vectors by space name."""
        best: dict[int, tuple[float, str]] = {}
        for by, row in evidence.items():
            classes = self.joint.get(by, self.text)
            if classes is None or row.shape[1] != classes.vectors.shape[1]:
                continue
            belief = classes.confidence(row)[0]
            for at in np.flatnonzero(belief >= LEAST).tolist():
                best[at] = max(best.get(at, (0.0, "")), (round(float(belief[at]), 3), by))
        ranked = sorted(best.items(), key=lambda pair: (-pair[1][0], pair[0]))[:MOST]
        return [Topic(*self.names[at], confidence, by) for at, (confidence, by) in ranked]


def topics(text: Encoder | None, joint: Mapping[str, Encoder] | None = None) -> Topics:
    """The built-in topics (``names/topics.tsv``); ``joint``: words sides of joint networks by the name of their space.
    One encoding of every name each, about 0.2 s with the built-in encoder."""
    pairs = names("topics")
    sides = {space: joint_classes(space, encoder) for space, encoder in (joint or {}).items()}
    return Topics(pairs, text_classes(text) if text else None, sides)


def text_classes(text: Encoder) -> Classes:
    """An encoder that was trained on English alone is asked in English: it is one to which a Chinese name is no nearer
    to its own translation than to any other."""
    pairs = names("topics")
    rows, chinese = text.encode([Clip(text=en) for en, _ in pairs]), text.encode([Clip(text=zh) for _, zh in pairs])
    rows, chinese = np.nan_to_num(rows), np.nan_to_num(chinese)
    likeness = rows @ chinese.T
    if likeness.diagonal().mean() - likeness.mean() > TRANSLATED:
        rows = rows + chinese
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    apart = (rows @ rows.T)[np.triu_indices(len(rows), 1)]
    return Classes(rows, max(float(apart.std()), 1e-3))


def joint_classes(space: str, words: Encoder) -> Classes:
    """``words``: the side of a joint network that reads; it says which language it was trained on, and its heat."""
    kind, language = space.partition(".")[0], str(getattr(words, "language", "en"))
    around, alone = SAYING[kind, language]
    said = [around.format(en if language == "en" else zh) for en, zh in names("topics")]
    rows = words.encode([Clip(text=text) for text in [*said, alone]])
    return Classes(rows[:-1], 1.0, float(getattr(words, "heat", 100.0)), rows[-1])
