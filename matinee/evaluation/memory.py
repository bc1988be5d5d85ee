"""The greatest memory that a piece of work took, as the system counts it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

EVERY = 0.02  # seconds between looks


class Peak:
    """``mib``: the greatest resident memory of this process while it was watched, less what it had at the start; None
    where the system does not say (anything but Linux)."""

    def __init__(self) -> None:
        self.mib: float | None = None


@contextlib.contextmanager
def watched() -> Iterator[Peak]:
    """Looks at the process every 20 ms from a thread: a shorter peak may be missed."""
    peak = Peak()
    start = _resident()
    if start is None:
        yield peak
        return
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            now = _resident()
            if now is not None:
                peak.mib = max(peak.mib or 0.0, (now - start) / 2**20)
            time.sleep(EVERY)

    thread = threading.Thread(target=look, name="memory", daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


def _resident() -> int | None:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    import resource

    return pages * resource.getpagesize()
