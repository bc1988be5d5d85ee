"""Why an item is there, taken from the terms of its score: nothing is named that did not raise it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from matinee.pipeline.catalogue import Catalogue
from matinee.pipeline.experts import Grown
from matinee.pipeline.popularity import Popularity
from matinee.pipeline.scorers import knows
from matinee.pipeline.sources import Nearest
from matinee.types import Candidates, Doubles, Floats, Ints, Item, Query, Reason

KINDS = {"text": "reads", "frames": "looks", "sound": "sounds"}
MOST = 3  # reasons an item carries
LEAST = 0.05  # a smaller share of the score explains nothing


class Expert(Protocol):
    @property
    def name(self) -> str: ...
    def explain(self, query: Query, items: Ints) -> Floats: ...


class Parted(Protocol):
    """A scorer that can say how much of each score came from which expert."""

    @property
    def models(self) -> Sequence[Expert]: ...
    def parts(self, query: Query, candidates: Candidates) -> Floats:
        """(n, len(models)) what each expert adds to the score; NaN where it had no opinion."""
        ...


@dataclass(frozen=True, slots=True)
class FromExperts:
    """Shares the score out over the experts that raised it, and each expert's share over the past events behind it.

    An expert that is additive over the history gives ``because``, or ``looks``, ``sounds`` and ``reads`` where it
    goes by content; popularity gives ``popular``. An expert that can name no cause gives none.
    """

    catalogue: Catalogue
    popularity: Popularity
    scorer: Parted
    name: str = "reasons"

    def explain(self, query: Query, pool: Candidates, picked: Ints) -> tuple[tuple[Reason, ...], ...]:
        """One more scoring of the pool, and of the picked items the terms of every additive expert."""
        items = pool.items[picked]
        if not len(items):
            return ()
        if not knows(query):
            return tuple((self._start(int(row)),) for row in items)
        raised = np.maximum(np.nan_to_num(self.scorer.parts(query, pool)[picked]), 0).astype(np.float64)
        total = raised.sum(axis=1)
        found: list[list[Reason]] = [[] for _ in items]
        for expert, part in zip(self.scorer.models, raised.T, strict=True):
            share = np.divide(part, total, out=np.zeros(len(items)), where=total > 0)
            for i, reasons in enumerate(self._of(expert, query, items, share)):
                found[i] += reasons
        return tuple(tuple(_merged(r)) or (self._start(int(i)),) for i, r in zip(items, found, strict=True))

    def _start(self, row: int) -> Reason:
        """For an item that no expert has placed: it is watched by others, or it is new."""
        if 0 <= row < len(self.popularity.ever) and self.popularity.ever[row] > 0:
            return self._popular(row, 1.0)
        return Reason("new", 1.0)

    def _popular(self, row: int, weight: float) -> Reason:
        return Reason("popular", weight, None, "now" if self.popularity.is_recent(row) else "ever")

    def _of(self, expert: Expert, query: Query, items: Ints, share: Doubles) -> list[list[Reason]]:
        if expert.name.startswith("popular"):
            return [[self._popular(int(row), float(s))] if s > 0 else [] for row, s in zip(items, share, strict=True)]
        if isinstance(expert, Nearest | Grown):
            falls = {space: np.maximum(fall, 0) for space, fall in expert.causes(query, items).items()}
            whole = np.sum([fall.sum(axis=1) for fall in falls.values()], axis=0) if falls else np.zeros(len(items))
            found: list[list[Reason]] = [[] for _ in items]
            for space, fall in falls.items():
                for i, h, weight in _heaviest(fall, whole, share):
                    cause = int(query.history.items[h])
                    detail = self.shared(int(items[i]), cause, space)
                    found[i].append(Reason(KINDS[space], weight, cause, detail))
            return found
        term = np.maximum(expert.explain(query, items), 0).astype(np.float32)
        found = [[] for _ in items]
        for i, h, weight in _heaviest(term, term.sum(axis=1), share):
            found[i].append(Reason("because", weight, int(query.history.items[h])))
        return found

    def _maybe(self, row: int) -> Item | None:
        return self.catalogue.items[row] if row < self.catalogue.size else None

    def shared(self, row: int, other: int, space: str) -> str:
        """What two items have in common in this space, named: labels, or tags and categories; "; " between."""
        if space == "text":
            a, b = self.catalogue.item(row), self._maybe(other)
            words = (*a.tags, *a.categories)
            common = [w for w in dict.fromkeys(words) if b and w in (*b.tags, *b.categories)]
        else:
            labels = self.catalogue.labels.get(f"labels.{space}", {})
            theirs = {label for label, share in labels.get(other, ()) if share >= 0.05}
            common = [label for label, share in labels.get(row, ()) if label in theirs and share >= 0.05]
        return "; ".join(common[:3])


def _heaviest(term: Floats, whole: Doubles, share: Doubles) -> list[tuple[int, int, float]]:
    """(item, event, weight) of the ``MOST`` heaviest terms of each item; ``share`` is what all of them weigh."""
    found = []
    if term.shape[1] == 0:
        return []
    top = np.argsort(-term, axis=1, kind="stable")[:, :MOST]
    for i in range(len(term)):
        for h in top[i]:
            if term[i, h] > 0 and whole[i] > 0 and share[i] > 0:
                found.append((i, int(h), float(share[i] * term[i, h] / whole[i])))
    return found


def _merged(reasons: list[Reason]) -> list[Reason]:
    """One reason for each kind and cause, heaviest first."""
    by_key: dict[tuple[str, int | None], Reason] = {}
    for r in reasons:
        old = by_key.get((r.kind, r.item))
        by_key[r.kind, r.item] = r if old is None else Reason(r.kind, old.weight + r.weight, r.item, old.detail)
    ordered = sorted(by_key.values(), key=lambda r: -r.weight)
    return [r for r in ordered if r.weight >= LEAST][:MOST]
