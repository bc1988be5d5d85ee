"""Ridge transitions with two memories: the next item from a fast and a slow fading history at once, by one
least-squares fit. The slow memory knows the taste, the fast one the mood, and each is told only what the other
does not explain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil, log
from typing import Any

import numpy as np

from matinee.errors import MatineeError
from matinee.models.common import Positives, pick, positives, top, watched
from matinee.models.following import following
from matinee.models.gram import DENSE_SHARE, gram_rows, user_items
from matinee.models.linear import ItemWeights, item_weights
from matinee.models.symmetric import solved
from matinee.types import Candidates, Floats, Interactions, Ints, Query

MOST_ITEMS = 15_000  # the matrix has twice this side: 3.6 GB


@dataclass(frozen=True, slots=True)
class Memories:
    """``fast`` and ``slow``: what a history's item weighs is this to the power of places-ago; ``ridge_fast`` and
    ``ridge_slow``: the penalties, in means of the Gram matrix's diagonal; ``to_norm``: the power of the target's
    popularity that is divided out. Tuned on ml-1m's validation items (docs/models.md)."""

    fast: float = 0.6
    slow: float = 0.95
    ridge_fast: float = 1.5
    ridge_slow: float = 0.45
    to_norm: float = 0.3
    shrink: float = 10.0
    name: str = "transitions_memories"

    def fit(self, data: Interactions, *, seed: int = 0) -> MemoriesModel:
        """A (2 n_items, 2 n_items) float32 matrix and 8 n^3 operations. Above 15,000 items raises
        ``model.too_many_items``."""
        del seed
        n, known = data.n_items, watched(data) > 0
        if n > MOST_ITEMS:
            raise MatineeError(
                "model.too_many_items",
                f"Ridge transitions with two memories reach {MOST_ITEMS} items, not {n}. Use transitions instead.",
                f"双记忆岭回归转移模型最多支持 {MOST_ITEMS} 个物品，当前为 {n}。请改用 transitions。",
            )
        inputs, targets = moments(positives(data, once=False), data, (self.fast, self.slow))
        into = targets[:n].sum(0, dtype=np.float64)
        diagonal = np.diag(inputs).reshape(2, n).sum(1, dtype=np.float64) / max(int(known.sum()), 1)
        penalty = np.repeat(diagonal * [self.ridge_fast, self.ridge_slow] + 1e-3, n)
        inputs[np.diag_indices_from(inputs)] += penalty.astype(np.float32)
        weights = solved(inputs, targets)
        del inputs
        weights /= ((into + self.shrink) ** self.to_norm).astype(np.float32)[None, :]
        parts = []
        for part, decay in ((weights[:n], self.fast), (weights[n:], self.slow)):
            part[np.diag_indices(n)] = 0
            parts.append(replace(item_weights(self.name, part, known, 0.0), decay=decay))
        return MemoriesModel(self.name, parts[0], parts[1])


@dataclass(frozen=True, slots=True)
class MemoriesModel:
    """The sum of a fast and a slow fading model over the same items."""

    name: str
    fast: ItemWeights
    slow: ItemWeights

    def _everything(self, query: Query) -> Floats:
        out: Floats = self.fast.everything(query) + self.slow.everything(query)
        return out

    def retrieve(self, query: Query, n: int) -> Candidates:
        """The best n of the catalogue. O(history x n_items)."""
        return top(self._everything(query), n)

    def score(self, query: Query, candidates: Candidates) -> Floats:
        return pick(self._everything(query), candidates.items)

    def explain(self, query: Query, items: Ints) -> Floats:
        """(len(items), len(history)) float32; rows sum to the score."""
        return self.fast.explain(query, items) + self.slow.explain(query, items)

    def arrays(self) -> Mapping[str, Any]:
        both = {"fast": self.fast.arrays(), "slow": self.slow.arrays()}
        return {f"{memory}.{key}": array for memory, arrays in both.items() for key, array in arrays.items()}

    @staticmethod
    def from_arrays(name: str, arrays: Mapping[str, Any]) -> MemoriesModel:
        fast, slow = (
            ItemWeights.from_arrays(name, {k.partition(".")[2]: a for k, a in arrays.items() if k.startswith(memory)})
            for memory in ("fast.", "slow.")
        )
        return MemoriesModel(name, fast, slow)


def moments(seen: Positives, data: Interactions, decays: tuple[float, float]) -> tuple[Floats, Floats]:
    """Z'Z (2n, 2n), of which the lower left quarter stays empty, and Z'Y (2n, n), float32, as ``ridge.moments`` with z
    the fast and the slow sum side by side: for decays a and b
    (Za)'Zb (1 - ab) = a (Za)'Y + b ((Zb)'Y)' + Y'Y - (the last za)(the last zb)'."""
    n = data.n_items
    crossed = np.zeros((2 * n, n), np.float32)
    lags = [max(1, ceil(log(1e-4) / log(decay))) for decay in decays]
    after = following(seen, n, max(lags))
    worth = [
        decay ** np.arange(min(most, after.lags), dtype=np.float64) for decay, most in zip(decays, lags, strict=True)
    ]
    for item in np.flatnonzero(np.diff(after.starts)).tolist():
        crossed[item], crossed[n + item] = (after.row(item, weights) for weights in worth)
    inputs = np.zeros((2 * n, 2 * n), np.float32)
    last = [
        user_items(seen, seen.strength * np.float32(decay) ** seen.rank.astype(np.float32), (data.n_users, n))
        for decay in decays
    ]
    squares = np.bincount(seen.items, weights=seen.strength.astype(np.float64) ** 2, minlength=n).astype(np.float32)
    for i, j in ((0, 0), (0, 1), (1, 1)):
        a, b = decays[i], decays[j]
        block = inputs[i * n : (i + 1) * n, j * n : (j + 1) * n]
        _subtract_product(block, last[i], last[j])
        for start in range(0, n, 1024):
            part = slice(start, start + 1024)
            block[part] += np.float32(a) * crossed[i * n : (i + 1) * n][part]
            block[part] += np.float32(b) * crossed[j * n : (j + 1) * n][:, part].T
        block[np.diag_indices(n)] += squares
        block /= np.float32(1 - a * b)
    return inputs, crossed


def _subtract_product(out: Floats, left: Any, right: Any) -> None:
    """out -= left'right, blocks of users through BLAS, or of items where the matrices are sparse."""
    if right.nnz <= DENSE_SHARE * right.shape[0] * right.shape[1]:
        for start, rows in gram_rows(right, left=left):
            out[start : start + len(rows)] -= rows
        return
    for start in range(0, left.shape[0], 1024):
        out -= left[start : start + 1024].toarray().T @ right[start : start + 1024].toarray()
