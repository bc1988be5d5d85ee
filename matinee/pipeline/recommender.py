"""The request, whole: sources -> filters -> scorer -> selector -> reasons. Every stage is checked as it runs, so a
broken one is named instead of corrupting the slate. The same object answers online and is replayed offline."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from matinee.errors import MatineeError
from matinee.kernels import compiled
from matinee.pipeline.explore import Explorer
from matinee.pipeline.places import PLACES
from matinee.protocols import Filter, Scorer, Selector, Source
from matinee.types import Bools, Candidates, Floats, Ints, Query, Reason, Slate


class Reasoner(Protocol):
    @property
    def name(self) -> str: ...
    def explain(self, query: Query, pool: Candidates, picked: Ints) -> tuple[tuple[Reason, ...], ...]:
        """For each picked position of the scored pool why it is there, heaviest first; empty where nothing can be
        said truly."""
        ...


class Clock:
    """Milliseconds by stage, in the order of the walk."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.ms[stage] = self.ms.get(stage, 0.0) + (now - self._last) * 1000
        self._last = now


@dataclass(frozen=True, slots=True)
class Recommender:
    """``pool``: how many candidates each source is asked for. ``release`` names what the models came from."""

    sources: tuple[Source, ...]
    filters: tuple[Filter, ...]
    scorer: Scorer
    selector: Selector
    reasoner: Reasoner | None = None
    explorer: Explorer | None = None
    release: str = ""
    pool: int = 200

    def __call__(self, query: Query) -> Slate:
        return self.recommend(query)

    def recommend(self, query: Query) -> Slate:
        """The slate of one query; shorter than ``query.limit``, or empty, where the filters leave too little.

        Raises ``stage.broken`` (500), naming the stage, when one breaks its contract.
        """
        clock = Clock()
        pool = union([s.retrieve(query, self.pool) for s in self.sources], [s.name for s in self.sources])
        clock.lap("sources")
        dropped: dict[str, int] = {}
        for each in self.filters:
            keep = checked_mask(each.name, each.keep(query, pool), len(pool))
            dropped[each.name] = gone = len(pool) - int(np.count_nonzero(keep))
            pool = pool.take(keep) if gone else pool
        clock.lap("filters")
        pool = pool.with_score(checked_score(self.scorer.name, self.scorer.score(query, pool), len(pool)))
        clock.lap("scorer")
        order = self.selector.select(query, pool, query.limit)
        order = checked_positions(self.selector.name, order, len(pool), query.limit)
        if self.explorer is not None:
            order, chances = self.explorer.explore(query, pool, order)
        else:
            chances = np.ones(len(order), np.float32)
        picked = pool.take(order)
        clock.lap("selector")
        reasons = self.reasoner.explain(query, pool, order) if self.reasoner else tuple(() for _ in order)
        clock.lap("reasons")
        names = tuple(self.sources[s].name for s in picked.source.tolist())
        return Slate(
            secrets.token_hex(8), picked.items, picked.score, names, reasons, dropped, self.release, clock.ms, chances
        )  # fmt: skip


def union(pools: Sequence[Candidates], names: Sequence[str] = ()) -> Candidates:
    """All candidates once, in the order of the sources; ``source`` is the position of the first that named each.
    Raises ``stage.broken`` where one of the sources, whose ``names`` these are, breaks its contract."""
    if not pools:
        return Candidates(np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.int64))
    loops, names = compiled(), names or [""] * len(pools)
    kinds = all(p.items.dtype == np.int64 and p.score.dtype == np.float32 for p in pools)
    even = all(len(p.items) == len(p.score) == len(p.source) for p in pools)
    if loops is None or not (kinds and even):
        _checked(names, pools)
    items = np.concatenate([p.items for p in pools])
    score = np.concatenate([p.score for p in pools])
    source = np.repeat(np.arange(len(pools)), [len(p) for p in pools])
    if loops is not None:
        at = np.empty(len(items), np.int64)
        n = loops.once(items, score, source, PLACES.of(1 + int(items.max(initial=0))), at)
        if n < 0:
            _checked(names, pools)
        return Candidates(items, score, source).take(at[:n])
    order = np.argsort(items, kind="stable")
    first = np.ones(len(items), np.bool_)
    first[1:] = items[order[1:]] != items[order[:-1]]
    return Candidates(items, score, source).take(np.sort(order[first]))


def _checked(names: Sequence[str], pools: Sequence[Candidates]) -> None:
    for name, pool in zip(names, pools, strict=True):
        checked_candidates(name, pool)


def checked_candidates(stage: str, pool: Candidates) -> Candidates:
    if not (len(pool.items) == len(pool.score) == len(pool.source)):
        raise broken(stage, "its columns differ in length")
    if pool.items.dtype != np.int64 or pool.score.dtype != np.float32:
        raise broken(stage, f"items are {pool.items.dtype} and scores {pool.score.dtype}")
    if np.isinf(pool.score).any():
        raise broken(stage, "a score is infinite")
    if (pool.items < 0).any():
        raise broken(stage, "an item row is negative")
    ordered = np.sort(pool.items)
    if (ordered[1:] == ordered[:-1]).any():
        raise broken(stage, "an item stands there twice")
    return pool


def checked_mask(stage: str, mask: Bools, n: int) -> Bools:
    if mask.shape != (n,) or mask.dtype != np.bool_:
        raise broken(stage, f"its mask is {mask.dtype} {mask.shape} for {n} candidates")
    return mask


def checked_score(stage: str, score: Floats, n: int) -> Floats:
    if score.shape != (n,) or score.dtype != np.float32:
        raise broken(stage, f"its scores are {score.dtype} {score.shape} for {n} candidates")
    if np.isinf(score).any():
        raise broken(stage, "a score is infinite")
    return score


def checked_positions(stage: str, order: Ints, pool: int, limit: int) -> Ints:
    if order.ndim != 1 or order.dtype != np.int64:
        raise broken(stage, f"its positions are {order.dtype} {order.shape}")
    told = order.tolist()
    if len(told) > limit or len(set(told)) != len(told):
        raise broken(stage, "it picked too many or one twice")
    if told and not (min(told) >= 0 and max(told) < pool):
        raise broken(stage, "it picked what is not there")
    return order


def broken(stage: str, what: str) -> MatineeError:
    return MatineeError(
        "stage.broken",
        f"The stage {stage!r} of the recommender is broken: {what}. Please report this; another release may help.",
        f"推荐流程中的“{stage}”阶段出错：{what}。请反馈此问题；换一个版本可能有效。",
        status=500,
        exit_code=1,
    )
