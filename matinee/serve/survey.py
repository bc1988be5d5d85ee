"""Counts over the whole catalogue and log for the operator's page: gaps, coverage, maps. Each is made when it is asked
for and kept until what it rests on has changed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import numpy as np

from matinee.errors import Language, MatineeError
from matinee.pipeline.catalogue import Catalogue
from matinee.pipeline.shelf import Shelf
from matinee.serve import atlas
from matinee.serve.answers import Answers
from matinee.serve.compare import Comparison, compared
from matinee.serve.service import Ask, Service
from matinee.types import EVENT_KINDS, Doubles, Ints, Item

log = logging.getLogger("matinee.serve")
T = TypeVar("T")
EXAMPLES = 8  # items named for each gap
ASKED = 40  # users whose slates tell how far recommendations reach
SLATE = 20
CURVE = 120  # points of the popularity curve
FRESH = 15.0  # seconds that coverage is kept
WATCHED = np.array([EVENT_KINDS.index(k) for k in ("play", "finish", "like", "rating", "save", "share")], np.int64)
SHOWN = EVENT_KINDS.index("impression")


class Gap(msgspec.Struct, kw_only=True):
    """``field``: what is missing; ``items``: some that lack it."""

    field: str
    missing: int
    items: tuple[str, ...]


class CatalogueForm(msgspec.Struct, kw_only=True):
    items: int
    kinds: dict[str, int]
    collections: dict[str, int]
    languages: dict[str, int]
    hours: float
    gaps: tuple[Gap, ...]
    spaces: dict[str, int]


class Share(msgspec.Struct, kw_only=True):
    """Of a category: its share of the items, of what was watched, and of what is recommended."""

    category: str
    items: float
    watched: float
    recommended: float


class CoverageForm(msgspec.Struct, kw_only=True):
    """Shares of the living items that were ever shown, watched, recommended to any of ``asked`` users now. ``gini``: 0
    where all items are watched alike, 1 where one has everything. ``curve``: (rank, watched) of the most watched down;
    ``recommended_curve``: (rank, slates that hold it)."""

    items: int
    shown: float
    watched: float
    recommended: float
    asked: int
    gini: float
    recommended_gini: float
    curve: tuple[tuple[int, float], ...]
    recommended_curve: tuple[tuple[int, float], ...]
    categories: tuple[Share, ...]


class Point(msgspec.Struct, kw_only=True, array_like=True):
    """x, y in [-1, 1], item, title, the position of its category, whether it can be played."""

    x: float
    y: float
    item: str
    title: str
    category: int
    plays: bool


class MapForm(msgspec.Struct, kw_only=True):
    """``categories``: names, the most common first; -1 in a point: none of them. ``of``: items of the space."""

    space: str
    spaces: tuple[str, ...]
    ready: bool
    of: int = 0
    categories: tuple[str, ...] = ()
    points: tuple[Point, ...] = ()


class Surveyor:
    """Thread-safe. ``kept``: answers by name with what they rest on."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._kept: dict[str, tuple[Any, Any]] = {}
        self._making: set[str] = set()
        self._lock = threading.Lock()

    def catalogue(self) -> CatalogueForm:
        state = self.service.current()
        return self._once("catalogue", state.catalogue.revision, lambda: described(state.catalogue))

    def coverage(self) -> CoverageForm:
        since = int(time.monotonic() / FRESH)
        return self._once("coverage", since, lambda: covered(self.service))

    def map(self, space: str, lang: Language) -> MapForm:
        """Raises ``space.unknown``. A map that is not there yet is begun, and ``ready`` is false."""
        catalogue = self.service.current().catalogue
        names = tuple(sorted(catalogue.shelves, key=lambda s: -len(catalogue.shelves[s].rows)))
        chosen = space or (names[0] if names else "")
        if not chosen:
            return MapForm(space="", spaces=(), ready=True)
        shelf = catalogue.shelves.get(chosen)
        if shelf is None:
            raise MatineeError(
                "space.unknown",
                f"There is no space {space[:80]!r}; there are: {', '.join(names)}.",
                f"没有空间“{space[:80]}”；可用的有：{'、'.join(names)}。",
                status=404,
            )
        mark = (catalogue.revision, chosen)
        kept = self._kept.get("map " + chosen)
        if kept is None or kept[0] != mark:
            self._begin("map " + chosen, mark, lambda: drawn(catalogue, shelf))
        if kept is None:
            return MapForm(space=chosen, spaces=names, ready=False)
        rows, places = kept[1]
        return told(catalogue, Answers(catalogue, lang), names, shelf, (rows, places))

    def comparison(self) -> Comparison:
        """The releases measured: begun when it is first asked for, and anew when there is another release or the log
        has grown by half."""
        library, store = self.service.library, self.service.store
        events = store.counts().events
        mark = (
            tuple(digest for digest, _ in store.releases()),
            len(store.releases_used()),
            int(np.log(events + 1) / np.log(1.5)),
        )
        kept = self._kept.get("releases")
        if kept is None or kept[0] != mark:
            self._begin("releases", mark, lambda: compared(library, store))
            return Comparison(ready=False)
        found: Comparison = kept[1]
        return found

    def _once(self, name: str, mark: object, make: Callable[[], T]) -> T:
        kept = self._kept.get(name)
        if kept is None or kept[0] != mark:
            kept = self._kept[name] = (mark, make())
        found: T = kept[1]
        return found

    def _begin(self, name: str, mark: object, make: Callable[[], object]) -> None:
        with self._lock:
            if name in self._making:
                return
            self._making.add(name)

        def work() -> None:
            try:
                self._kept[name] = (mark, make())
            except Exception:  # whatever broke, the page goes on asking, and the log says why
                log.exception("console: %s", name)
            finally:
                with self._lock:
                    self._making.discard(name)

        threading.Thread(target=work, name="matinee-map", daemon=True).start()


