"""Finding: what is like an item, and what a few words mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from matinee.pipeline.catalogue import Catalogue
from matinee.pipeline.derived import Texts
from matinee.pipeline.fused import FUSED
from matinee.pipeline.selectors import top_of
from matinee.pipeline.shelf import Shelf
from matinee.pipeline.tokens import folded, tokens
from matinee.protocols import Model
from matinee.types import EVENT_KINDS, MODALITIES, Candidates, Floats, History, Ints, Query

BY = {"text": "text", "picture": "frames", "sound": "sound", "speech": "speech"}
MEANT = {  # what spoke where a query met a space of this kind or name
    "text": "text", "frames": "picture", "clips": "picture", "sound": "sound", "bridge.frames": "picture",
    "bridge.sound": "sound", "speech": "speech", "written": "written",
}  # fmt: skip
SAID = ("speech", "written")  # spaces whose vectors are those of texts: of words within an item
FAR = 6.0  # deviations above usual that count as a full match of meaning


@dataclass(frozen=True, slots=True)
class Found:
    """``rows`` (n,), ``score`` (n,) in (0, 1], best first; ``by`` (n,) what spoke most for each."""

    rows: Ints
    score: Floats
    by: tuple[str, ...]


def similar(
    catalogue: Catalogue, behaviour: Sequence[Model], row: int, by: str, n: int, among: Ints | None = None
) -> Found:  # fmt: skip
    """The n items most like one, by ``all``, ``text``, ``picture``, ``sound``, ``speech`` or ``behaviour``, among
    all that are alive or the rows given. O(size dim)."""
    rows = np.flatnonzero(catalogue.alive).astype(np.int64) if among is None else among
    rows = rows[rows != row]
    likeness: dict[str, Floats] = {}
    fused = catalogue.shelves.get(FUSED)
    for name, space in BY.items():
        shelf = catalogue.shelves.get(space)
        if by in (name, "all") and shelf is not None and shelf.has(np.array([row]))[0]:
            likeness[name] = to_item(shelf, row, rows)
    if by in ("behaviour", "all") and behaviour:
        likeness["behaviour"] = _watched_with(behaviour, row, rows)
    if by != "all" or fused is None or not fused.has(np.array([row]))[0]:
        return _merged(rows, likeness, likeness, n)
    apart = {name: part for name, part in likeness.items() if BY.get(name) not in MODALITIES}
    return _merged(rows, {**apart, FUSED: to_item(fused, row, rows)}, likeness, n)


def to_item(shelf: Shelf, row: int, rows: Ints) -> Floats:
    """(n,) likeness: the centred cosine in spreads over ``FAR``, cut at 1; NaN where an item has no vector."""
    likeness = np.full(len(rows), np.nan, np.float32)
    has = shelf.has(rows)
    profile = shelf.centred(np.array([row]))[0] / np.float32(shelf.spread * FAR)
    likeness[has] = np.minimum(shelf.against(profile, rows[has]), 1.0)
    return likeness


def _watched_with(models: Sequence[Model], row: int, rows: Ints) -> Floats:
    """What the models recommend to one who liked this item and nothing else, on [0, 1]."""
    liked = np.array([EVENT_KINDS.index("like")], np.int64)
    history = History(np.array([row], np.int64), np.zeros(1), np.ones(1, np.float32), liked)
    query = Query(1.0, history=history)
    unknown = np.full(len(rows), np.nan, np.float32)
    total, count = np.zeros(len(rows)), np.zeros(len(rows))
    for model in models:
        score = model.score(query, Candidates(rows, unknown, np.zeros(len(rows), np.int64)))
        top = np.nanmax(score) if not np.isnan(score).all() else 0.0
        if top > 0:
            told = score > 0
            total[told] += score[told] / top
            count += 1
    return np.where(total > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def _merged(rows: Ints, likeness: dict[str, Floats], apart: dict[str, Floats], n: int) -> Found:
    """The mean over what has an opinion; what is no more alike than two random items is not similar. ``apart``: what is
    asked which spoke most."""
    if not likeness or not apart or not len(rows):
        return Found(np.empty(0, np.int64), np.empty(0, np.float32), ())
    names = tuple(apart)
    table = np.stack(list(likeness.values()))
    told = ~np.isnan(table)
    count = told.sum(axis=0)
    mean = np.nan_to_num(table).sum(axis=0) / np.maximum(count, 1)
    mean = np.where((count > 0) & (mean > 0), mean, np.nan).astype(np.float32)
    most = np.argmax(np.nan_to_num(np.stack(list(apart.values())), nan=-np.inf), axis=0)
    place = dict(zip(rows.tolist(), most.tolist(), strict=True))
    items, score = top_of(rows, mean, n)
    return Found(items, score, tuple(names[place[int(i)]] for i in items))


@dataclass(frozen=True, slots=True)
class Words:
    """The folded texts of the items, for matching words: ``texts`` by row, ``rows`` (n,) those that are alive."""

    rows: Ints
    texts: Sequence[Texts | None]

    @staticmethod
    def of(catalogue: Catalogue) -> Words:
        return Words(catalogue.living, catalogue.texts)

    def match(self, query: str) -> Floats:
        """(n,) in [0, 1] by living row: the share of the query's words that an item holds, more for the title."""
        whole, terms = folded(query), tokens(query)
        score = np.zeros(len(self.rows), np.float32)
        if not terms:
            return score
        for i, told in enumerate(told for told in self.texts if told is not None):
            title, names, description, within = told
            if title == whole:
                score[i] = 1.0
                continue
            got = sum(
                0.9 if t in title else 0.6 if t in names else 0.3 if t in description or f" {t} " in within else 0.0
                for t in terms
            )  # fmt: skip
            score[i] = got / len(terms)
        return score


