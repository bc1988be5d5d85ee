"""Many requests at once, of the whole catalogue: what evaluation and the learning of weights ask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast, runtime_checkable

import numpy as np

from matinee.protocols import Model
from matinee.types import Candidates, Floats, Ints, Query


@runtime_checkable
class BatchScorer(Protocol):
    """What a model may offer beside ``score``, where many queries at once are faster than one by one."""

    def score_batch(self, queries: Sequence[Query], items: Ints) -> Floats:
        """(len(queries), len(items)) float32, as ``score`` would give row by row."""
        ...


def score_all(model: Model, queries: Sequence[Query], n_items: int) -> Floats:
    """(len(queries), n_items) float32 scores of the whole catalogue, a fresh array."""
    items = np.arange(n_items)
    if isinstance(model, BatchScorer):
        return np.array(cast(BatchScorer, model).score_batch(queries, items), np.float32)
    everything = Candidates(items, np.full(n_items, np.nan, np.float32), np.zeros(n_items, np.int64))
    out = np.empty((len(queries), n_items), np.float32)
    for row, query in zip(out, queries, strict=True):
        row[:] = model.score(query, everything)
    return out
