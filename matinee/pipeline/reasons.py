"""Why an item is there, taken from the terms of its score and tried out: a past item is named only where the score
falls without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from matinee.kernels import compiled
from matinee.pipeline.catalogue import Catalogue
from matinee.pipeline.popularity import Popularity
from matinee.pipeline.scorers import knows
from matinee.protocols import Model
from matinee.types import Bools, Candidates, Doubles, Floats, Ints, Item, Query, Reason

KINDS = {"text": "reads", "frames": "looks", "sound": "sounds"}
SPACES = {kind: space for space, kind in KINDS.items()}
MOST = 3  # reasons an item carries
LEAST = 0.05  # a smaller share of the score explains nothing
TRIED = 10  # past items tried out in one request, the heaviest first; others are not named
Weighed = dict[tuple[str, int | None], float]  # by kind and past item how much it weighs
POPULAR = ("popular", None)


class Weighted(Protocol):
    """A scorer that is the weighted mean of experts, each brought to mean 0 and deviation 1 over the candidates. It
    keeps what it worked out for a query and its candidates until ``forget``."""

    @property
    def models(self) -> Sequence[Model]: ...
    def parts(self, query: Query, candidates: Candidates, picked: Ints) -> Floats:
        """(len(picked), len(models)) what each expert adds to the score of some of the candidates; NaN where it had no
        opinion."""
        ...

    def terms(self, query: Query, candidates: Candidates, expert: int, picked: Ints) -> dict[str, Floats]:
        """By space ("" for behaviour): (len(picked), len(history)) what each past event adds to the expert's score; no
        columns where it can name no cause."""
        ...

    def score_without(self, query: Query, candidates: Candidates, items: Sequence[int], picked: Ints) -> Floats:
        """(1 + len(items), len(picked)) scores of some of the candidates, set among all, by the whole history, then as
        if each past item had never been touched."""
        ...

    def forget(self) -> None: ...


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
        """One scoring of the pool for each of at most ``TRIED`` past items, all by one product an expert."""
        items = pool.items[picked]
        if not len(items):
            return ()
        if not knows(query):
            return tuple((reason,) for reason in self._starts(items))
        try:
            return self._explained(query, pool, picked)
        finally:
            self.scorer.forget()

    def _explained(self, query: Query, pool: Candidates, picked: Ints) -> tuple[tuple[Reason, ...], ...]:
        items = pool.items[picked]
        raised = np.maximum(np.nan_to_num(self.scorer.parts(query, pool, picked)), 0).astype(np.float64)
        total = raised.sum(axis=1, keepdims=True)
        shares = np.divide(raised, total, out=np.zeros_like(raised), where=total > 0)
        found: list[Weighed] = [{} for _ in items]
        for at, (expert, share) in enumerate(zip(self.scorer.models, shares.T, strict=True)):
            if not share.any():
                continue
            if expert.name.startswith("popular"):
                for own, weight in zip(found, share.tolist(), strict=True):
                    if weight > 0:
                        own[POPULAR] = own.get(POPULAR, 0.0) + weight
            else:
                _add(found, self.scorer.terms(query, pool, at, picked), query, share)
        proposed = [_first(own) for own in found]
        causes = _heaviest_causes(proposed)
        true = self._tried(query, pool, picked, causes)
        recent, starts = self.popularity.are_recent(items).tolist(), self._starts(items)
        return tuple(
            tuple(
                self._named(row, kind, item, weight, recent[i])
                for kind, item, weight in own
                if item is None or (item in true and true[item][i])
            )
            or (starts[i],)
            for i, (row, own) in enumerate(zip(items.tolist(), proposed, strict=True))
        )

    def _tried(
        self, query: Query, pool: Candidates, picked: Ints, causes: Sequence[int]
    ) -> dict[int, list[bool]]:  # fmt: skip
        """By past item for which of the picked the score falls, by more than rounding, when all events of the past item
        are away."""
        if not causes:
            return {}
        score = self.scorer.score_without(query, pool, causes, picked)
        before, after = score[0], score[1:]
        fell = np.isnan(after) | (after < before - 1e-6 * (1 + np.abs(before)))
        return dict(zip(causes, fell.tolist(), strict=True))

    def _named(self, row: int, kind: str, item: int | None, weight: float, recent: bool) -> Reason:
        """The reason with what there is to say beside it: whether it is watched now, or what the two items have in
        common, where it goes by content."""
        if item is None:
            return Reason(kind, weight, None, "now" if recent else "ever")
        space = SPACES.get(kind)
        return Reason(kind, weight, item, self.shared(row, item, space) if space else "")

    def _starts(self, items: Ints) -> list[Reason]:
        """For items that no expert has placed: each is watched by others, or it is new."""
        ever, recent = self.popularity.were_ever(items).tolist(), self.popularity.are_recent(items).tolist()
        return [
            Reason("popular", 1.0, None, "now" if lately else "ever") if known else Reason("new", 1.0)
            for known, lately in zip(ever, recent, strict=True)
        ]

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


def _add(found: Sequence[Weighed], terms: dict[str, Floats], query: Query, share: Doubles) -> None:
    """Adds the causes that one expert gives of each item; they weigh ``share`` (n,) together."""
    terms = {space: term for space, term in terms.items() if term.shape[1]}
    # what was disliked can lift an item that is unlike it, but "like what you disliked" is no reason to give
    liked, whole = query.history.strength > 0, np.zeros(len(share))
    heavy = [(space, *_heaviest(term, liked, whole)) for space, term in terms.items()]
    scale = np.divide(share, whole, out=np.zeros(len(share)), where=whole > 0)[:, None]
    for space, top, most in heavy:
        kind = KINDS.get(space, "because")
        causes, weights = query.history.items[top].tolist(), (most * scale).tolist()
        for own, rows, each in zip(found, causes, weights, strict=True):
            for item, weight in zip(rows, each, strict=True):
                if weight > 0:
                    key = kind, item
                    own[key] = own.get(key, 0.0) + weight


def _heaviest(term: Floats, liked: Bools, whole: Doubles) -> tuple[Ints, Doubles]:
    """Of each item the ``MOST`` heaviest positive terms (n, events) among the ``liked`` events and these events, the
    heaviest first. Adds to ``whole`` (n,) what all positive ones make."""
    n, most = len(term), min(MOST, term.shape[1])
    top, heavy = np.empty((n, most), np.int64), np.empty((n, most))
    if (loops := compiled()) is not None:
        loops.heaviest(np.ascontiguousarray(term, np.float32), liked, whole, top, heavy)
        return top, heavy
    rest, rows = np.maximum(term, 0), np.arange(n)
    whole += rest.sum(axis=1)
    rest = np.where(liked, rest, 0)
    for k in range(most):  # a few looks for the greatest cost less than an order of all
        top[:, k] = rest.argmax(axis=1)
        heavy[:, k] = rest[rows, top[:, k]]
        rest[rows, top[:, k]] = -np.inf
    return top, np.maximum(heavy, 0)


def _first(own: Weighed) -> list[tuple[str, int | None, float]]:
    """(kind, item, weight) of the ``MOST`` heaviest that explain anything, heaviest first."""
    ordered = sorted(own.items(), key=lambda one: -one[1])[:MOST]
    return [(kind, item, weight) for (kind, item), weight in ordered if weight >= LEAST]


def _heaviest_causes(proposed: Sequence[Sequence[tuple[str, int | None, float]]]) -> list[int]:
    weight: dict[int, float] = {}
    for own in proposed:
        for _, item, part in own:
            if item is not None:
                weight[item] = weight.get(item, 0.0) + part
    return sorted(weight, key=lambda row: -weight[row])[:TRIED]
