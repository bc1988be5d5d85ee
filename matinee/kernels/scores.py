"""Scores: products with vectors, sums over neighbours, the fading of a past, and the blend of experts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from matinee.kernels.typed import B1, D1, DOUBLE, F1, F2, F3, I1, INT, INT32, N1, SINGLE, loop, read_only


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
    most, dim = len(profiles), vectors.shape[1]
    for i in range(len(places)):
        at = places[i]
        if at < 0:
            for k in range(most):
                out[k, i] = 0
            continue
        for k in range(0, most - 3, 4):  # four at once, or adding up the lanes of a register takes the most time
            a, b, c, e = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
            for d in range(dim):
                x = vectors[at, d]
                a += x * profiles[k, d]
                b += x * profiles[k + 1, d]
                c += x * profiles[k + 2, d]
                e += x * profiles[k + 3, d]
            out[k, i] = (a - shared[k]) * scale[at]
            out[k + 1, i] = (b - shared[k + 1]) * scale[at]
            out[k + 2, i] = (c - shared[k + 2]) * scale[at]
            out[k + 3, i] = (e - shared[k + 3]) * scale[at]
        for k in range(most - most % 4, most):
            total = np.float32(0)
            for d in range(dim):
                total += vectors[at, d] * profiles[k, d]
            out[k, i] = (total - shared[k]) * scale[at]


@loop(
    INT(I1, N1, F1, I1, F1, B1, DOUBLE[:, ::1], INT[::1], SINGLE[::1]),
    INT(I1, I1, F1, I1, F1, B1, DOUBLE[:, ::1], INT[::1], SINGLE[::1]),
)
def summed(
    starts: Any, columns: Any, values: Any, rows: Any, weight: Any, known: Any, scratch: Any, named: Any, sums: Any
) -> int:  # fmt: skip
    """Fills ``named`` with each known column of some rows of a CSR matrix once and ``sums`` with the weighted sum of
    its values; how many. Both hold as many as the rows have cells. ``scratch`` (columns, 2) is zero, before and
    after. No branch depends on what is read, or the processor would wait for each cell."""
    n = 0
    for j in range(len(rows)):
        for c in range(starts[rows[j]], starts[rows[j] + 1]):
            column = columns[c]
            named[n] = column
            n += scratch[column, 1] == 0
            scratch[column, 1] = 1
            scratch[column, 0] += np.float64(weight[j]) * values[c]
    kept = 0
    for k in range(n):
        column = named[k]
        named[kept] = column
        sums[kept] = scratch[column, 0]
        kept += known[column]
        scratch[column, 0] = 0
        scratch[column, 1] = 0
    return kept


@loop(
    INT(I1, N1, F1, I1, I1, I1, INT32[::1], INT32[::1], INT32[::1], SINGLE[::1]),
    INT(I1, I1, F1, I1, I1, I1, INT32[::1], INT32[::1], INT32[::1], SINGLE[::1]),
)
def met(
    starts: Any, columns: Any, values: Any, rows: Any, items: Any, reached: Any, scratch: Any, which: Any, at: Any,
    value: Any,
) -> int:  # fmt: skip
    """Fills ``which``, ``at`` and ``value`` with the cells of some rows of a CSR matrix at the columns
    ``items[reached]``: which of the rows, which of the items; how many. All hold as many as the rows have cells.
    ``scratch`` (columns,) is zero, before and after."""
    n = 0
    for k in reached:
        scratch[items[k]] = k + 1
    for j in range(len(rows)):
        for c in range(starts[rows[j]], starts[rows[j] + 1]):
            k = scratch[columns[c]]
            which[n] = j
            at[n] = k - 1
            value[n] = values[c]
            n += k > 0
    for k in reached:
        scratch[items[k]] = 0
    return n


@loop(types.void(F2, N1, N1, F1, SINGLE[:, ::1]))
def carried(weights: Any, which: Any, at: Any, value: Any, out: Any) -> None:
    """Fills out (k, n) with the products of weights (k, m) and the cells (m, n) that ``met`` found."""
    trials, n = out.shape
    turned = np.empty((weights.shape[1], trials), np.float32)
    for j in range(weights.shape[1]):
        for k in range(trials):
            turned[j, k] = weights[k, j]
    sums = np.zeros((n, trials), np.float32)
    for c in range(len(value)):
        own, given = sums[at[c]], turned[which[c]]
        for k in range(trials):
            own[k] += given[k] * value[c]
    for i in range(n):
        for k in range(trials):
            out[k, i] = sums[i, k]


@loop(types.void(F1, N1, N1, F1, I1, I1, SINGLE[:, ::1]))
def terms(weight: Any, which: Any, at: Any, value: Any, events: Any, picked: Any, out: Any) -> None:
    """Fills out (len(picked), events), which is 0, with what each cell that ``met`` found adds to the score of the
    picked ones; ``events`` (m,): where each row of the cells stands in the history."""
    highest = 0
    for i in picked:
        highest = max(highest, i)
    row = np.full(highest + 1, -1, np.int64)
    for k in range(len(picked)):
        row[picked[k]] = k
    for c in range(len(value)):
        if at[c] <= highest and row[at[c]] >= 0:
            out[row[at[c]], events[which[c]]] += weight[which[c]] * value[c]


@loop(types.void(I1, F1, D1, I1, SINGLE[:, ::1]))
def faded(items: Any, strength: Any, fade: Any, without: Any, weights: Any) -> None:
    """``taste.Told.weights``: fills (1 + len(without), m). ``fade`` by rank, at least (m,)."""
    for k in range(len(without) + 1):
        rank = 0
        for i in range(len(items) - 1, -1, -1):
            if k and items[i] == without[k - 1]:
                weights[k, i] = 0
            else:
                weights[k, i] = strength[i] * fade[rank]
                rank += 1


@loop(types.void(F1, SINGLE[::1]), loose=True)
def standard(scores: Any, z: Any) -> None:
    """``blend.standard``: fills z (n,), NaN where silent."""
    total, count, most = 0.0, 0, np.float32(0)
    for x in scores:
        told = x == x
        total += np.float64(x) if told else 0.0
        count += told
        size = abs(x) if told else np.float32(0)
        most = size if size > most else most
    mean = total / count if count else 0.0
    square = 0.0
    for x in scores:
        far = np.float64(x) - mean if x == x else 0.0
        square += far * far
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


@loop(types.void(F3, B1, F1, INT, types.float64, I1, SINGLE[:, ::1]))
def blended(raw: Any, same: Any, weights: Any, enough: Any, flat: Any, at: Any, out: Any) -> None:
    """Fills out (k, len(at)) with the blend of (k, experts, n) scores, NaN where an expert is silent, each of the k
    set among its own n. ``same`` (experts,): whose scores are those of the first in all k."""
    trials, experts, n = raw.shape
    z = np.empty((experts, n), np.float32)
    score = np.empty(n, np.float32)
    for k in range(trials):
        for e in range(experts):
            if k == 0 or not same[e]:
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
