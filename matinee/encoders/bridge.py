"""Pictures and sounds beside text without a joint model: the label bridge.

ConSE, Norouzi et al. 2014, "Zero-Shot Learning by Convex Combination of Semantic Embeddings" (arXiv 1312.5650,
section 3): the ten likeliest class names, weighted by probability, as a mean of their text vectors. A class speaks
English and Chinese at once. It is a bridge, not a joint space: it knows what has a label and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from matinee.encoders.labels import label_zh
from matinee.encoders.text import TEXT_SPACE
from matinee.protocols import Encoder
from matinee.types import Clip, Floats, Space

TOP = 10
REVISION = "conse10-en-zh"


@dataclass(frozen=True, slots=True)
class Bridge:
    """Turns label probabilities into vectors that compare with those of text queries."""

    space: Space
    classes: Floats

    def cross(self, probabilities: Floats) -> Floats:
        """(n, 512) unit rows from (n, classes); rows of NaN stay NaN."""
        out = np.full((len(probabilities), self.space.dim), np.nan, np.float32)
        heard = np.flatnonzero(np.isfinite(probabilities).all(axis=1))
        top = np.argsort(-probabilities[heard], axis=1, kind="stable")[:, :TOP]
        weights = np.take_along_axis(probabilities[heard], top, axis=1)
        mixed = np.einsum("nk,nkd->nd", weights, self.classes[top])
        norm = np.linalg.norm(mixed, axis=1, keepdims=True)
        out[heard] = np.divide(mixed, norm, out=np.full_like(mixed, np.nan), where=norm > 0)
        return out


def bridge_key(modality: str, text: str) -> str:
    """The key of a bridge's space; ``text``: that of the text encoder it leads to."""
    led = "" if text == TEXT_SPACE.key else f"-{text}"
    return f"bridge.{modality}@{REVISION}{led}"


def bridge(modality: str, names: Sequence[str], text: Encoder) -> Bridge:
    """``modality``: frames or sound; ``names``: the labels of its network. Costs one text encoding of every name."""
    vectors = text.encode([Clip(text=name) for name in names])
    vectors += text.encode([Clip(text=label_zh(name)) for name in names])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    name, _, revision = bridge_key(modality, text.space.key).partition("@")
    return Bridge(Space(name, revision, text.space.dim), vectors)


def top_labels(names: Sequence[str], probabilities: Floats, n: int = TOP) -> list[list[object]]:
    """The n likeliest ``[label, probability]`` of one row, for a fact; none of a NaN row."""
    if not np.isfinite(probabilities).all():
        return []
    order = np.argsort(-probabilities, kind="stable")[:n]
    return [[names[i], round(float(probabilities[i]), 4)] for i in order]
