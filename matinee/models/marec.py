"""Cold items by alignment, after MARec (Monteil, Vaskovych, Lu, Majumder, van den Hengel 2024, arXiv 2404.13298):
content is told what it is worth by the behaviour of warm items, in closed form, and EASE takes over as an item is
watched.

Where the paper weighs similarities of metadata, this learns the map outright: the two-sided ridge regression of the
user-item matrix on what a user watched and on what an item is,
    least squares over warm items of  X - X A K  with  A = (X'X + a I)^-1 X'X D (K + b I)^-1,
so a history is carried into the space of content and an item nobody has watched is scored by its place there. K is the
likeness of items (``aspects``: kernels over text, pictures, sound and written facts); D divides each item's column by a
power of its watches, so that the map learns more of whom an item is for; how much it will be watched is foretold by
itself, from content too, and multiplied in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from matinee.models.aspects import Lens, landmarks, lens_of
from matinee.models.common import Taste, pick, positives, silence, taste, top, watched
from matinee.models.ease import EASE, refuse_too_many
from matinee.models.gram import user_items
from matinee.models.linear import ItemWeights
from matinee.models.symmetric import hat, inverted
from matinee.types import Bools, Candidates, Floats, History, Interactions, Ints, Query

CHUNK = 1024  # rows in double precision at once
TRIED = 200  # people on whose histories the scale of content is brought to that of EASE


@dataclass(frozen=True, slots=True)
class MARec:
    """``behaviour``: the ridge on the user-item side, in means of the Gram matrix's diagonal; ``content``: on the
    content side; ``landmarks``: the items that others are compared with where there are more than twice as many, else
    all are; ``power``: how fast the history fades on the content side. ``shade``: the power of an item's watches that
    its column is divided by; ``draw``: of what is foretold of them, that its score is multiplied by. ``weights``:
    (aspect, weight) pairs over those of ``aspects.WEIGHTS``; 0 leaves an aspect out. ``half``: an item watched this
    often is scored half by EASE and half by content."""

    behaviour: float = 7.0
    content: float = 1.0
    landmarks: int = 2048
    power: float = 0.0
    shade: float = 0.25
    draw: float = 0.1
    weights: tuple[tuple[str, float], ...] = ()
    half: float = 5.0
    name: str = "marec"

    def fit(self, data: Interactions, *, seed: int = 0) -> MARecModel:
        """EASE's cost twice, and landmarks^2 items. Above 30,000 items raises ``model.too_many_items``."""
        refuse_too_many("MARec", data.n_items)
        warm = watched(data)
        known = warm > 0
        marks = landmarks(known, self.landmarks if known.sum() > 2 * self.landmarks else int(known.sum()), seed)
        lens = lens_of(data, marks, dict(self.weights))
        f = lens.of(data.features, data.facts, data.n_items)
        inner = self._inner(f, known, marks)
        fame = Fame.learn(f, inner, warm, self.draw)
        right = (np.maximum(warm, 1) ** -np.float32(self.shade)).astype(np.float32)[:, None] * inner.T
        seen = positives(data, once=True)
        squares = float(np.square(seen.strength, dtype=np.float64).sum())
        ridge = self.behaviour * squares / max(int(known.sum()), 1) + 1e-3
        x = user_items(seen, seen.strength, (data.n_users, data.n_items))
        carried = hat(x, right.astype(np.float32), ridge)
        del right
        ease = EASE(name=self.name).fit(data, seed=seed)
        share = (warm / (warm + self.half)).astype(np.float32)
        model = MARecModel(self.name, ease, carried, lens, fame, fame.raised(f), share, self.power)
        return model.scaled(data)

    def _inner(self, f: Floats, known: Bools, marks: Ints) -> Floats:
        """(m, n_items): what turns a column of numbers, one for each watched item, into weights of the landmarks: ridge
        regression, by (K'K + b K_marks)^-1 K', which is (K + bI)^-1 where every watched item is a landmark."""
        out = np.zeros((len(marks), len(f)), np.float32)
        if not f.any():
            return out
        ridge = np.float32(self.content)
        own = f[marks]
        if len(marks) == known.sum():
            own[np.diag_indices_from(own)] += ridge
            out[:, marks] = inverted(own)
            return out
        out[:, known] = ridged(f[known], own, float(ridge)).T
        return out


