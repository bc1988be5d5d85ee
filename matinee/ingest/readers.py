"""Reading and encoding files on several cores: each worker thread has a fenced child of its own to decode, and encodes
a batch of files at once in ONNX Runtime, which leaves Python's lock alone meanwhile."""

from __future__ import annotations

import hashlib
import os
import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from matinee.encoders.prints import print_of
from matinee.errors import MatineeError
from matinee.media.answers import Job, Walls
from matinee.media.fence import Fence, open_file
from matinee.media.read import Reading, content_hash, read_clip, read_open
from matinee.media.side import Side, poster, read_side
from matinee.protocols import FileRecord
from matinee.types import Floats, Item, Space

if TYPE_CHECKING:
    from matinee.encoders.senses import Senses

WORKERS = 2
BATCH = 6  # files that a worker reads before it encodes them in one go
DONE = ("taken", "partly")


@dataclass(frozen=True, slots=True)
class Plan:
    """A file to look at: the item it belongs to, what a catalogue says of it, what is known of it, what lies beside."""

    path: Path
    item: str
    given: Item | None
    known: FileRecord | None
    side: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a plan: a reading with a vector for each space it has one in, and labels; or neither reading nor
    error: the same bytes as another file; or an error."""

    plan: Plan
    size: int = 0
    mtime_ns: int = 0
    hash: str = ""
    reading: Reading | None = None
    vectors: dict[Space, Floats] = field(default_factory=dict)
    labels: dict[str, list[list[object]]] = field(default_factory=dict)
    side: Side = Side()
    cover: bytes = b""
    prints: dict[str, Any] = field(default_factory=dict)
    error: MatineeError | None = None


@dataclass(frozen=True, slots=True)
class Claims:
    """The content hashes that are known or under way, so that equal bytes are read by one worker only."""

    lock: threading.Lock
    hashes: set[str]

    def claim(self, digest: str) -> bool:
        with self.lock:
            fresh = digest not in self.hashes
            self.hashes.add(digest)
            return fresh


def digest_of(given: Item | None) -> str:
    """What a catalogue says of a file, in short: another digest means another description."""
    return hashlib.sha256(msgspec.json.encode(given)).hexdigest()[:16] if given else ""


def read_all(plans: Sequence[Plan], senses: Senses, known: set[str]) -> Iterator[list[Outcome]]:
    """Batches of outcomes in the order in which they are done. Stopping the iteration ends the children."""
    claims = Claims(threading.Lock(), set(known))
    batches = [list(plans[i : i + BATCH]) for i in range(0, len(plans), BATCH)]
    fences: queue.SimpleQueue[Fence] = queue.SimpleQueue()
    with ExitStack() as stack:
        for _ in range(min(WORKERS, len(batches))):
            fences.put(stack.enter_context(Fence()))
        pool = ThreadPoolExecutor(WORKERS, "ingest")
        stack.callback(pool.shutdown, wait=True, cancel_futures=True)
        ahead = iter(batches)
        running = {pool.submit(read_batch, b, senses, fences, claims) for b in islice(ahead, 2 * WORKERS)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                if (batch := next(ahead, None)) is not None:
                    running.add(pool.submit(read_batch, batch, senses, fences, claims))
                yield future.result()


def read_batch(
    batch: Sequence[Plan], senses: Senses, fences: queue.SimpleQueue[Fence], claims: Claims
) -> list[Outcome]:
    fence = fences.get()
    try:
        outcomes = [read_one(plan, fence, claims) for plan in batch]
    finally:
        fences.put(fence)
    at = [i for i, o in enumerate(outcomes) if o.reading is not None]
    clips = [r.clip for o in outcomes if (r := o.reading) is not None]
    perceived = senses.perceive(clips)
    for row, i in enumerate(at):
        vectors = {space: v[row : row + 1] for space, v in perceived.vectors.items()}
        outcomes[i] = replace(outcomes[i], vectors=vectors, labels=perceived.labels[row])
    return outcomes


def read_one(plan: Plan, fence: Fence, claims: Claims) -> Outcome:
    outcome = Outcome(plan)
    try:
        fd = open_file(plan.path)
    except MatineeError as error:
        return replace(outcome, error=error)
    try:
        about = os.fstat(fd)
        digest = content_hash(fd)
        outcome = replace(outcome, size=about.st_size, mtime_ns=about.st_mtime_ns, hash=digest)
        art = poster(plan.side)
        outcome = replace(outcome, side=read_side(plan.side), cover=art_of(art, fence) if art else b"")
        if not claims.claim(digest):
            return outcome
        reading = read_open(fd, digest, fence, Job(walls=Walls()))
        cover = outcome.cover or reading.cover
        return replace(outcome, reading=reading, cover=cover, prints=print_of(reading.clip))
    except MatineeError as error:
        return replace(outcome, error=error)
    except OSError as error:
        why = error.strerror or str(error)
        broken = MatineeError("media.unreadable", f"it cannot be read ({why})", f"无法读取（{why}）")
        return replace(outcome, error=broken)
    finally:
        os.close(fd)


def art_of(path: Path, fence: Fence) -> bytes:
    """A picture beside the file as its cover; nothing when it cannot be read."""
    try:
        return read_clip(path, fence).cover
    except MatineeError:
        return b""
