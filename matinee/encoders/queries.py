"""What is asked for in words, as vectors of every space of a library that words can be compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from matinee.encoders.bridge import bridge_key
from matinee.encoders.table import entry_of, load_encoder, load_words
from matinee.types import Clip, Floats, Space

if TYPE_CHECKING:
    from matinee.protocols import Encoder

SAID = ("speech", "written")  # spaces of words that are heard or seen in an item, made by the text encoder


@dataclass(frozen=True, slots=True)
class Queries:
    """``texts``: the encoders of items' texts, the one that speaks for them first; ``joint``: by the key of its space
    the reading side of a joint network, whose vectors compare with those of pictures or sounds."""

    texts: tuple[Encoder, ...]
    joint: dict[str, Encoder]

    def of(self, query: str) -> dict[str, Floats]:
        """(dim,) unit vectors by the key of every space they may be compared in: of texts, of what is said, of label
        bridges, and of joint networks. One that reads nothing in the query is left out."""
        sides = [(encoder, keys_led(encoder.space)) for encoder in self.texts[:1]]
        sides += [(encoder, (encoder.space.key,)) for encoder in self.texts[1:]]
        sides += [(encoder, (key,)) for key, encoder in self.joint.items()]
        rows = [(asked(encoder, [query])[0], keys) for encoder, keys in sides]
        return {key: row for row, keys in rows if np.isfinite(row).all() for key in keys}

    def text(self, text: str) -> dict[Space, Floats]:
        """(dim,) unit vectors of an item's text by space."""
        rows = {encoder.space: encoder.encode([Clip(text=text)])[0] for encoder in self.texts}
        return {space: row for space, row in rows.items() if np.isfinite(row).all()}


def keys_led(text: Space) -> tuple[str, ...]:
    """The keys of the spaces that a text encoder's vectors live in."""
    bridges = (bridge_key(kind, text.key) for kind in ("frames", "sound"))
    return (text.key, *bridges, *(f"{name}@{text.revision}" for name in SAID))


def asked(encoder: Encoder, queries: Sequence[str]) -> Floats:
    """(n, dim): queries as the encoder takes them; E5 and BGE tell them from texts."""
    encode = getattr(encoder, "encode_queries", None)
    rows: Floats = encode(queries) if encode else encoder.encode([Clip(text=query) for query in queries])
    return rows


def load_queries(names: Sequence[str], precision: str = "float") -> Queries:
    """For the encoders that a library's settings name. Raises as ``load_encoder``."""
    texts = tuple(load_encoder(name, precision) for name in names if entry_of(name).reads == "text")
    return Queries(texts, {entry_of(name).key: load_words(name) for name in names if entry_of(name).joint})
