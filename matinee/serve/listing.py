"""The catalogue from one end to the other: any part of a sorted list, and items by their ids."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from litestar import Request, get
from litestar.datastructures import State as AppState
from litestar.params import FromQuery, QueryParameter

from matinee.errors import Language
from matinee.pipeline.catalogue import Catalogue
from matinee.pipeline.tokens import folded
from matinee.serve import forms, words
from matinee.serve.answers import Answers
from matinee.serve.asking import here
from matinee.serve.assemble import State
from matinee.types import Ints

AnyRequest = Request[Any, Any, AppState]
Many = Annotated[int, QueryParameter(ge=1, le=200, description="How many.")]
Offset = Annotated[int, QueryParameter(ge=0, le=100_000_000, description="How many come before.")]
Ids = Annotated[list[str] | None, QueryParameter(max_items=200, description="These, in this order, and no others.")]
Where = Annotated[str, QueryParameter(max_length=2000, description='A filter: duration < 600 and "jazz" in tags')]
Sort = Literal["title", "new", "popular", "short", "long"]
ORDERS = 24  # orders that are kept


class Listing(msgspec.Struct, kw_only=True):
    """``total``: how many there are in the whole list."""

    total: int
    offset: int
    items: tuple[forms.Brief, ...]


class Orders:
    """Sorted rows by what was asked, of one state; forgotten with it."""

    def __init__(self) -> None:
        self._of: Catalogue | None = None
        self._kept: dict[tuple[str, ...], Ints] = {}

    def rows(self, state: State, collection: str, category: str, sort: Sort, where: str) -> Ints:
        """O(size log size) when first asked for."""
        if self._of is not state.catalogue:
            self._of, self._kept = state.catalogue, {}
        kept, key = self._kept, (collection, category, sort, where)
        # who is popular moves with every event, and what has expired with the clock: these are made each time
        fixed = sort != "popular" and not state.catalogue.timed
        if fixed and (known := kept.get(key)) is not None:
            return known
        found = ordered(state, collection, category, sort, where)
        if fixed:
            while len(kept) >= ORDERS:
                kept.pop(next(iter(kept)), None)
            kept[key] = found
        return found


def ordered(state: State, collection: str, category: str, sort: Sort, where: str) -> Ints:
    """Rows that may be shown to anyone now, in the order asked for; ties by title. Raises ``where.wrong``."""
    catalogue = state.catalogue
    rows = here(state, where, collection)
    if category:
        rows = rows[np.isin(rows, catalogue.categories.get(category, np.empty(0, np.int64)))]
    items = [catalogue.item(int(row)) for row in rows]
    titles = [folded(item.title or item.id) for item in items]
    places = sorted(range(len(rows)), key=lambda i: (titles[i], int(rows[i])))
    if sort == "new":
        rank = np.full(catalogue.size, catalogue.size)
        rank[catalogue.order_of_arrival] = np.arange(len(catalogue.order_of_arrival))
        places.sort(key=lambda i: int(rank[rows[i]]))
    elif sort == "popular":
        score = np.nan_to_num(state.popularity.scores(rows))
        places.sort(key=lambda i: -float(score[i]))
    elif sort in ("short", "long"):
        answers, way = Answers(catalogue), 1 if sort == "short" else -1
        known = [answers.duration(int(row), item) for row, item in zip(rows, items, strict=True)]
        places.sort(key=lambda i: (known[i] is None, way * (known[i] or 0.0)))
    found: Ints = rows[np.array(places, np.int64)]
    return found


def lang_of(request: AnyRequest) -> Language:
    return words.language_of(request.headers.get("accept-language"), request.query_params.get("lang"))


@get("/items", sync_to_thread=True)
def items(
    request: AnyRequest, n: Many = 60, offset: Offset = 0, collection: FromQuery[str] = "",
    category: FromQuery[str] = "", sort: FromQuery[Sort] = "title", where: Where = "", id: Ids = None,
) -> Listing:  # fmt: skip
    """A part of the catalogue in order, or the items named by ``id`` (unknown ones are left out)."""
    app = request.app.state
    state: State = app.service.current()
    answers = Answers(state.catalogue, lang_of(request))
    if id is not None:
        named = [row for row in map(state.catalogue.row, id) if row >= 0]
        return Listing(total=len(named), offset=0, items=tuple(answers.brief(row) for row in named))
    orders: Orders | None = app.get("orders")
    if orders is None:
        orders = app.orders = Orders()
    rows = orders.rows(state, collection, category, sort, where)
    part = rows[offset : offset + n].tolist()
    return Listing(total=len(rows), offset=offset, items=tuple(answers.brief(row) for row in part))


HANDLERS: tuple[Any, ...] = (items,)
