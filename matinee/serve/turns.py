"""Slates take turns. One is worked out at a time in a process, for Python gives it one core; and as long as it is a
matter of milliseconds, in the thread that answers: handing it to another and back costs a request one to three
milliseconds of cold caches (docs/decisions/0091-inline.md). What may take longer, or waits for somebody, goes to a
thread beside it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import TypeVar

from anyio.to_thread import run_sync

from matinee.protocols import Store
from matinee.serve.forms import Ask
from matinee.store.sqlite import SQLiteStore

Answer = TypeVar("Answer")
NAMED = ("scenario", "diversity", "novelty", "exploration", "seed", "exclude", "page")  # whose answers take no longer


class Later(Exception):  # noqa: N818  # no error: it goes on in another thread
    """This is not a matter of milliseconds after all."""


class Here(threading.local):
    """Whether this thread must be done in milliseconds."""

    quick = False


HERE = Here()


def only_if(quick: bool) -> None:
    """Raises ``Later`` where this thread must be quick and what comes is not."""
    if HERE.quick and not quick:
        raise Later


def plain(store: Store, ask: Ask) -> bool:
    """Whether what is asked for takes no longer than other slates: nothing in it is looked for in all items or read by
    an encoder, and the store is a file."""
    usual = all(getattr(ask, name) == getattr(USUAL, name) for name in OTHERS)
    return usual and isinstance(store, SQLiteStore)


USUAL = Ask()
OTHERS = tuple(one.name for one in fields(Ask) if one.name not in NAMED)


@dataclass(slots=True)
class Turns:
    """Of one process. ``lane`` is held by whoever works out a slate, in whatever thread."""

    lane: threading.Lock
    _line: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def take(self, here: bool, work: Callable[[], Answer]) -> Answer:
        """What ``work`` gives, by this thread (``here``) or another, when it is its turn."""
        if here:
            async with self._line:
                try:
                    if self.lane.acquire(blocking=False):
                        try:
                            HERE.quick = True
                            return work()
                        finally:
                            HERE.quick = False
                            self.lane.release()
                except Later:
                    pass
                finally:
                    await asyncio.sleep(0)  # whoever is next waits for what has come in meanwhile
        return await run_sync(self._waiting, work)

    def _waiting(self, work: Callable[[], Answer]) -> Answer:
        with self.lane:
            return work()
