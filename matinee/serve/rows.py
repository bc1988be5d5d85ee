"""The rows of the home page. Each is a request of the same recommender, narrowed; an item stands in one row only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from matinee.errors import Language
from matinee.pipeline.catalogue import Catalogue
from matinee.pipeline.onward import Again, Continue
from matinee.pipeline.recommender import Recommender, union
from matinee.pipeline.selectors import Top
from matinee.pipeline.sources import New, Popular
from matinee.serve import find, forms, words
from matinee.serve.answers import Answers
from matinee.serve.assemble import State
from matinee.serve.muted import muted
from matinee.serve.prior import quoted
from matinee.serve.service import Ask, Service
from matinee.types import Candidates, Floats, History, Limits, Query, Reason, Slate

BECAUSE, CATEGORIES = 2, 3  # rows of these kinds at most
LEAST = 3  # items that make a row


def rows_of(service: Service, user: str, n: int, ask: Ask, lang: Language) -> forms.Rows:
    """For you, what was begun, because you watched (the last things liked), popular, new, more from a creator, the
    categories that the user likes, and what is loved again. ``ask`` narrows all of them alike."""
    with service.lane:
        return _rows_of(service, user, n, ask, lang)


def _rows_of(service: Service, user: str, n: int, ask: Ask, lang: Language) -> forms.Rows:
    state = service.current()
    query = service.query(user, n, ask, state)
    stated = service.recommender(state, ask, query)
    answers = Answers(state.catalogue, lang)
    rows: list[forms.Row] = []
    used: set[int] = set()
    away = muted(service.store, user)
    for row, made, cause, category in _slates(state, query, used, stated):
        if category is not None and f"category:{category}" in away:
            continue
        slate = service.still_there(made, state)
        if len(slate.items) < min(LEAST, n) and row != "for_you":
            continue
        used |= {int(i) for i in slate.items}
        who = state.catalogue.item(cause).creators[0] if row == "more_from" and cause is not None else ""
        named = who or (answers.title(cause) if cause is not None else "")
        title = words.row_title(row, lang, named, category or "")
        about = state.catalogue.item(cause).id if cause is not None else None
        rows.append(
            forms.Row(
                row=row, title=title, items=answers.recommended(slate), item=about, category=category, slate=slate.id
            )
        )  # fmt: skip
    return forms.Rows(user=user, release=state.release, rows=tuple(rows))


def _slates(
    state: State, query: Query, used: set[int], stated: Recommender
) -> Iterator[tuple[str, Slate, int | None, str | None]]:
    def left() -> Query:
        return replace(query, limits=_with(query.limits, exclude=tuple(used)))

    yield "for_you", stated.recommend(query), None, None
    begun = Continue(state.catalogue)
    again_ = replace(state.recommender_for("home", repeat=True), selector=Top(), reasoner=None)
    yield "continue", _all(_only(again_, begun, left()), Reason("continue", 1.0)), None, None
    for cause in liked_lately(query.history, state.catalogue, BECAUSE):
        yield "because", because(state, left(), cause), cause, None
    plain = replace(state.recommender, selector=Top(), reasoner=None)
    popular, new = Popular(state.catalogue, state.popularity), New(state.catalogue)
    yield "popular", _reasoned(replace(plain, sources=(popular,), scorer=popular).recommend(left()), state), None, None
    yield "new", _all(replace(plain, sources=(new,), scorer=new).recommend(left()), Reason("new", 1.0)), None, None
    for category in liked_categories(query.history, state.catalogue, CATEGORIES):
        narrowed = _with(left().limits, categories=(category,))
        yield "category", state.recommender.recommend(replace(query, limits=narrowed)), None, category
    if (one := made_by_one(query.history, state.catalogue)) is not None:
        maker = quoted(state.catalogue.item(one).creators[0])
        held = left().limits
        where = f"({held.where}) and {maker} in creators" if held.where.strip() else f"{maker} in creators"
        yield "more_from", state.recommender.recommend(replace(query, limits=_with(held, where=where))), one, None
    loved = Again(state.catalogue)
    yield "again", _all(_only(again_, loved, left()), Reason("again", 1.0)), None, None


def _only(recommender: Recommender, source: Continue | Again, query: Query) -> Slate:
    """What one source gives, in its order, through the filters."""
    pool = source.retrieve(query, 4 * query.limit)
    given = _Given(pool)
    slate = replace(recommender, sources=(given,), scorer=given).recommend(query)
    return replace(slate, sources=(source.name,) * len(slate.items))


def made_by_one(history: History, catalogue: Catalogue) -> int | None:
    """The last thing liked whose creator made at least ``LEAST`` others."""
    for row in liked_lately(history, catalogue, 20):
        if catalogue.item(row).creators and int((catalogue.creator == catalogue.creator[row]).sum()) > LEAST:
            return row
    return None


def _with(
    limits: Limits, *, exclude: Iterable[int] | None = None, categories: tuple[str, ...] | None = None,
    where: str | None = None,
) -> Limits:  # fmt: skip
    return Limits(
        collection=limits.collection,
        categories=limits.categories if categories is None else categories,
        exclude=limits.exclude if exclude is None else (*limits.exclude, *exclude),
        where=limits.where if where is None else where,
        shown=limits.shown,
    )


def because(state: State, query: Query, cause: int) -> Slate:
    """Items like one that was liked, through the request's filters, in the order of likeness."""
    found = find.similar(state.catalogue, state.behaviour, cause, "all", state.recommender.pool)
    pool = Candidates(found.rows, found.score, np.zeros(len(found.rows), np.int64))
    like = _Given(pool)
    slate = replace(state.recommender, sources=(like,), scorer=like, selector=Top(), reasoner=None).recommend(query)
    kind = {"text": "reads", "picture": "looks", "sound": "sounds", "behaviour": "because"}
    spoke = dict(zip(found.rows.tolist(), found.by, strict=True))
    reasons = tuple((Reason(kind.get(spoke[int(i)], "because"), 1.0, cause),) for i in slate.items)
    return replace(slate, reasons=reasons, sources=("similar",) * len(slate.items))


