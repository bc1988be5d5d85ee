"""What was learned of files goes to the store: items, vectors, facts, covers, and that the file is done."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from matinee import __version__
from matinee.encoders.pool import sequence
from matinee.ingest.describe import described, unfilled
from matinee.ingest.frames import named, shots_fact, write_frames, write_whole
from matinee.ingest.readers import Outcome, digest_of
from matinee.ingest.run import Run, put_rows, put_topics, text_hash, text_of
from matinee.ingest.words import WITHIN, facts_of_words, vectors_of_words
from matinee.media.loudness import loudness
from matinee.media.read import Reading
from matinee.media.side import Side, digest
from matinee.media.timed import Transcript, sung
from matinee.protocols import FileRecord
from matinee.types import Clip, Floats, Item

NOTES = {
    "damaged": ("parts of it are damaged and were left out", "部分内容已损坏，已略过"),
    "time": ("it takes long to read; only a part was read", "读取耗时过长，只读取了一部分"),
}


def keep(run: Run, outcomes: Sequence[Outcome], known: dict[str, str]) -> list[Outcome]:
    """Writes a batch down in one transaction. Returns those that are to be linked to equal bytes when all are read."""
    read = [o for o in outcomes if o.reading is not None]
    facts = [facts_of(run, o) for o in read]
    items = [item_of(run, o, f) for o, f in zip(read, facts, strict=True)]
    words = vectors_of_words(run, facts)
    for outcome in read:
        run.replaced |= named(run.store.facts(outcome.plan.item))
        write_cover(run, outcome)
        if outcome.reading is not None:
            write_frames(run.library.path, outcome.reading)
    with run.store.together():
        texts = put_with_text(run, items)
        for n, (outcome, item, fact, within) in enumerate(zip(read, items, facts, words, strict=True)):
            vectors = outcome.vectors | within
            compared = {s.name: v for s, v in vectors.items() if s.name.startswith(("bridge.", *WITHIN)) or s.joint}
            put_topics(run, item.id, compared | ({"text": texts[n : n + 1]} if texts is not None else {}))
            for space, row in vectors.items():
                if put_rows(run.store, space, [outcome.hash], row):
                    run.store.link_content(item.id, space, outcome.hash)
            for key, value in fact.items():
                run.store.put_fact(item.id, key, value)
            finish(run, outcome, item.id)
            known[outcome.hash] = item.id
        for outcome in outcomes:
            if outcome.error is not None:
                refuse(run, outcome)
    return [o for o in outcomes if o.reading is None and o.error is None]


def put_with_text(run: Run, items: Sequence[Item]) -> Floats | None:
    """Puts items with their text vectors, and returns those."""
    run.store.put_items(items)
    first: Floats | None = None
    texts = [text_of(item) for item in items]
    for encoder in run.senses.texts:
        rows = encoder.encode([Clip(text=text) for text in texts])
        first = rows if first is None else first
        for n, item in enumerate(items):
            if put_rows(run.store, encoder.space, [text_hash(texts[n])], rows[n : n + 1]):
                run.store.link_content(item.id, encoder.space, text_hash(texts[n]))
    return first


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
    error, plan = outcome.error, outcome.plan
    if error is None:
        return
    run.report.refused += 1
    run.report.note(plan.path, "refused", error.en, error.zh)
    if plan.given is not None and run.store.item(plan.given.id) is None:
        put_with_text(run, [msgspec.structs.replace(plan.given, media=None)])
    about = outcome
    if not outcome.size:
        try:
            stat = os.lstat(plan.path)
        except OSError:
            return
        about = replace(outcome, size=stat.st_size, mtime_ns=stat.st_mtime_ns)
    item = plan.known.item if plan.known else None
    if error.code != "media.changed":  # that one is to be tried again
        run.store.put_file(record(about, item, "refused", refusal(error.en, error.zh)))


def refusal(en: str, zh: str) -> str:
    """What is written down of a refused file: why, in both languages, and which Matinee could not read it."""
    return f"{en} | {zh} | {__version__}"


def record(outcome: Outcome, item: str | None, status: str, note: str) -> FileRecord:
    return FileRecord(str(outcome.plan.path), outcome.size, outcome.mtime_ns, outcome.hash, item, status, note)


def keep_linked(run: Run, outcome: Outcome, known: dict[str, str]) -> None:
    """A file of the same bytes as another: its item gets the other's vectors and facts; nothing is decoded."""
    source = known.get(outcome.hash)
    if source is None:  # the other one could not be read after all, and says so itself
        run.report.refused += 1
        en, zh = "nothing in it could be read (the same bytes as another file)", "无法读取（与另一文件内容相同）"
        run.report.note(outcome.plan.path, "refused", en, zh)
        run.store.put_file(record(outcome, None, "refused", refusal(en, zh)))
        return
    theirs = {k: v for k, v in run.store.facts(source).items() if k not in ("filled", "same_as", "near")}
    facts = theirs | {"media": {**theirs.get("media", {}), **own(outcome)}}
    if outcome.cover:
        facts["cover"] = {"file": cover_name(outcome)}
    item = item_of(run, outcome, facts)
    run.replaced |= named(run.store.facts(outcome.plan.item))
    write_cover(run, outcome)
    with run.store.together():
        put_with_text(run, [item])
        for space in run.store.spaces():
            if space.name != "text" and run.store.has_vectors(space, [outcome.hash])[0]:
                run.store.link_content(item.id, space, outcome.hash)
        if source != item.id:
            facts["same_as"] = {"item": source}
        for key, value in facts.items():
            run.store.put_fact(item.id, key, value)
        run.store.put_file(record(outcome, item.id, "taken", ""))
    if source == item.id:
        run.report.unchanged += 1
        return
    run.report.linked += 1
    run.report.note(outcome.plan.path, "duplicate", f"the same bytes as {source}", f"与 {source} 内容相同")


