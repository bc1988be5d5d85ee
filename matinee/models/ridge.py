"""Ridge transitions: the linear map from a fading history to the next item, by least squares over every moment of the
log. Unlike counted transitions it knows that two items of a history may say the same thing."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log

import numpy as np

from matinee.models.common import Positives, positives, watched
from matinee.models.ease import refuse_too_many, singular
from matinee.models.following import following
from matinee.models.gram import gram, user_items
from matinee.models.linear import ItemWeights, item_weights
from matinee.types import Floats, Interactions


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
        """Two (n_items, n_items) float32 matrices and n^3 operations, whatever the length of the log. Above 30,000
        items raises ``model.too_many_items``."""
        del seed
        refuse_too_many("Ridge transitions", data.n_items)
        inputs, targets = moments(positives(data, once=False), data, self.decay)
        into = targets.sum(0, dtype=np.float64)
        mean = float(np.diag(inputs).sum(dtype=np.float64)) / max(int((watched(data) > 0).sum()), 1)
        inputs[np.diag_indices_from(inputs)] += np.float32(self.ridge * mean + 1e-3)
        weights = solved(inputs, targets)
        weights /= ((into + self.shrink) ** self.to_norm).astype(np.float32)[None, :]
        weights[np.diag_indices_from(weights)] = 0
        return item_weights(self.name, weights, watched(data) > 0, self.power)


def moments(seen: Positives, data: Interactions, decay: float) -> tuple[Floats, Floats]:
    """Z'Z and Z'Y, (n, n) float32 each: over every row of the log z is the fading sum of what its user watched before
    it and y the item itself.

    Z'Z needs no pass over pairs of a history: after a row z becomes decay z + y, so summed over a user's rows
    Z'Z + (the last z)(the last z)' = decay^2 Z'Z + decay (Z'Y + Y'Z) + Y'Y, which is solved for Z'Z.
    """
    lags = max(1, ceil(log(1e-5) / log(decay)))
    after = following(seen, data.n_items, lags)
    crossed = after.square(decay ** np.arange(after.lags, dtype=np.float64))
    weight = seen.strength * np.float32(decay) ** seen.rank.astype(np.float32)
    last = user_items(seen, weight, (data.n_users, data.n_items))  # SciPy sums a pair that comes twice
    last.sum_duplicates()
    inputs = gram(last)
    np.negative(inputs, out=inputs)
    for start in range(0, len(inputs), 1024):  # by blocks: a whole transpose would be a third matrix
        part = slice(start, start + 1024)
        inputs[part] += np.float32(decay) * (crossed[part] + crossed[:, part].T)
    squares = np.bincount(seen.items, weights=seen.strength.astype(np.float64) ** 2, minlength=data.n_items)
    inputs[np.diag_indices_from(inputs)] += squares.astype(np.float32)
    inputs /= np.float32(1 - decay**2)
    return inputs, crossed


def solved(left: Floats, right: Floats) -> Floats:
    """X of left X = right, ``left`` symmetric positive definite, of which the upper triangle counts. Both are float32
    in C order and are overwritten: nothing as large is made beside them (LAPACK potrf, BLAS trsm)."""
    from scipy.linalg import blas, lapack

    if not len(left):
        return right
    factor, info = lapack.spotrf(left.T, lower=1, overwrite_a=1)
    if info != 0:
        raise singular()
    turned = right.T  # in Fortran's order as it lies: X' L L' = right'
    turned = blas.strsm(1.0, factor, turned, side=1, lower=1, trans_a=1, overwrite_b=1)
    out: Floats = blas.strsm(1.0, factor, turned, side=1, lower=1, trans_a=0, overwrite_b=1).T
    return out
