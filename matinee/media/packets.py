"""Stepping through the packets of a container, one at a time, so that a broken one costs only itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

TRIES = 400  # packets looked through for one keyframe, and broken ones borne with


@dataclass(slots=True)
class Trouble:
    """What went wrong on the way, and when the child must answer."""

    until: float
    broken: int = 0
    reasons: set[str] = field(default_factory=set)

    @property
    def over(self) -> bool:
        if time.process_time() < self.until:
            return False
        self.reasons.add("time")
        return True

    @property
    def late(self) -> bool:
        """Whether time was over before all was done."""
        return "time" in self.reasons

    def hurt(self) -> None:
        self.broken += 1
        self.reasons.add("damaged")


def attached(stream: Any) -> bool:
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)


def length(container: Any, streams: list[Any]) -> float | None:
    """Seconds, from the container or its longest stream; None where nothing sensible is said."""
    said = [container.duration / 1e6] if container.duration else []
    said += [float(s.duration * s.time_base) for s in streams if s.duration and s.time_base]
    good = [s for s in said if np.isfinite(s) and 0 < s < 1e7]
    return max(good[:1] or [0]) or None


def decoded(container: Any, stream: Any, trouble: Trouble) -> Iterator[Any]:
    """Every frame from here on; packets that break are counted and stepped over."""
    import av

    packets = container.demux(stream)
    while not trouble.over:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.FFmpegError:
            trouble.hurt()
            return
        try:
            yield from packet.decode()
        except (av.FFmpegError, ValueError):
            trouble.hurt()
            if trouble.broken > TRIES:
                return
