"""Which release is served: the one in force when it is whole and answers, otherwise the last one before it that does,
which is then put back in force."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from matinee.errors import MatineeError
from matinee.protocols import Store
from matinee.release import Release, load_release
from matinee.serve.assemble import State
from matinee.types import EVENT_KINDS, History, Query

log = logging.getLogger("matinee.serve")
TRIED = 8  # items of the history that a release is tried with
FEW = 50  # items below which an empty answer says nothing


def ready(folder: Path, store: Store, make: Callable[[Release | None], State], old: Release | None) -> State:
    """The state to serve, warm. A release that cannot be read, or fails its health check, is said in the log and the
    last good one is put back in force; without any, what needs no training answers."""
    named = store.release()
    if named is None:
        return warmed(make(None))
    for digest in (named[0], *former(store, named[0])):
        try:
            release = old if old is not None and old.digest == digest else load_release(folder / digest)
            state = warmed(make(release))
        except Exception as error:  # noqa: BLE001 - whatever a release breaks, the one before it goes on serving
            log.error("release %s does not serve: %s", digest, error)
            continue
        if digest != named[0]:
            put_back(store, named[0], digest)
        return state
    return warmed(make(old))


def former(store: Store, digest: str) -> tuple[str, ...]:
    """The releases that were in force before, the latest first, without this one and those that failed."""
    sick = {known for known, told in store.releases() if told.get("health") == "failed"} | {digest}
    return tuple(known for known in dict.fromkeys(d for _, d in reversed(store.releases_used())) if known not in sick)


def put_back(store: Store, bad: str, good: str) -> None:
    log.error("release %s is put back in force in the place of %s", good, bad)
    try:
        current = store.release()
        if current is not None and current[0] == bad:  # nobody has chosen another meanwhile
            store.put_release(bad, {**current[1], "health": "failed"})
            store.use_release(good)
    except MatineeError as error:
        log.error("the store keeps naming %s: %s", bad, error)


def rolled_back(folder: Path, store: Store) -> str:
    """Puts the last release that was in force before and is still whole in force again, and returns its digest. Raises
    ``release.first`` where there is none."""
    current = store.release()
    for digest in former(store, current[0]) if current else ():
        try:
            return use(folder, store, digest)
        except MatineeError as error:
            log.warning("%s", error)
    raise MatineeError(
        "release.first",
        "No release that is still whole was in force before this one. matinee releases lists those that there are.",
        "在此之前没有启用过仍然完整的版本。可用 matinee releases 列出已有的版本。",
        status=409,
    )


def use(folder: Path, store: Store, digest: str) -> str:
    """Puts a release in force by its digest or the beginning of it, once it was read whole. Raises
    ``release.unknown``, or what ``load_release`` raises."""
    known = [d for d, _ in store.releases() if d.startswith(digest)] if digest else []
    if len(known) != 1:
        store.use_release(digest if not known else "")  # raises ``release.unknown``
    load_release(folder / known[0])
    store.use_release(known[0])
    return known[0]


def warmed(state: State) -> State:
    """The same, after it has answered: what is made at a first request is there then. Raises what a broken stage
    raises, and ``release.silent`` when a release has nothing to say to someone who liked a few items."""
    living = state.catalogue.living
    rows = living[:: max(1, len(living) // TRIED)][:TRIED]
    liked = np.full(len(rows), EVENT_KINDS.index("like"), np.int64)
    past = History(rows, np.arange(len(rows), dtype=np.float64), np.ones(len(rows), np.float32), liked)
    state.recommender.recommend(Query(time.time()))
    query = Query(time.time(), history=past)
    state.recommender.recommend(query)
    trained = state.trained is not None and bool(state.trained.made.get("events", 1))
    if trained and len(living) >= FEW and not any(len(expert.retrieve(query, 1)) for expert in state.voiced):
        raise MatineeError(
            "release.silent",
            f"Release {state.release} has no opinion on any item.",
            f"版本 {state.release} 对任何条目都没有评分。",
            status=500,
            exit_code=1,
        )
    return state