class _Given:
    """Candidates found already, as a source and a scorer."""

    name = "similar"

    def __init__(self, pool: Candidates) -> None:
        self.pool = union([pool])

    def retrieve(self, query: Query, n: int) -> Candidates:
        return self.pool.take(np.arange(min(n, len(self.pool))))

    def score(self, query: Query, candidates: Candidates) -> Floats:
        known = dict(zip(self.pool.items.tolist(), self.pool.score.tolist(), strict=True))
        return np.array([known.get(int(i), np.nan) for i in candidates.items], np.float32)


def liked_lately(history: History, catalogue: Catalogue, n: int) -> list[int]:
    """The last n different items that the user liked, newest first."""
    liked = history.items[history.strength >= 0.5][::-1]
    return [int(row) for row in dict.fromkeys(liked.tolist()) if catalogue_has(catalogue, int(row))][:n]


def catalogue_has(catalogue: Catalogue, row: int) -> bool:
    return 0 <= row < catalogue.size and catalogue.items[row] is not None


def liked_categories(history: History, catalogue: Catalogue, n: int) -> list[str]:
    """The categories that weigh most in what the user liked, a broad one counting less."""
    weight: dict[str, float] = {}
    for row, strength in zip(history.items.tolist(), history.strength.tolist(), strict=True):
        item = catalogue.items[row] if 0 <= row < catalogue.size else None
        for category in item.categories if item and strength > 0 else ():
            weight[category] = weight.get(category, 0.0) + strength / np.sqrt(
                len(catalogue.categories.get(category, (0,)))
            )
    return sorted(weight, key=lambda c: (-weight[c], c))[:n]


def _reasoned(slate: Slate, state: State) -> Slate:
    recent = state.popularity.are_recent(slate.items).tolist()
    return replace(slate, reasons=tuple((Reason("popular", 1.0, None, "now" if now else "ever"),) for now in recent))


def _all(slate: Slate, reason: Reason) -> Slate:
    return replace(slate, reasons=tuple((reason,) for _ in slate.items))
