"""Between two trainings: what was watched since is folded into the transitions and the counts of the release in force,
so that neighbours follow within seconds. Transitions become what a training on the whole log would make them, as long
as events come in the order of their times; the rest of the release stays as it was trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from matinee.data.interactions import from_log
from matinee.data.strength import StrengthTable, strengths
from matinee.models.common import damped, positives
from matinee.models.following import following
from matinee.models.popular import PopularModel
from matinee.models.table import load_recipe
from matinee.models.transitions import Transitions
from matinee.pipeline.experts import Same
from matinee.pipeline.neighbours import Neighbours, NeighbourTable
from matinee.pipeline.taste import Told
from matinee.protocols import Log, Model
from matinee.release import Release
from matinee.types import Bools, Candidates, Doubles, Floats, Ints, Query

MOST_PAIRS = 2_000_000  # that are folded in; after that the next training is due
MOST_EVENTS = 20_000_000  # of a log that is read to know where its users stand

Cells = dict[tuple[int, int], float]


@dataclass(frozen=True)
class Folded:
    """``base`` with what came since: cell (a, b) is ``base`` x ``rows[a]`` x ``columns[b]`` + ``since``, for the sums
    that it was divided by have grown. ``known`` (n,) items watched in training or since."""

    base: Neighbours
    since: Neighbours
    rows: Floats
    columns: Floats
    known: Bools

    @property
    def name(self) -> str:
        return self.base.name

    def retrieve(self, query: Query, n: int) -> Candidates:
        """The best n of the neighbours of the history, of both."""
        told = Told.of(query.history).below(len(self.known))
        weight = told.weights(self.base.power, self.base.decay)[0]
        heard = self.known[told.items]
        rows, weight = told.items[heard], weight[heard]
        old = rows < self.base.size
        columns, sums = self.base.sums(rows[old], weight[old] * self.rows[rows[old]], self.known)
        late, more = self.since.sums(rows, weight, self.known)
        columns, at = np.unique(np.concatenate([columns, late]), return_inverse=True)
        total = np.bincount(at, np.concatenate([sums * self.columns[columns[at[: len(sums)]]], more]), len(columns))
        return self.base.found(columns.astype(np.int64), total.astype(np.float32), n)

    def table(self, query: Query, items: Ints) -> Any:
        told = Told.of(query.history).below(len(self.known))
        heard = np.flatnonzero(self.known[told.items])
        reached = np.flatnonzero((items >= 0) & (items < len(self.known)))
        reached = reached[self.known[items[reached]]]
        cells = np.zeros((len(heard), len(items)), np.float32)
        if len(heard) and len(reached):
            cells[:, reached] = self._between(told.items[heard], items[reached])
        return NeighbourTable(self.base, told, heard, reached, cells, len(query.history))

    def _between(self, rows: Ints, items: Ints) -> Floats:
        out = self.since.between(rows, items)
        a, b = np.flatnonzero(rows < self.base.size), np.flatnonzero(items < self.base.size)
        if len(a) and len(b):
            old = self.base.between(rows[a], items[b])
            out[np.ix_(a, b)] += old * self.rows[rows[a]][:, None] * self.columns[items[b]][None, :]
        return out

    def score(self, query: Query, candidates: Candidates) -> Floats:
        scores: Floats = self.table(query, candidates.items).scores()[0]
        return scores

    def explain(self, query: Query, items: Ints) -> Floats:
        terms: Floats = self.table(query, items).terms(np.arange(len(items)))[""]
        return terms

    def arrays(self) -> Mapping[str, Any]:
        return self.base.arrays()


@dataclass(slots=True)
class Fold:
    """Where the log of a release ended and what came since. ``out`` and ``into`` (n,) are the sums of the rows and the
    columns of the counts then, ``more_out`` and ``more_into`` what was added; ``tails`` the last positives of users,
    as (items, damped strengths); ``came``: (item, time) of what was taken in. Made and fed by one thread."""

    recipe: Transitions
    out: Doubles
    into: Doubles
    tails: dict[int, tuple[list[int], list[float]]]
    table: StrengthTable
    cells: Cells = field(default_factory=dict)
    more_out: dict[int, float] = field(default_factory=dict)
    more_into: dict[int, float] = field(default_factory=dict)
    came: list[tuple[int, float]] = field(default_factory=list)

    @staticmethod
    def of(release: Release, log: Log, table: StrengthTable) -> Fold | None:
        """From the log that the release was trained with. None where there is nothing to fold into, or too much to
        read. O(events x lags)."""
        fields = release.made.get("recipes", {}).get("transitions")
        recipe = load_recipe("transitions", {k: v for k, v in (fields or {}).items() if k != "name"})
        if not isinstance(recipe, Transitions) or len(log.sequence) > MOST_EVENTS:
            return None
        data = from_log(log, int(log.users.max(initial=-1)) + 1, release.n_items, None, table)
        seen = positives(data, once=False)
        after = following(seen, release.n_items, recipe.lags)
        weights: Doubles = np.arange(1, after.lags + 1, dtype=np.float64) ** -recipe.fade
        backwards = replace(
            after, items=after.items[::-1].copy(), strength=after.strength[::-1].copy()
        )  # what a row gives is what it would take in a log told backwards
        tails: dict[int, tuple[list[int], list[float]]] = {}
        ends = np.flatnonzero(np.r_[np.diff(seen.users) != 0, True]) + 1 if len(seen) else np.empty(0, np.int64)
        for start, end in zip(np.r_[0, ends][: len(ends)], ends, strict=True):
            part = slice(max(start, end - recipe.lags), end)
            tails[int(seen.users[end - 1])] = (seen.items[part].tolist(), seen.strength[part].tolist())
        none = np.zeros(release.n_items)
        out, into = (backwards.into(weights), after.into(weights)) if after.lags else (none, none)
        return Fold(recipe, out, into, tails, table)

    @property
    def full(self) -> bool:
        return len(self.cells) > MOST_PAIRS

    def take(self, log: Log) -> int:
        """Folds in events that are later in the log; how many said something good of an item. O(events x lags)."""
        strength = strengths(log.kinds, log.value, self.table)
        good = np.flatnonzero((strength > 0) & (log.items >= 0) & (log.users >= 0))
        good = good[np.lexsort((log.sequence[good], log.at[good]))]
        for i, worth in zip(good.tolist(), damped(strength[good]).tolist(), strict=True):
            self._add(int(log.users[i]), int(log.items[i]), float(worth))
            self.came.append((int(log.items[i]), float(log.at[i])))
        return len(good)

    def _add(self, user: int, item: int, worth: float) -> None:
        items, worths = self.tails.setdefault(user, ([], []))
        for lag, (before, other) in enumerate(zip(reversed(items), reversed(worths), strict=True), start=1):
            if before != item:
                weight = lag**-self.recipe.fade * worth * other
                self.cells[before, item] = self.cells.get((before, item), 0.0) + weight
                self.more_out[before] = self.more_out.get(before, 0.0) + weight
                self.more_into[item] = self.more_into.get(item, 0.0) + weight
        items.append(item)
        worths.append(worth)
        del items[: -self.recipe.lags], worths[: -self.recipe.lags]

    def transitions(self, base: Neighbours) -> Folded:
        """The release's transitions with all that was taken in. O(n + pairs)."""
        watched = list({item for item, _ in self.came})
        size = max([base.size, *(item + 1 for item in watched)])
        known = np.zeros(size, np.bool_)
        known[: base.size] = base.known
        known[watched] = True
        out, into = (self._grown(sums, more, size) for sums, more in (
            (self.out, self.more_out), (self.into, self.more_into)))  # fmt: skip
        shrink = self.recipe.shrink
        norm_out, norm_into = (out + shrink) ** self.recipe.from_norm, (into + shrink) ** self.recipe.to_norm
        was_out = (self._grown(self.out, {}, size) + shrink) ** self.recipe.from_norm
        was_into = (self._grown(self.into, {}, size) + shrink) ** self.recipe.to_norm
        rows = np.array([a for a, _ in self.cells], np.int64)
        columns = np.array([b for _, b in self.cells], np.int64)
        values = np.array(list(self.cells.values())) / (norm_out[rows] * norm_into[columns])
        order = np.lexsort((columns, rows))
        starts = np.searchsorted(rows[order], np.arange(size + 1)).astype(np.int64)
        everything = np.ones(size, np.bool_)
        since = Neighbours(
            base.name, values[order].astype(np.float32), starts, columns[order], everything, base.power, base.decay
        )  # fmt: skip
        ratios = (was_out / norm_out).astype(np.float32), (was_into / norm_into).astype(np.float32)
        return Folded(base, since, *ratios, known)

    def popular(self, model: PopularModel) -> PopularModel:
        """The release's counts with all that was taken in. The log of a collection, known by when it ended, goes on to
        the last event of any of its items; an item that came since counts with the collection that ended last.
        O(bins + n)."""
        if not self.came:
            return model
        items, at = np.array([item for item, _ in self.came], np.int64), np.array([at for _, at in self.came])
        pairs, counts = np.unique(
            np.stack([np.floor(at / model.width).astype(np.int64), items], 1), axis=0, return_counts=True
        )  # fmt: skip
        size = max(len(model.whole), int(items.max()) + 1)
        whole, lasts = np.zeros(size, np.int64), np.full(size, model.last)
        whole[: len(model.whole)], lasts[: len(model.lasts)] = model.whole, model.lasts
        whole += np.bincount(items, minlength=size)
        ended, group = np.unique(lasts, return_inverse=True)
        np.maximum.at(ended, group[items], at)
        return replace(
            model, bins=np.append(model.bins, pairs[:, 0]), items=np.append(model.items, pairs[:, 1]),
            counts=np.append(model.counts, counts.astype(np.int64)), whole=whole, lasts=ended[group],
        ).settled()  # fmt: skip

    def into_models(self, release: Release, quick: tuple[Model, ...]) -> tuple[Model, ...]:
        """The experts of a release, in their quick forms, with what was taken in folded into those that can."""
        made: list[Model] = []
        for name, model, fast in zip(release.models, release.models.values(), quick, strict=True):
            if name == "transitions" and isinstance(fast, Neighbours):
                made.append(self.transitions(fast))
            elif isinstance(model, PopularModel):
                made.append(Same(self.popular(model)))
            else:
                made.append(fast)
        return tuple(made)

    @staticmethod
    def _grown(sums: Doubles, more: Mapping[int, float], size: int) -> Doubles:
        out = np.zeros(size)
        out[: len(sums)] = sums
        out[list(more)] += list(more.values())
        return out