@dataclass(frozen=True, slots=True)
class Fame:
    """How much an item will be watched, foretold from its place (k,): the logarithm against the mean, between ``least``
    and ``most`` seen, times ``draw``. A ridge regression."""

    slope: Floats
    least: float
    most: float
    draw: float

    @staticmethod
    def learn(f: Floats, inner: Floats, warm: Ints, draw: float) -> Fame:
        known = warm > 0
        level = np.where(known, np.log1p(warm), 0.0).astype(np.float32)
        level = np.where(known, level - level[known].mean() if known.any() else level, np.float32(0))
        return Fame((inner @ level).astype(np.float32), float(level.min(initial=0)), float(level.max(initial=0)), draw)

    def raised(self, f: Floats) -> Floats:
        """(n, k) places, each times e^(draw x what is foretold)."""
        if not self.draw or not f.shape[1]:
            return f
        told = np.clip(f @ self.slope, self.least, self.most)
        return np.asarray(f * np.exp(np.float32(self.draw) * told)[:, None], np.float32)


@dataclass(frozen=True, slots=True)
class MARecModel:
    """``carried`` (n trained, k): each watched item in the content space; ``content`` (n_items, k): every item's own
    place there, its likeness to k landmarks, raised by its ``fame``; zeros where nothing is known of it; ``share``
    (n trained,): how much of a score is ``ease``'s.

    NaN for an item that nobody watched and of which nothing is known."""

    name: str
    ease: ItemWeights
    carried: Floats
    lens: Lens
    fame: Fame
    content: Floats
    share: Floats
    power: float

    def with_features(self, features: Mapping[str, Floats], facts: Mapping[str, Floats] | None = None) -> MARecModel:
        """The same model over other features: rows may have been added since; they are scored by content alone."""
        n = max([len(self.share), *map(len, features.values()), *map(len, (facts or {}).values())])
        return replace(self, content=self.places(features, facts or {}, n))

    def places(self, features: Mapping[str, Floats], facts: Mapping[str, Floats], n: int) -> Floats:
        """(n, k) places of items, zeros where nothing is known: what ``content`` holds. O(n landmarks dims)."""
        return self.fame.raised(self.lens.of(features, facts, n))

    def scaled(self, data: Interactions) -> MARecModel:
        """The same with content's scores spread as EASE's are, over what some people have not watched yet. A line of
        least squares would be narrower: it would say that of new items none is much better than another, and the best
        of them would never be seen."""
        known = np.flatnonzero(self.share > 0)
        seen = positives(data, once=True)
        people = np.unique(seen.users)
        people = people[:: max(1, len(people) // TRIED)]
        theirs, mine = 0.0, 0.0
        profiles, fresh = np.zeros((len(people), self.content.shape[1]), np.float32), []
        for profile, user in zip(profiles, people.tolist(), strict=True):
            rows = slice(*np.searchsorted(seen.users, [user, user + 1]))
            strength = np.square(seen.strength[rows])
            past = History(seen.items[rows], seen.at[rows], strength, np.ones(len(strength), np.int64))
            fresh.append(known[~np.isin(known, past.items)])
            profile[:] = self._profile(taste(past, len(self.share), self.power))
            if len(fresh[-1]):
                theirs += float(np.nan_to_num(self.ease.everything(Query(now=np.inf, history=past))[fresh[-1]]).var())
        for left, score in zip(fresh, profiles @ self.content.T, strict=True):
            mine += float(score[left].var()) if len(left) else 0.0
        scale = np.sqrt(theirs / mine) if theirs > 0 and mine > 0 else 1.0
        return replace(self, carried=(self.carried * np.float32(scale)).astype(np.float32))

    def shares(self, n: int) -> tuple[Floats, Floats]:
        """(n,) shares of EASE and of content, over what each item has; both 0 where it has neither."""
        warm = np.zeros(n, np.float32)
        warm[: len(self.share)] = self.share
        has = self.content[:, 0] != 0 if self.content.shape[1] else np.zeros(n, bool)
        has[~has] = self.content[~has].any(axis=1)  # a place is seldom 0 in its first number: the rest is not read
        return np.where(has, warm, (warm > 0).astype(np.float32)), np.where(has, 1 - warm, np.float32(0))

    def evened(self, weight: Floats) -> Floats:
        """(..., m) weights of a history, content's, brought to the sum that EASE's have, so that the two can be added
        whatever the length of the history."""
        rank = np.arange(weight.shape[-1])[::-1]
        ease, own = (((1.0 + rank) ** -power).sum() for power in (self.ease.power, self.power))
        out: Floats = (weight * (ease / own if len(rank) else 1.0)).astype(np.float32)
        return out

    def _profile(self, said: Taste) -> Floats:
        """(k,) where a history lies in the space of content."""
        return np.asarray(self.evened(said.weight) @ self.carried[said.items], np.float32)

    def _everything(self, query: Query) -> Floats:
        n = len(self.content)
        said = taste(query.history, len(self.share), self.power)
        if not len(said.items):
            return silence(n)
        warm, cold = self.shares(n)
        score = np.zeros(n, np.float32)
        score[: len(self.share)] = np.nan_to_num(self.ease.everything(query))
        score = warm * score + cold * (self.content @ self._profile(said))
        return np.where(warm + cold > 0, score, np.float32(np.nan)).astype(np.float32)

    def retrieve(self, query: Query, n: int) -> Candidates:
        """The best n of the catalogue. O(history x n_items)."""
        return top(self._everything(query), n)

    def score(self, query: Query, candidates: Candidates) -> Floats:
        return pick(self._everything(query), candidates.items)

    def score_batch(self, queries: Sequence[Query], items: Ints) -> Floats:
        """(len(queries), len(items)) float32, as ``score`` row by row; content by one product for all."""
        n = len(self.content)
        warm, cold = self.shares(n)
        profiles = np.zeros((len(queries), self.content.shape[1]), np.float32)
        out = np.zeros((len(queries), n), np.float32)
        known = len(self.share)
        out[:, :known] = np.nan_to_num(self.ease.score_batch(queries, np.arange(known))) * warm[:known]
        for at, query in enumerate(queries):
            said = taste(query.history, known, self.power)
            profiles[at] = self._profile(said)
            if not len(said.items):
                out[at] = np.nan
        out += (profiles @ self.content.T) * cold
        out[:, warm + cold <= 0] = np.nan
        return pick(out, items)

    def explain(self, query: Query, items: Ints) -> Floats:
        """(len(items), len(history)) float32; rows sum to the score."""
        out = np.zeros((len(items), len(query.history)), np.float32)
        said = taste(query.history, len(self.share), self.power)
        reach = np.flatnonzero((items >= 0) & (items < len(self.content)))
        warm, cold = self.shares(len(self.content))
        rows = items[reach]
        out[reach] = self.ease.explain(query, rows) * warm[rows, None]
        past = self.carried[said.items] * self.evened(said.weight)[:, None]
        out[np.ix_(reach, said.at)] += self.content[rows] @ past.T * cold[rows, None]
        return out

    def arrays(self) -> Mapping[str, Any]:
        ease = {f"ease.{key}": array for key, array in self.ease.arrays().items()}
        lens = {f"lens.{key}": array for key, array in self.lens.arrays().items()}
        return {
            "carried": self.carried, "content": self.content, "share": self.share, "power": np.float64(self.power),
            "fame": self.fame.slope, "fame.range": np.array([self.fame.least, self.fame.most, self.fame.draw]),
            **ease, **lens,
        }  # fmt: skip

    @staticmethod
    def from_arrays(name: str, arrays: Mapping[str, Any]) -> MARecModel:
        a = arrays
        ease = ItemWeights.from_arrays(name, _under("ease.", a))
        lens = Lens.from_arrays(_under("lens.", a))
        fame = Fame(a["fame"], *a["fame.range"].tolist())
        return MARecModel(name, ease, a["carried"], lens, fame, a["content"], a["share"], float(a["power"]))


def ridged(rows: Floats, marks: Floats, ridge: float) -> Floats:
    """(n, m) K (K'K + b K_marks)^-1 of (n, m) rows K. In double precision: K'K squares the spread of K's eigenvalues,
    and among thousands of items float32 rounds the least of them below zero."""
    from scipy.linalg import cho_factor, cho_solve

    square = ridge * marks.astype(np.float64)
    square[np.diag_indices_from(square)] += 1e-3 * ridge
    for start in range(0, len(rows), CHUNK):
        block = rows[start : start + CHUNK].astype(np.float64)
        square += block.T @ block
    factor = cho_factor(square, lower=True, overwrite_a=True)
    out = np.empty_like(rows)
    for start in range(0, len(rows), CHUNK):
        out[start : start + CHUNK] = cho_solve(factor, rows[start : start + CHUNK].T.astype(np.float64)).T
    return out


def _under(prefix: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {key.removeprefix(prefix): arrays[key] for key in sorted(arrays) if key.startswith(prefix)}
