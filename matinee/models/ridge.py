"""Ridge transitions: the linear map from a fading history to the next item, by least squares over every moment of the
log. Unlike counted transitions it knows that two items of a history may say the same thing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil, log
from typing import Any

import numpy as np

from matinee.models.common import Positives, positives, watched
from matinee.models.ease import SQUARE_ITEMS
from matinee.models.following import Following, following
from matinee.models.gram import gram, gram_rows, user_items
from matinee.models.linear import ItemWeights, from_csr, item_weights
from matinee.models.sparse_ridge import SUPPORT, greatest, kept, local_weights
from matinee.models.symmetric import solved
from matinee.types import Bools, Doubles, Floats, Interactions


@dataclass(frozen=True, slots=True)
class RidgeTransitions:
    """``decay``: a history's item weighs decay^places-ago when fitted. ``ridge``: the penalty, in means of the Gram
    matrix's diagonal, so that it fits small and large logs. ``to_norm``: the power of the target's popularity that is
    divided out. ``power``: how fast the history fades when asked (``common.taste``)."""

    decay: float = 0.8
    ridge: float = 1.2
    to_norm: float = 0.3
    shrink: float = 10.0
    power: float = 0.8
    name: str = "transitions_ridge"

    def fit(self, data: Interactions, *, seed: int = 0) -> ItemWeights:
        """Two square float32 matrices over the items that were watched, n, and n^3 operations, whatever the length of
        the log. Above 12,000 items in all ``sparse_ridge`` instead, without a square matrix."""
        del seed
        seen, known = positives(data, once=False), watched(data) > 0
        if data.n_items > SQUARE_ITEMS:
            return self._local(seen, data, known)
        rows = np.flatnonzero(known)
        place = np.zeros(data.n_items, np.int64)
        place[rows] = np.arange(len(rows))
        own = replace(seen, items=place[seen.items])
        inputs, targets = moments(
            own, Interactions(own.users, own.items, own.at, own.strength, data.n_users, len(rows)), self.decay
        )
        into = targets.sum(0, dtype=np.float64)
        inputs[np.diag_indices_from(inputs)] += self._penalty(float(np.diag(inputs).sum(dtype=np.float64)), known)
        weights = solved(inputs, targets)
        weights /= ((into + self.shrink) ** self.to_norm).astype(np.float32)[None, :]
        weights[np.diag_indices_from(weights)] = 0
        if len(rows) < data.n_items:
            whole = np.zeros((data.n_items, data.n_items), np.float32)
            whole[np.ix_(rows, rows)] = weights
            weights = whole
        return item_weights(self.name, weights, known, self.power)

    def _penalty(self, trace: float, known: Bools) -> np.float32:
        return np.float32(self.ridge * trace / max(int(known.sum()), 1) + 1e-3)

    def _local(self, seen: Positives, data: Interactions, known: Bools) -> ItemWeights:
        """Each target from the items that most often came before it."""
        from scipy.sparse import vstack

        sums = Moments.of(seen, data, self.decay)
        scale = (1 / np.sqrt(np.maximum(sums.diagonal, 1e-9))).astype(np.float32)
        targets, into = [], []

        def inputs() -> Iterator[tuple[int, Floats]]:
            for start, block, columns in sums.blocks():
                into.append(columns.sum(1, dtype=np.float64))
                targets.append(greatest(columns, start, scale, SUPPORT))
                yield start, block

        gram_of = kept(inputs(), sums.diagonal)
        penalty = float(self._penalty(float(sums.diagonal.sum()), known))
        weights = local_weights(gram_of, vstack(targets).tocsr(), penalty)
        popular = (np.concatenate(into) + self.shrink) ** -self.to_norm
        weights.data *= popular[weights.indices].astype(np.float32)
        return from_csr(self.name, weights, known, self.power)


@dataclass(frozen=True, slots=True)
class Moments:
    """Z'Z and Z'Y of ``moments`` block by block: ``after`` counts what came later, ``before`` what came earlier, and
    ``last`` (SciPy CSR) are the users' last states."""

    after: Following
    before: Following
    last: Any
    decay: float
    squares: Doubles
    diagonal: Doubles

    @staticmethod
    def of(seen: Positives, data: Interactions, decay: float) -> Moments:
        lags, n = max(1, ceil(log(1e-5) / log(decay))), data.n_items
        back = replace(
            seen, users=seen.users.max(initial=0) - seen.users[::-1], items=seen.items[::-1],
            strength=seen.strength[::-1],
        )  # fmt: skip
        after, before = following(seen, n, lags), following(back, n, lags)
        last = last_states(seen, data, decay)
        squares = np.bincount(seen.items, seen.strength.astype(np.float64) ** 2, minlength=n).astype(np.float64)
        own = after.same(decay ** np.arange(after.lags, dtype=np.float64))
        ends = np.asarray(last.multiply(last).sum(0), np.float64).ravel()
        return Moments(after, before, last, decay, squares, (2 * decay * own + squares - ends) / (1 - decay**2))

    def blocks(self) -> Iterator[tuple[int, Floats, Floats]]:
        """(start, rows of Z'Z, rows of (Z'Y)') from ``start`` on."""
        weights = self.decay ** np.arange(self.after.lags, dtype=np.float64)
        parts = zip(self.after.rows(weights), self.before.rows(weights), gram_rows(self.last), strict=True)
        for (start, later), (_, earlier), (_, ends) in parts:
            block = np.float32(self.decay) * (later + earlier) - ends
            at = np.arange(len(block))
            block[at, start + at] += self.squares[start : start + len(block)].astype(np.float32)
            block /= np.float32(1 - self.decay**2)
            yield start, block, earlier


def last_states(seen: Positives, data: Interactions, decay: float) -> Any:
    """SciPy CSR (n_users, n_items): every user's fading sum after the last row; a pair that comes twice is summed."""
    weight = seen.strength * np.float32(decay) ** seen.rank.astype(np.float32)
    last = user_items(seen, weight, (data.n_users, data.n_items))
    last.sum_duplicates()
    return last


def moments(seen: Positives, data: Interactions, decay: float) -> tuple[Floats, Floats]:
    """Z'Z and Z'Y, (n, n) float32 each: over every row of the log z is the fading sum of what its user watched before
    it and y the item itself.

    Z'Z needs no pass over pairs of a history: after a row z becomes decay z + y, so summed over a user's rows
    Z'Z + (the last z)(the last z)' = decay^2 Z'Z + decay (Z'Y + Y'Z) + Y'Y, which is solved for Z'Z.
    """
    lags = max(1, ceil(log(1e-5) / log(decay)))
    after = following(seen, data.n_items, lags)
    crossed = after.square(decay ** np.arange(after.lags, dtype=np.float64))
    inputs = gram(last_states(seen, data, decay))
    np.negative(inputs, out=inputs)
    for start in range(0, len(inputs), 1024):  # by blocks: a whole transpose would be a third matrix
        part = slice(start, start + 1024)
        inputs[part] += np.float32(decay) * (crossed[part] + crossed[:, part].T)
    squares = np.bincount(seen.items, weights=seen.strength.astype(np.float64) ** 2, minlength=data.n_items)
    inputs[np.diag_indices_from(inputs)] += squares.astype(np.float32)
    inputs /= np.float32(1 - decay**2)
    return inputs, crossed
