"""Several models as one: each one's scores on one scale, averaged over those that have an opinion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from matinee.models.common import top
from matinee.protocols import Model
from matinee.types import Bools, Candidates, Floats, Ints, Query

POOL = 200
ENOUGH = 10  # candidates that every expert knows, below which nothing can be said about the scale of the others


@dataclass(frozen=True, slots=True)
class Blend:
    """``models`` and their ``weights`` (len(models),) float32, none negative.

    An expert's scores are put on one scale per request: minus the mean, over the standard deviation, of the candidates
    that it has an opinion on. An item's score is the weighted mean over the experts that have one. Scores that lack an
    expert are then put on the scale of those that lack none (``level``), so a cold item stands where its content alone
    predicts that it would stand, neither buried by silence nor lifted by it.

    A score holds within one set of candidates: the same item may score otherwise among others.
    """

    models: tuple[Model, ...]
    weights: Floats
    name: str = "blend"

    def retrieve(self, query: Query, n: int) -> Candidates:
        """The best n of the union of every expert's best ``max(n, 200)``."""
        pool = self.pool(query, max(n, POOL))
        best = top(self.score(query, pool), n)
        return replace(best, items=pool.items[best.items])

    def pool(self, query: Query, n: int) -> Candidates:
        """The union of every weighted expert's best n, by row; ``source`` 0."""
        found = [m.retrieve(query, n).items for m, w in zip(self.models, self.weights, strict=True) if w > 0]
        items = np.unique(np.concatenate([*found, np.empty(0, np.int64)])).astype(np.int64)
        return Candidates(items, np.full(len(items), np.nan, np.float32), np.zeros(len(items), np.int64))

    def opinions(self, query: Query, candidates: Candidates) -> Floats:
        """(n, len(models)) float32: every expert's scores on the common scale; NaN = no opinion."""
        columns = [standard(model.score(query, candidates)) for model in self.models]
        return np.stack(columns, 1) if columns else np.empty((len(candidates), 0), np.float32)

    def parts(self, query: Query, candidates: Candidates) -> Floats:
        """(n, len(models)) float32: what each expert adds to the weighted mean; NaN = no opinion."""
        z = self.opinions(query, candidates)
        return z * shares(~np.isnan(z), self.weights)

    def score(self, query: Query, candidates: Candidates) -> Floats:
        z = self.opinions(query, candidates)
        return level(z, self.weights)

    def explain(self, query: Query, items: Ints) -> Floats:
        """(len(items), len(history)) float32: the weighted mean of the additive experts' explanations, each over the
        standard deviation of its scores. It says which past events matter; it does not sum to the score."""
        pool = Candidates(items, np.full(len(items), np.nan, np.float32), np.zeros(len(items), np.int64))
        scores = np.stack([m.score(query, pool) for m in self.models], 1) if self.models else np.empty((len(items), 0))
        share = shares(~np.isnan(scores), self.weights)
        total = np.zeros((len(items), len(query.history)), np.float32)
        for at, model in enumerate(self.models):
            part = model.explain(query, items)
            if part.shape[1] and self.weights[at] > 0:
                spread = float(np.abs(part).sum(1).mean()) or 1.0
                total += part / np.float32(spread) * share[:, at, None]
        return total

    def arrays(self) -> Mapping[str, Any]:
        """Only the weights; the experts are stored beside (``matinee.release``)."""
        return {"weights": self.weights}


def standard(scores: Floats) -> Floats:
    """Scores with mean 0 and standard deviation 1 over those that are not NaN; all alike: 0."""
    opinion = ~np.isnan(scores)
    if not opinion.any():
        return scores
    values = scores[opinion].astype(np.float64)
    spread = float(values.std())
    flat = spread <= 1e-6 * (1e-12 + float(np.abs(values).max()))
    out: Floats = ((scores - values.mean()) / (np.inf if flat else spread)).astype(np.float32)
    return out


