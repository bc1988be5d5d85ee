"""What is known of somebody before they have done anything. What they say with a request (country, language,
interests) lifts what fits; every click that follows takes weight from it. What people of their groups watch (country,
language, age group, gender ...: of the request, or kept of them) gives a stranger's first slates their order, until
something is liked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from matinee.pipeline.adjust import Adjusted
from matinee.pipeline.catalogue import Catalogue
from matinee.pipeline.filters import allowed_mask
from matinee.pipeline.groups import Lift
from matinee.pipeline.recommender import Reasoner, Recommender
from matinee.pipeline.selectors import top_of
from matinee.pipeline.sources import Starter, found
from matinee.protocols import Scorer
from matinee.serve import find
from matinee.serve.assemble import State
from matinee.serve.forms import Ask
from matinee.types import Candidates, Floats, Ints, Query, Reason

INTEREST, LANGUAGE, COUNTRY = 3.0, 0.6, 0.6  # deviations of the pool that each can add
LIKED = 5.0  # things liked after which a prior counts half
SHARED = 0.5  # likeness to an interest from which it is told as the reason


@dataclass(frozen=True, slots=True)
class Prior:
    """``lift`` (size,) deviations by item row; ``interest`` (size,) the position in ``names`` of the interest that an
    item fits, -1 where none."""

    lift: Floats
    interest: Ints
    names: tuple[str, ...]


def prior_of(state: State, ask: Ask, vectors: Mapping[str, Mapping[str, Floats]]) -> Prior:
    """``vectors``: of each interest what the text encoders make of it, by space. O(interests size)."""
    catalogue = state.catalogue
    lift, fits = np.zeros(catalogue.size, np.float32), np.full(catalogue.size, -1, np.int64)
    best = np.zeros(catalogue.size, np.float32)
    for position, name in enumerate(ask.interests):
        hits = find.search(catalogue, state.words, name, vectors.get(name, {}), 500, catalogue.living)
        share = np.minimum(hits.score, 1.0)
        better = share > best[hits.rows]
        rows = hits.rows[better]
        best[rows] = share[better]
        fits[rows[share[better] >= SHARED]] = position
    lift += INTEREST * best
    if ask.language:
        lift += LANGUAGE * catalogue.where(f"language == {quoted(ask.language)}")
    if ask.country:
        name = quoted(ask.country)
        lift += COUNTRY * catalogue.where(f"properties.country == {name} or {name} in properties.country")
    return Prior(lift, fits, ask.interests)


def primed(recommender: Recommender, catalogue: Catalogue, prior: Prior) -> Recommender:
    """The recommender with a source of what fits best, and every score lifted by as much as the item fits."""
    sources = (*recommender.sources, Fitting(catalogue, prior))
    reasoner = recommender.reasoner and Stated(recommender.reasoner, prior)
    return replace(recommender, sources=sources, scorer=Lifted(recommender.scorer, prior), reasoner=reasoner)


def among(recommender: Recommender, starter: Starter, lift: Lift) -> Recommender:
    """The recommender of a stranger, whose order of what is popular is that of people like them."""
    adjusted = recommender.scorer
    scorer = replace(adjusted, scorer=starter) if isinstance(adjusted, Adjusted) else starter
    sources = (*(s for s in recommender.sources if not isinstance(s, Starter)), starter)
    reasoner = recommender.reasoner and OfGroups(recommender.reasoner, lift)
    return replace(recommender, sources=sources, scorer=scorer, reasoner=reasoner)


@dataclass(frozen=True, slots=True)
class OfGroups:
    """``inner``, and instead of "watched by many" the group that watches an item more than others do."""

    inner: Reasoner
    lift: Lift
    name: str = "reasons"

    def explain(self, query: Query, pool: Candidates, picked: Ints) -> tuple[tuple[Reason, ...], ...]:
        reasons = self.inner.explain(query, pool, picked)
        told = [self.lift.reason(row) for row in pool.items[picked].tolist()]
        return tuple(
            (Reason("group", 1.0, None, name), *(r for r in own if r.kind != "popular")) if name else own
            for name, own in zip(told, reasons, strict=True)
        )


def weight(query: Query) -> float:
    """1 for a stranger, less with every thing that was liked."""
    return LIKED / (LIKED + float((query.history.strength > 0).sum()))


@dataclass(frozen=True, slots=True)
class Fitting:
    catalogue: Catalogue
    prior: Prior
    name: str = "stated"

    def retrieve(self, query: Query, n: int) -> Candidates:
        rows = np.flatnonzero(allowed_mask(self.catalogue, query) & (self.prior.lift > 0)).astype(np.int64)
        return found(*top_of(rows, self.prior.lift[rows], n))


@dataclass(frozen=True, slots=True)
class Lifted:
    scorer: Scorer
    prior: Prior
    name: str = "lifted"

    def score(self, query: Query, candidates: Candidates) -> Floats:
        score = self.scorer.score(query, candidates)
        told = score[~np.isnan(score)]
        deviation = float(told.std()) if len(told) else 0.0
        lift = weight(query) * (deviation or 1.0) * self.prior.lift[candidates.items]
        silent = np.isnan(score) & (lift > 0)  # what nobody has an opinion on may still be what was asked for
        least = float(told.min()) if len(told) else 0.0
        return np.asarray(np.where(silent, least, score) + lift, np.float32)


@dataclass(frozen=True, slots=True)
class Stated:
    """``inner``, and before its reasons the interest that an item fits, while that still weighs."""

    inner: Reasoner
    prior: Prior
    name: str = "reasons"

    def explain(self, query: Query, pool: Candidates, picked: Ints) -> tuple[tuple[Reason, ...], ...]:
        reasons = self.inner.explain(query, pool, picked)
        share = weight(query)
        if share < SHARED:
            return reasons
        return tuple(
            _with(share, self.prior.names[at], own) if (at := int(self.prior.interest[row])) >= 0 else own
            for row, own in zip(pool.items[picked].tolist(), reasons, strict=True)
        )


def _with(share: float, name: str, own: Sequence[Reason]) -> tuple[Reason, ...]:
    rest = tuple(replace(r, weight=r.weight * (1 - share)) for r in own if r.item is not None)
    return (Reason("topic", share, None, name), *rest[:2])


def quoted(text: str) -> str:
    """A text as the filter language writes it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def narrowed(ask: Ask) -> str:
    """The filter text of a request with what its other parameters say: nothing above the age, nobody blocked."""
    terms = [f"({ask.where})"] if ask.where.strip() else []
    if ask.age is not None:
        terms.append(f"not properties.age > {ask.age:g}")
    terms += [f"{quoted(name)} not in creators" for name in ask.blocked]
    return ask.where if len(terms) == bool(ask.where.strip()) else " and ".join(terms)
