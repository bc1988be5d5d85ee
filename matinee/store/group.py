"""Appends of many threads in one transaction: a sync takes a millisecond whatever it makes durable, so whoever has its
turn commits what the others brought meanwhile. Each append is answered for itself, and only after the commit."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from matinee.errors import MatineeError
from matinee.protocols import Appended, Strangers
from matinee.store.connection import Database
from matinee.store.events import Judged, judged, write
from matinee.types import Event

MOST = 20_000  # events in one transaction, so that nobody waits long for the others'


@dataclass(slots=True, eq=False)
class Ticket:
    """One append that waits: what it brings, and its answer or error. Two that bring the same are two."""

    batch: Judged
    strangers: Strangers
    answer: Appended | None = None
    error: BaseException | None = None


@dataclass(slots=True)
class Group:
    """The appends of one database."""

    database: Database
    lock: threading.Lock = field(default_factory=threading.Lock)
    waiting: list[Ticket] = field(default_factory=list)

    def append(self, events: Sequence[Event], strangers: Strangers) -> Appended:
        """As ``Store.append``. Raises what the store raises; an error of the disk that one append causes by its size
        reaches that one alone."""
        ticket = Ticket(judged(events), strangers)
        if not ticket.batch.sound:
            return ticket.batch.nothing()
        with self.lock:
            self.waiting.append(ticket)
        with self.database.turn() as joined:
            if ticket.answer is None and ticket.error is None:
                self._commit(self._taken(ticket, joined))
        if ticket.error is not None:
            raise ticket.error
        assert ticket.answer is not None  # noqa: S101 - one of the two is set for every ticket that was taken
        return ticket.answer

    def _taken(self, own: Ticket, joined: bool) -> list[Ticket]:
        """This append and, unless it is part of a larger transaction of its thread, those that wait behind it."""
        with self.lock:
            mine, events = [own], len(own.batch.events)
            self.waiting.remove(own)
            while self.waiting and not joined and events + len(self.waiting[0].batch.events) <= MOST:
                mine.append(self.waiting.pop(0))
                events += len(mine[-1].batch.events)
        return mine

    def _commit(self, tickets: list[Ticket]) -> None:
        try:
            with self.database.write() as c:
                answers = [write(c, ticket.batch, ticket.strangers) for ticket in tickets]
        except BaseException as error:  # whatever it is, nobody may wait for an answer for ever
            if len(tickets) > 1 and isinstance(error, MatineeError):
                for ticket in tickets:
                    self._commit([ticket])
                return
            for ticket in tickets:
                ticket.error = error
            if not isinstance(error, Exception):
                raise
        else:
            for ticket, answer in zip(tickets, answers, strict=True):
                ticket.answer = answer
