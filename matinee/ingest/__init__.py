"""From paths to items: media files are read and encoded, catalogues are taken, all state goes to the store.

``ingest(library, store, paths, progress)`` may be stopped anywhere and run again: a file is written down as taken in
the same transaction as everything that was learned of it, so it is either done or still to do.

Rules. An item's id is its path from the folder that was named; changed bytes keep it, equal bytes are encoded once. A
catalogue row whose ``media`` names a file (relative to the catalogue) gives that file's item its id and what it says;
what it leaves open is filled from the container's tags, then from the file's name. A file of unchanged size and time is
not opened. A file that is gone stays an item without media. Data sets are read as ``matinee.ingest.datasets`` says.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from matinee.errors import MatineeError
from matinee.ingest.datasets import keep_as_covers, sorted_roots, take_known, take_logs, take_people, take_vectors
from matinee.ingest.files import mark_missing, take_media
from matinee.ingest.frames import sweep
from matinee.ingest.heard import hear
from matinee.ingest.live import Live
from matinee.ingest.report import Note, Progress, Report, silent
from matinee.ingest.run import Run, text_of
from matinee.ingest.tables import sorted_tables, take_events, take_items, take_users
from matinee.ingest.written import read_written
from matinee.media.folder import find
from matinee.protocols import Store
from matinee.settings import Library


def none(path: Path) -> bool:
    """No file is left alone."""
    return False


def own(library: Library, path: Path) -> bool:
    """Whether a file is the library's own: a library may lie in the folder that holds its media."""
    place = Path(os.path.abspath(library.path))
    if any(path.is_relative_to(place / name) for name in ("covers", "releases")):
        return True
    return path.parent == place and path.name.startswith(("matinee.db", "matinee.toml", "ingest.json", "."))


__all__ = ["Note", "Progress", "Report", "ingest", "silent", "text_of"]


def ingest(
    library: Library,
    store: Store,
    paths: Sequence[Path],
    progress: Progress = silent,
    leave: Callable[[Path], bool] = none,
) -> Report:
    """Takes in media files, folders of them, catalogues of items, users and events (CSV, JSONL, Parquet), data sets as
    researchers ship them, and vectors of items (``.npz``).

    ``leave`` says of a media file or a catalogue that it is to be left alone, for it is still being written.
    Raises ``ingest.nothing`` when a path does not exist, and ``weights.missing``; what is wrong with a file or a row is
    in the report instead. Memory is bounded: a dozen files of about 10 MB each are under way at a time.
    """
    begun = time.monotonic()
    roots = [Path(os.path.abspath(path)) for path in paths]
    for path in roots:
        if not os.path.lexists(path):
            raise MatineeError("ingest.nothing", f"There is no {path}.", f"路径 {path} 不存在。")
    report = Report()
    live = Live(library.path, report, progress)
    run = Run(library, store, report, live.step, {r.path: r for r in store.files()}, live)
    try:
        take_all(run, roots, leave)
    finally:
        report.seconds = time.monotonic() - begun
        live.write(finished=True)
    return report


def take_all(run: Run, roots: Sequence[Path], leave: Callable[[Path], bool]) -> None:
    """Descriptions before files, files before the events that name their items."""
    paths_of = sorted_roots(run, roots)
    media, catalogues = find(paths_of.rest)
    media = [f for f in media if not leave(f.path) and not own(run.library, f.path)]
    catalogues = [c for c in catalogues if not leave(c)]
    tables = sorted_tables(run, catalogues)
    described = take_items(run, tables["items"])
    pictured = take_known(run, paths_of.data)
    mark_missing(run, roots)
    take_media(run, media, {**described, **pictured})
    keep_as_covers(run, pictured)
    take_vectors(run, paths_of.vectors)
    take_users(run, tables["users"])
    take_people(run, paths_of.data, paths_of.people)
    take_events(run, tables["events"])
    take_logs(run, paths_of.data)
    read_written(run, roots)  # this and speech last, for they take longest: all else is in use meanwhile
    hear(run, roots)
    sweep(run.library.path, run.store, run.replaced)
