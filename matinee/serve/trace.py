"""A request taken apart: who named each candidate, what each filter dropped, how each expert scored, how long each step
took. It runs the very stages that answer requests, one after the other."""

from __future__ import annotations

import time

import msgspec
import numpy as np

from matinee.errors import Language
from matinee.models.blend import standard
from matinee.pipeline.recommender import checked_candidates, checked_mask, checked_positions, checked_score, union
from matinee.serve.answers import Answers
from matinee.serve.assemble import State
from matinee.serve.service import Ask, Service
from matinee.types import Candidates, Ints, Query

EXAMPLES = 12  # items named for each filter and each source


class Named(msgspec.Struct, kw_only=True):
    item: str
    title: str


class SourceTrace(msgspec.Struct, kw_only=True):
    """``named``: how many candidates it gave; ``alone``: how many of them no source before it had named."""

    name: str
    named: int
    alone: int
    ms: float
    first: tuple[Named, ...]


class FilterTrace(msgspec.Struct, kw_only=True):
    name: str
    dropped: int
    ms: float
    examples: tuple[Named, ...]


class ExpertTrace(msgspec.Struct, kw_only=True):
    """``speaks``: of how many candidates it has an opinion; ``weight``: its share of the blend."""

    name: str
    weight: float
    speaks: int
    ms: float


class Scored(Named, kw_only=True):
    """``score``: what the request was ordered by; ``experts``: each expert's score in deviations, null where it has no
    opinion; ``sources``: all that named it; ``place``: where it stands in the slate, null below it; ``rank``: where the
    score alone would put it."""

    score: float | None
    experts: tuple[float | None, ...]
    sources: tuple[str, ...]
    place: int | None
    rank: int


class Trace(msgspec.Struct, kw_only=True):
    user: str
    scenario: str
    release: str
    history: int
    candidates: int
    left: int
    sources: tuple[SourceTrace, ...]
    filters: tuple[FilterTrace, ...]
    experts: tuple[ExpertTrace, ...]
    items: tuple[Scored, ...]
    ms: dict[str, float]


class Watch:
    """Milliseconds since it was last looked at."""

    def __init__(self) -> None:
        self.last = time.perf_counter()

    def lap(self) -> float:
        before, self.last = self.last, time.perf_counter()
        return round((self.last - before) * 1000, 3)


def trace(service: Service, user: str, n: int, ask: Ask, lang: Language) -> Trace:
    """The request of a user, taken apart. Raises what ``Service.query`` and the stages raise."""
    state, watch = service.current(), Watch()
    query = service.query(user, n, ask, state)
    ms = {"history": watch.lap()}
    answers, recommender = Answers(state.catalogue, lang), state.recommender_for(ask.scenario)
    pools, sources, by_item = [], [], dict[int, list[str]]()
    for source in recommender.sources:
        watch.lap()
        pool = checked_candidates(source.name, source.retrieve(query, recommender.pool))
        took, rows = watch.lap(), pool.items.tolist()
        alone = sum(row not in by_item for row in rows)
        for row in rows:
            by_item.setdefault(row, []).append(source.name)
        first = tuple(_named(answers, row) for row in rows[:EXAMPLES])
        sources.append(SourceTrace(name=source.name, named=len(rows), alone=alone, ms=took, first=first))
        pools.append(pool)
    pool = union(pools)
    size = len(pool)
    filters = []
    for each in recommender.filters:
        watch.lap()
        keep = checked_mask(each.name, each.keep(query, pool), len(pool))
        took, gone = watch.lap(), pool.items[~keep]
        examples = tuple(_named(answers, int(row)) for row in gone[:EXAMPLES])
        filters.append(FilterTrace(name=each.name, dropped=len(gone), ms=took, examples=examples))
        pool = pool.take(keep)
    watch.lap()
    pool = pool.with_score(checked_score(recommender.scorer.name, recommender.scorer.score(query, pool), len(pool)))
    ms["scorer"] = watch.lap()
    picked = recommender.selector.select(query, pool, query.limit)
    picked = checked_positions(recommender.selector.name, picked, len(pool), query.limit)
    ms["selector"] = watch.lap()
    experts, table = opinions(state, query, pool)
    ms |= {"sources": _sum(sources), "filters": _sum(filters), "experts, for this page alone": _sum(experts)}
    items = scored(answers, pool, picked, table, by_item)
    return Trace(
        user=user, scenario=ask.scenario, release=state.release, history=len(query.history), candidates=size,
        left=len(pool), sources=tuple(sources), filters=tuple(filters), experts=tuple(experts), items=items, ms=ms,
    )  # fmt: skip


def opinions(state: State, query: Query, pool: Candidates) -> tuple[list[ExpertTrace], list[list[float | None]]]:
    """Each expert, and by expert its score of every candidate in deviations."""
    found: list[ExpertTrace] = []
    table: list[list[float | None]] = []
    models, weights = state.experts
    watch = Watch()
    for model, weight in zip(models, weights, strict=True):
        watch.lap()
        score = standard(model.score(query, pool))
        took = watch.lap()
        speaks = int((~np.isnan(score)).sum())
        found.append(ExpertTrace(name=model.name, weight=round(float(weight), 4), speaks=speaks, ms=took))
        table.append([None if np.isnan(s) else round(float(s), 3) for s in score])
    return found, table


def scored(
    answers: Answers, pool: Candidates, picked: Ints, table: list[list[float | None]], by_item: dict[int, list[str]]
) -> tuple[Scored, ...]:  # fmt: skip
    """The slate, then as many again of those that the score puts next."""
    order = np.argsort(-np.nan_to_num(pool.score, nan=-np.inf), kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    place = {int(at): i for i, at in enumerate(picked)}
    below = [int(at) for at in order if int(at) not in place][: len(picked)]
    rows = []
    for at in [*place, *below]:
        row, score = int(pool.items[at]), float(pool.score[at])
        named = _named(answers, row)
        rows.append(
            Scored(
                item=named.item, title=named.title, score=None if np.isnan(score) else round(score, 4),
                experts=tuple(column[at] for column in table), sources=tuple(by_item.get(row, ())),
                place=place.get(at), rank=int(rank[at]),
            )
        )  # fmt: skip
    return tuple(rows)


def _named(answers: Answers, row: int) -> Named:
    item = answers.catalogue.items[row] if 0 <= row < answers.catalogue.size else None
    return Named(item=item.id if item else "", title=answers.title(row))


def _sum(steps: list[SourceTrace] | list[FilterTrace] | list[ExpertTrace]) -> float:
    return round(sum(step.ms for step in steps), 3)