def described(catalogue: Catalogue) -> CatalogueForm:
    """One pass over the items."""
    answers = Answers(catalogue)
    living = catalogue.living.tolist()
    items = [(row, catalogue.item(row)) for row in living]
    kinds: dict[str, int] = {}
    collections: dict[str, int] = {}
    languages: dict[str, int] = {}
    seconds = 0.0
    for row, item in items:
        for table, name in (
            (kinds, answers.kind(row, item)),
            (collections, item.collection),
            (languages, item.language),
        ):
            table[name] = table.get(name, 0) + 1
        seconds += answers.duration(row, item) or 0.0
    lacks: dict[str, Callable[[int, Item], bool]] = {
        "title": lambda row, item: not item.title, "description": lambda row, item: not item.description,
        "categories": lambda row, item: not item.categories, "tags": lambda row, item: not item.tags,
        "creators": lambda row, item: not item.creators, "language": lambda row, item: not item.language,
        "released": lambda row, item: item.released is None, "media": lambda row, item: not item.media,
        "duration": lambda row, item: answers.duration(row, item) is None,
        "cover": lambda row, item: row not in catalogue.covers,
    }  # fmt: skip
    gaps = [_gap(name, [item.id for row, item in items if test(row, item)]) for name, test in lacks.items()]
    for name, shelf in sorted(catalogue.shelves.items()):
        without = np.flatnonzero(~shelf.has(catalogue.living))
        gaps.append(_gap(f"vector {name}", [items[int(i)][1].id for i in without]))
    return CatalogueForm(
        items=len(items), kinds=kinds, collections=_most(collections), languages=_most(languages),
        hours=round(seconds / 3600, 2), gaps=tuple(gaps),
        spaces={name: len(shelf.rows) for name, shelf in sorted(catalogue.shelves.items())},
    )  # fmt: skip


def _gap(field: str, ids: list[str]) -> Gap:
    return Gap(field=field, missing=len(ids), items=tuple(ids[:EXAMPLES]))


def _most(counts: dict[str, int], most: int = 30) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))[:most])


