"""Why an item is there, taken from the terms of its score and tried out: a past item is named only where the score
falls without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from matinee.pipeline.catalogue import Catalogue
from matinee.pipeline.popularity import Popularity
from matinee.pipeline.scorers import knows
from matinee.types import Candidates, Doubles, Floats, History, Ints, Item, Query, Reason

KINDS = {"text": "reads", "frames": "looks", "sound": "sounds"}
MOST = 3  # reasons an item carries
LEAST = 0.05  # a smaller share of the score explains nothing
TRIED = 10  # past items tried out in one request, the heaviest first; others are not named


class Expert(Protocol):
    @property
    def name(self) -> str: ...
    def score(self, query: Query, candidates: Candidates) -> Floats: ...
    def explain(self, query: Query, items: Ints) -> Floats: ...


class Weighted(Protocol):
    """A scorer that is the weighted mean of experts, each brought to mean 0 and deviation 1 over the candidates."""

    @property
    def models(self) -> Sequence[Expert]: ...
    def parts(self, query: Query, candidates: Candidates) -> Floats:
        """(n, len(models)) what each expert adds to the score; NaN where it had no opinion."""
        ...

    def score(self, query: Query, candidates: Candidates) -> Floats: ...


@dataclass(frozen=True, slots=True)
class FromExperts:
    """Shares the score out over the experts that raised it, and each expert's share over the past events behind it.

    An expert that is additive over the history gives ``because``, or ``looks``, ``sounds`` and ``reads`` where it goes
    by content; popularity gives ``popular``. An expert that can name no cause gives none. Every past item that would be
    named is taken out of the history and the pool scored again: where an item's score does not fall, for other events
    then weigh more, the past item is no cause of it and goes unnamed.
    """

    catalogue: Catalogue
    popularity: Popularity
    scorer: Weighted
    name: str = "reasons"

    def explain(self, query: Query, pool: Candidates, picked: Ints) -> tuple[tuple[Reason, ...], ...]:
        """At most ``TRIED`` + 1 more scorings of the pool."""
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
            if not share.any():
                continue
            for i, reasons in enumerate(self._of(expert, query, items, share)):
                found[i] += reasons
        proposed = [_merged(reasons) for reasons in found]
        true = self._tried(query, pool, picked, _heaviest_causes(proposed))
        kept = [[r for r in reasons if r.item is None or (i, r.item) in true] for i, reasons in enumerate(proposed)]
        return tuple(tuple(r) or (self._start(int(i)),) for i, r in zip(items, kept, strict=True))

    def _tried(
        self, query: Query, pool: Candidates, picked: Ints, causes: Sequence[int]
    ) -> set[tuple[int, int]]:  # fmt: skip
        """The (position, past item) for which the item's score falls when all events of the past item are away."""
        true: set[tuple[int, int]] = set()
        before = self.scorer.score(query, pool)[picked] if causes else pool.score[picked]
        for cause in causes:
            rest = replace(query, history=without(query.history, cause))
            score = self.scorer.score(rest, pool)[picked]
            fell = np.isnan(score) | (score < before)
            true |= {(int(i), cause) for i in np.flatnonzero(fell)}
        return true

    def _start(self, row: int) -> Reason:
        """For an item that no expert has placed: it is watched by others, or it is new."""
        if 0 <= row < len(self.popularity.ever) and self.popularity.ever[row] > 0:
            return self._popular(row, 1.0)
        return Reason("new", 1.0)

    def _popular(self, row: int, weight: float) -> Reason:
        return Reason("popular", weight, None, "now" if self.popularity.is_recent(row) else "ever")

    def _of(self, expert: Expert, query: Query, items: Ints, share: Doubles) -> list[list[Reason]]:
        """The reasons of one expert by item; they weigh ``share`` (n,) together."""
        if expert.name.startswith("popular"):
            return [[self._popular(int(row), float(s))] if s > 0 else [] for row, s in zip(items, share, strict=True)]
        by_space = getattr(expert, "by_space", None)
        terms: dict[str, Floats] = by_space(query, items) if by_space else {"": expert.explain(query, items)}
        terms = {space: np.maximum(term, 0) for space, term in terms.items() if term.shape[1]}
        whole = sum((term.sum(axis=1) for term in terms.values()), np.zeros(len(items)))
        # what was disliked can lift an item that is unlike it, but "like what you disliked" is no reason to give
        liked = query.history.strength > 0
        terms = {space: np.where(liked, term, 0) for space, term in terms.items()}
        found: list[list[Reason]] = [[] for _ in items]
        for space, term in terms.items():
            for i, h, weight in _heaviest(term, whole, share):
                cause = int(query.history.items[h])
                detail = self.shared(int(items[i]), cause, space) if space else ""
                found[i].append(Reason(KINDS.get(space, "because"), weight, cause, detail))
        return found

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

    def _maybe(self, row: int) -> Item | None:
        return self.catalogue.items[row] if row < self.catalogue.size else None


def without(history: History, item: int) -> History:
    """The history as if this item had never been touched."""
    keep = history.items != item
    return History(history.items[keep], history.at[keep], history.strength[keep], history.kinds[keep])


def _heaviest_causes(proposed: Sequence[Sequence[Reason]]) -> list[int]:
    weight: dict[int, float] = {}
    for reason in (r for reasons in proposed for r in reasons):
        if reason.item is not None:
            weight[reason.item] = weight.get(reason.item, 0.0) + reason.weight
    return sorted(weight, key=lambda row: -weight[row])[:TRIED]


def _heaviest(term: Floats, whole: Doubles, share: Doubles) -> list[tuple[int, int, float]]:
    """(item, event, weight) of the ``MOST`` heaviest terms of each item; ``share`` is what all of them weigh."""
    top = np.argsort(-term, axis=1, kind="stable")[:, :MOST]
    return [
        (i, int(h), float(share[i] * term[i, h] / whole[i]))
        for i in range(len(term))
        for h in top[i]
        if term[i, h] > 0 and whole[i] > 0 and share[i] > 0
    ]


def _merged(reasons: Sequence[Reason]) -> list[Reason]:
    """One reason for each kind and cause, heaviest first."""
    by_key: dict[tuple[str, int | None], Reason] = {}
    for r in reasons:
        old = by_key.get((r.kind, r.item))
        by_key[r.kind, r.item] = r if old is None else Reason(r.kind, old.weight + r.weight, r.item, old.detail)
    ordered = sorted(by_key.values(), key=lambda r: -r.weight)
    return [r for r in ordered if r.weight >= LEAST][:MOST]
