"""Releases beside each other on one ruler: each is asked what people watched last."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from matinee.data.interactions import from_log
from matinee.data.strength import table_of
from matinee.models.holdout import latest_slice
from matinee.protocols import Source, Store
from matinee.release import load_release
from matinee.settings import Library
from matinee.types import Interactions, Ints, Query

log_ = logging.getLogger("matinee.serve")
MOST = 5  # releases that are compared, the latest
CASES, ENOUGH = 200, 30
SHARE = 0.1  # of the log, where too little of it is later than every release
K = 10


class Measures(msgspec.Struct, kw_only=True):
    """``ndcg``, ``hit``: at 10, means over the cases; ``coverage``: share of the items in any of the lists of 10;
    ``novelty``: mean of minus log2 of the share of plays of what is listed."""

    digest: str
    ndcg: float
    hit: float
    coverage: float
    novelty: float


class Comparison(msgspec.Struct, kw_only=True):
    """``unseen``: all cases are later than what any of the releases was trained with; otherwise each may have seen
    them, the later the more, and only a release that falls far behind says something."""

    ready: bool
    cases: int = 0
    unseen: bool = False
    releases: tuple[Measures, ...] = ()


def compared(library: Library, store: Store) -> Comparison:
    """The latest releases that are whole, on at most ``CASES`` of the latest events. Reads the log once; a retrieval
    for each case and release."""
    log, manifests = store.log(), dict(store.releases())
    items = [row for row, _ in store.items()]
    people = [row for row, _ in store.users()]
    n_items, n_users = max(items, default=-1) + 1, max(people, default=-1) + 1
    data = from_log(log, n_users, n_items, table=table_of(library.settings.strength))
    recent = list(dict.fromkeys(digest for _, digest in reversed(store.releases_used()) if digest in manifests))[:MOST]
    share = later_than(data, [manifests[digest] for digest in recent])
    cases = latest_slice(data, share=share or SHARE, most=CASES).cases
    if len(cases) < ENOUGH:
        return Comparison(ready=True)
    plays = np.bincount(data.items[data.strength > 0], minlength=n_items)
    found = []
    for digest in recent:
        try:
            model = load_release(library.releases / digest).blend
            found.append(measured(digest, model, cases, plays, len(items)))
        except Exception as error:  # noqa: BLE001 - gone, damaged or broken: the others are measured all the same
            log_.warning("release %s is not measured: %s", digest, error)
    return Comparison(ready=True, cases=len(cases), unseen=share > 0, releases=tuple(found))


def later_than(data: Interactions, manifests: Sequence[dict[str, Any]]) -> float:
    """The share of what was liked that came after the last training of these, 0 where it makes too few cases. Events
    are taken to come in the order of their times."""
    trained = max((int(m.get("made", {}).get("events", 0)) for m in manifests), default=0)
    order = np.argsort(data.at, kind="stable")
    liked = data.strength[order] > 0
    after, total = int(liked[trained:].sum()), int(liked.sum())
    return after / total if after >= ENOUGH and trained else 0.0


def measured(digest: str, model: Source, cases: Sequence[tuple[Query, int]], plays: Ints, size: int) -> Measures:
    gains, listed = [], []
    for query, item in cases:
        seen = np.setdiff1d(query.history.items, [item])
        named = model.retrieve(query, K + len(seen)).items
        top = named[~np.isin(named, seen)][:K]
        place = np.flatnonzero(top == item)
        gains.append(1 / np.log2(place[0] + 2) if len(place) else 0.0)
        listed.append(top)
    every = np.concatenate(listed)
    share = (plays[np.minimum(every, len(plays) - 1)] + 1) / (plays.sum() + 1)
    return Measures(
        digest=digest, ndcg=round(float(np.mean(gains)), 4), hit=round(float(np.mean(np.array(gains) > 0)), 4),
        coverage=round(len(np.unique(every)) / max(size, 1), 4),
        novelty=round(float(-np.log2(share).mean()), 3) if len(every) else 0.0,
    )  # fmt: skip
