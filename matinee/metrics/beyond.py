"""What a list does besides being right: how much of the catalogue it reaches, how new, varied and fair it is.

``slates`` is (q, k) int64 item rows, best first, -1 where a list is shorter. Values are (q,) float64 by case, or one
number over all cases where that is what is asked; NaN where a list has nothing to measure.
"""

from __future__ import annotations

import numpy as np

from matinee.types import Bools, Doubles, Floats, Ints

HEAD, MID = 0.2, 0.8  # the most watched items that hold so much of all watching are the head; up to .8 the middle
SMOOTHING = 0.01  # Steck's alpha: how much of the target is mixed into the list before the divergence


def coverage(slates: Ints, candidates: Bools) -> float:
    """The share of the candidates that is in at least one list."""
    shown = np.zeros(len(candidates), bool)
    shown[slates[slates >= 0]] = True
    return float((shown & candidates).sum() / max(candidates.sum(), 1))


def gini(slates: Ints, candidates: Bools) -> float:
    """How unequally the lists show the candidates: 0 all alike, towards 1 only one. Over counts x in ascending order it
    is sum (2i - n - 1) x_i / (n sum x)."""
    shown = np.bincount(slates[slates >= 0], minlength=len(candidates))[candidates]
    n, total = len(shown), shown.sum()
    if not total:
        return float("nan")
    return float(((2 * np.arange(1, n + 1) - n - 1) * np.sort(shown)).sum() / (n * total))


def novelty(slates: Ints, watched: Ints, n_users: int) -> Doubles:
    """Mean of -log2 (share of users who watched the item), one watch added to each so that an unseen one is finite
    (Vargas and Castells, RecSys 2011). ``watched`` (n_items,): users by item in training."""
    bits = -np.log2((watched + 1.0) / (n_users + 1.0))
    return _mean(bits, slates)


def popularity_lift(slates: Ints, watched: Ints, history_mean: Doubles) -> Doubles:
    """How much more watched the list is than what the user had watched: mean / mean - 1 (Abdollahpouri et al. 2019).
    ``history_mean`` (q,): the mean of ``watched`` over each history, NaN for none."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(history_mean > 0, _mean(watched.astype(np.float64), slates) / history_mean - 1, np.nan)


def diversity(slates: Ints, vectors: Floats) -> Doubles:
    """Mean of 1 - cosine over the pairs of each list whose vectors are known (Ziegler et al., WWW 2005). ``vectors``
    (n_items, dim) unit rows, NaN rows unknown. Of m unit vectors with sum s the pairs' cosines sum to (|s|^2 - m) / 2.
    O(q k dim)."""
    known = np.asarray(~np.isnan(vectors).any(1), bool)
    filled = np.where(known[:, None], vectors, 0).astype(np.float64)
    out = np.full(len(slates), np.nan)
    for case, row in enumerate(slates):
        rows = row[row >= 0]
        listed = filled[rows[known[rows]]]
        m = len(listed)
        if m > 1:
            out[case] = 1 - (np.square(listed.sum(0)).sum() - np.square(listed).sum()) / (m * (m - 1))
    return out


def serendipity(hits: Bools, slates: Ints, expected: Ints) -> Doubles:
    """The share of the list that is a hit and that nobody would have needed a recommender for: not among the
    ``expected`` (e,), the most watched items (after Ge et al., RecSys 2010)."""
    surprising = hits & ~np.isin(slates, expected) & (slates >= 0)
    return np.asarray(surprising.sum(1) / max(slates.shape[1], 1), np.float64)


def calibration(slates: Ints, wanted: Doubles, categories: Floats) -> Doubles:
    """Steck's KL divergence (RecSys 2018) of the categories of the list from those of the history; 0 is in proportion.

    ``wanted`` (q, c): the history's share of each category, rows of sum 1 or 0; ``categories`` (n_items, c): each
    item's, likewise. KL(p || (1 - a) q + a p) with a = .01, natural logarithm.
    """
    padded = np.vstack([categories, np.zeros((1, categories.shape[1]), categories.dtype)]).astype(np.float64)
    given = np.stack([padded[row].sum(0) for row in slates]) if len(slates) else np.zeros_like(wanted)
    with np.errstate(invalid="ignore", divide="ignore"):
        given = given / given.sum(1, keepdims=True)
        mixed = (1 - SMOOTHING) * given + SMOOTHING * wanted
        terms = np.where(wanted > 0, wanted * np.log(wanted / mixed), 0.0)
    value = terms.sum(1)
    return np.where((wanted.sum(1) > 0) & np.isfinite(value), value, np.nan)


def thirds(watched: Ints) -> Ints:
    """(n_items,) 0 head, 1 middle, 2 tail: the most watched items that together hold 20% of all watching, those up to
    80%, the rest; what nobody watched is tail. Ties by row."""
    order = np.argsort(-watched, kind="stable")
    total = watched.sum()
    before = np.r_[0, np.cumsum(watched[order])[:-1]] / max(total, 1)
    group = np.empty(len(watched), np.int64)
    group[order] = np.where(before < HEAD, 0, np.where(before < MID, 1, 2))
    group[watched == 0] = 2
    return group


def share(slates: Ints, members: Bools) -> Doubles:
    """The share of each list that is among ``members`` (n_items,)."""
    return _mean(members.astype(np.float64), slates)


def _mean(values: Doubles, slates: Ints) -> Doubles:
    """Mean over each list of its items' values; NaN of an empty list."""
    there = slates >= 0
    count = there.sum(1)
    total = np.where(there, values[slates], 0.0).sum(1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
