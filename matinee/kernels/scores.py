"""Scores: products with vectors, sums over neighbours, the fading of a past, and the blend of experts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from matinee.kernels.typed import B1, F1, F2, F3, I1, INT, INT32, N1, SINGLE, loop, read_only


@loop(INT(read_only(types.int8, 2), F1, I1, I1, I1, F1, B1, INT[::1], SINGLE[::1]), loose=True)
def near(
    codes: Any, scale: Any, rows: Any, begins: Any, ends: Any, query: Any, allowed: Any, found: Any, score: Any
) -> int:  # fmt: skip
    """Fills ``found`` and ``score`` with the allowed rows of the stretches begins:ends and the products of their codes
    with the query; how many there are."""
    n = 0
    for k in range(len(begins)):
        for i in range(begins[k], ends[k]):
            if allowed[rows[i]]:
                own, total = codes[i], np.float32(0)
                for d in range(len(query)):
                    total += np.float32(own[d]) * query[d]
                found[n] = rows[i]
                score[n] = total * scale[i]
                n += 1
    return n


@loop(types.void(F2, F1, I1, F2, F1, SINGLE[:, ::1]), loose=True)
def against(vectors: Any, scale: Any, places: Any, profiles: Any, shared: Any, out: Any) -> None:
    """Fills out (k, len(places)) with the products of k profiles with the vectors at some places, each less its
    ``shared`` (k,) and times the vector's scale; 0 where a place is negative."""
    for i in range(len(places)):
        at = places[i]
        for k in range(len(profiles)):
            total = np.float32(0)
            if at >= 0:
                for d in range(vectors.shape[1]):
                    total += vectors[at, d] * profiles[k, d]
                total = (total - shared[k]) * scale[at]
            out[k, i] = total


@loop(
    INT(I1, N1, F1, I1, F1, B1, INT32[::1], INT[::1], types.float64[::1]),
    INT(I1, I1, F1, I1, F1, B1, INT32[::1], INT[::1], types.float64[::1]),
)
def summed(
    starts: Any, columns: Any, values: Any, rows: Any, weight: Any, known: Any, place: Any, named: Any, sums: Any
) -> int:  # fmt: skip
    """Fills ``named`` with each known column of some rows of a CSR matrix once and ``sums`` with the weighted sum of
    its values; how many. ``place`` (columns,) is scratch and may hold anything not negative."""
    n = 0
    for j in range(len(rows)):
        for c in range(starts[rows[j]], starts[rows[j] + 1]):
            column = columns[c]
            if not known[column]:
                continue
            at = place[column]
            if at < n and named[at] == column:
                sums[at] += weight[j] * values[c]
            else:
                place[column] = n
                named[n] = column
                sums[n] = weight[j] * values[c]
                n += 1
    return n


@loop(
    types.void(I1, N1, F1, I1, I1, I1, INT32[::1], SINGLE[:, ::1]),
    types.void(I1, I1, F1, I1, I1, I1, INT32[::1], SINGLE[:, ::1]),
)
def met(
    starts: Any, columns: Any, values: Any, rows: Any, items: Any, reached: Any, place: Any, cells: Any
) -> None:  # fmt: skip
    """Fills ``cells`` (len(rows), len(items)), which are 0, with what some rows of a CSR matrix hold at the columns
    ``items[reached]``. ``place`` as in ``summed``."""
    for k in range(len(reached)):
        place[items[reached[k]]] = k
    for j in range(len(rows)):
        for c in range(starts[rows[j]], starts[rows[j] + 1]):
            k = place[columns[c]]
            if k < len(reached) and items[reached[k]] == columns[c]:
                cells[j, reached[k]] = values[c]


@loop(types.void(I1, F1, types.float64, types.float64, I1, SINGLE[:, ::1]))
def faded(items: Any, strength: Any, power: Any, decay: Any, without: Any, weights: Any) -> None:
    """``taste.Told.weights``: fills (1 + len(without), m)."""
    m = len(items)
    fade = np.empty(m)
    for rank in range(m):
        fade[rank] = (1.0 + rank) ** -power * decay**rank
    for k in range(len(without) + 1):
        rank = 0
        for i in range(m - 1, -1, -1):
            if k and items[i] == without[k - 1]:
                weights[k, i] = 0
            else:
                weights[k, i] = strength[i] * fade[rank]
                rank += 1


