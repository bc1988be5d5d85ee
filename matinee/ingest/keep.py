"""What was learned of files goes to the store: items, vectors, facts, covers, and that the file is done."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from matinee.ingest.readers import Outcome, digest_of
from matinee.ingest.run import Run, put_rows, text_hash, text_of
from matinee.media.folder import title_of
from matinee.media.read import Reading
from matinee.protocols import FileRecord
from matinee.types import Clip, Item

NOTES = {
    "damaged": ("parts of it are damaged and were left out", "部分内容已损坏，已略过"),
    "time": ("it takes long to read; only a part was read", "读取耗时过长，只读取了一部分"),
}


def keep(run: Run, outcomes: Sequence[Outcome], known: dict[str, str]) -> list[Outcome]:
    """Writes a batch down in one transaction. Returns those that are to be linked to equal bytes when all are read."""
    read = [o for o in outcomes if o.reading is not None]
    for outcome in read:
        write_cover(run.library.covers, outcome)
    items = [item_of(run, o, o.reading) for o in read if o.reading is not None]
    texts = [text_of(i) for i in items]
    encoder = run.senses.encoders.get("text")
    text_vectors = encoder.encode([Clip(text=t) for t in texts]) if encoder else None
    with run.store.together():
        run.store.put_items(items)
        for n, (outcome, item) in enumerate(zip(read, items, strict=True)):
            for space, row in outcome.vectors.items():
                if encoder and space == encoder.space:
                    continue
                if put_rows(run.store, space, [outcome.hash], row):
                    run.store.link_content(item.id, space, outcome.hash)
            if encoder and text_vectors is not None:
                digest = text_hash(texts[n])
                if put_rows(run.store, encoder.space, [digest], text_vectors[n : n + 1]):
                    run.store.link_content(item.id, encoder.space, digest)
            for key, value in facts_of(run, outcome).items():
                run.store.put_fact(item.id, key, value)
            finish(run, outcome, item.id)
            known[outcome.hash] = item.id
        for outcome in outcomes:
            if outcome.error is not None:
                refuse(run, outcome)
    return [o for o in outcomes if o.reading is None and o.error is None]


def finish(run: Run, outcome: Outcome, item: str) -> None:
    """The file is done: taken, or partly with the reason."""
    note = outcome.reading.note if outcome.reading else ""
    said = [NOTES[part] for part in note.split(",") if part in NOTES]
    status = "partly" if said else "taken"
    en, zh = "; ".join(e for e, _ in said), "；".join(z for _, z in said)
    if said:
        run.report.partly += 1
        run.report.note(outcome.plan.path, "partly", en, zh)
    else:
        run.report.taken += 1
    if outcome.reading and outcome.reading.duration:
        run.report.media_seconds += outcome.reading.duration
    whole = f"{en} | {zh}" if said else ""
    run.store.put_file(record(outcome, item, status, whole))


def refuse(run: Run, outcome: Outcome) -> None:
    """A file that gave nothing. The item that it gave earlier stays; a catalogue's item is put without media."""
    error = outcome.error
    if error is None:
        return
    plan = outcome.plan
    run.report.refused += 1
    run.report.note(plan.path, "refused", error.en, error.zh)
    if plan.given is not None and run.store.item(plan.given.id) is None:
        run.store.put_items([msgspec.structs.replace(plan.given, media=None)])
    about = outcome
    if not outcome.size:
        try:
            stat = os.lstat(plan.path)
        except OSError:
            return
        about = replace(outcome, size=stat.st_size, mtime_ns=stat.st_mtime_ns)
    item = plan.known.item if plan.known else None
    if error.code != "media.changed":  # that one is to be tried again
        run.store.put_file(record(about, item, "refused", f"{error.en} | {error.zh}"))


def record(outcome: Outcome, item: str | None, status: str, note: str) -> FileRecord:
    return FileRecord(str(outcome.plan.path), outcome.size, outcome.mtime_ns, outcome.hash, item, status, note)


def keep_linked(run: Run, outcome: Outcome, known: dict[str, str]) -> None:
    """A file of the same bytes as another: its item gets the other's vectors and facts; nothing is decoded."""
    source = known.get(outcome.hash)
    if source is None:  # the other one could not be read after all, and says so itself
        run.report.refused += 1
        en, zh = "nothing in it could be read (the same bytes as another file)", "无法读取（与另一文件内容相同）"
        run.report.note(outcome.plan.path, "refused", en, zh)
        run.store.put_file(record(outcome, None, "refused", f"{en} | {zh}"))
        return
    facts = run.store.facts(source)
    item = described(run, outcome, facts.get("tags", {}), facts.get("media", {}).get("duration"))
    if "cover" in facts and not item.cover:
        item = msgspec.structs.replace(item, cover=facts["cover"]["file"])
    text = text_of(item)
    encoder = run.senses.encoders.get("text")
    rows = encoder.encode([Clip(text=text)]) if encoder else None
    with run.store.together():
        run.store.put_items([item])
        if encoder and rows is not None and put_rows(run.store, encoder.space, [text_hash(text)], rows):
            run.store.link_content(item.id, encoder.space, text_hash(text))
        for space in run.store.spaces():
            if space.name != "text" and run.store.has_vectors(space, [outcome.hash])[0]:
                run.store.link_content(item.id, space, outcome.hash)
        for key, value in facts.items():
            if key == "media":
                value = {**value, "given": digest_of(outcome.plan.given)}  # noqa: PLW2901
            run.store.put_fact(item.id, key, value)
        if source != item.id:
            run.store.put_fact(item.id, "same_as", {"item": source})
        run.store.put_file(record(outcome, item.id, "taken", ""))
    if source == item.id:
        run.report.unchanged += 1
        return
    run.report.linked += 1
    run.report.note(outcome.plan.path, "duplicate", f"the same bytes as {source}", f"与 {source} 内容相同")


