"""A varied slate as the most probable set of a determinantal point process."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from matinee.pipeline.catalogue import Catalogue
from matinee.pipeline.selectors import by_score, stretched
from matinee.types import Candidates, Doubles, Floats, Ints, Query

RIDGE = 0.05  # share of every item that is its own, so that no two are wholly alike and the kernel stays definite


@dataclass(frozen=True, slots=True)
class DPP:
    """Greedy maximum a posteriori of a k-DPP (Chen, Zhang and Zhou 2018, algorithm 1): each pick adds most to
    ``log det`` of the kernel ``q_i S_ij q_j``, so a set is worth its relevance times the volume that its items span.

    ``S`` is the similarity of content, ``q = exp(a relevance)``, ``a = (1 - diversity) / (2 diversity)``: diversity 0
    gives the order of relevance. Unlike MMR it looks at the whole set, not at the nearest neighbour alone.
    O(window^2 dim + n^2 window).
    """

    catalogue: Catalogue
    diversity: float = 0.3
    window: int = 200
    name: str = "dpp"

    def select(self, query: Query, candidates: Candidates, n: int) -> Ints:
        asked = query.controls.diversity
        diversity = self.diversity if asked is None else min(max(asked, 0.0), 1.0)
        order = by_score(candidates.score)
        told = order[~np.isnan(candidates.score[order])][: max(self.window, 2 * n)]
        if diversity == 0 or n <= 1 or not len(told):
            return order[:n]
        quality = np.exp(stretched(candidates.score[told]).astype(np.float64) * (1 - diversity) / (2 * diversity))
        picked = told[greedy(kernel(self.catalogue, candidates.items[told]), quality, n)]
        rest = order[~np.isin(order, picked)]
        return np.concatenate([picked, rest[: n - len(picked)]])


def kernel(catalogue: Catalogue, items: Ints) -> Floats:
    """(n, n) similarities with ones on the diagonal: cosines of the joined vectors of all spaces."""
    parts = [shelf.centred(items) for shelf in catalogue.content()]
    joined = np.concatenate([np.zeros((len(items), 1), np.float32), *parts], axis=1)
    length = np.linalg.norm(joined, axis=1, keepdims=True)
    unit = np.divide(joined, length, out=np.zeros_like(joined), where=length > 0)
    same = (1 - RIDGE) * (unit @ unit.T)
    np.fill_diagonal(same, 1.0)
    return np.asarray(same, np.float32)


def greedy(similarity: Floats, quality: Doubles, n: int) -> Ints:
    """Positions of the greedy set, in the order of picking, by an incremental Cholesky factor."""
    size = len(quality)
    n = min(n, size)
    factor = np.zeros((n, size))
    gain = quality**2 * np.diag(similarity).astype(np.float64)
    left = np.ones(size, np.bool_)
    picked: list[int] = []
    for k in range(n):
        best = int(np.argmax(np.where(left, gain, -np.inf)))
        picked.append(best)
        left[best] = False
        row = quality[best] * similarity[best] * quality
        pivot = np.sqrt(max(gain[best], 1e-12))
        factor[k] = (row - factor[:k, best] @ factor[:k]) / pivot
        gain = np.maximum(gain - factor[k] ** 2, 0.0)
    return np.asarray(picked, np.int64)
