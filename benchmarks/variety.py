"""The most varied slate that a budget allows, and the most varied that there is: what ``benchmarks.diversity`` measures
beside the selectors of serving.

A film at rank r of the blend (0 the best) is the one watched next with a chance that falls as (r + 12)^-1.1, fitted on
the validation part of ml-100k; the blend's score tells nothing beyond the rank (log-likelihood of a case there 4.4917
with it, 4.4947 without; on the test 4.3802 and 4.3798). So the DCG that a slate gives up is foretold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from matinee.types import Candidates, Ints, Query

AFTER, FALL = 12.0, 1.1
SLIGHT = 1e-5  # of the likeness of a pair; less is rounding


def chances(n: int) -> np.ndarray:
    """(n,) up to a factor."""
    return np.asarray((np.arange(n) + AFTER) ** -FALL, np.float64)


@dataclass(frozen=True, slots=True)
class Budget:
    """Swaps between the best n and the rest of the best ``window``, each the one that wins most variety for the DCG
    that it is expected to cost, until no swap fits into ``share`` of the DCG expected of the best n; the slate is in
    the order of the blend. ``share`` 1 with ``lead`` n: the most varied slate there is with the first ``lead`` kept, as
    far as swaps find it. ``likeness``: (n_items, dim) rows whose products are it, one array a space, averaged."""

    likeness: tuple[np.ndarray, ...]
    share: float
    lead: int = 0
    window: int = 50
    name: str = "budget"

    def select(self, query: Query, candidates: Candidates, n: int) -> Ints:
        items = candidates.items[: self.window]
        if len(items) <= n:
            return np.arange(len(items))
        rows = [space[items].astype(np.float64) for space in self.likeness]
        like = np.mean([part @ part.T for part in rows], axis=0)
        p, picked = chances(len(items)), np.arange(n)
        least = (1 - self.share) * dcg(p[picked])
        while True:
            rest = np.setdiff1d(np.arange(len(items)), picked)
            out = np.arange(self.lead, n)
            total = like[:, picked].sum(1)
            won = (total[picked[out]] - like[picked[out], picked[out]])[:, None]
            won = won - (total[rest][None, :] - like[np.ix_(picked[out], rest)])
            left = exchanged(p, picked, out, rest)
            lost = np.maximum(dcg(p[picked]) - left, 1e-3 * dcg(p[:n]) * self.share)
            rate = np.where((left >= least - 1e-12) & (won > SLIGHT), won / lost if self.share < 1 else won, -np.inf)
            place = np.unravel_index(int(np.argmax(rate)), rate.shape)
            if rate[place] == -np.inf:
                return picked.astype(np.int64)
            picked[out[place[0]]] = rest[place[1]]
            picked = np.sort(picked)


def dcg(p: np.ndarray) -> np.ndarray:
    """(...,) of chances (..., n) in the order of the slate."""
    return np.asarray((p / np.log2(np.arange(p.shape[-1]) + 2.0)).sum(-1))


def exchanged(p: np.ndarray, picked: Ints, out: Ints, rest: Ints) -> np.ndarray:
    """(len(out), len(rest)) the DCG expected after each swap, the slate in its order."""
    new = np.broadcast_to(p[picked], (len(out), len(rest), len(picked))).copy()
    new[np.arange(len(out)), :, out] = p[rest][None, :]
    return dcg(-np.sort(-new, -1))