def shares(opinion: Bools, weights: Floats) -> Floats:
    """(n, models): each expert's share of the weight of those with an opinion; rows without any are 0."""
    given = opinion * weights[None, :]
    total = given.sum(1, keepdims=True)
    share: Floats = np.divide(given, total, out=np.zeros(given.shape), where=total > 0).astype(np.float32)
    return share


def level(z: Floats, weights: Floats) -> Floats:
    """(n,) scores of (n, models) opinions. Candidates that some voiced expert is silent about are put on the scale of
    the candidates that all of those know: a least-squares line, fitted on the latter, from the mean of the experts that
    speak to the mean of all. Needs ``ENOUGH`` of the latter; else the mean of those that speak stands as it is."""
    voiced = (weights > 0) & (~np.isnan(z)).any(0) if len(z) else weights > 0
    z, weights = z[:, voiced], weights[voiced]
    opinion = ~np.isnan(z)
    filled = np.nan_to_num(z)
    score: Floats = (filled * shares(opinion, weights)).sum(1).astype(np.float32)
    score[~opinion.any(1)] = np.nan
    full = opinion.all(1)
    if full.sum() < ENOUGH or full.all():
        return score
    patterns, which = np.unique(opinion[~full], axis=0, return_inverse=True)
    lacking = np.flatnonzero(~full)
    for k, pattern in enumerate(patterns):
        if not pattern.any():
            continue
        share = shares(np.broadcast_to(pattern, (1, len(pattern))), weights)[0]
        partial = filled[full] @ share
        wide = partial - partial.mean()
        slope = float(wide @ score[full]) / max(float(wide @ wide), 1e-9)
        here = lacking[which.reshape(-1) == k]
        score[here] = score[full].mean() + max(slope, 0.0) * (score[here] - partial.mean())
    return score


def learn_weights(models: Sequence[Model], cases: Sequence[tuple[Query, int]], *, ridge: float = 1e-3) -> Floats:
    """(len(models),) float32, none negative, sum 1: the weights under which the items that were watched stand out.

    ``cases``: a query and the item row watched next, later than all the models have seen. Maximises the likelihood of a
    softmax over each case's pool (union of the experts' best 200 without what was watched before) by L-BFGS-B;
    ``ridge`` draws the weights together. An expert without a single opinion gets 0. Without cases all weigh the same.
    """
    from scipy.optimize import minimize

    even = np.full(len(models), 1 / max(len(models), 1), np.float32)
    judge = Blend(tuple(models), even)
    pools = [pool for query, item in cases if (pool := _case(judge, query, item)) is not None]
    if not pools or len(models) < 2:
        return even
    features = np.concatenate(pools)
    size = np.array([len(p) for p in pools])
    start = np.r_[0, np.cumsum(size)[:-1]]  # the watched item is the first of its pool

    def loss(w: Any) -> tuple[float, Any]:
        s = features @ w
        most = np.maximum.reduceat(s, start)
        e = np.exp(s - np.repeat(most, size))
        total = np.add.reduceat(e, start)
        value = float((most + np.log(total) - s[start]).mean() + ridge * (w @ w))
        p = e / np.repeat(total, size)
        slope = (p @ features - features[start].sum(0)) / len(size) + 2 * ridge * w
        return value, slope

    found = minimize(loss, np.ones(len(models)), jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(models))
    weights = np.where(np.abs(features).sum(0) > 0, found.x, 0)
    if not weights.sum() > 0:
        return even
    learnt: Floats = (weights / weights.sum()).astype(np.float32)
    return learnt


def _case(judge: Blend, query: Query, item: int) -> Floats | None:
    """(pool, models) float64 opinions with silence as 0, the watched item first; None where no expert speaks of it."""
    items = judge.pool(query, POOL).items
    rest = items[~np.isin(items, query.history.items) & (items != item)]
    pool = np.r_[item, rest].astype(np.int64)
    z = judge.opinions(query, Candidates(pool, np.full(len(pool), np.nan, np.float32), np.zeros(len(pool), np.int64)))
    if np.isnan(z[0]).all() or not len(rest):
        return None
    return np.nan_to_num(z).astype(np.float64)