# --- items and facts -------------------------------------------------------------------------------------------------


def item_of(run: Run, outcome: Outcome, facts: dict[str, Any]) -> Item:
    """The item of a file; adds to ``facts`` what was filled in."""
    plan = outcome.plan
    old = run.store.item(plan.item)
    base = plan.given or (unfilled(old, run.store.facts(plan.item).get("filled", {})) if old else Item(id=plan.item))
    media = facts["media"]
    item, filled = described(base, plan.path, media.get("kind", ""), facts.get("tags", {}), outcome.side)
    extra = {"duration": media.get("duration"), "cover": facts.get("cover", {}).get("file")}
    extra = {k: v for k, v in extra.items() if v is not None and getattr(item, k) is None}
    facts["filled"] = filled | extra
    return msgspec.structs.replace(item, **extra)


def own(outcome: Outcome) -> dict[str, Any]:
    """What a file's fact says of that file alone."""
    return {"hash": outcome.hash, "given": digest_of(outcome.plan.given), "side": digest(outcome.plan.side)}


def facts_of(run: Run, outcome: Outcome) -> dict[str, Any]:
    reading, side = outcome.reading, outcome.side
    if reading is None:
        return {}
    sound = reading.clip.sound
    media: dict[str, Any] = {
        "kind": reading.kind, "duration": reading.duration, "width": reading.width or None,
        "height": reading.height or None, "container": reading.container,
        "frames": 0 if reading.clip.frames is None else len(reading.clip.frames),
        "sound": 0.0 if sound is None else round(len(sound) / 16_000, 3),
        "read": run.keys, "note": reading.note, **own(outcome),
    }  # fmt: skip
    if sound is not None:
        media["loudness"], media["silence"] = loudness(sound)
    facts: dict[str, Any] = {"media": media}
    facts |= {f"labels.{name}": labels for name, labels in outcome.labels.items()}
    if reading.tags:
        facts["tags"] = reading.tags
    if chapters := side.chapters or reading.chapters:
        facts["chapters"] = [list(c) for c in chapters]
    facts |= facts_of_words(run.store.facts(outcome.plan.item), outcome.hash, told_in(reading, side))
    if outcome.cover:
        facts["cover"] = {"file": cover_name(outcome)}
    if outcome.prints:
        facts["print"] = outcome.prints
    if reading.kind == "video" and run.library.settings.reading.shots:
        facts["shots"] = shots_fact(reading)
        media["shots"] = {"n": reading.scene_count, "rule": "own"}
        if outcome.sequence is not None and reading.clip.frame_at is not None:
            starts = [start for start, _, _ in reading.scenes]
            facts["frames.shots"] = sequence(outcome.sequence, reading.clip.frame_at, starts)
        if not reading.whole:
            media["shots"]["whole"] = False
    return facts


def told_in(reading: Reading, side: Side) -> Transcript | None:
    """What is said according to subtitles or lyrics: those beside the file first, then those inside it."""
    if side.lines:
        return Transcript(side.lines, "lyrics" if side.sung else "subtitle", side.language)
    if reading.lines:
        return Transcript(reading.lines, "subtitle", reading.language)
    lyrics = sung(reading.tags.get("lyrics", ""))
    return Transcript(lyrics, "lyrics", reading.tags.get("language", "")) if lyrics else None


def cover_name(outcome: Outcome) -> str:
    return f"covers/{hashlib.sha256(outcome.cover).hexdigest()}.jpg"


def write_cover(run: Run, outcome: Outcome) -> None:
    """Whole or not at all, under the hash of its own bytes."""
    if not outcome.cover:
        return
    target = run.library.path / cover_name(outcome)
    if not target.exists():
        write_whole(target, outcome.cover)
