"""What the server knows and does, without HTTP: state made from the store, requests answered from it.

One attribute, ``state``, holds catalogue, popularity, release and recommender, and is swapped whole. What a user did is
never kept: every request reads the last events from the log, so a request that follows an event shows it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from matinee.data.interactions import history_from_log
from matinee.errors import MatineeError
from matinee.pipeline import catalogue as catalogues
from matinee.pipeline.catalogue import Catalogue
from matinee.pipeline.popularity import Popularity
from matinee.protocols import Appended, Store
from matinee.serve.assemble import State, assembled
from matinee.serve.intake import Batch
from matinee.serve.reading import Reader
from matinee.settings import Library
from matinee.types import EVENT_KINDS, Controls, Floats, History, Ints, Item, Limits, Query, Slate, Space

log = logging.getLogger("matinee.serve")
INLINE = 0.05  # seconds: a refresh that takes less is done by the request that notices
REST = 4.0  # a slow refresh is followed by this many times its duration of peace
COUNTED_EVERY = 1.0  # seconds between counts of popularity
REMEMBERED = 2000  # events read for what was seen and hidden
SAYS_NOTHING = (EVENT_KINDS.index("impression"), EVENT_KINDS.index("search"))

Change = Callable[[Catalogue], Catalogue]


@dataclass(frozen=True, slots=True)
class Ask:
    """What a request narrows and turns, in public ids."""

    collection: str = ""
    categories: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    diversity: float | None = None


@dataclass(slots=True)
class Refreshing:
    """The bookkeeping of refreshes: how long the last took, whether one runs, and what changed while it ran."""

    took: float = 0.0
    ended: float = 0.0
    counted: float = 0.0
    running: bool = False
    changes: list[Change] = field(default_factory=list)


class Service:
    """Thread-safe. Opens with one pass over the store; later changes of the store are noticed by its revision."""

    def __init__(self, library: Library, store: Store, reader: Reader | None = None) -> None:
        self.library, self.store = library, store
        self.reader = reader or Reader()
        self._lock = threading.Lock()  # held for swaps, never while reading the store at length
        self._refreshing = Refreshing()
        self._files: Mapping[str, str] = {}
        started = time.monotonic()
        popularity = Popularity.empty().with_log(store.log())
        self.state = self._made(catalogues.build(store), popularity)
        self._refreshing.took = time.monotonic() - started
        self._refreshing.ended = self._refreshing.counted = time.monotonic()

    # ---- state

    def current(self) -> State:
        """The state as fresh as it is cheap to have: a changed store is read again, at once when that is quick,
        otherwise beside the requests."""
        now, book = time.monotonic(), self._refreshing
        if now - book.counted > COUNTED_EVERY:
            book.counted = now
            self._count()
        if self.store.revision() != self.state.catalogue.revision and self._may_refresh(now):
            if book.took < INLINE:
                self._refresh()
            else:
                threading.Thread(target=self._refresh, name="matinee-refresh", daemon=True).start()
        return self.state

    def _may_refresh(self, now: float) -> bool:
        with self._lock:
            book = self._refreshing
            rested = book.took < INLINE or now - book.ended > REST * book.took
            if book.running or not rested:
                return False
            book.running = True
            book.changes.clear()
            return True

    def _refresh(self) -> None:
        book, started = self._refreshing, time.monotonic()
        try:
            fresh = catalogues.build(self.store)
            state = self._made(fresh, self.state.popularity)
            with self._lock:
                for change in book.changes:  # made by this server while the store was being read
                    state = state.over(change(state.catalogue), state.popularity, self.library.settings.serving)
                self.state = state
        except MatineeError as error:
            log.error("refresh: %s", error)  # the former state goes on serving
        finally:
            with self._lock:
                book.ended = time.monotonic()
                book.took, book.running = book.ended - started, False

    def _made(self, catalogue: Catalogue, popularity: Popularity) -> State:
        trained = self.state.trained if hasattr(self, "state") else None
        return assembled(self.library, self.store, catalogue, popularity, trained)

    def _count(self) -> None:
        news = self.store.log(self.state.popularity.sequence)
        if len(news.sequence):
            with self._lock:
                popularity = self.state.popularity.with_log(news)
                self.state = self.state.over(self.state.catalogue, popularity, self.library.settings.serving)

    def _change(self, change: Change) -> None:
        with self._lock:
            if self._refreshing.running:
                self._refreshing.changes.append(change)
            state = self.state
            self.state = state.over(change(state.catalogue), state.popularity, self.library.settings.serving)

    # ---- requests

    def query(self, user: str | None, n: int, ask: Ask, state: State) -> Query:
        """The query of a request now. The clock is never behind the user's last event, so a clock that was set back
        hides nothing that was done."""
        history, now = self.history(user)
        excluded = tuple(row for row in map(state.catalogue.row, ask.exclude) if row >= 0)
        limits = Limits(collection=ask.collection, categories=ask.categories, exclude=excluded)
        return Query(now, n, user, history, "home", limits, Controls(diversity=ask.diversity))

    def history(self, user: str | None) -> tuple[History, float]:
        """What the user did, and now. The last ``serving.history`` events that say something count for the taste; older
        ones stay with strength 0, for what was seen or hidden long ago must not come back. Impressions and searches,
        which name no taste and would push everything else out, are left out."""
        now = time.time()
        if user is None:
            return History.empty(), now
        whole = history_from_log(self.store.history(user, REMEMBERED, np.inf))
        if len(whole):
            now = max(now, float(np.nextafter(whole.at[-1], np.inf)))
        kept = ~np.isin(whole.kinds, SAYS_NOTHING)
        items, at, strength, kinds = whole.items[kept], whole.at[kept], whole.strength[kept], whole.kinds[kept]
        old = np.cumsum((strength != 0)[::-1])[::-1] > self.library.settings.serving.history
        return History(items, at, np.where(old, 0, strength).astype(np.float32), kinds), now

    def recommend(self, user: str | None, n: int, ask: Ask) -> tuple[Slate, State]:
        """The slate and the state that made it."""
        started = time.perf_counter()
        state = self.current()
        query = self.query(user, n, ask, state)
        read = (time.perf_counter() - started) * 1000
        slate = self.still_there(state.recommender.recommend(query), state)
        return replace(slate, ms={"history": read, **slate.ms}), state

    def still_there(self, slate: Slate, state: State) -> Slate:
        """The slate without what was deleted elsewhere since the catalogue was read; a no-op when nothing changed."""
        if self.store.revision() == state.catalogue.revision or not len(slate.items):
            return slate
        rows = self.store.item_rows([state.catalogue.item(int(row)).id for row in slate.items])
        keep = np.flatnonzero(rows >= 0)
        if len(keep) == len(rows):
            return slate
        return replace(
            slate, items=slate.items[keep], scores=slate.scores[keep], propensities=slate.propensities[keep],
            sources=tuple(slate.sources[i] for i in keep), reasons=tuple(slate.reasons[i] for i in keep),
        )  # fmt: skip

    # ---- writes

    def append(self, batch: Batch) -> tuple[Appended, tuple[tuple[int, str], ...]]:
        """Durable when it returns. Also (position, code) of every refused event, in the order of the request."""
        if not batch.events:
            return Appended(0, 0), batch.refused
        answer = self.store.append(batch.events)
        refused = [*batch.refused, *((batch.positions[i], code) for i, code in answer.refused)]
        return answer, tuple(sorted(refused))

    def put_item(self, item: Item) -> int:
        """Stores an item and its text's vector in one transaction; it is recommendable and searchable when this
        returns."""
        from matinee.ingest.run import put_rows, text_hash, text_of  # as ingest would, so that neither encodes twice

        text = text_of(item)
        vector, space, digest = self.reader.encode(text), self.reader.space(), text_hash(text)
        vectors: dict[Space, Floats] = {}
        with self.store.together():
            row = int(self.store.put_items([item])[0])
            if vector is not None and space is not None and put_rows(self.store, space, [digest], vector[None]):
                self.store.link_content(item.id, space, digest)
                vectors[space] = vector
        self._change(lambda catalogue: catalogue.with_item(row, item, vectors))
        return row

    def delete_item(self, id: str) -> bool:
        """True when there was one. Never returned again once this returns."""
        row = int(self.store.item_rows([id])[0])
        if not self.store.delete_item(id):
            return False
        self._change(lambda catalogue: catalogue.without(row) if row < catalogue.size else catalogue)
        return True

    # ---- reading

    def files(self, item: str, path: str | None) -> Mapping[str, str]:
        """Where ingest found the media of items, by item id; read again when it does not know this one."""
        if path is None or self._files.get(item) == path:
            return self._files
        self._files = {f.item: f.path for f in self.store.files() if f.item and f.status in ("taken", "partly")}
        return self._files

    def users(self, n: int, part: str) -> list[tuple[str, int]]:
        """The n users with the most events among those whose id holds a text. One pass over the log's user column."""
        ids = [(row, id_) for row, id_ in self.store.users() if part in id_]
        if not ids:
            return []
        log_ = self.store.log()
        counts = np.bincount(log_.users, minlength=max(row for row, _ in ids) + 1)
        ranked = sorted(ids, key=lambda pair: (-counts[pair[0]], pair[0]))
        return [(id_, int(counts[row])) for row, id_ in ranked[:n]]

    def row(self, state: State, id: str) -> int:
        """The row of a public id. Raises ``item.unknown`` (404)."""
        row = state.catalogue.row(id)
        if row < 0:
            raise MatineeError("item.unknown", f"There is no item {id!r}.", f"没有条目“{id}”。", status=404)
        return row

    def rows(self, state: State, ids: tuple[str, ...]) -> Ints:
        return np.array([self.row(state, known) for known in ids], np.int64)
