"""Pictures and sounds beside text without a joint model: the label bridge.

ConSE, Norouzi et al. 2014, "Zero-Shot Learning by Convex Combination of Semantic Embeddings" (arXiv 1312.5650,
section 3): the ten likeliest class names, weighted by probability, as a mean of their text vectors. A class speaks
English and Chinese at once. It is a bridge, not a joint space: it knows what has a label and nothing else.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

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


def bridge(modality: str, names: Sequence[str], text: Encoder, kept: Path | None = None) -> Bridge:
    """``modality``: frames or sound; ``names``: the labels of its network. Costs one text encoding of every name, a
    second for ImageNet's; with a folder ``kept`` only once, later calls read what is there."""
    name, _, revision = bridge_key(modality, text.space.key).partition("@")
    said = [*names, *(label_zh(n) for n in names)]
    place = kept / f"{digest_of(text.space, said)}.npy" if kept else None
    vectors = read_classes(place, (len(names), text.space.dim)) if place else None
    if vectors is None:
        rows = text.encode([Clip(text=words) for words in said])
        vectors = rows[: len(names)] + rows[len(names) :]
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        if place:
            write_classes(place, vectors)
    return Bridge(Space(name, revision, text.space.dim), vectors)


def digest_of(space: Space, said: Sequence[str]) -> str:
    """Of an encoder, by its space, and of all that it is asked to encode."""
    return hashlib.sha256("\n".join([REVISION, space.key, *said]).encode()).hexdigest()[:32]


def read_classes(place: Path, shape: tuple[int, int]) -> Floats | None:
    """Unit rows that were kept; None where there are none, or what is there is damaged."""
    try:
        rows = np.load(place, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if rows.shape != shape or rows.dtype != np.float32 or not np.isfinite(rows).all():
        return None
    return rows if np.abs(np.linalg.norm(rows, axis=1) - 1).max() < 1e-3 else None


def write_classes(place: Path, rows: Floats) -> None:
    """Whole or not at all; a cache that cannot be written only costs time."""
    part = place.with_name(f".{place.stem}.{os.getpid()}.part.npy")
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        np.save(part, rows, allow_pickle=False)
        part.replace(place)


def top_labels(names: Sequence[str], probabilities: Floats, n: int = TOP) -> list[list[object]]:
    """The n likeliest ``[label, probability]`` of one row, for a fact; none of a NaN row."""
    if not np.isfinite(probabilities).all():
        return []
    order = np.argsort(-probabilities, kind="stable")[:n]
    return [[names[i], round(float(probabilities[i]), 4)] for i in order]
