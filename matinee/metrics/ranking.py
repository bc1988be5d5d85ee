"""How good a ranked list is, from where its hits are. Full catalogue, never a sample of it (Krichene and Rendle, KDD
2020).

A metric is a frozen dataclass with its cut ``k``: ``measure`` takes one slate, ``of_hits`` many at once. Both agree.
Gains are 0 or 1. A case without relevant items has no value: NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from matinee.types import Bools, Doubles, Floats, Ints

RankingName = Literal["hr", "recall", "precision", "f1", "ndcg", "mrr", "map"]


@dataclass(frozen=True, slots=True)
class Ranking:
    """One metric at a cut. With h hits among the first k of a slate and r relevant items:

    - ``hr`` 1 where h > 0; ``precision`` h / k; ``recall`` h / r; ``f1`` their harmonic mean;
    - ``mrr`` 1 / position of the first hit, 0 without one;
    - ``ndcg`` sum over hits of 1 / log2(1 + position), over the same of min(r, k) hits in front (Jarvelin and
      Kekalainen, TOIS 2002);
    - ``map`` sum over hits of (hits up to there / position), over min(r, k).
    """

    metric: RankingName
    k: int

    @property
    def name(self) -> str:
        return f"{self.metric}@{self.k}"

    def measure(self, slate: Ints, relevant: Ints) -> float:
        """Of one slate (n,) of item rows, best first, and (r,) relevant rows, each once."""
        hits = np.zeros((1, self.k), bool)
        first = slate[: self.k]
        hits[0, : len(first)] = np.isin(first, relevant)
        return float(self.of_hits(hits, np.array([len(np.unique(relevant))]))[0])

    def of_hits(self, hits: Bools, relevant: Ints) -> Doubles:
        """(q,) float64 of (q, n >= k) hits by position and (q,) counts of relevant items. O(q k)."""
        with np.errstate(invalid="ignore", divide="ignore"):
            value = FORMULAS[self.metric](hits[:, : self.k].astype(np.float64), relevant.astype(np.float64), self.k)
        return np.where(relevant > 0, value, np.nan)


def _hr(hits: Doubles, relevant: Doubles, k: int) -> Doubles:
    return np.asarray(hits.any(1), np.float64)


def _recall(hits: Doubles, relevant: Doubles, k: int) -> Doubles:
    return np.asarray(hits.sum(1) / relevant, np.float64)


def _precision(hits: Doubles, relevant: Doubles, k: int) -> Doubles:
    return np.asarray(hits.sum(1) / k, np.float64)


def _f1(hits: Doubles, relevant: Doubles, k: int) -> Doubles:
    return np.asarray(2 * hits.sum(1) / (k + relevant), np.float64)  # 2pr / (p + r) with p = h/k, r = h/R


def _mrr(hits: Doubles, relevant: Doubles, k: int) -> Doubles:
    return np.where(hits.any(1), 1.0 / (1 + hits.argmax(1)), 0.0)


def _ndcg(hits: Doubles, relevant: Doubles, k: int) -> Doubles:
    gain = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.r_[0.0, np.cumsum(gain)]
    return np.asarray(hits @ gain / ideal[np.minimum(relevant, k).astype(np.int64)], np.float64)


def _map(hits: Doubles, relevant: Doubles, k: int) -> Doubles:
    share = np.cumsum(hits, 1) / np.arange(1, k + 1)
    return np.asarray((share * hits).sum(1) / np.minimum(relevant, k), np.float64)


FORMULAS: dict[RankingName, Callable[[Doubles, Doubles, int], Doubles]] = {
    "hr": _hr, "recall": _recall, "precision": _precision, "f1": _f1, "ndcg": _ndcg, "mrr": _mrr, "map": _map,
}  # fmt: skip


def auc(scores: Floats | Doubles, liked: Bools) -> float:
    """The chance that a liked item scores above one that is not, ties counting half; NaN without one of each.

    ``scores`` (n,), ``liked`` (n,). NaN scores lie below all others and tie with each other. O(n log n).
    """
    positives = int(liked.sum())
    negatives = len(liked) - positives
    if not positives or not negatives:
        return float("nan")
    filled = np.where(np.isnan(scores), -np.inf, scores).astype(np.float64)
    _, place, counts = np.unique(filled, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[place]  # mean rank of ties, from 1
    return float((rank[liked].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def rmse(predicted: Floats | Doubles, true: Floats | Doubles) -> float:
    """Root of the mean squared error over pairs where both are numbers; NaN where there are none."""
    error = np.asarray(predicted, np.float64) - np.asarray(true, np.float64)
    error = error[~np.isnan(error)]
    return float(np.sqrt(np.mean(error**2))) if len(error) else float("nan")


def accuracy(predicted: Ints | Bools, true: Ints | Bools) -> float:
    """The share of equal labels; NaN of nothing."""
    return float(np.mean(np.asarray(predicted) == np.asarray(true))) if len(true) else float("nan")
