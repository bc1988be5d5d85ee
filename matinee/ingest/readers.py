"""Reading and encoding files on several cores: each worker thread has a fenced child of its own to decode, and encodes
a batch of files at once in ONNX Runtime, which leaves Python's lock alone meanwhile."""

from __future__ import annotations

import hashlib
import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from matinee.encoders.prints import print_of
from matinee.errors import MatineeError
from matinee.media.answers import Job
from matinee.media.fence import Fence, open_file
from matinee.media.read import Reading, content_hash, read_clip, read_open, walls_for
from matinee.media.side import Side, poster, read_side
from matinee.protocols import FileRecord
from matinee.types import Floats, Item, Space

if TYPE_CHECKING:
    from matinee.encoders.senses import Senses

MOST = 16  # workers
TICK = 0.5  # seconds after which those who wait are told how far a long file is
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
    sequence: Floats | None = None
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


@dataclass(frozen=True, slots=True)
class Reader:
    """What reading takes: the encoders, the fences that are free, the hashes that are claimed; ``shots``: whether they
    are looked for; ``within`` hears how far a file is, None when it is done."""

    senses: Senses
    shots: bool
    within: Callable[[str, float | None], None]
    claims: Claims
    fences: queue.SimpleQueue[Fence] = field(default_factory=queue.SimpleQueue)

    def batch(self, plans: Sequence[Plan]) -> list[Outcome]:
        """Reads files one after the other and encodes them in one go."""
        fence = self.fences.get()
        try:
            outcomes = [self.one(plan, fence) for plan in plans]
        finally:
            self.fences.put(fence)
        at = [i for i, o in enumerate(outcomes) if o.reading is not None]
        clips = [r.clip for o in outcomes if (r := o.reading) is not None]
        perceived = self.senses.perceive(clips)
        for row, i in enumerate(at):
            vectors = {space: v[row : row + 1] for space, v in perceived.vectors.items()}
            sequence = perceived.sequences[row]
            outcomes[i] = replace(outcomes[i], vectors=vectors, labels=perceived.labels[row], sequence=sequence)
        return outcomes

    def one(self, plan: Plan, fence: Fence) -> Outcome:
        outcome = Outcome(plan)
        try:
            fd = open_file(plan.path)
        except MatineeError as error:
            return replace(outcome, error=error)
        name = str(plan.path)
        try:
            self.within(name, 0.0)
            about = os.fstat(fd)
            digest = content_hash(fd)
            outcome = replace(outcome, size=about.st_size, mtime_ns=about.st_mtime_ns, hash=digest)
            art = poster(plan.side)
            outcome = replace(outcome, side=read_side(plan.side), cover=art_of(art, fence) if art else b"")
            if not self.claims.claim(digest):
                return outcome
            job = Job(walls=walls_for(about.st_size), shots=self.shots)
            reading = read_open(fd, digest, fence, job, partial(self.within, name))
            cover = outcome.cover or reading.cover
            return replace(outcome, reading=reading, cover=cover, prints=prints_of(reading))
        except MatineeError as error:
            return replace(outcome, error=error)
        except OSError as error:
            why = error.strerror or str(error)
            broken = MatineeError("media.unreadable", f"it cannot be read ({why})", f"无法读取（{why}）")
            return replace(outcome, error=broken)
        finally:
            os.close(fd)
            self.within(name, None)


def read_all(plans: Sequence[Plan], reader: Reader) -> Iterator[list[Outcome]]:
    """Batches of outcomes in the order in which they are done; an empty one now and then while a long file is read.
    Stopping the iteration ends the children. Large files come first and batches grow smaller towards the end, so that
    no worker is left alone with a long one when the others are done."""
    workers = cores()
    batches = batched(sorted(plans, key=size_of, reverse=True), workers)
    with ExitStack() as stack:
        for _ in range(min(workers, len(plans))):
            reader.fences.put(stack.enter_context(Fence()))
        pool = ThreadPoolExecutor(workers, "ingest")
        stack.callback(pool.shutdown, wait=True, cancel_futures=True)
        ahead = iter(batches)
        running = {pool.submit(reader.batch, b) for b in islice(ahead, 2 * workers)}
        while running:
            done, running = wait(running, timeout=TICK, return_when=FIRST_COMPLETED)
            if not done:
                yield []
            for future in done:
                if (batch := next(ahead, None)) is not None:
                    running.add(pool.submit(reader.batch, batch))
                yield future.result()


def batched(plans: Sequence[Plan], workers: int) -> list[list[Plan]]:
    """In order, each batch a fourth of a worker's share of what is left, one to six files."""
    batches: list[list[Plan]] = []
    at = 0
    while at < len(plans):
        size = max(1, min(BATCH, (len(plans) - at) // (4 * workers)))
        batches.append(list(plans[at : at + size]))
        at += size
    return batches


def size_of(plan: Plan) -> int:
    """Bytes of the file; 0 where it cannot be looked at, which reading it will tell."""
    try:
        return os.lstat(plan.path).st_size
    except (OSError, ValueError):
        return 0


def cores() -> int:
    """Processor cores that this process may use, at most sixteen."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(there, MOST))


def prints_of(reading: Reading) -> dict[str, Any]:
    return print_of(reading.clip, reading.marks, reading.mark_at, reading.windows, reading.duration)


def art_of(path: Path, fence: Fence) -> bytes:
    """A picture beside the file as its cover; nothing when it cannot be read."""
    try:
        return read_clip(path, fence).cover
    except MatineeError:
        return b""