def search(
    catalogue: Catalogue, words: Words, query: str, vectors: Mapping[str, Floats], n: int, among: Ints | None = None
) -> Found:  # fmt: skip
    """Items that a text means: cosines of its vectors to what items say, show and sound like, and words in common.

    ``vectors`` by the key of the space each is to be compared in, none to compare words alone; ``among`` None looks at
    all that are alive. O(size dim + size words).
    """
    lexical = words.match(query)
    score, by = lexical.copy(), np.where(lexical > 0, 0, -1)
    names, best = ["words"], np.zeros(len(words.rows), np.float32)
    shelves = [s for s in catalogue.shelves.values() if s.space.key in vectors]
    cosines = {s.space.name: s.take(words.rows) @ vectors[s.space.key] for s in shelves}
    for shelf in shelves:
        names.append(MEANT.get(shelf.space.kind or shelf.space.name, "text"))
        # few items may have words within: all texts are their measure
        within = shelf.space.name in SAID and "text" in cosines
        meant = np.nan_to_num(clear(cosines[shelf.space.name], cosines["text"] if within else None))
        by = np.where((meant > best) & (meant > lexical), len(names) - 1, by)
        best = np.maximum(best, meant)
    score = score + best
    if among is not None:
        score = np.where(np.isin(words.rows, among), score, 0)
    score = np.where(score > 0, score, np.nan).astype(np.float32)
    place = dict(zip(words.rows.tolist(), by.tolist(), strict=True))
    items, top = top_of(words.rows, score, n)
    return Found(items, np.minimum(top, 2.0), tuple(names[max(place[int(i)], 0)] for i in items))


def clear(cosine: Floats, beside: Floats | None = None) -> Floats:
    """(n,) how far each cosine stands above what this query has with the items of the space, and of one ``beside`` it
    whose vectors are of the same kind; 1 at ``FAR`` deviations. A space in which all are alike tells nothing."""
    both = cosine if beside is None else np.concatenate([cosine, beside])
    told = both[~np.isnan(both)]
    if len(told) < 2:
        return np.asarray(np.maximum(cosine, 0), np.float32)
    deviation = max(float(told.std()), 0.02)
    return np.asarray(np.clip((cosine - told.mean()) / deviation / FAR, 0.0, 1.0), np.float32)
