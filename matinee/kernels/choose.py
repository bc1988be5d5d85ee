"""Choices: what a past says of each item, the best of some scores, candidates once each, a varied slate, and the events
that weigh most."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from matinee.kernels.typed import B1, D1, DOUBLE, F1, F2, I1, INT, INT32, SINGLE, loop

STEPS = 1024


@loop(INT(I1, F1, INT32[::1], INT[::1], SINGLE[::1]))
def told(items: Any, strength: Any, place: Any, at: Any, own: Any) -> int:
    """``taste.Told.of``: fills ``at`` with the latest place of each item that anything is said of, oldest first, and
    ``own`` with its damped opinion; how many. ``place`` (items,) is scratch and may hold anything not negative."""
    n = 0
    latest, best = np.empty(len(items), np.int64), np.empty(len(items), np.float32)
    for i in range(len(items)):
        if strength[i] == 0 or items[i] < 0:
            continue
        k = place[items[i]]
        if k < n and items[latest[k]] == items[i]:
            latest[k] = i
            if abs(strength[i]) >= abs(best[k]):
                best[k] = strength[i]
        else:
            place[items[i]] = n
            latest[n] = i
            best[n] = strength[i]
            n += 1
    m = 0
    for i in range(len(items)):
        if strength[i] == 0 or items[i] < 0:
            continue
        k = place[items[i]]
        if latest[k] == i:
            at[m] = i
            own[m] = np.sqrt(abs(best[k])) if best[k] > 0 else -np.sqrt(abs(best[k]))
            m += 1
    return m


@loop(SINGLE(F1, INT))
def _least(score: Any, k: Any) -> Any:
    """A number that at least k scores reach, and not many more: by how many lie in each of ``STEPS`` equal steps."""
    low, high = np.float32(np.inf), np.float32(-np.inf)
    for x in score:
        low = x if x < low else low  # NaN compares false
        high = x if x > high else high
    scale = np.float32(STEPS - 1) / (high - low)
    if not (scale > 0 and scale < np.inf):
        return np.float32(-np.inf)
    counts = np.zeros(STEPS, np.int32)
    for x in score:
        if x >= low:
            counts[int((x - low) * scale)] += 1
    reach, step = 0, STEPS
    while step > 0 and reach < k:
        step -= 1
        reach += counts[step]
    return np.float32(low + (step - np.float32(0.01)) / scale) if step else np.float32(-np.inf)


@loop(types.void(types.uint32[::1], INT[::1], INT[::1]))
def _ordered(key: Any, at: Any, spare: Any) -> None:
    """Puts the positions ``at`` in the order of their keys, of equal ones in the order they come in: a radix sort, in
    which no branch depends on what is sorted."""
    for shift in (0, 8, 16, 24):
        counts = np.zeros(257, np.int64)
        for i in at:
            counts[((key[i] >> np.uint32(shift)) & np.uint32(255)) + 1] += 1
        if counts.max() == len(at):  # all alike here
            continue
        for k in range(256):
            counts[k + 1] += counts[k]
        for i in at:
            digit = (key[i] >> np.uint32(shift)) & np.uint32(255)
            spare[counts[digit]] = i
            counts[digit] += 1
        at[:] = spare


@loop(INT(F1, I1, INT[::1]))
def highest(score: Any, ties: Any, at: Any) -> int:
    """Fills ``at`` with the positions of the highest scores, best first, of equal ones the one with the lower number in
    ``ties``, none of which is negative; NaN is left out. How many there are, at most ``len(at)``. O(n) where scores are
    spread."""
    n, most = 0, len(at)
    least = _least(score, most) if len(score) > 2 * most else np.float32(-np.inf)
    found, key = np.empty(len(score), np.int64), np.empty(len(score), np.uint32)
    rising = True
    for i in range(len(score)):
        found[n] = i
        n += score[i] >= least
    found, spare = found[:n], np.empty(n, np.int64)
    for k in range(1, n):
        rising = rising and ties[found[k - 1]] < ties[found[k]]
    if not rising:
        for one in found:
            key[one] = ties[one]
        _ordered(key, found, spare)
    bits = score.view(np.uint32)
    for one in found:
        own = bits[one] if score[one] != 0 else np.uint32(0)  # there are two zeros
        key[one] = own if own >> np.uint32(31) else ~(own | np.uint32(1 << 31))
    _ordered(key, found, spare)
    kept = min(n, most)
    at[:kept] = found[:kept]
    return kept


@loop(INT(I1, F1, I1, INT32[::1], INT[::1]))
def once(items: Any, score: Any, source: Any, place: Any, first: Any) -> int:
    """Fills ``first`` with the positions at which each item stands first; how many. -1 where a source names one twice,
    or a negative row, or an infinite score. ``place`` as in ``told``."""
    n = 0
    last = np.empty(len(items), np.int64)  # the source that named each last
    for i in range(len(items)):
        if items[i] < 0 or np.isinf(score[i]):
            return -1
        k = place[items[i]]
        if k < n and items[first[k]] == items[i]:
            if last[k] == source[i]:
                return -1
            last[k] = source[i]
        else:
            place[items[i]] = n
            first[n] = i
            last[n] = source[i]
            n += 1
    return n


@loop(
    types.void(F2, F1, F1, I1, types.float64, INT, INT[::1], SINGLE[:, ::1], types.boolean[::1], SINGLE[::1], INT[::1]),
    loose=True,
)
def _meet(
    vectors: Any, scale: Any, mean: Any, places: Any, unit: Any, i: Any, picked: Any, own: Any, ready: Any, worst: Any,
    met: Any,
) -> None:  # fmt: skip
    """Brings ``worst[i]`` up to date with all that is picked, and makes the unit vectors that this needs."""
    dim = vectors.shape[1]
    for k in range(met[i], len(picked)):
        for j in (i, picked[k]):
            if not ready[j]:
                for d in range(dim):
                    own[j, d] = (vectors[places[j], d] - mean[d]) * scale[places[j]]
                ready[j] = True
        total = np.float32(0)
        for d in range(dim):
            total += own[i, d] * own[picked[k], d]
        worst[i] = max(worst[i], min(max(np.float32(total / unit), np.float32(0)), np.float32(1)))
    met[i] = len(picked)


@loop(INT(F2, F1, F1, I1, F1, D1, types.float64, INT[::1]), loose=True)
def diverse(
    vectors: Any, scale: Any, mean: Any, places: Any, relevance: Any, weight: Any, unit: Any, picked: Any
) -> int:  # fmt: skip
    """``selectors.MMR`` over the vectors at some places, around their mean: fills ``picked`` (len(weight),); how many.
    ``relevance`` falls; ``unit`` is the cosine that counts as one and the same."""
    n, dim = len(places), vectors.shape[1]
    own, ready = np.empty((n, dim), np.float32), np.zeros(n, np.bool_)
    worst, met = np.zeros(n, np.float32), np.zeros(n, np.int64)  # the highest likeness to the first so many picks
    left, most = np.ones(n, np.bool_), min(len(weight), n)
    for k in range(most):
        new, best = -1, np.float32(-np.inf)
        lack, share = np.float32(weight[k]), np.float32(1 - weight[k])
        for i in range(n):
            if not left[i]:
                continue
            if new >= 0 and (lack == 0 or share * relevance[i] <= best):
                break  # relevance falls: what comes later cannot gain more
            if lack > 0:
                _meet(vectors, scale, mean, places, unit, i, picked[:k], own, ready, worst, met)
            gain = share * relevance[i] - lack * worst[i]
            if new < 0 or gain > best:
                new, best = i, gain
        picked[k] = new
        left[new] = False
    return most


@loop(types.void(F2, B1, DOUBLE[::1], INT[:, ::1], DOUBLE[:, ::1]))
def heaviest(term: Any, liked: Any, whole: Any, top: Any, heavy: Any) -> None:
    """Adds to ``whole`` (n,) what the positive terms (n, events) make together, and fills ``top`` and ``heavy`` (n, k)
    with the events whose terms are the greatest among the ``liked``, greatest first, and these terms; 0 where there are
    fewer."""
    for i in range(len(term)):
        for k in range(top.shape[1]):
            top[i, k] = 0
            heavy[i, k] = 0.0
        for h in range(term.shape[1]):
            x = np.float64(term[i, h])
            if not x > 0:
                continue
            whole[i] += x
            if not liked[h]:
                continue
            k = top.shape[1]
            while k and heavy[i, k - 1] < x:
                k -= 1
            if k < top.shape[1]:
                for j in range(top.shape[1] - 1, k, -1):
                    top[i, j] = top[i, j - 1]
                    heavy[i, j] = heavy[i, j - 1]
                top[i, k] = h
                heavy[i, k] = x
