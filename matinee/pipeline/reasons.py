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
from matinee.protocols import Model
from matinee.types import Candidates, Doubles, Floats, Ints, Item, Query, Reason

KINDS = {"text": "reads", "frames": "looks", "sound": "sounds"}
SPACES = {kind: space for space, kind in KINDS.items()}
MOST = 3  # reasons an item carries
LEAST = 0.05  # a smaller share of the score explains nothing
TRIED = 10  # past items tried out in one request, the heaviest first; others are not named


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
            return tuple((self._start(int(row)),) for row in items)
        try:
            return self._explained(query, pool, picked)
        finally:
            self.scorer.forget()

    def _explained(self, query: Query, pool: Candidates, picked: Ints) -> tuple[tuple[Reason, ...], ...]:
        items = pool.items[picked]
        raised = np.maximum(np.nan_to_num(self.scorer.parts(query, pool, picked)), 0).astype(np.float64)
        total = raised.sum(axis=1)
        found: list[list[Reason]] = [[] for _ in items]
        for at, (expert, part) in enumerate(zip(self.scorer.models, raised.T, strict=True)):
            share = np.divide(part, total, out=np.zeros(len(items)), where=total > 0)
            if not share.any():
                continue
            if expert.name.startswith("popular"):
                for i, row in enumerate(items.tolist()):
                    found[i] += [self._popular(row, float(share[i]))] if share[i] > 0 else []
                continue
            terms = self.scorer.terms(query, pool, at, picked)
            for i, reasons in enumerate(_of(terms, query, share)):
                found[i] += reasons
        proposed = [_merged(reasons) for reasons in found]
        true = self._tried(query, pool, picked, _heaviest_causes(proposed))
        kept = [[r for r in reasons if r.item is None or (i, r.item) in true] for i, reasons in enumerate(proposed)]
        return tuple(
            tuple(self._named(row, r) for r in reasons) or (self._start(row),)
            for row, reasons in zip(items.tolist(), kept, strict=True)
        )

    def _tried(
        self, query: Query, pool: Candidates, picked: Ints, causes: Sequence[int]
    ) -> set[tuple[int, int]]:  # fmt: skip
        """The (position, past item) for which the item's score falls, by more than rounding, when all events of the
        past item are away."""
        if not causes:
            return set()
        score = self.scorer.score_without(query, pool, causes, picked)
        before, after = score[0], score[1:]
        fell = np.isnan(after) | (after < before - 1e-6 * (1 + np.abs(before)))
        return {(int(i), causes[k]) for k, i in zip(*np.nonzero(fell), strict=True)}

    def _named(self, row: int, reason: Reason) -> Reason:
        """The reason with what the two items have in common, where it goes by content."""
        space = SPACES.get(reason.kind)
        if space is None or reason.item is None:
            return reason
        return replace(reason, detail=self.shared(row, reason.item, space))

    def _start(self, row: int) -> Reason:
        """For an item that no expert has placed: it is watched by others, or it is new."""
        if 0 <= row < len(self.popularity.ever) and self.popularity.ever[row] > 0:
            return self._popular(row, 1.0)
        return Reason("new", 1.0)

    def _popular(self, row: int, weight: float) -> Reason:
        return Reason("popular", weight, None, "now" if self.popularity.is_recent(row) else "ever")

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


def _of(terms: dict[str, Floats], query: Query, share: Doubles) -> list[list[Reason]]:
    """The reasons of one expert by item; they weigh ``share`` (n,) together."""
    positive = {space: np.maximum(term, 0) for space, term in terms.items() if term.shape[1]}
    whole = sum((term.sum(axis=1) for term in positive.values()), np.zeros(len(share)))
    # what was disliked can lift an item that is unlike it, but "like what you disliked" is no reason to give
    liked = query.history.strength > 0
    found: list[list[Reason]] = [[] for _ in share]
    for space, term in positive.items():
        kind = KINDS.get(space, "because")
        for i, h, weight in _heaviest(np.where(liked, term, 0), whole, share):
            found[i].append(Reason(kind, weight, int(query.history.items[h])))
    return found


def _heaviest_causes(proposed: Sequence[Sequence[Reason]]) -> list[int]:
    weight: dict[int, float] = {}
    for reason in (r for reasons in proposed for r in reasons):
        if reason.item is not None:
            weight[reason.item] = weight.get(reason.item, 0.0) + reason.weight
    return sorted(weight, key=lambda row: -weight[row])[:TRIED]


def _heaviest(term: Floats, whole: Doubles, share: Doubles) -> list[tuple[int, int, float]]:
    """(item, event, weight) of the ``MOST`` heaviest terms of each item; ``share`` is what all of them weigh."""
    rows, most = np.arange(len(term)), min(MOST, term.shape[1])
    top, heavy, rest = np.empty((len(term), most), np.int64), np.empty((len(term), most)), term.copy()
    for k in range(most):  # a few looks for the greatest cost less than an order of all
        top[:, k] = rest.argmax(axis=1)
        heavy[:, k] = rest[rows, top[:, k]]
        rest[rows, top[:, k]] = -np.inf
    weight = np.divide(share, whole, out=np.zeros(len(share)), where=whole > 0)[:, None] * heavy
    rows, columns = np.nonzero(weight > 0)
    return list(zip(rows.tolist(), top[rows, columns].tolist(), weight[rows, columns].tolist(), strict=True))


def _merged(reasons: Sequence[Reason]) -> list[Reason]:
    """One reason for each kind and cause, heaviest first."""
    by_key: dict[tuple[str, int | None], Reason] = {}
    for r in reasons:
        old = by_key.get((r.kind, r.item))
        by_key[r.kind, r.item] = r if old is None else Reason(r.kind, old.weight + r.weight, r.item, old.detail)
    ordered = sorted(by_key.values(), key=lambda r: -r.weight)
    return [r for r in ordered if r.weight >= LEAST][:MOST]
