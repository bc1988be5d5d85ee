"""Under pressure: how many requests run at once, how long one may take, and how often one asker may ask. What is over
is refused at once with 503 or 429 and when to come back, so that what is taken in is answered in time."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, field

FLOOD = 300  # refusals a second at which each is held back for a second
LONGEST = 2.0
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
    refused: int = 0
    before: int = 0
    second: float = 0.0
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

    def pause(self, now: float | None = None) -> float:
        """Seconds to hold a refusal back: none while few are refused, up to ``LONGEST`` in a flood. Clients that ask
        again at once would otherwise spend the time of those who are let in on being refused."""
        at = time.monotonic() if now is None else now
        if at - self.second >= 1:
            self.before = self.refused if at - self.second < 2 else 0
            self.refused, self.second = 0, at
        self.refused += 1
        held = min(LONGEST, max(self.before, self.refused) / FLOOD)
        return held if held >= 0.1 else 0.0

    def leave(self) -> None:
        self.inside -= 1
        if self._places is not None:
            self._places.release()
