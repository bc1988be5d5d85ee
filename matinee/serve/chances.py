"""The chances that were taken, for off-policy evaluation: one line of JSON for each slate with exploration in it."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from matinee.types import Slate

log = logging.getLogger("matinee.serve")


class Chances:
    """Appends to a file. A line names the slate, never the user: events name the slate that caused them, and who asked
    for erasure leaves nothing here. A disk that is full costs the line, not the answer."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()

    def write(self, slate: Slate, scenario: str, items: Sequence[str]) -> None:
        line = msgspec.json.encode(
            {
                "slate": slate.id,
                "at": time.time(),
                "scenario": scenario,
                "release": slate.release,
                "items": list(items),
                "propensities": [round(float(p), 6) for p in slate.propensities],
            }
        )
        try:
            with self._lock:
                file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
                try:
                    os.write(file, line + b"\n")
                finally:
                    os.close(file)
        except OSError as error:
            log.warning("slates.jsonl: %s", error.strerror)
