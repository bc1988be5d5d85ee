"""Files that are gone through again for what costs more than a look: what is said, what stands written.

These are passes of their own, after all files were read: an item can be found and recommended before its words are
known; a setting that is switched on later reads only what is missing; equal bytes are gone through once.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from matinee.errors import MatineeError
from matinee.ingest.readers import DONE
from matinee.ingest.run import Run
from matinee.ingest.words import put_words
from matinee.media.fence import Fence, open_file
from matinee.protocols import FileRecord

WORKERS = 2

Found = dict[str, Any]
"""Facts of an item."""


@dataclass(frozen=True, slots=True)
class Target:
    """A file to go through, the items of its bytes, and what is known of the first of them."""

    record: FileRecord
    items: tuple[str, ...]
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Opened:
    """``tell`` hears how far it is, 0 to 1; ``save`` keeps facts on the way, so that a long file that is interrupted
    goes on from there; ``stop``: the ingest ends now."""

    target: Target
    fd: int
    fence: Fence
    tell: Callable[[float], None]
    save: Callable[[Found], None]
    stop: threading.Event


@dataclass(frozen=True, slots=True)
class Pass:
    """``stage`` names it in the progress; ``mark``: the fact that says what was gone through, with the content hash,
    and the field of the report that counts it; ``work`` answers with the facts to keep; ``troubled`` says in English
    and Chinese what did not work out."""

    stage: str
    mark: str
    work: Callable[[Opened], Found]
    troubled: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Work:
    """What the workers of one pass share."""

    run: Run
    task: Pass
    fences: list[Fence] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    stop: threading.Event = field(default_factory=threading.Event)

    def one(self, target: Target) -> Found:
        """In a worker's thread: the facts of one file. Raises ``media.*``."""
        path, run = target.record.path, self.run
        fd = open_file(Path(path))
        with self.lock:
            fence = self.fences.pop()
        try:
            about = os.fstat(fd)
            if (about.st_size, about.st_mtime_ns) != (target.record.size, target.record.mtime_ns):
                return {}  # it changed since it was read: the next ingest sees to it
            run.live.within(path, 0.0)
            opened = Opened(
                target, fd, fence, lambda share: run.live.within(path, share),
                lambda found: run.store.put_fact(target.items[0], self.task.mark, found), self.stop,
            )  # fmt: skip
            return self.task.work(opened)
        finally:
            run.live.within(path, None)
            with self.lock:
                self.fences.append(fence)
            os.close(fd)


def go_through(run: Run, targets: Sequence[Target], task: Pass) -> None:
    """Each target once, on two cores; what is found is kept file by file, so it may be stopped anywhere."""
    done, work = 0, Work(run, task)
    run.progress(task.stage, 0, len(targets))
    with ExitStack() as stack:
        for _ in range(min(WORKERS, len(targets))):
            work.fences.append(stack.enter_context(Fence()))
        pool = ThreadPoolExecutor(len(work.fences), task.stage)
        stack.callback(pool.shutdown, wait=True, cancel_futures=True)
        stack.callback(work.stop.set)
        running: dict[Future[Found], Target] = {pool.submit(work.one, t): t for t in targets}
        while running:
            ended, _ = wait(running, timeout=1.0, return_when=FIRST_COMPLETED)
            for future in ended:
                target = running.pop(future)
                done += 1
                settle(run, task, target, future)
                run.progress(task.stage, done, len(targets))
            if not ended and (under := run.live.slowest()):
                run.live.inside_of(*under)


def settle(run: Run, task: Pass, target: Target, future: Future[Found]) -> None:
    """Keeps what was found in a file; of one that cannot be read it is kept that it need not be tried again."""
    try:
        found = future.result()
    except MatineeError as error:
        if not error.code.startswith("media."):
            raise
        en, zh = task.troubled
        run.report.note(target.record.path, task.stage, f"{en}: {error.en}", f"{zh}：{error.zh}")
        if error.code in ("media.unreadable", "media.link", "media.special", "media.changed"):
            return  # tried again by the next ingest
        found = {task.mark: {"hash": target.record.hash, "by": "", "failed": error.code}}
    if found:
        put_words(run, target.items, target.record.hash, found)
        setattr(run.report, task.mark, getattr(run.report, task.mark) + len(target.items))


def targets(run: Run, roots: Sequence[Path], wanted: Callable[[Mapping[str, Any]], bool]) -> list[Target]:
    """The files under these roots of whose items the facts leave something to do, equal bytes once. One read of the
    store a file."""
    found: dict[str, Target] = {}
    for record in run.store.files():
        if record.status not in DONE or record.item is None or not record.hash:
            continue
        if not any(Path(record.path).is_relative_to(root) for root in roots) or run.store.item(record.item) is None:
            continue
        facts = run.store.facts(record.item)
        if facts.get("media", {}).get("hash") != record.hash or not wanted(facts):
            continue
        if (known := found.get(record.hash)) is None:
            found[record.hash] = Target(record, (record.item,), facts)
        else:
            found[record.hash] = replace(known, items=(*known.items, record.item))
    return list(found.values())
