"""The experts of a release over a catalogue that has grown since, and how each is tried without a part of the past."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from matinee.pipeline.sources import Nearest
from matinee.pipeline.taste import without as without_item
from matinee.protocols import Model
from matinee.types import Candidates, Floats, Ints, Query


class Table(Protocol):
    """What one expert makes of one history and one set of candidates, worked out once."""

    def scores(self, without: Sequence[int] = ()) -> Floats:
        """(1 + len(without), n) scores by the whole history, then without each named past item."""
        ...

    def terms(self, picked: Ints) -> dict[str, Floats]:
        """By space ("" for behaviour): (len(picked), len(history)) what each past event adds."""
        ...


def table_of(expert: Model, query: Query, candidates: Candidates) -> Table:
    """The expert's own table where it has one; otherwise it is asked anew for everything."""
    made = getattr(expert, "table", None)
    table: Table = made(query, candidates.items) if made else Asked(expert, query, candidates)
    return table


@dataclass(frozen=True, slots=True)
class Asked:
    """A table of an expert that can only be asked: one scoring for each past item that is taken away."""

    expert: Model
    query: Query
    candidates: Candidates

    def scores(self, without: Sequence[int] = ()) -> Floats:
        queries = [self.query, *(without_item(self.query, item) for item in without)]
        return np.stack([self.expert.score(query, self.candidates) for query in queries])

    def terms(self, picked: Ints) -> dict[str, Floats]:
        items = self.candidates.items[picked]
        by_space = getattr(self.expert, "by_space", None)
        if by_space:
            told: dict[str, Floats] = by_space(self.query, items)
            return told
        return {"": self.expert.explain(self.query, items)}


@dataclass(frozen=True, slots=True)
class Same:
    """An expert to which every user and every past is the same, as popularity is."""

    expert: Model

    @property
    def name(self) -> str:
        return self.expert.name

    def retrieve(self, query: Query, n: int) -> Candidates:
        return self.expert.retrieve(query, n)

    def score(self, query: Query, candidates: Candidates) -> Floats:
        return self.expert.score(query, candidates)

    def explain(self, query: Query, items: Ints) -> Floats:
        return np.zeros((len(items), 0), np.float32)

    def table(self, query: Query, items: Ints) -> SameTable:
        unknown = Candidates(items, np.full(len(items), np.nan, np.float32), np.zeros(len(items), np.int64))
        return SameTable(self.expert.score(query, unknown))

    def arrays(self) -> Mapping[str, Any]:
        return self.expert.arrays()


@dataclass(frozen=True, slots=True)
class SameTable:
    score: Floats

    def scores(self, without: Sequence[int] = ()) -> Floats:
        return self.score[None] if not len(without) else np.repeat(self.score[None], 1 + len(without), axis=0)

    def terms(self, picked: Ints) -> dict[str, Floats]:
        return {"": np.zeros((len(picked), 0), np.float32)}


@dataclass(frozen=True, slots=True)
class Grown:
    """``model`` where it has an opinion; ``nearest``, the same measure over the catalogue as it is, where it has none:
    so an item that came after training is scored with the others at once."""

    model: Model
    nearest: Nearest

    @property
    def name(self) -> str:
        return self.model.name

    def retrieve(self, query: Query, n: int) -> Candidates:
        return self.nearest.retrieve(query, n)

    def score(self, query: Query, candidates: Candidates) -> Floats:
        score = self.model.score(query, candidates)
        silent = np.isnan(score)
        if silent.any():
            score = score.copy()
            score[silent] = self.nearest.score(query, candidates.take(silent))
        return score

    def explain(self, query: Query, items: Ints) -> Floats:
        return self.nearest.explain(query, items)

    def by_space(self, query: Query, items: Ints) -> dict[str, Floats]:
        return self.nearest.by_space(query, items)

    def arrays(self) -> Mapping[str, Any]:
        return self.model.arrays()
