"""How far an ingest is, for those who look on: ``ingest.json`` in the library's folder, new about once a second."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from matinee.ingest.report import Progress, Report, silent
from matinee.store.place import sweep_parts

NAME = "ingest.json"
EVERY = 1.0  # seconds between two writings
NOTES = 200  # notes shown while it runs; the last writing holds up to ``ALL``
ALL = 10_000


@dataclass
class Live:
    """The state of one ingest. ``step`` is called by its own thread, ``within`` by the readers of long files: safe from
    several threads. What cannot be written is passed over: an ingest does not fail because nobody can watch it."""

    folder: Path
    report: Report
    progress: Progress = silent
    started: float = field(default_factory=time.time)
    stage: str = "start"
    done: int = 0
    total: int = 0
    inside: dict[str, float] = field(default_factory=dict)
    written: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def step(self, what: str, done: int, total: int) -> None:
        """A stage is so far; tells the caller of ``ingest`` too."""
        self.progress(what, done, total)
        with self.lock:
            self.stage, self.done, self.total = what, done, total
        self.write()

    def within(self, path: str, share: float | None) -> None:
        """A file is gone through to a share of it, 0 to 1; None when it is done."""
        with self.lock:
            if share is None:
                self.inside.pop(path, None)
            else:
                self.inside[path] = share
        self.write()

    def inside_of(self, path: str, share: float) -> None:
        """Tells the caller of ``ingest`` how far a long file is."""
        if share > 0:
            self.progress(os.path.basename(path), int(share * 100), 100)

    def slowest(self) -> tuple[str, float] | None:
        """The file that is under way longest, and how far it is."""
        with self.lock:
            return next(iter(self.inside.items()), None)

    def write(self, *, finished: bool = False) -> None:
        """Replaces the file, not more often than once a second unless it is the last time."""
        now = time.monotonic()
        with self.lock:
            if not finished and now - self.written < EVERY:
                return
            self.written = now
            state = self.state(finished)
            part = self.folder / f".{NAME}.{os.getpid()}.part"
            with suppress(OSError):
                part.write_bytes(msgspec.json.encode(state))
                part.replace(self.folder / NAME)
                if finished:
                    sweep_parts(self.folder)

    def state(self, finished: bool) -> dict[str, Any]:
        current = next(iter(self.inside.items()), ("", 0.0))
        report = self.report.as_json()
        report["notes"] = report["notes"][-(ALL if finished else NOTES) :]
        return {
            "started": self.started, "stage": self.stage, "done": self.done, "total": self.total,
            "current": "" if finished else current[0], "within": 0.0 if finished else round(current[1], 3),
            "report": report, "finished": finished,
        }  # fmt: skip
