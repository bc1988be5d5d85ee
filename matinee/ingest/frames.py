"""The pictures that ingest keeps below ``covers/``: one of each item, one of each shot; and those nobody needs away.

A cover is named after its own bytes, a shot's picture after the bytes of its film and its place in it. Both are written
before the transaction that names them, so a kill leaves a picture too many, never one too few; ``sweep`` takes it away.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from matinee.media.read import Reading
from matinee.pipeline.catalogue import Catalogue
from matinee.protocols import Store

OURS = re.compile(r"[0-9a-f]{64}\.jpg|[0-9a-f]{40}-\d{1,3}\.jpg|\.[0-9a-f-]{1,80}\.\d+\.part")
OLD = 3600.0  # seconds after which a picture that no item names was left by a run that was killed


def frame_name(digest: str, n: int) -> str:
    """Of the n-th shot of a film whose bytes have this SHA-256."""
    return f"covers/{digest[:40]}-{n}.jpg"


def shots_fact(reading: Reading) -> list[dict[str, Any]]:
    """The fact ``shots``: start and end in seconds and the picture of each, null where there is none."""
    return [
        {"start": round(a, 3), "end": round(b, 3), "frame": frame_name(reading.hash, n) if picture else None}
        for n, (a, b, picture) in enumerate(reading.scenes)
    ]


def write_frames(folder: Path, reading: Reading) -> None:
    """Each whole or not at all; one that is there from an earlier reading is replaced."""
    for n, (_, _, picture) in enumerate(reading.scenes):
        if picture:
            write_whole(folder / frame_name(reading.hash, n), picture)


def write_whole(target: Path, raw: bytes) -> None:
    part = target.with_name(f".{target.stem}.{os.getpid()}.part")
    part.write_bytes(raw)
    part.replace(target)


def named(facts: Mapping[str, Any]) -> set[str]:
    """The pictures that an item's facts name."""
    shots = facts.get("shots") or []
    found = {shot.get("frame") for shot in shots if isinstance(shot, dict)}
    cover = facts.get("cover")
    return {n for n in (*found, cover.get("file") if isinstance(cover, dict) else None) if isinstance(n, str)}


def alive(store: Store) -> set[str]:
    """All pictures that an item names, in its facts or as its cover."""
    kept = {item.cover for _, item in store.items() if item.cover}
    for key in ("cover", "shots"):
        for _, value in store.all_facts(key):
            kept |= named({key: value})
    return kept


def forget(folder: Path, names: Iterable[str], kept: set[str]) -> None:
    """Takes away pictures that an item no longer names, unless another does. Only names that ingest gives."""
    for name in set(names) - kept:
        if name.startswith("covers/") and OURS.fullmatch(name.removeprefix("covers/")):
            with suppress(OSError):
                (folder / name).unlink()


def sweep(folder: Path, store: Store, replaced: Iterable[str] = ()) -> None:
    """Takes away what no item names: the ``replaced`` at once, all else when it is older than an hour (a younger one
    may belong to an ingest that runs now). Cost: one pass over the facts, if there is anything to take away."""
    names = set(replaced)
    limit = time.time() - OLD
    with suppress(OSError), os.scandir(folder / "covers") as there:
        names |= {
            f"covers/{e.name}"
            for e in there
            if OURS.fullmatch(e.name) and e.stat(follow_symlinks=False).st_mtime < limit
        }
    if names:
        forget(folder, names, alive(store))


def forget_item(folder: Path, facts: Mapping[str, Any], others: Catalogue) -> None:
    """Takes away the pictures of an item that was deleted, given its facts from before, and the catalogue without it:
    its cover unless another item has the same, its shots' unless another item has the same bytes."""
    own = facts.get("media")
    digest = own.get("hash") if isinstance(own, dict) else None
    kept = {cover for row, cover in others.covers.items() if others.alive[row]}
    if any(others.alive[row] and fact.get("hash") == digest for row, fact in others.media.items()):
        kept |= named({"shots": facts.get("shots")})
    forget(folder, named(facts), kept)