def covered(service: Service) -> CoverageForm:
    """One pass over the log, and the slates of ``ASKED`` users: half of them the busiest, half by chance."""
    state = service.current()
    catalogue, log = state.catalogue, service.store.log()
    here = (log.items >= 0) & (log.items < catalogue.size)
    living = catalogue.living
    watched = np.bincount(log.items[here & np.isin(log.kinds, WATCHED)], minlength=catalogue.size)
    shown = np.bincount(log.items[here & (log.kinds == SHOWN)], minlength=catalogue.size)
    users = sample(service)
    named = np.zeros(catalogue.size)
    for user in users:
        named[service.recommend(user, SLATE, Ask())[0].items] += 1
    size = max(len(living), 1)
    return CoverageForm(
        items=len(living), asked=len(users),
        shown=round(float((shown[living] > 0).sum()) / size, 4),
        watched=round(float((watched[living] > 0).sum()) / size, 4),
        recommended=round(float((named[living] > 0).sum()) / size, 4),
        gini=gini(watched[living]), recommended_gini=gini(named[living]),
        curve=curve(watched[living]), recommended_curve=curve(named[living]),
        categories=shares(catalogue, watched, named),
    )  # fmt: skip


def sample(service: Service) -> list[str]:
    busiest = [user for user, _ in service.users(ASKED // 2, "")]
    others = sorted({user for _, user in service.store.users()} - set(busiest))
    chance = np.random.default_rng(0)
    picked = chance.permutation(len(others))[: ASKED - len(busiest)]
    return [*busiest, *(others[int(i)] for i in picked)]


def gini(counts: Ints | Doubles) -> float:
    """Gini's coefficient of counts; 0 where there are none."""
    ordered = np.sort(counts.astype(np.float64))
    n, total = len(ordered), float(ordered.sum())
    if not n or not total:
        return 0.0
    return round(float(((2 * np.arange(1, n + 1) - n - 1) @ ordered) / (n * total)), 4)


def curve(counts: Ints | Doubles) -> tuple[tuple[int, float], ...]:
    """(rank from 1, count), the highest first, at ranks evenly spread on a logarithmic scale; ends at the last item
    that has any."""
    ordered = np.sort(counts)[::-1]
    ordered = ordered[ordered > 0]
    if not len(ordered):
        return ()
    ranks = np.unique(np.geomspace(1, len(ordered), CURVE).round().astype(np.int64))
    return tuple((int(rank), float(ordered[rank - 1])) for rank in ranks)


def shares(catalogue: Catalogue, watched: Ints, named: Doubles, most: int = 16) -> tuple[Share, ...]:
    size, all_watched, all_named = max(len(catalogue), 1), max(int(watched.sum()), 1), max(float(named.sum()), 1.0)
    largest = sorted(catalogue.categories, key=lambda c: (-len(catalogue.categories[c]), c))[:most]
    return tuple(
        Share(
            category=name, items=round(len(rows) / size, 4), watched=round(float(watched[rows].sum()) / all_watched, 4),
            recommended=round(float(named[rows].sum()) / all_named, 4),
        )
        for name in largest
        for rows in (catalogue.categories[name],)
    )  # fmt: skip


def drawn(catalogue: Catalogue, shelf: Shelf) -> tuple[Ints, Any]:
    """Rows and their places in the plane."""
    alive = catalogue.alive[shelf.rows]
    rows = shelf.rows[alive]
    kept = atlas.thinned(rows)
    return rows[kept], atlas.plane(shelf.centred(rows[kept]))


def told(
    catalogue: Catalogue, answers: Answers, names: tuple[str, ...], shelf: Shelf, found: tuple[Ints, Any]
) -> MapForm:  # fmt: skip
    rows, places = found
    common = sorted(catalogue.categories, key=lambda c: (-len(catalogue.categories[c]), c))[:10]
    number = {name: i for i, name in enumerate(common)}
    points = []
    for row, (x, y) in zip(rows.tolist(), places.tolist(), strict=True):
        item = catalogue.items[row] if row < catalogue.size else None
        if item is None:
            continue
        category = next((number[c] for c in item.categories if c in number), -1)
        points.append(
            Point(
                x=round(x, 4), y=round(y, 4), item=item.id, title=answers.title(row)[:120], category=category,
                plays=bool(item.media),
            )
        )  # fmt: skip
    return MapForm(
        space=shelf.space.name, spaces=names, ready=True, of=len(shelf.rows), categories=tuple(common),
        points=tuple(points),
    )  # fmt: skip