@loop(types.void(F1, SINGLE[::1]))
def standard(scores: Any, z: Any) -> None:
    """``blend.standard``: fills z (n,), NaN where silent."""
    total, count, most = 0.0, 0, 0.0
    for x in scores:
        if not np.isnan(x):
            total += x
            count += 1
            most = max(most, abs(np.float64(x)))
    mean = total / count if count else 0.0
    square = 0.0
    for x in scores:
        if not np.isnan(x):
            square += (x - mean) ** 2
    spread = np.sqrt(square / count) if count else 0.0
    scale = 0.0 if spread <= 1e-6 * (1e-12 + most) else 1.0 / spread
    for i in range(len(scores)):
        z[i] = (scores[i] - mean) * scale


@loop(types.UniTuple(types.float64, 2)(F2, F1, I1, F1, INT, INT, types.float64))
def _line(z: Any, weights: Any, code: Any, score: Any, own: Any, whole: Any, flat: Any) -> tuple[float, float]:
    """Mean of what the experts of one pattern say of the candidates that all speak of, and the slope from there to
    the mean of all."""
    experts, n = z.shape
    total, count, first, second, both, other = 0.0, 0, 0.0, 0.0, 0.0, 0.0
    for e in range(experts):
        total += weights[e] if own >> e & 1 else 0.0
    for i in range(n):
        if code[i] == whole:
            part = 0.0
            for e in range(experts):
                if own >> e & 1:
                    part += z[e, i] * weights[e]
            part /= total
            count += 1
            first += part
            second += part * part
            both += part * score[i]
            other += score[i]
    mean = first / count
    wide = second - mean * first
    return mean, max((both - mean * other) / wide, 0.0) if wide > flat * count else 0.0


@loop(types.void(F2, F1, INT, types.float64, SINGLE[::1]))
def level(z: Any, weights: Any, enough: Any, flat: Any, score: Any) -> None:
    """``blend.level`` of (experts, n) opinions: fills score (n,)."""
    experts, n = z.shape
    voiced = np.zeros(experts, np.bool_)
    for e in range(experts):
        if weights[e] > 0:
            for i in range(n):
                if not np.isnan(z[e, i]):
                    voiced[e] = True
                    break
    whole, full = 0, 0
    for e in range(experts):
        if voiced[e]:
            whole |= 1 << e
    code = np.empty(n, np.int64)  # who speaks of what
    for i in range(n):
        own, total, value = 0, 0.0, 0.0
        for e in range(experts):
            if voiced[e] and not np.isnan(z[e, i]):
                own |= 1 << e
                total += weights[e]
                value += z[e, i] * weights[e]
        code[i] = own
        full += own == whole
        score[i] = value / total if own else np.nan
    if full < enough or full == n:
        return
    mean = 0.0
    for i in range(n):
        if code[i] == whole:
            mean += score[i]
    mean /= full
    patterns, lines = np.empty(n - full, np.int64), np.empty((n - full, 2))
    seen = 0
    for i in range(n):
        if code[i] == whole or code[i] == 0:
            continue
        k = 0
        while k < seen and patterns[k] != code[i]:
            k += 1
        if k == seen:
            patterns[k] = code[i]
            lines[k, 0], lines[k, 1] = _line(z, weights, code, score, code[i], whole, flat)
            seen += 1
        score[i] = mean + lines[k, 1] * (score[i] - lines[k, 0])


@loop(types.void(F3, F1, INT, types.float64, I1, SINGLE[:, ::1]))
def blended(raw: Any, weights: Any, enough: Any, flat: Any, at: Any, out: Any) -> None:
    """Fills out (k, len(at)) with the blend of (k, experts, n) scores, NaN where an expert is silent, each of the k
    set among its own n."""
    trials, experts, n = raw.shape
    z = np.empty((experts, n), np.float32)
    score = np.empty(n, np.float32)
    for k in range(trials):
        for e in range(experts):
            standard(raw[k, e], z[e])
        level(z, weights, enough, flat, score)
        for p in range(len(at)):
            out[k, p] = score[at[p]]


@loop(types.void(F2, F1, I1, SINGLE[:, ::1]))
def parts(raw: Any, weights: Any, at: Any, out: Any) -> None:
    """Fills out (len(at), experts) with what each expert adds to the weighted mean of (experts, n) scores; NaN where
    it is silent."""
    experts, n = raw.shape
    z = np.empty((experts, n), np.float32)
    for e in range(experts):
        standard(raw[e], z[e])
    for p in range(len(at)):
        total = 0.0
        for e in range(experts):
            if not np.isnan(z[e, at[p]]):
                total += weights[e]
        for e in range(experts):
            out[p, e] = z[e, at[p]] * (weights[e] / total if total > 0 else 0.0)
