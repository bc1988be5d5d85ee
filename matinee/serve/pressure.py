"""Under pressure: how many requests run at once, how long one may take, and how often one asker may ask. What is over
is refused at once with 503 or 429 and when to come back, so that what is taken in is answered in time."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

RATE = 30.0  # refusals a second of one process; what comes beyond them is held back, until it would be longer than
LONGEST = 8.0  # seconds, or this share of what a request may take:
SHARE = 0.8
KNOWN = 10_000  # askers whose rate is kept


@dataclass(slots=True)
class Rates:
    """A bucket of ``burst`` requests for each asker, refilled by ``per_second``; 0 is no limit. O(1) a request."""

    per_second: float = 0.0
    burst: float = 0.0
    _buckets: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def wait(self, asker: str, now: float | None = None) -> float:
        """0 when the request may pass, otherwise the seconds until it may."""
        if not self.per_second:
            return 0.0
        at = time.monotonic() if now is None else now
        burst = max(self.burst, 1.0)
        left, last = self._buckets.pop(asker, (burst, at))
        left = min(burst, left + (at - last) * self.per_second)
        passes = left >= 1
        self._buckets[asker] = (left - 1 if passes else left, at)
        if len(self._buckets) > KNOWN:
            self._buckets.popitem(last=False)  # the one that asked longest ago, whose bucket is full again
        return 0.0 if passes else (1 - left) / self.per_second


@dataclass(slots=True)
class Gate:
    """At most ``running`` requests at work and ``waiting`` in line; a line longer than that would only make everybody
    late. A request waits in line for ``patience`` seconds at most."""

    running: int = 32
    waiting: int = 64
    patience: float = 2.0
    inside: int = 0
    in_line: int = 0
    coming: int = 0  # let in by the protocol and not here yet: those of one turn of the event loop
    longest: float = LONGEST
    held: dict[object, Callable[[], object]] = field(default_factory=dict)  # who is held back, and what lets it go on
    _next: float = 0.0  # when the last refusal so far goes out
    _places: asyncio.Semaphore | None = None

    async def enter(self) -> bool:
        """False when the request must be refused."""
        if self._places is None:  # made here, for it belongs to the running event loop
            self._places = asyncio.Semaphore(self.running)
        if self._places.locked() and self.in_line >= self.waiting:
            return False
        self.in_line += 1
        try:
            async with asyncio.timeout(self.patience if self._places.locked() else None):
                await self._places.acquire()
        except TimeoutError:
            return False
        finally:
            self.in_line -= 1
        self.inside += 1
        return True

    def full(self) -> bool:
        """Whether a request that came now would be refused."""
        return self.inside + self.in_line + self.coming >= self.running + self.waiting

    def have_come(self) -> None:
        self.coming = 0

    def pause(self, now: float | None = None) -> float:
        """Seconds to hold a refusal back, so that ``RATE`` go out a second: none while fewer are refused, and never
        more than ``longest``. Clients that ask again at once would otherwise spend the time of those who are let in on
        being refused."""
        at = time.monotonic() if now is None else now
        self._next = min(max(self._next, at - 1.0) + 1.0 / RATE, at + self.longest)
        return self._next - at if self._next - at >= 0.1 else 0.0

    def leave(self) -> None:
        self.inside -= 1
        if self._places is not None:
            self._places.release()
        if self.held and self.inside + self.in_line + self.coming < self.running + self.waiting // 2:
            self.held.pop(next(iter(self.held)))()  # who came first
