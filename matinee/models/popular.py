"""What most people watch: over all time, in the last days, or fading. The floor that every other model must beat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from matinee.models.common import pick, top
from matinee.types import Candidates, Doubles, Floats, Interactions, Ints, Query

DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Popular:
    """``days``: the window, None for all time. ``half_life``: days after which a watch counts half, None for never."""

    days: float | None = None
    half_life: float | None = None
    name: str = "popular"

    def fit(self, data: Interactions, *, seed: int = 0) -> PopularModel:
        """Counts positive events per item and time bin. The bin is a day, or 1/28 of the window or half-life where that
        is shorter. O(n log n)."""
        del seed
        width = min([DAY, *(d * DAY / 28 for d in (self.days, self.half_life) if d)])
        keep = (data.strength > 0) & np.isfinite(data.at)
        at, items = data.at[keep], data.items[keep]
        bins = np.floor(at / width).astype(np.int64)
        pairs, counts = np.unique(np.stack([bins, items], 1), axis=0, return_counts=True)
        groups = data.groups if len(data.groups) else np.zeros(data.n_items, np.int64)
        lasts = np.zeros(int(groups.max(initial=0)) + 1)
        np.maximum.at(lasts, groups[items], at)
        whole = np.bincount(items, minlength=data.n_items).astype(np.int64)
        model = PopularModel(
            self.name, pairs[:, 0], pairs[:, 1], counts.astype(np.int64), whole, width, lasts[groups],
            self.days or 0.0, self.half_life or 0.0, np.empty(0, np.float32),
        )  # fmt: skip
        return model.settled()


@dataclass(frozen=True, slots=True)
class PopularModel:
    """``bins``, ``items``, ``counts`` (k,): events per time bin and item, by bin. ``whole`` (n_items,): all events.
    ``width``: seconds of a bin; ``lasts`` (n_items,): when the log of the item's collection ended; ``days``,
    ``half_life``: 0 where there is none.

    The score is log(1 + events in the window). An item nobody had watched by ``now`` scores NaN: unknown, not unloved.
    The window ends at ``now``, or where the log of the collection ended if that is earlier: an old log still has a last
    week, also beside a collection that is watched today.
    """

    name: str
    bins: Ints
    items: Ints
    counts: Ints
    whole: Ints
    width: float
    lasts: Doubles
    days: float
    half_life: float
    latest: Floats
    ended: float = 0.0

    def settled(self) -> PopularModel:
        """The same with the answer for the present worked out beforehand; ``ended`` is ``last``."""
        return replace(self, latest=self._at(self.last, len(self.bins)), ended=self.last)

    @property
    def last(self) -> float:
        """When the whole log ended."""
        return float(self.lasts.max(initial=0.0))

    def _everything(self, query: Query) -> Floats:
        if query.now > self.ended:
            return self.latest
        # a bin that is not over by ``now`` may hold events after it: leave it out whole
        before = np.searchsorted(self.bins, int(np.floor(query.now / self.width)), side="left")
        return self._at(query.now, int(before))

    def _at(self, end: float, stop: int) -> Floats:
        n = len(self.whole)
        bins, items = self.bins[:stop], self.items[:stop]
        seen = self.whole > 0 if stop == len(self.bins) else np.bincount(items, minlength=n) > 0
        weights = self.counts[:stop].astype(np.float64)
        ends = np.minimum(end, self.lasts)[items]
        if self.days:
            weights[bins <= np.floor((ends - self.days * DAY) / self.width)] = 0
        if self.half_life:
            age = np.maximum(ends - (bins + 0.5) * self.width, 0) / DAY
            weights *= 0.5 ** (age / self.half_life)
        found = np.bincount(items, weights=weights, minlength=n)
        return np.where(seen, np.log1p(found), np.nan).astype(np.float32)

    def retrieve(self, query: Query, n: int) -> Candidates:
        """The same for everyone. O(n_items) at present, O(events) for a past ``now``."""
        return top(self._everything(query), n)

    def score(self, query: Query, candidates: Candidates) -> Floats:
        return pick(self._everything(query), candidates.items)

    def explain(self, query: Query, items: Ints) -> Floats:
        """No event of the user's has a part in it: shape (len(items), 0)."""
        del query
        return np.zeros((len(items), 0), np.float32)

    def arrays(self) -> Mapping[str, Any]:
        return {
            "bins": self.bins, "items": self.items, "counts": self.counts, "whole": self.whole, "lasts": self.lasts,
            "clock": np.array([self.width, self.days, self.half_life]),
        }  # fmt: skip

    @staticmethod
    def from_arrays(name: str, arrays: Mapping[str, Any]) -> PopularModel:
        a = arrays
        width, days, half_life = (float(x) for x in a["clock"])
        none = np.empty(0, np.float32)
        return PopularModel(
            name, a["bins"], a["items"], a["counts"], a["whole"], width, a["lasts"], days, half_life, none
        ).settled()
