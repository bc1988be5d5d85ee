"""What the steps of one ingest share, and how items with their text vectors are put."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from matinee.ingest.live import Live
from matinee.ingest.report import Progress, Report
from matinee.protocols import FileRecord, Store
from matinee.settings import Library
from matinee.types import Clip, Floats, Item, Space

if TYPE_CHECKING:
    from matinee.encoders.senses import Senses
    from matinee.encoders.topics import Topics

PRINTS, SHOTS = "prints@2", "shots@1"  # of the code that makes them: a file read with others is read again


@dataclass
class Run:
    """``records``: what earlier runs knew of files, by path; ``live``: what is told to those who look on; ``replaced``:
    pictures that items named before. The encoders are loaded when something needs them."""

    library: Library
    store: Store
    report: Report
    progress: Progress
    records: dict[str, FileRecord]
    live: Live
    replaced: set[str] = field(default_factory=set)

    @cached_property
    def senses(self) -> Senses:
        from matinee.encoders.frames import FrameEncoder
        from matinee.encoders.hub.networks import HubFrames
        from matinee.encoders.senses import load_senses

        self.progress("encoders", 0, 1)
        settings = self.library.settings
        senses = load_senses(settings.encoders, settings.precision, self.library.covers)
        self.progress("encoders", 1, 1)
        pooling = self.library.settings.reading.pooling
        seen = {n: e for n, e in senses.encoders.items() if isinstance(e, FrameEncoder | HubFrames)}
        pooled = {name: replace(encoder, pooling=pooling) for name, encoder in seen.items()}
        return replace(senses, encoders=senses.encoders | pooled)

    @cached_property
    def keys(self) -> list[str]:
        from matinee.encoders.senses import keys_of

        settings = self.library.settings
        pooled = [] if settings.reading.pooling == "mean" else [f"pooling@{settings.reading.pooling}"]
        return sorted([*keys_of(settings.encoders), PRINTS, *pooled, *([SHOTS] if settings.reading.shots else [])])

    @cached_property
    def topics(self) -> Topics | None:
        from matinee.encoders.topics import topics

        words = self.senses.words()
        return topics(self.senses.text, words) if self.senses.text or words else None


def text_of(item: Item) -> str:
    """What the text encoder reads of an item."""
    parts = (item.title, item.series or "", item.description, *item.tags, *item.categories, *item.creators)
    return ". ".join(dict.fromkeys(p.strip() for p in parts if p and p.strip()))


def text_hash(text: str) -> str:
    return "text:" + hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def put_described(run: Run, items: Sequence[Item]) -> None:
    """Items and their text vectors, in one transaction; a text that is known is not encoded again."""
    from matinee.encoders.table import entry_of

    if not any(entry_of(name).reads == "text" for name in run.library.settings.encoders):
        run.store.put_items(items)
        return
    hashes = {item.id: text_hash(text_of(item)) for item in items}
    texts = {hashes[item.id]: text_of(item) for item in items}
    made: list[tuple[Space, list[str], Floats, set[str]]] = []
    for encoder in run.senses.texts:
        known = run.store.has_vectors(encoder.space, list(texts))
        there = {h for h, k in zip(texts, known, strict=True) if k}
        fresh = [h for h, t in texts.items() if t and h not in there]
        made.append((encoder.space, fresh, encoder.encode([Clip(text=texts[h]) for h in fresh]), there))
    first = dict(zip(made[0][1], made[0][2], strict=True))
    with run.store.together():
        run.store.put_items(items)
        for space, fresh, vectors, there in made:
            kept = there | put_rows(run.store, space, fresh, vectors)
            for item in items:
                if hashes[item.id] in kept:
                    run.store.link_content(item.id, space, hashes[item.id])
        for item in items:
            if hashes[item.id] in first:
                put_topics(run, item.id, {"text": first[hashes[item.id]][None]})


def put_topics(run: Run, item: str, evidence: Mapping[str, Floats]) -> None:
    """Zero-shot tags as the fact ``topics``: ``[[English, Chinese, confidence, the space it was seen in], ...]``."""
    if run.topics is not None:
        found = run.topics.of(evidence)
        run.store.put_fact(item, "topics", [[t.en, t.zh, t.confidence, t.by] for t in found])


def put_rows(store: Store, space: Space, hashes: Sequence[str], vectors: Floats) -> set[str]:
    """Stores the rows that hold a vector (the others are NaN); the hashes of those."""
    rows = np.flatnonzero(np.isfinite(vectors).all(axis=1))
    kept = [hashes[int(i)] for i in rows]
    if kept:
        store.put_vectors(space, kept, vectors[rows])
    return set(kept)


def speech_rows(run: Run, texts: Sequence[str]) -> list[dict[Space, Floats]]:
    """For each text of what is said in an item, its vector in the space ``speech``: the mean over passages of forty
    words, at most two hundred of them, spread evenly. Comparable with the vectors of text."""
    encoder = run.senses.text
    if encoder is None:
        return [{} for _ in texts]
    space = Space("speech", encoder.space.revision, encoder.space.dim)
    rows: list[dict[Space, Floats]] = []
    for text in texts:
        spoken = encoder.encode([Clip(text=passage) for passage in passages(text)])
        spoken = spoken[np.isfinite(spoken).all(axis=1)]
        mean = spoken.sum(axis=0, keepdims=True)
        rows.append({space: mean / np.linalg.norm(mean)} if len(spoken) and np.linalg.norm(mean) > 0 else {})
    return rows


def passages(text: str, words: int = 40, most: int = 200) -> list[str]:
    """A text cut into pieces of about so many words; a sign of Chinese counts as half a word."""
    pieces: list[list[str]] = [[]]
    size = 0.0
    for word in text.split():
        weight = sum(0.5 for c in word if c > "\u2e80") or 1.0
        if size + weight > words and pieces[-1]:
            pieces.append([])
            size = 0.0
        pieces[-1].append(word[:400])
        size += weight
    kept = [" ".join(p) for p in pieces if p]
    if not kept:
        return []
    at = np.unique(np.linspace(0, len(kept) - 1, min(len(kept), most)).round().astype(int))
    return [kept[int(i)] for i in at]
