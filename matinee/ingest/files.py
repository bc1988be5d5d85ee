"""Media files: which need a look, reading and encoding them on two cores, and keeping what was learned."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from matinee import __version__
from matinee.encoders.near import near_pairs
from matinee.ingest.keep import keep, keep_linked
from matinee.ingest.readers import DONE, Claims, Outcome, Plan, Reader, digest_of, read_all
from matinee.ingest.run import Run
from matinee.media.folder import Found, readable_name
from matinee.media.side import beside, digest
from matinee.protocols import FileRecord
from matinee.types import Item


def take_media(run: Run, found: Sequence[Found], described: Mapping[Path, Item]) -> None:
    """Reads, encodes and keeps the files that changed; ``described``: catalogue items by their file."""
    if not found and not described:
        return
    plans = to_read(run, found, described)
    if not plans:
        return
    senses = run.senses  # before any file: a missing checkpoint is said at once
    run.library.covers.mkdir(exist_ok=True)
    known = {r.hash: r.item for r in run.records.values() if r.status in DONE and r.item and r.hash}
    known = {h: i for h, i in known.items() if run.store.facts(i).get("media", {}).get("read") == run.keys}
    linked: list[Outcome] = []
    done = 0
    run.progress("media", 0, len(plans))
    library = run.library
    claims = Claims(threading.Lock(), set(known))
    reader = Reader(senses, library.settings.reading.shots, run.live.within, claims)
    for outcomes in read_all(plans, reader):
        linked += keep(run, outcomes, known) if outcomes else []
        done += len(outcomes)
        run.progress("media", done, len(plans))
        if not outcomes and (under := run.live.slowest()):
            run.live.inside_of(*under)
    for outcome in linked:
        keep_linked(run, outcome, known)
    link_near(run, {plan.item for plan in plans})


def to_read(run: Run, found: Sequence[Found], described: Mapping[Path, Item]) -> list[Plan]:
    """A plan for each file, less those of unchanged size, time, encoders and description."""
    files = {f.path: f for f in found} | {p: Found(p, p.parent) for p in described if p not in {f.path for f in found}}
    names = beside_all(files)
    owners = {r.item: r.path for r in run.records.values() if r.item and r.status != "missing"}
    plans = []
    for path, file in files.items():
        if not readable_name(path):
            run.report.refused += 1
            why = "its name holds signs that are no text; rename it", "文件名含有非文本字符，请重命名"
            run.report.note(ascii(str(path)), "refused", *why)
            continue
        given, old = described.get(path), run.records.get(str(path))
        item = given.id if given else old.item if old and old.item else file.id
        if not given and not (old and old.item) and owners.get(item, str(path)) != str(path):
            # another folder has a file of this relative path: told apart by where this one lies
            item = f"{item}~{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}"
        owners[item] = str(path)
        plan = Plan(path, item, given, old, tuple(beside(path, names[path.parent])))
        if not old or not unchanged(run, plan, old):
            plans.append(plan)
    return plans


def beside_all(files: Iterable[Path]) -> dict[Path, list[str]]:
    """The names in each folder that holds one of the files."""
    names: dict[Path, list[str]] = {}
    for folder in {path.parent for path in files}:
        try:
            names[folder] = sorted(os.listdir(folder))
        except OSError:
            names[folder] = []
    return names


def unchanged(run: Run, plan: Plan, old: FileRecord) -> bool:
    """Whether there is nothing to do for a file; counted and told here."""
    try:
        about = os.lstat(plan.path)
    except OSError:
        return False
    if (about.st_size, about.st_mtime_ns) != (old.size, old.mtime_ns) or old.item not in (plan.item, None):
        return False
    if old.status == "refused":
        en, zh, version = (*old.note.split(" | "), "", "")[:3]
        if version != __version__:  # a newer Matinee may read what an older one could not
            return False
        run.report.refused += 1
        run.report.note(plan.path, "refused", en, zh or en)
        return True
    fact = run.store.facts(plan.item).get("media", {}) if run.store.item(plan.item) else {}
    if old.status not in DONE or fact.get("read") != run.keys or fact.get("given") != digest_of(plan.given):
        return False
    if fact.get("side") != digest(plan.side):
        return False
    run.report.unchanged += 1
    return True


def mark_missing(run: Run, roots: Sequence[Path]) -> None:
    """Files that were taken from under these roots and are gone: their items stay, without media."""
    for path, old in run.records.items():
        under = any(Path(path).is_relative_to(root) for root in roots)
        if not under or old.status == "missing" or old.item is None or os.path.lexists(path):
            continue
        with run.store.together():
            item = run.store.item(old.item)
            if item is not None and item.media == path:
                run.store.put_items([msgspec.structs.replace(item, media=None)])
            run.store.put_file(replace(old, status="missing"))
        run.report.missing += 1
        run.report.note(path, "missing", "it is gone; its item stays without media", "文件已不存在，条目保留但没有媒体")


def link_near(run: Run, fresh: set[str]) -> None:
    """Items that share pictures or sound with a fresh one name each other in the fact ``near``: other encodings, other
    sizes, trims. Nothing is merged: which of them to show is for others to decide."""
    prints = {row: dict(value) for row, value in run.store.all_facts("print")}
    names = {row: item.id for row, item in run.store.items() if row in prints}
    rows = [row for row, id_ in names.items() if id_ in fresh]
    hashes = {row: run.store.facts(names[row]).get("media", {}).get("hash") for row in rows}
    pairs: dict[frozenset[int], list[dict[str, object]]] = {}
    for near in near_pairs({r: p for r, p in prints.items() if r in names}, rows):
        if hashes.get(near.first) != run.store.facts(names[near.second]).get("media", {}).get("hash"):
            pairs.setdefault(frozenset((near.first, near.second)), []).append({"by": near.by, "share": near.share})
    with run.store.together():
        for pair, shared in pairs.items():
            first, second = (names[row] for row in sorted(pair))
            for one, other in ((first, second), (second, first)):
                others = [n for n in run.store.facts(one).get("near", []) if n.get("item") != other]
                run.store.put_fact(one, "near", [*others, {"item": other, "shared": shared}])
            run.report.near += 1
            en, zh = f"shares pictures or sound with {first}", f"与 {first} 的画面或声音相同"
            run.report.note(second, "near", en, zh)
