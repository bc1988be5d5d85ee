"""What is asked for in words, as vectors of every space of a library that words can be compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from matinee.encoders.table import entry_of, load_encoder, load_words
from matinee.types import Clip, Floats

if TYPE_CHECKING:
    from matinee.protocols import Encoder


@dataclass(frozen=True, slots=True)
class Queries:
    """``text``: the encoder of items' texts, None where a library has none; its vectors compare with those of texts, of
    what is said and of label bridges. ``joint``: by the key of its space the reading side of a joint network, whose
    vectors compare with those of pictures or sounds."""

    text: Encoder | None
    joint: dict[str, Encoder]

    def of(self, query: str) -> dict[str, Floats]:
        """(dim,) unit vectors by the key of the space; one that reads nothing in it is left out."""
        sides = dict(self.joint) if self.text is None else {self.text.space.key: self.text, **self.joint}
        rows = {key: asked(encoder, [query])[0] for key, encoder in sides.items()}
        return {key: row for key, row in rows.items() if np.isfinite(row).all()}


def asked(encoder: Encoder, queries: Sequence[str]) -> Floats:
    """(n, dim): queries as the encoder takes them; E5 and BGE tell them from texts."""
    encode = getattr(encoder, "encode_queries", None)
    rows: Floats = encode(queries) if encode else encoder.encode([Clip(text=query) for query in queries])
    return rows


def load_queries(names: Sequence[str], precision: str = "float") -> Queries:
    """For the encoders that a library's settings name. Raises as ``load_encoder``."""
    text = next((name for name in names if entry_of(name).reads == "text"), None)
    joint = {entry_of(name).key: load_words(name) for name in names if entry_of(name).joint}
    return Queries(load_encoder(text, precision) if text else None, joint)
