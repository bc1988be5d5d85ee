"""What the server knows and does, without HTTP: state made from the store, requests answered from it.

One attribute, ``state``, holds catalogue, popularity, release and recommender, and is swapped whole. What a user did is
never kept: every request reads the last events from the log, so a request that follows an event shows it.
"""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from msgspec import structs

from matinee.data.strength import table_of
from matinee.errors import MatineeError
from matinee.ingest.frames import forget_item
from matinee.pipeline import catalogue as catalogues
from matinee.pipeline.catalogue import Catalogue
from matinee.pipeline.outcomes import Outcomes
from matinee.pipeline.recommender import Recommender
from matinee.pipeline.scorers import knows
from matinee.privacy.erasure import Erased, erase
from matinee.protocols import Appended, Store, Strangers
from matinee.release import Release
from matinee.serve import paging
from matinee.serve.assemble import State, counted, no_trends
from matinee.serve.busy import Busy, written
from matinee.serve.chances import Chances
from matinee.serve.follow import Follower
from matinee.serve.forms import Ask as Ask
from matinee.serve.groups import Groups
from matinee.serve.intake import Batch
from matinee.serve.metrics import Metrics
from matinee.serve.muted import muted, quieted
from matinee.serve.past import history_of
from matinee.serve.prior import among, narrowed, primed, prior_of
from matinee.serve.reading import Reader
from matinee.serve.releases import ready
from matinee.serve.seek import Seeker
from matinee.serve.turns import only_if
from matinee.settings import Library
from matinee.store.snapshot import read_log
from matinee.types import Controls, History, Ints, Item, Limits, Query, Slate, Space

log = logging.getLogger("matinee.serve")
INLINE = 0.05  # seconds: a refresh that takes less is done by the request that notices
REST = 4.0  # a slow refresh is followed by this many times its duration of peace
COUNTED_EVERY = 1.0  # seconds between counts of popularity

Change = Callable[[Catalogue], Catalogue]


@dataclass(frozen=True, slots=True)
class Answered:
    """A slate, the state that made it, and the steps back that were taken because nothing was left: ``seen`` (what was
    seen may come again), ``category`` (the categories were dropped)."""

    slate: Slate
    state: State
    query: Query
    fallback: tuple[str, ...] = ()


@dataclass(slots=True)
class Refreshing:
    """The bookkeeping of refreshes: how long the last took, whether one runs, and what changed while it ran."""

    took: float = 0.0
    ended: float = 0.0
    counted: float = 0.0
    counting: float = 0.0  # seconds that the last count took
    at_it: bool = False
    folded: float = 0.0
    folding: float = 0.0
    running: bool = False
    changes: list[Change] = field(default_factory=list)


