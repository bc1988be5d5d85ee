"""Catalogues: items with their text, events in durable batches."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import msgspec

from matinee.errors import MatineeError
from matinee.ingest.run import Run, put_described
from matinee.protocols import FileRecord, Strangers
from matinee.types import Event, Item


def sorted_tables(run: Run, catalogues: Sequence[Path]) -> dict[str, list[Path]]:
    """Catalogue files by what they hold."""
    from matinee.data.catalogue import sniff

    tables: dict[str, list[Path]] = {"items": [], "users": [], "events": []}
    for path in catalogues:
        try:
            tables[sniff(path)].append(path)
        except MatineeError as error:
            run.report.refused += 1
            run.report.note(path, "refused", error.en, error.zh)
    return tables


def media_path(folder: Path, media: str | None) -> Path | None:
    """The file that a row's ``media`` names, if it is a file: relative to the catalogue, absolute, or a file: URL."""
    if not media:
        return None
    url = urlparse(media)
    if url.scheme == "file":
        return Path(os.path.abspath(unquote(url.path)))
    return None if len(url.scheme) > 1 else Path(os.path.abspath(folder / media))


def take_items(run: Run, catalogues: Sequence[Path]) -> dict[Path, Item]:
    """Puts the items that have no file with their text vectors; returns the others by their file."""
    from matinee.data.catalogue import read_items

    described: dict[Path, Item] = {}
    for path in catalogues:
        table = read_items(path)
        for batch in table.batches():
            plain = []
            for item in batch:
                file = media_path(path.parent, item.media)
                if file is not None and os.path.lexists(file):
                    described[file] = item
                    continue
                if file is not None:
                    run.report.missing += 1
                    run.report.note(file, "missing", f"item {item.id!r} names it", f"条目 {item.id!r} 引用了它")
                    item = msgspec.structs.replace(item, media=None)  # noqa: PLW2901
                plain.append(over_stored(run, item))
            if plain:
                put_described(run, plain)
            run.report.items += len(batch)
            run.progress(path.name, table.report.rows, table.report.rows + 1)
        run.progress(path.name, table.report.rows, table.report.rows)
        tell_rows(run, path, table.report)
    return described


def over_stored(run: Run, item: Item) -> Item:
    """A row without media over an item that was found to have some keeps what the file gave."""
    if item.media is None and (old := run.store.item(item.id)) is not None and old.media:
        cover, duration = item.cover or old.cover, item.duration or old.duration
        return msgspec.structs.replace(item, media=old.media, cover=cover, duration=duration)
    return item


def take_users(run: Run, catalogues: Sequence[Path]) -> None:
    """Makes the users, and keeps what their row says of them in the place of what was known."""
    from matinee.data.catalogue import read_users

    for path in catalogues:
        table = read_users(path)
        for batch in table.batches():
            put_people(run, {user.id: user.profile for user in batch})
            run.progress(path.name, table.report.rows, table.report.rows + 1)
        run.progress(path.name, table.report.rows, table.report.rows)
        tell_rows(run, path, table.report)


def put_people(run: Run, profiles: Mapping[str, Mapping[str, Any]]) -> None:
    """A row that says nothing but an id takes nothing away."""
    silent = [user for user, told in profiles.items() if not told]
    run.report.users += run.store.put_users(silent)
    run.report.users += run.store.put_profiles({user: told for user, told in profiles.items() if told})
    run.report.profiles += len(profiles) - len(silent)


def take_events(run: Run, catalogues: Sequence[Path]) -> None:
    """Events in batches of a thousand, each durable; a file of unchanged size and time is not read again."""
    from matinee.data.catalogue import read_events

    for path in catalogues:
        about, old = path.stat(), run.records.get(str(path))
        if old and old.status == "taken" and (old.size, old.mtime_ns) == (about.st_size, about.st_mtime_ns):
            run.report.unchanged += 1
            continue
        table, refused = read_events(path), 0
        for batch in table.batches():
            refused += append(run, path, batch)
            run.progress(path.name, table.report.rows, table.report.rows + 1)
        run.progress(path.name, table.report.rows, table.report.rows)
        tell_rows(run, path, table.report)
        status = "partly" if refused or table.report.refused else "taken"
        run.store.put_file(FileRecord(str(path), about.st_size, about.st_mtime_ns, "", None, status))


def append(run: Run, path: Path, batch: Sequence[Event]) -> int:
    """How many of the batch the store refused."""
    feedback = run.library.settings.feedback
    answer = run.store.append(batch, Strangers(feedback.unknown_items, feedback.unknown_users))
    run.report.events += answer.accepted
    run.report.repeated += answer.duplicates
    run.report.rejected += len(answer.refused)
    for at, code in answer.refused[:3]:
        en, zh = f"event {batch[at].id!r} was refused ({code})", f"事件 {batch[at].id!r} 被拒绝（{code}）"
        run.report.note(path, "row", en, zh)
    return len(answer.refused)


def tell_rows(run: Run, path: Path, table: Any) -> None:
    run.report.rejected += table.refused
    for bad in table.bad[:10]:
        run.report.note(path, "row", f"row {bad.row}: {bad.reason}", f"第 {bad.row} 行：{bad.reason}")
