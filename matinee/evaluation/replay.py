"""Asks a model what it would have shown, as serving asks it: the same ``types.Query``, with a past ``now``.

Stated rules:

- Every candidate of the catalogue is ranked; nothing is sampled.
- Items in the history are not shown, whatever the event was.
- An item without an opinion (NaN) is not shown: a list may be short, and a target there is a miss.
- Equal scores are ordered by a shuffle of the items, turned on by a step from case to case and the same for every
  model, so that no item wins ties more often than another. The same scores of the same case give the same list.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from matinee.data.splits import Cases
from matinee.models.batch import score_all
from matinee.protocols import Model
from matinee.types import Bools, Floats, Ints, Query, Slate

BATCH, CELLS = 256, 1 << 25  # queries at a time, fewer where the catalogue is large: 128 MiB of scores
TIES = 20  # the seed of the shuffle that orders equal scores
STEP = 7919  # by which it turns: a prime, so that the turns of neighbouring cases differ
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Ranked:
    """The lists of q cases: ``slates`` (q, k) rows, best first, -1 where short; ``hits`` (q, k); ``relevant`` (q,) how
    many targets; ``places`` (t,) where each target is in its list, k where it is not; ``scores`` (t,) float32 of each
    target; ``opinions`` (q,) how many candidates were scored; ``seconds`` for all of them."""

    slates: Ints
    hits: Bools
    relevant: Ints
    places: Ints
    scores: Floats
    opinions: Ints
    seconds: float


def replay(
    model: Model, cases: Cases, k: int, *, last: int | None = None, progress: Progress = lambda done, total: None
) -> Ranked:
    """The best k for every case. ``last`` shortens histories to their newest so many events. O(cases x model)."""
    n = cases.history.n_items
    tie = np.random.default_rng(TIES).permutation(n)
    q = len(cases)
    slates = np.full((q, k), -1, np.int64)
    scores = np.full(len(cases.targets), np.nan, np.float32)
    opinions = np.zeros(q, np.int64)
    spent = 0.0
    size = max(1, min(BATCH, CELLS // max(n, 1)))
    for start in range(0, q, size):
        batch = range(start, min(start + size, q))
        queries = [query_of(cases, c, k, last) for c in batch]
        begun = time.perf_counter()
        found = score_all(model, queries, n)
        spent += time.perf_counter() - begun
        for c, row in zip(batch, found, strict=True):
            part = slice(cases.bounds[c], cases.bounds[c + 1])
            scores[part] = row[cases.targets[part]]
            row[~cases.candidates] = np.nan
            row[cases.history.items[cases.start[c] : cases.stop[c]]] = np.nan
            opinions[c] = np.count_nonzero(~np.isnan(row))
            best = best_of(row, k, (tie + c * STEP) % n)
            slates[c, : len(best)] = best
        progress(batch.stop, q)
    return _ranked(cases, slates, scores, opinions, spent)


def replay_slates(
    recommend: Callable[[Query], Slate], cases: Cases, k: int, *, progress: Progress = lambda done, total: None
) -> Ranked:
    """The same for a whole recommender (sources, filters, scorer, selector), asked as it serves: what it shows is what
    counts, its own filters decide what was seen, and ties are its own. Target scores are NaN: a slate has no others."""
    slates = np.full((len(cases), k), -1, np.int64)
    opinions = np.zeros(len(cases), np.int64)
    begun = time.perf_counter()
    for c in range(len(cases)):
        items = recommend(query_of(cases, c, k)).items[:k]
        slates[c, : len(items)] = items
        opinions[c] = len(items)
        progress(c + 1, len(cases))
    silent = np.full(len(cases.targets), np.nan, np.float32)
    return _ranked(cases, slates, silent, opinions, time.perf_counter() - begun)


def query_of(cases: Cases, case: int, k: int, last: int | None = None) -> Query:
    """The request that would have been made; the user's name is their row, for no model knows users by name."""
    return Query(
        now=float(cases.now[case]), limit=k, user=str(cases.users[case]), history=cases.history_of(case, last)
    )  # fmt: skip


def best_of(scores: Floats, k: int, tie: Ints) -> Ints:
    """The rows of the k best of (n,) scores, best first, equal ones by ``tie`` (n,); NaN never. O(n + k log k)."""
    rows = np.flatnonzero(~np.isnan(scores))
    if len(rows) > k:
        values = scores[rows]
        rows = rows[values >= np.partition(values, len(rows) - k)[len(rows) - k]]
    order = np.lexsort((tie[rows], -scores[rows]))
    return rows[order[:k]].astype(np.int64)


def _ranked(cases: Cases, slates: Ints, scores: Floats, opinions: Ints, seconds: float) -> Ranked:
    k = slates.shape[1]
    owner = np.repeat(np.arange(len(cases)), np.diff(cases.bounds))
    match = slates[owner] == cases.targets[:, None]
    places = np.where(match.any(1), match.argmax(1), k)
    hits = np.zeros(slates.shape, bool)
    found = places < k
    hits[owner[found], places[found]] = True
    return Ranked(slates, hits, np.diff(cases.bounds), places.astype(np.int64), scores, opinions, seconds)