# --- items -----------------------------------------------------------------------------------------------------------


def item_of(run: Run, outcome: Outcome, reading: Reading) -> Item:
    item = described(run, outcome, reading.tags, reading.duration)
    if reading.cover and not item.cover:
        item = msgspec.structs.replace(item, cover=f"covers/{outcome.hash}.jpg")
    return item


def described(run: Run, outcome: Outcome, tags: dict[str, str], duration: float | None) -> Item:
    """The item of a file: what the catalogue says, else what is stored, else tags, else the name."""
    plan = outcome.plan
    old = run.store.item(plan.item)
    base = plan.given or old or Item(id=plan.item)
    fresh = old is None or plan.given is not None
    changes: dict[str, Any] = {"media": str(plan.path), "duration": duration or base.duration}
    if fresh:
        changes |= from_tags(base, tags, plan.path)
    if old is not None and old.cover and not base.cover and not old.cover.startswith("covers/"):
        changes["cover"] = old.cover
    elif base.cover and base.cover.startswith("covers/"):
        changes["cover"] = None  # of former bytes; the new ones bring theirs
    return msgspec.structs.replace(base, **changes)


def from_tags(base: Item, tags: dict[str, str], path: Path) -> dict[str, Any]:
    """The fields that a catalogue left open, from the container's tags and the file's name."""
    found: dict[str, Any] = {}
    if not base.title:
        found["title"] = tags.get("title") or title_of(path)
    if not base.creators and (artist := tags.get("artist") or tags.get("composer")):
        found["creators"] = parts(artist, r"[;/]|, (?=[A-Z])")
    if not base.categories and (genre := tags.get("genre")):
        found["categories"] = parts(genre, r"[;/,|]")
    if not base.description and (text := tags.get("description") or tags.get("comment")):
        found["description"] = text
    if not base.language and (lang := tags.get("language")):
        found["language"] = lang[:20]
    if not base.series and (series := tags.get("show") or tags.get("album")):
        found["series"] = series
    if base.released is None and (date := tags.get("date")) and (released := moment(date)) is not None:
        found["released"] = released
    return found


def parts(text: str, marks: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(p.strip() for p in re.split(marks, text) if p.strip()))[:10]


def moment(date: str) -> float | None:
    """Unix seconds of a year, a day or a time as tags write them."""
    match = re.match(r"(\d{4})(?:[-/.](\d{1,2})(?:[-/.](\d{1,2}))?)?", date)
    if not match:
        return None
    year, month, day = (int(part or 1) for part in match.groups())
    try:
        return datetime(year, month, day, tzinfo=UTC).timestamp()
    except ValueError:
        return None


def facts_of(run: Run, outcome: Outcome) -> dict[str, Any]:
    reading = outcome.reading
    if reading is None:
        return {}
    media = {
        "kind": reading.kind, "duration": reading.duration, "width": reading.width or None,
        "height": reading.height or None, "container": reading.container, "hash": outcome.hash,
        "frames": 0 if reading.clip.frames is None else len(reading.clip.frames),
        "sound": 0.0 if reading.clip.sound is None else round(len(reading.clip.sound) / 16_000, 3),
        "read": run.senses.keys, "given": digest_of(outcome.plan.given), "note": reading.note,
    }  # fmt: skip
    facts: dict[str, Any] = {"media": media}
    facts |= {f"labels.{name}": labels for name, labels in outcome.labels.items()}
    if reading.tags:
        facts["tags"] = reading.tags
    if reading.chapters:
        facts["chapters"] = [list(c) for c in reading.chapters]
    if reading.cover:
        facts["cover"] = {"file": f"covers/{outcome.hash}.jpg"}
    return facts


def write_cover(folder: Path, outcome: Outcome) -> None:
    """Whole or not at all, under the content hash."""
    if outcome.reading is None or not outcome.reading.cover:
        return
    target = folder / f"{outcome.hash}.jpg"
    if not target.exists():
        part = folder / f".{outcome.hash}.{os.getpid()}.part"
        part.write_bytes(outcome.reading.cover)
        part.replace(target)