class Service:
    """Thread-safe. Opens with one pass over the store; later changes of the store are noticed by its revision."""

    def __init__(self, library: Library, store: Store, reader: Reader | None = None) -> None:
        self.library, self.store = library, store
        self._table = table_of(library.settings.strength)
        self.seeker = Seeker(library.settings.encoders, library.settings.precision)
        self.reader = reader or Reader(library.settings.encoders, library.settings.precision)
        # One slate is worked out at a time, and beside it one search: Python gives one core to a process, and threads
        # that fight over it take twice as long together as one after the other
        self.lane, self.beside = threading.Lock(), threading.Lock()
        self._lock = threading.Lock()  # held for swaps, never while reading the store at length
        self._refreshing = Refreshing()
        self._files: Mapping[str, str] = {}
        self.metrics = Metrics()
        self.follower = Follower(store, self._table)
        self.groups = Groups(library, store, self._table)
        self.chances = Chances(library.path / "slates.jsonl")
        started = time.monotonic()
        catalogue = catalogues.build(store, self._spaces)
        told, log_ = written(store), read_log(store, library.path)
        trends = counted(no_trends(self._table), log_, catalogue.size)
        outcomes = Outcomes.empty(catalogue.size).with_log(log_)
        self._busy = Busy(store, library.path, told, log_)

        def over(release: Release | None) -> State:
            return replace(State.of(catalogue, trends, library.settings.serving, release), outcomes=outcomes)

        self.state = ready(library.releases, store, over, None)
        self._refreshing.took = time.monotonic() - started
        self._refreshing.ended = self._refreshing.counted = time.monotonic()

    # ---- state

    def current(self) -> State:
        """The state as fresh as it is cheap to have: a changed store is read again, at once when that is quick,
        otherwise beside the requests."""
        now, book = time.monotonic(), self._refreshing
        if now - book.counted > max(COUNTED_EVERY, REST * book.counting) and not book.at_it:
            book.counted = now
            if book.counting < INLINE / 5:
                self._count()
            else:
                threading.Thread(target=self._count, name="matinee-count", daemon=True).start()
        every = self.library.settings.serving.fold_seconds
        if every and self.state.trained and now - book.folded > max(every, REST * book.folding):
            book.folded = now
            threading.Thread(target=self._fold, name="matinee-fold", daemon=True).start()
        if self.store.revision() != self.state.catalogue.revision and self._may_refresh(now):
            if book.took < INLINE:
                self._refresh()
            else:
                threading.Thread(target=self._refresh, name="matinee-refresh", daemon=True).start()
        return self.state

    def _spaces(self, found: Mapping[Space, int]) -> Mapping[str, Space]:
        from matinee.encoders.senses import in_force as spaces_in_force

        return spaces_in_force(found, self.library.settings.encoders)

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
            fresh = catalogues.build(self.store, self._spaces)
            state, old = self.state, self.state.trained
            made = ready(self.library.releases, self.store, lambda new: state.with_release(new).over(fresh), old)
            gc.freeze()
            fresh = made.catalogue  # with its fused vectors, which may have taken a second
            with self._lock:
                for change in book.changes:  # made by this server while the store was being read
                    fresh = change(fresh)
                self.state = replace(made, trends=self.state.trends, outcomes=self.state.outcomes).over(fresh)
        except MatineeError as error:
            log.error("refresh: %s", error)  # the former state goes on serving
        finally:
            with self._lock:
                book.ended = time.monotonic()
                book.took, book.running = book.ended - started, False

    def warm(self) -> None:
        """Before the first request: groups of people are counted, and the collector of garbage is told that what there
        is now will stay: going through all items would cost every so many requests 10 ms."""
        self.groups.start()
        gc.collect()
        gc.freeze()

    def _count(self) -> None:
        """Takes in the events since the last count: what is watched, and what came of it."""
        started, book, state = time.monotonic(), self._refreshing, self.state
        book.at_it = True
        try:
            news = self.store.log(state.popularity.sequence)
            if not len(news.sequence):
                return
            fresh = state.recounted(news)
            with self._lock:
                if self.state.popularity.sequence != state.popularity.sequence:
                    return  # another thread has counted meanwhile
                if self.state is not state:  # an item came or went meanwhile
                    fresh = replace(self.state, trends=fresh.trends, outcomes=fresh.outcomes).over(self.state.catalogue)
                self.state = fresh
        finally:
            book.at_it, book.counting = False, time.monotonic() - started

    def _fold(self) -> None:
        """Folds what was watched since training into the release in force."""
        started, state = time.monotonic(), self.state
        try:
            if (fresh := self.follower.follow(state)) is not None:
                with self._lock:
                    if self.state.trained is state.trained:
                        self.state = fresh if self.state is state else self.state.with_quick(fresh.quick)
        except MatineeError as error:
            log.error("fold: %s", error)
        finally:
            self._refreshing.folding = time.monotonic() - started

    def _change(self, change: Change) -> None:
        with self._lock:
            if self._refreshing.running:
                self._refreshing.changes.append(change)
            self.state = self.state.over(change(self.state.catalogue))

    # ---- requests

    def query(self, user: str | None, n: int, ask: Ask, state: State) -> Query:
        """The query of a request now. The clock is never behind the user's last event, so a clock that was set back
        hides nothing that was done."""
        history, now = self.history(user)
        excluded = tuple(row for row in map(state.catalogue.row, ask.exclude) if row >= 0)
        limits = Limits(
            collection=ask.collection, categories=ask.categories, exclude=excluded, where=narrowed(ask),
            shown=paging.rows_of(ask.page),
        )  # fmt: skip
        controls = Controls(
            diversity=ask.diversity, novelty=ask.novelty, exploration=ask.exploration, boost=ask.boost, seed=ask.seed
        )  # fmt: skip
        query = Query(now, n, user, history, ask.scenario, limits, controls)
        return quieted(query, state.catalogue, muted(self.store, user))

    def history(self, user: str | None) -> tuple[History, float]:
        """What the user did, and now (``past.history_of``)."""
        return history_of(self.store, self._table, self.library.settings.serving.history, user)

    def recommend(self, user: str | None, n: int, ask: Ask) -> tuple[Slate, State]:
        """The slate and the state that made it."""
        answered = self.answer(user, n, ask)
        return answered.slate, answered.state

    def answer(self, user: str | None, n: int, ask: Ask) -> Answered:
        """The slate of a user now. Where nothing is left, first what was seen may come again, then the categories are
        dropped; other limits are never loosened, nor does anything hidden come back. Raises ``scenario.unknown``,
        ``where.wrong`` or ``page.wrong``."""
        started = time.perf_counter()
        state = self.current()
        query = self.query(user, n, ask, state)
        kind = ask.scenario, knows(query)
        only_if(kind in state.answered and not query.controls.boost)
        read = (time.perf_counter() - started) * 1000
        slate = self.still_there(self.recommender(state, ask, query).recommend(query), state)
        taken: tuple[str, ...] = ()
        steps = [("seen", query)]
        if ask.categories:
            free = structs.replace(query.limits, categories=())
            steps.append(("category", replace(query, limits=free)))
        for step, loosened in steps:
            if len(slate.items) or not len(state.catalogue):
                break
            only_if(quick=False)
            taken = (*taken, step)
            again = self.recommender(state, ask, loosened, repeat=True).recommend(loosened)
            slate = self.still_there(again, state)
        slate = replace(slate, ms={"history": read, **slate.ms})
        for stage, ms in slate.ms.items():
            self.metrics.time("matinee_stage_seconds", ms / 1000, stage=stage)
        state.answered.add(kind)
        if slate.propensities.min(initial=1.0) < 1.0:
            self.chances.write(slate, ask.scenario, [state.catalogue.item(int(row)).id for row in slate.items])
        return Answered(slate, state, query, taken if len(slate.items) else ())

    def recommender(self, state: State, ask: Ask, query: Query, *, repeat: bool = False) -> Recommender:
        """The scenario's, with what is known of the asker, or said. Raises ``scenario.unknown``."""
        made = state.recommender_for(ask.scenario, repeat=repeat)
        if not knows(query) and (lift := self.groups.lift(query.user, ask)) is not None:
            made = among(made, self.groups.starter(state.catalogue, lift), lift)
        if not (ask.country or ask.language or ask.interests):
            return made
        vectors = {name: self.reader.asked(name) for name in ask.interests}
        return primed(made, state.catalogue, prior_of(state, ask, vectors))

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
        feedback = self.library.settings.feedback
        answer = self.store.append(batch.events, Strangers(feedback.unknown_items, feedback.unknown_users))
        self.metrics.count("matinee_events_total", answer.accepted, outcome="accepted")
        self.metrics.count("matinee_events_total", answer.duplicates, outcome="duplicate")
        self.metrics.count("matinee_events_total", len(answer.refused), outcome="refused")
        refused = [*batch.refused, *((batch.positions[i], code) for i, code in answer.refused)]
        return answer, tuple(sorted(refused))

    def put_item(self, item: Item) -> int:
        """Stores an item and its text's vector in one transaction; it is recommendable and searchable when this
        returns."""
        from matinee.ingest.run import put_rows, text_hash, text_of  # as ingest would, so that neither encodes twice

        text = text_of(item)
        vectors, digest = self.reader.text(text), text_hash(text)
        with self.store.together():
            row = int(self.store.put_items([item])[0])
            for space, vector in vectors.items():
                if put_rows(self.store, space, [digest], vector[None]):
                    self.store.link_content(item.id, space, digest)
        self._change(lambda catalogue: catalogue.with_item(row, item, vectors))
        return row

    def delete_item(self, id: str) -> bool:
        """True when there was one. Never returned again once this returns."""
        row, facts, state = int(self.store.item_rows([id])[0]), self.store.facts(id), self.state
        if not self.store.delete_item(id):
            return False
        known = state.catalogue
        forget_item(self.library.path, facts, known.without(row) if row < known.size else known)
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
        """The n users with the most events among those whose id holds a text. One pass over the users."""
        busy = self._busy.counts()
        found = [(row, known) for row, known in self.store.users() if part in known]
        counts = [int(busy[row]) if row < len(busy) else 0 for row, _ in found]
        ranked = sorted(range(len(found)), key=lambda i: (-counts[i], found[i][0]))
        return [(found[i][1], counts[i]) for i in ranked[:n]]

    def erase(self, user: str) -> Erased:
        """Forgets a user everywhere. What is watched is then counted anew from the log that is left."""
        gone = erase(self.library, self.store, user)
        if not gone.found:
            return gone
        self.groups.forget()
        log_ = read_log(self.store, self.library.path)  # events that come meanwhile are counted by the next count
        with self._lock:
            trends = counted(no_trends(self._table), log_, self.state.catalogue.size)
            self.follower.forget()
            outcomes = Outcomes.empty(self.state.catalogue.size).with_log(log_)
            self.state = replace(self.state, trends=trends, outcomes=outcomes)
        return gone

    def row(self, state: State, id: str) -> int:
        """The row of a public id. Raises ``item.unknown`` (404)."""
        row = state.catalogue.row(id)
        if row < 0:
            raise MatineeError("item.unknown", f"There is no item {id!r}.", f"没有条目“{id}”。", status=404)
        return row

    def rows(self, state: State, ids: tuple[str, ...]) -> Ints:
        return np.array([self.row(state, known) for known in ids], np.int64)
