"""Several models as one: each one's scores on one scale, averaged over those that have an opinion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from matinee.models.batch import score_all
from matinee.models.common import top
from matinee.models.table import load_model
from matinee.protocols import Model
from matinee.types import Bools, Candidates, Doubles, Floats, Ints, Query

POOL = 200
RIDGES = (0.01, 0.1, 0.3, 1.0, 3.0)
FLOOR = 0.01
CELLS = 1 << 23  # scores held at once while weights are learnt: 32 MiB
FLAT = 1e-9  # variance on the common scale, below which experts say one and the same of all but for rounding
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
        """The weights, and every expert's arrays under "place/name/"."""
        nested = {
            f"{at}/{model.name}/{key}": array
            for at, model in enumerate(self.models)
            for key, array in model.arrays().items()
        }
        return {"weights": self.weights, **nested}

    @staticmethod
    def from_arrays(name: str, arrays: Mapping[str, Any]) -> Blend:
        by_expert: dict[tuple[int, str], dict[str, Any]] = {}
        for key, array in arrays.items():
            if key != "weights":
                at, expert, rest = key.split("/", 2)
                by_expert.setdefault((int(at), expert), {})[rest] = array
        models = tuple(load_model(expert, by_expert[at, expert]) for at, expert in sorted(by_expert))
        return Blend(models, arrays["weights"], name)


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
    the candidates that all of those know: a least-squares line, fitted on the latter, from the mean of the experts
    that speak to the mean of all. Needs ``ENOUGH`` of the latter; else the mean of those that speak stands as it
    is."""
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
        partial = filled[full].astype(np.float64) @ share
        wide = partial - partial.mean()
        spread = float(wide @ wide)
        slope = float(wide @ score[full]) / spread if spread > FLAT * full.sum() else 0.0
        here = lacking[which.reshape(-1) == k]
        score[here] = score[full].mean() + max(slope, 0.0) * (score[here] - partial.mean())
    return score


def learn_weights(models: Sequence[Model], cases: Sequence[tuple[Query, int]], n_items: int) -> Floats:
    """(len(models),) float32, none negative, sum 1: the weights under which the items that were watched stand out.

    ``cases``: a query and the item row watched next, later than all the models have seen. Proposals are equal weights
    and, for several strengths of a penalty that draws the weights together, those of greatest likelihood of a softmax
    over each case's pool (the experts' best 200 of ``n_items``, without what was watched before). The proposal with the
    best NDCG@10 on the cases is taken, then experts are left out while that raises it: likelihood alone follows what is
    hard to rank, and was seen to choose worse than equal weights. Nobody falls below ``FLOOR``: the expert that is
    of little use among known items may be the only one to speak of a new item or to a new user. Without cases all
    weigh the same.
    """
    even = np.full(len(models), 1 / max(len(models), 1), np.float32)
    if len(models) < 2:
        return even
    size = max(1, min(64, CELLS // max(n_items * len(models), 1)))
    pools: list[Doubles] = []
    for start in range(0, len(cases), size):
        pools += _case_pools(models, cases[start : start + size], n_items)
    if not pools:
        return even
    stacked = _Pools(np.concatenate(pools), np.array([len(p) for p in pools]))
    proposals = [even.astype(np.float64), *(stacked.likeliest(ridge) for ridge in RIDGES)]
    best = max(proposals, key=stacked.ndcg)
    reached = stacked.ndcg(best)
    for expert in np.argsort(best):
        without = np.where(np.arange(len(best)) == expert, 0.0, best)
        if without.sum() > 0 and (value := stacked.ndcg(without)) > reached:
            best, reached = without, value
    floored = np.maximum(best / best.sum(), FLOOR)
    weights: Floats = (floored / floored.sum()).astype(np.float32)
    return weights


@dataclass(frozen=True, slots=True)
class _Pools:
    """Cases' pools, one after the other, the watched item first in each: ``z`` (rows, models), ``size`` (cases,)."""

    z: Doubles
    size: Ints

    @property
    def start(self) -> Ints:
        first: Ints = np.r_[0, np.cumsum(self.size)[:-1]]
        return first

    def ndcg(self, weights: Doubles, k: int = 10) -> float:
        """Mean NDCG@k; of equal scores the watched item comes last."""
        s = self.z @ weights
        ahead = s >= np.repeat(s[self.start], self.size)
        place = np.add.reduceat(ahead.astype(np.int64), self.start) - 1
        return float(np.where(place < k, 1 / np.log2(place + 2), 0).mean())

    def likeliest(self, ridge: float) -> Doubles:
        """Weights of the greatest likelihood less ridge x their variance, by L-BFGS-B; their sum is above 0."""
        from scipy.optimize import minimize

        start = self.start

        def loss(w: Any) -> tuple[float, Any]:
            s = self.z @ w
            most = np.maximum.reduceat(s, start)
            e = np.exp(s - np.repeat(most, self.size))
            total = np.add.reduceat(e, start)
            apart = w - w.mean()
            p = e / np.repeat(total, self.size)
            slope = (p @ self.z - self.z[start].sum(0)) / len(self.size) + 2 * ridge * apart
            return float((most + np.log(total) - s[start]).mean() + ridge * (apart @ apart)), slope

        found = minimize(
            loss, np.full(self.z.shape[1], 0.5), jac=True, method="L-BFGS-B", bounds=[(0, None)] * self.z.shape[1]
        )
        weights: Doubles = found.x if found.x.sum() > 1e-9 else np.ones(self.z.shape[1])
        weights /= weights.sum()
        return weights


def _case_pools(models: Sequence[Model], cases: Sequence[tuple[Query, int]], n_items: int) -> list[Doubles]:
    """Of each case (pool, models) float64 opinions with silence as 0, the watched item first; none of a case of which
    no expert speaks. Every expert scores the catalogue once: its best and its opinions come of the same numbers."""
    scores = np.stack([score_all(model, [query for query, _ in cases], n_items) for model in models], 2)
    out = []
    for (query, item), own in zip(cases, scores, strict=True):
        items = np.unique(np.concatenate([top(column, POOL).items for column in own.T]))
        rest = items[~np.isin(items, query.history.items) & (items != item)]
        z = np.stack([standard(column) for column in own[np.r_[item, rest].astype(np.int64)].T], 1)
        if len(rest) and not np.isnan(z[0]).all():
            out.append(np.nan_to_num(z).astype(np.float64))
    return out
