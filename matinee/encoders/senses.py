"""All encoders of a library at once: clips in, vectors of every space and the labels seen and heard out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from matinee.encoders.bridge import REVISION, Bridge, top_labels
from matinee.encoders.table import ENCODERS, load_bridge, load_encoder
from matinee.types import Clip, Floats, Space

if TYPE_CHECKING:
    from matinee.protocols import Encoder, Labeller


@dataclass(frozen=True, slots=True)
class Perceived:
    """What the encoders make of some clips. ``vectors``: (n, dim) rows by space, NaN where a clip lacks the modality;
    ``labels``: for each clip ``{"frames": [[label, probability], ...], "sound": ...}``."""

    vectors: dict[Space, Floats]
    labels: list[dict[str, list[list[object]]]]


@dataclass(frozen=True, slots=True)
class Senses:
    """Encoders and bridges by name. Safe to use from several threads."""

    encoders: dict[str, Encoder]
    bridges: dict[str, Bridge]

    def perceive(self, clips: Sequence[Clip]) -> Perceived:
        vectors: dict[Space, Floats] = {}
        labels: list[dict[str, list[list[object]]]] = [{} for _ in clips]
        for name, encoder in self.encoders.items():
            if not ENCODERS[name].names:
                vectors[encoder.space] = encoder.encode(clips)
                continue
            labeller = cast("Labeller", encoder)
            vectors[encoder.space], probabilities = labeller.encode_and_label(clips)
            if name in self.bridges:
                bridge = self.bridges[name]
                vectors[bridge.space] = bridge.cross(probabilities)
            for own, row in zip(labels, probabilities, strict=True):
                if top := top_labels(labeller.labels, row):
                    own[name] = top
        return Perceived(vectors, labels)


def load_senses(names: Sequence[str]) -> Senses:
    """The named encoders, and a label bridge for each that names what it perceives when ``text`` is among them. Raises
    ``encoder.unknown`` or ``weights.missing``. About two seconds."""
    encoders = {name: load_encoder(name) for name in names}
    return Senses(encoders, {name: load_bridge(name) for name in bridged(names)})


def bridged(names: Sequence[str]) -> list[str]:
    """The encoders that get a label bridge."""
    return [name for name in names if name in ENCODERS and ENCODERS[name].names and "text" in names]


def keys_of(names: Sequence[str]) -> list[str]:
    """What names this set of encoders: a file read with the same keys needs no second reading. Loads nothing."""
    bridges = [f"bridge.{name}@{REVISION}" for name in bridged(names)]
    return sorted([ENCODERS[name].key for name in names if name in ENCODERS] + bridges)


def finite(vectors: Floats) -> list[int]:
    """The rows that hold a vector."""
    return [int(i) for i in np.flatnonzero(np.isfinite(vectors).all(axis=1))]
