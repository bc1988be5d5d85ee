"""Time of a slate by stage: ``python -m benchmarks.serving [items] [dim] [--untrained] [--numpy] [--keep FOLDER]``.

Prints p20, p50 and p99 in milliseconds for histories of 0, 10 and 200 events, in one thread of one process, and beside
them the floor: the time to read every vector once, which an exact search cannot undercut, and the memory of the
process. "processor" is the thread's own time: on a machine that others use too, that is what to believe. Last, what one
item put through the API costs, with its vector, and the first slate, search and filtered slate
after it.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.library import HISTORIES, USERS, fill
from matinee import kernels
from matinee.serve import asking
from matinee.serve.service import Ask, Service
from matinee.store import open_store
from matinee.types import Floats, Item, Space


def measure(service: Service, prefix: int, rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {}
    for k in range(rounds):
        started, cpu = time.perf_counter(), time.thread_time()
        told = asking.recommendations(service, f"{prefix}-{k % USERS}", 20, Ask(), "en")
        made = time.perf_counter()
        msgspec.json.encode(told)
        ended = time.perf_counter()
        spent = (time.thread_time() - cpu) * 1000
        whole = {**told.ms, "json": (ended - made) * 1000, "all": (ended - started) * 1000, "processor": spent}
        for stage, ms in whole.items():
            times.setdefault(stage, []).append(ms)
    return times


@dataclass
class Given:
    """Stands where the text encoder stands; reads nothing and has a vector for everything."""

    space: Space
    vector: Floats
    state: str = "ready"

    def text(self, text: str) -> dict[Space, Floats]:
        return {self.space: self.vector}

    def asked(self, text: str) -> dict[str, Floats]:
        return {}  # words are compared alone


def writes(service: Service, dim: int, rounds: int = 5) -> None:
    vector = np.ones(dim, np.float32) / np.float32(np.sqrt(dim))
    service.reader = Given(service.state.catalogue.shelves["text"].space, vector)  # type: ignore[assignment]
    took: list[tuple[float, ...]]
    for name, known in (("new", "new-{}"), ("changed", "i{}")):
        took = []
        for k in range(rounds):
            item = Item(id=known.format(k), title=f"Put {k}", categories=("theme 3",), creators=("maker 1",))
            steps = [time.perf_counter()]
            service.put_item(item)
            steps.append(time.perf_counter())
            for _ in range(2):
                asking.recommendations(service, "200-0", 20, Ask(), "en")
                steps.append(time.perf_counter())
            took.append(tuple(1000 * np.diff(steps)))
        put, first, second = np.median(took, axis=0)
        print(f"one item {name}: put {put:.1f} ms, first slate after it {first:.1f}, second {second:.1f} (medians)")
    where = Ask(where='duration < 600 and "theme 3" in categories')
    reads: dict[str, Callable[[], object]] = {
        "search": lambda: asking.search(service, "words of theme 3", 20, "en"),
        "filtered slate": lambda: asking.recommendations(service, "200-0", 20, where, "en"),
    }
    for name, ask in reads.items():
        ask()
        took = []
        for k in range(rounds):
            service.put_item(Item(id=f"i{k}", title=f"Put {k} again", categories=("theme 3",), creators=("maker 1",)))
            asking.recommendations(service, "200-0", 20, Ask(), "en")  # takes what is not the point here on itself
            took.append((_timed(ask), _timed(ask)))
        first, second = np.median(took, axis=0)
        print(f"{name}: first after a put {first:.1f} ms, second {second:.1f} (medians)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("items", type=int, nargs="?", default=10_000)
    parser.add_argument("dim", type=int, nargs="?", default=128)
    parser.add_argument("--untrained", action="store_true")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--numpy", action="store_true", help="without the compiled loops of the extra 'fast'")
    asked = parser.parse_args()
    form = "compiled loops" if not asked.numpy and kernels.start() else "NumPy"
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1, "blas"):
        library = fill(asked.keep or Path(folder), asked.items, asked.dim, trained=not asked.untrained)
        store = open_store(library.database)
        started = time.perf_counter()
        service = Service(library, store)
        asking.recommendations(service, "200-0", 20, Ask(), "en")
        service.warm()
        print(f"{asked.items} items x {asked.dim}, {form}, first slate after {time.perf_counter() - started:.2f} s")
        vectors, probe = service.state.catalogue.shelves["text"].vectors, np.ones(asked.dim, np.float32)
        print(f"floor, every vector read once: {min(_timed(lambda: vectors @ probe) for _ in range(20)):.2f} ms")
        for prefix in HISTORIES:
            measure(service, prefix, 20)
            times = measure(service, prefix, asked.rounds)
            told = "  ".join(
                "{} {:.2f}/{:.2f}/{:.2f}".format(s, *np.percentile(v, (20, 50, 99))) for s, v in times.items()
            )
            print(f"history {prefix:>3}: p20/p50/p99 ms  {told}")
        writes(service, asked.dim)
        print(f"memory at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
        store.close()


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    main()
