"""Sources and scores for going on: what was begun, the next episode or lesson, and what is loved again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from matinee.pipeline.catalogue import Catalogue
from matinee.pipeline.filters import DONE, allowed_mask
from matinee.pipeline.recommender import Reasoner
from matinee.pipeline.sources import found
from matinee.protocols import Scorer
from matinee.types import EVENT_KINDS, Candidates, Floats, Ints, Query, Reason

PLAY = EVENT_KINDS.index("play")
FINISHED = (*DONE, EVENT_KINDS.index("like"))


def ranked(rows: list[int], query: Query, catalogue: Catalogue, n: int) -> Candidates:
    """The rows that the request allows, once each, scored 1 downwards."""
    mask = allowed_mask(catalogue, query)
    kept = [r for r in dict.fromkeys(rows) if 0 <= r < catalogue.size and mask[r]][:n]
    return found(np.asarray(kept, np.int64), np.linspace(1, 0, len(kept), endpoint=False, dtype=np.float32))


@dataclass(frozen=True, slots=True)
class Continue:
    """What was begun and neither finished nor turned down, the latest first."""

    catalogue: Catalogue
    name: str = "continue"

    def retrieve(self, query: Query, n: int) -> Candidates:
        history = query.history
        begun = history.items[history.kinds == PLAY][::-1].tolist()
        done = set(history.items[np.isin(history.kinds, DONE)].tolist())
        return ranked([row for row in begun if row not in done], query, self.catalogue, n)


@dataclass(frozen=True)
class Next:
    """Of every series that the user watches the episode after the last one that was finished, by season and episode;
    the series touched last comes first. A play counts as watched when it says more than half (strength above 0.5)."""

    catalogue: Catalogue
    name: str = "next"

    def retrieve(self, query: Query, n: int) -> Candidates:
        history = query.history
        watched = np.isin(history.kinds, FINISHED) | ((history.kinds == PLAY) & (history.strength > 0.5))
        seen = history.items[watched][::-1].tolist()
        following: list[int] = []
        touched: set[str] = set()
        for row in seen:
            series, place = self._place.get(row, ("", 0))
            if series and series not in touched:
                touched.add(series)
                rest = self._series[series][place + 1 :]
                following += [r for r in rest if r not in set(seen)][:1]
        return ranked(following, query, self.catalogue, n)

    @cached_property
    def _series(self) -> Mapping[str, list[int]]:
        by_series: dict[str, list[int]] = {}
        for row, item in enumerate(self.catalogue.items):
            if item is not None and item.series:
                by_series.setdefault(item.series, []).append(row)
        for rows in by_series.values():
            rows.sort(key=self._order)
        return by_series

    def _order(self, row: int) -> tuple[int, int, int]:
        item = self.catalogue.item(row)
        return item.season or 0, item.episode or 0, row

    @cached_property
    def _place(self) -> Mapping[int, tuple[str, int]]:
        return {row: (name, i) for name, rows in self._series.items() for i, row in enumerate(rows)}


@dataclass(frozen=True, slots=True)
class Again:
    """What the user liked before, the strongest and most often first."""

    catalogue: Catalogue
    name: str = "again"

    def retrieve(self, query: Query, n: int) -> Candidates:
        weight: dict[int, float] = {}
        for row, strength in zip(query.history.items.tolist(), query.history.strength.tolist(), strict=True):
            weight[row] = weight.get(row, 0.0) + strength
        loved = [row for row in sorted(weight, key=lambda r: -weight[r]) if weight[row] > 0]
        return ranked(loved, query, self.catalogue, n)


@dataclass(frozen=True, slots=True)
class OnwardFirst:
    """``scorer``, with what goes on (``sources``, the first before the second) above everything else."""

    scorer: Scorer
    sources: tuple[Continue | Next, ...]
    name: str = "onward"

    def score(self, query: Query, candidates: Candidates) -> Floats:
        score = self.scorer.score(query, candidates)
        base = float(np.nanmax(score)) if not np.isnan(score).all() else 0.0
        out = score.copy()
        for rank, source in enumerate(reversed(self.sources), 1):
            given = source.retrieve(query, 50)
            places: Ints = np.full(max(candidates.items.max(initial=0), given.items.max(initial=0)) + 1, -1, np.int64)
            places[given.items] = np.arange(len(given))
            at = places[candidates.items]
            out = np.where(at >= 0, base + rank + given.score[at] if len(given) else out, out)
        return np.asarray(out, np.float32)


@dataclass(frozen=True, slots=True)
class OnwardReasons:
    """``inner``, and before its reasons that an item goes on from what was watched."""

    inner: Reasoner
    catalogue: Catalogue
    sources: tuple[Continue | Next, ...]
    name: str = "reasons"

    def explain(self, query: Query, pool: Candidates, picked: Ints) -> tuple[tuple[Reason, ...], ...]:
        reasons = list(self.inner.explain(query, pool, picked))
        for source in reversed(self.sources):
            given = set(source.retrieve(query, 50).items.tolist())
            for i, row in enumerate(pool.items[picked].tolist()):
                if row in given:
                    reasons[i] = (Reason(source.name, 1.0, None, self.catalogue.item(row).series or ""),)
        return tuple(reasons)


@dataclass(frozen=True, slots=True)
class OnAir:
    """What is on at this moment, what began last first."""

    catalogue: Catalogue
    name: str = "on_air"

    def retrieve(self, query: Query, n: int) -> Candidates:
        begun, ended = self.catalogue.live
        rows = np.flatnonzero((begun <= query.now) & (query.now < ended))
        return ranked(rows[np.argsort(-begun[rows], kind="stable")].tolist(), query, self.catalogue, n)
