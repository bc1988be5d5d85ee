"""Folders looked at again and again: what is new or changed is taken in once it keeps still.

Looking is by polling: it works on every file system, also over a network. A file counts as still when neither its size
nor its time changed for some seconds; what is being copied or downloaded is left alone until then.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from matinee.ingest import Progress, Report, ingest, none, own, silent
from matinee.media.folder import walk
from matinee.protocols import Store
from matinee.settings import Library

EVERY = 2.0  # seconds between two looks
STILL = 5.0  # seconds without a change after which a file is whole

Sight = tuple[int, int]  # size, time of change in nanoseconds


@dataclass
class Watch:
    """What is known of the files below the ``roots``: as last seen with the moment of the last change, and as they
    were when last taken in. ``besides``: files that are none of its business. ``clock`` gives seconds that only
    grow; ``now`` those of the calendar."""

    roots: Sequence[Path]
    still: float = STILL
    besides: Callable[[Path], bool] = none
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    seen: dict[Path, tuple[Sight, float]] = field(default_factory=dict)
    taken: dict[Path, Sight] = field(default_factory=dict)

    def look(self) -> bool:
        """Whether there is something to take in: a still file that is new, has changed or is gone."""
        found = {path: sight for root in self.roots for path, sight in sights(root) if not self.besides(path)}
        moment, today = self.clock(), self.now()
        seen: dict[Path, tuple[Sight, float]] = {}
        for path, sight in found.items():
            old = self.seen.get(path)
            if old is not None and old[0] == sight:
                seen[path] = old
            else:  # one that is first seen long after its last change is whole already
                age = today - sight[1] / 1e9
                whole = old is None and age > self.still
                seen[path] = (sight, moment - self.still if whole else moment)
        self.seen = seen
        return self.settled() != {p: s for p, s in self.taken.items() if p not in self.seen or not self.moves(p)}

    def moves(self, path: Path) -> bool:
        """Whether a file changed too short a time ago to be read."""
        known = self.seen.get(path)
        return known is None or self.clock() - known[1] < self.still

    def settled(self) -> dict[Path, Sight]:
        return {path: sight for path, (sight, _) in self.seen.items() if not self.moves(path)}

    def done(self, settled: dict[Path, Sight]) -> None:
        """These were taken in as they were."""
        self.taken = settled


def sights(root: Path) -> list[tuple[Path, Sight]]:
    """The regular files below a folder, or the file itself, with size and time."""
    found = []
    for path in walk(root) if root.is_dir() else [root]:
        try:
            about = os.lstat(path)
        except OSError:
            continue
        found.append((path, (about.st_size, about.st_mtime_ns)))
    return found


def watch(
    library: Library,
    store: Store,
    roots: Sequence[Path],
    told: Callable[[Report], None],
    *,
    progress: Progress = silent,
    besides: Sequence[Path] = (),
) -> None:
    """Takes in and goes on looking until it is interrupted (``KeyboardInterrupt``): what was done is kept. ``told``
    hears of every round that did something; ``besides`` are files that it writes itself. Raises as ``ingest``."""
    roots = [Path(os.path.abspath(root)) for root in roots]
    skipped = {Path(os.path.abspath(path)) for path in besides}
    watched = Watch(roots, besides=lambda path: path in skipped or own(library, path))
    follow(watched, lambda leave: ingest(library, store, roots, progress, leave), told, threading.Event())


def follow(
    watched: Watch,
    take_in: Callable[[Callable[[Path], bool]], Report],
    told: Callable[[Report], None],
    stop: threading.Event,
    every: float = EVERY,
) -> None:
    """Looks until ``stop`` is set. ``take_in`` is given what says which files to leave alone."""
    first = True
    while not stop.is_set():
        if watched.look() or first:
            settled = watched.settled()
            report = take_in(outside(settled))
            watched.done(settled)
            if first or any(n for k, n in report.as_json().items() if k in DID):
                told(report)
            first = False
        stop.wait(every)


def outside(settled: Mapping[Path, Sight]) -> Callable[[Path], bool]:
    """Says of a file that it is none of these."""
    return lambda path: path not in settled


DID = ("taken", "partly", "linked", "near", "refused", "missing", "items", "users", "events", "rejected")
