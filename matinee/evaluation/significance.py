"""How sure a number is: bootstrap intervals over users, paired tests, and Holm's correction for many of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from matinee.types import Doubles, Ints

CHUNK = 100  # resamples at a time: bounds memory to CHUNK x users


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over users with its 95% interval; None where resampling users says nothing (coverage, Gini)."""

    value: float
    low: float | None = None
    high: float | None = None


def by_user(values: Doubles, users: Ints, n: int) -> Doubles:
    """(n,) each user's mean over their cases; NaN cases are left out, NaN where none is left. ``users`` (q,) in
    0..n-1."""
    there = ~np.isnan(values)
    count = np.bincount(users[there], minlength=n)
    total = np.bincount(users[there], weights=values[there], minlength=n)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def intervals(table: Doubles, *, resamples: int = 1000, seed: int = 0) -> list[Estimate]:
    """The mean of each row of ``table`` (m, users) and its percentile bootstrap 95% interval (Efron 1979). Every row
    sees the same resamples, so rows can be compared. NaN users are left out of their row. O(m resamples users)."""
    m, n = table.shape
    if not n:
        return [Estimate(float("nan")) for _ in range(m)]
    there = (~np.isnan(table)).astype(np.float64)
    filled = np.nan_to_num(table, nan=0.0)
    rng = np.random.default_rng(seed)
    means = np.full((resamples, m), np.nan)
    for start in range(0, resamples, CHUNK):
        size = min(CHUNK, resamples - start)
        counts = rng.multinomial(n, np.full(n, 1 / n), size=size).astype(np.float64)
        with np.errstate(invalid="ignore"):
            means[start : start + size] = (counts @ filled.T) / (counts @ there.T)
    out = []
    for row in range(m):
        some = there[row].sum()
        if not some:
            out.append(Estimate(float("nan")))
            continue
        drawn = means[:, row][~np.isnan(means[:, row])]
        low, high = np.percentile(drawn, [2.5, 97.5]) if len(drawn) else (np.nan, np.nan)
        out.append(Estimate(float(filled[row].sum() / some), float(low), float(high)))
    return out


def paired(differences: Doubles, *, flips: int = 10_000, seed: int = 0) -> Doubles:
    """(m,) two-sided p of sign-flip permutation tests on each row of ``differences`` (m, users): how often a mean at
    least as far from 0 comes up when each user's sign is a coin. Every row sees the same coins. Never 0: (1 + count) /
    (1 + flips) (Phipson and Smyth 2010). NaN users are left out; 1 where nobody differs. O(m flips users)."""
    filled = np.nan_to_num(differences, nan=0.0)  # a zero has no sign to flip: it changes neither side
    m, n = filled.shape
    observed = np.abs(filled.sum(1))
    rng = np.random.default_rng(seed)
    reached = np.zeros(m, np.int64)
    for start in range(0, flips, CHUNK):
        size = min(CHUNK, flips - start)
        signs = rng.integers(0, 2, (size, n), dtype=np.int8).astype(np.float64) * 2 - 1
        reached += (np.abs(signs @ filled.T) >= observed * (1 - 1e-12)).sum(0)
    return np.asarray((1 + reached) / (1 + flips), np.float64)


def holm(p: Doubles) -> Doubles:
    """(m,) p values corrected for being m (Holm 1979): the i-th smallest times m - i, made monotone, at most 1."""
    m = len(p)
    order = np.argsort(p, kind="stable")
    out = np.empty(m)
    out[order] = np.minimum(np.maximum.accumulate(p[order] * (m - np.arange(m))), 1.0)
    return out
