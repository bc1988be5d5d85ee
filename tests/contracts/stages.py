"""A small library whose answers are known, and every stage of the request path over it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from matinee.pipeline import sources
from matinee.pipeline.adjust import Adjusted
from matinee.pipeline.catalogue import Catalogue, of_items
from matinee.pipeline.dpp import DPP
from matinee.pipeline.filters import (
    Alive,
    Excluded,
    Hidden,
    InCategories,
    InCollection,
    LiveNow,
    Out,
    Rested,
    Seen,
    Shown,
    Unfinished,
    Where,
)  # fmt: skip
from matinee.pipeline.onward import Again, Continue, Next, OnAir, OnwardFirst
from matinee.pipeline.popularity import Popularity
from matinee.pipeline.scorers import ByHistory
from matinee.pipeline.selectors import MMR, Capped, Top
from matinee.pipeline.shelf import Shelf
from matinee.protocols import Filter, Scorer, Selector, Source
from matinee.types import EVENT_KINDS, Candidates, Controls, Floats, History, Ints, Item, Limits, Query, Space

NOW = 1_700_000_000.0
KIND = {name: code for code, name in enumerate(EVENT_KINDS)}


def library() -> Catalogue:
    """24 items in three themes (row % 3), two collections (row % 2); row 5 is gone, 6 not yet out, 7 expired; rows 20
    and up have no vector and no watch. Vectors cluster by theme in ``text``; only rows below 10 have a ``sound``."""
    items: list[Item | None] = [
        Item(
            id=f"i{r}",
            title=f"item {r}",
            categories=(("jazz", "war", "cats")[r % 3],),
            collection=("films", "clips")[r % 2],
            released=NOW + 10 if r == 6 else None,
            expires=NOW - 10 if r == 7 else None,
            duration=60.0 * r,
            creators=(f"maker {r % 4}",),
            series="saga" if r in (8, 11, 14) else None,
            episode=r,
            properties={"live_from": NOW - r, "live_until": NOW + 10 - r} if r % 4 == 0 else {},
        )
        for r in range(24)
    ]
    items[5] = None
    base = of_items(items)
    chance = np.random.default_rng(1)
    rows = np.array([r for r in range(20) if r != 5], np.int64)
    text = unit(np.eye(12)[rows % 3] + 0.15 * chance.standard_normal((len(rows), 12)))
    sound = unit(chance.standard_normal((9, 6)))
    shelves = {
        "text": Shelf.build(Space("text", "1", 12), rows, text, 24),
        "sound": Shelf.build(Space("sound", "1", 6), rows[:9], sound, 24),
    }
    return replace(base, shelves=shelves)


def unit(vectors: np.ndarray) -> Floats:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def popularity() -> Popularity:
    ever = np.zeros(24)
    ever[:20] = np.arange(20, 0, -1)
    return Popularity(ever, ever / 2, NOW - 100)


def history(*rows: int, kind: str = "like", strength: float = 1.0) -> History:
    n = len(rows)
    return History(
        np.array(rows, np.int64),
        NOW - np.arange(n, 0, -1.0),
        np.full(n, strength, np.float32),
        np.full(n, KIND[kind], np.int64),
    )


def queries() -> dict[str, Query]:
    return {
        "nobody": Query(NOW),
        "one like": Query(NOW, history=history(0)),
        "several": Query(NOW, history=history(0, 3, 1, 9), limit=5),
        "a dislike": Query(NOW, history=history(2, kind="dislike", strength=-1.0)),
        "a row from beyond": Query(NOW, history=history(0, 99)),
        "clips": Query(NOW, history=history(0), limits=Limits(collection="clips")),
        "jazz": Query(NOW, history=history(1), limits=Limits(categories=("jazz",))),
        "nowhere": Query(NOW, limits=Limits(collection="none")),
        "without": Query(NOW, limits=Limits(exclude=(0, 1, 2))),
        "short": Query(NOW, history=history(0), limits=Limits(where="duration < 600")),
        "second page": Query(NOW, history=history(0), limits=Limits(shown=(3, 9, 15))),
        "turned": Query(
            NOW, history=history(0, 3), controls=Controls(novelty=0.5, boost=(('"war" in categories', 2.0),), seed=1)
        ),
        "series": Query(NOW, history=history(8, 2, kind="finish")),
        "glances": Query(NOW, history=history(4, 4, 4, 1, kind="impression", strength=0.0)),
        "varied": Query(NOW, history=history(0), controls=Controls(diversity=0.9)),
    }


def pool(*rows: int) -> Candidates:
    given = rows or tuple(range(24))
    n = len(given)
    chance = np.random.default_rng(2)
    score = chance.random(n).astype(np.float32)
    score[::7] = np.nan
    return Candidates(np.array(given, np.int64), score, np.zeros(n, np.int64))


def empty() -> Candidates:
    none: Ints = np.empty(0, np.int64)
    return Candidates(none, np.empty(0, np.float32), none)


def all_sources() -> list[Source]:
    c, p = library(), popularity()
    return [
        sources.Nearest(c), sources.Popular(c, p), sources.New(c), sources.Starter(c, p), sources.Everything(c),
        sources.Starter(c, Popularity.empty(24)), Continue(c), Next(c), Again(c), OnAir(c),
    ]  # fmt: skip


def all_filters() -> list[Filter]:
    c = library()
    return [
        Alive(c),
        Out(c),
        Seen(),
        Hidden(),
        InCollection(c),
        InCategories(c),
        Excluded(),
        Where(c),
        Shown(),
        Rested(),
        Unfinished(),
        LiveNow(c),
    ]


def all_scorers() -> list[Scorer]:
    c, p = library(), popularity()
    nearest, popular, starter = sources.Nearest(c), sources.Popular(c, p), sources.Starter(c, p)
    cold = ByHistory(nearest, starter)
    onward = OnwardFirst(cold, (Continue(c), Next(c)))
    return [nearest, popular, starter, sources.New(c), cold, onward]


def adjusted() -> Adjusted:
    """Not among ``all_scorers``: a move is measured in deviations of the pool, so a score holds within one pool."""
    c, p = library(), popularity()
    return Adjusted(sources.Popular(c, p), c, p)


def all_selectors() -> list[Selector]:
    c = library()
    return [
        Top(),
        MMR(c, 0.0),
        MMR(c, 0.3),
        MMR(c, 1.0),
        MMR(of_items([None] * 24), 0.5),
        DPP(c, 0.0),
        DPP(c, 0.5),
        DPP(c, 1.0),
        Capped(MMR(c), c, 1, 2),
        Capped(DPP(c), c, per_category=1),
    ]
