"""Time of a slate by stage over a synthetic library: ``python -m benchmarks.requests [items] [dim]``.

Prints p50 and p99 in milliseconds for histories of 0, 10 and 200 events, in one thread, and beside them the floor: the
time to read every vector once, which an exact search cannot undercut.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from matinee.serve.service import Ask, Service
from matinee.settings import Library
from matinee.store import open_store
from matinee.types import Event, Item, Space


def fill(folder: Path, items: int, dim: int) -> Library:
    library = Library.create(folder)
    store = open_store(library.database)
    chance = np.random.default_rng(0)
    store.put_items([
        Item(id=f"i{i}", title=f"item {i}", categories=(f"c{i % 20}",), collection=f"k{i % 3}") for i in range(items)
    ])  # fmt: skip
    space = Space("text", "synthetic", dim)
    centres = chance.standard_normal((50, dim)).astype(np.float32)
    for start in range(0, items, 10_000):
        rows = range(start, min(start + 10_000, items))
        vectors = centres[[r % 50 for r in rows]] + chance.standard_normal((len(rows), dim)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        with store.together():
            store.put_vectors(space, [f"h{r}" for r in rows], vectors)
            for r in rows:
                store.link_content(f"i{r}", space, f"h{r}")
    events = [
        Event(id=f"{u}-{k}", user=f"{n}-{u}", item=f"i{min(int(items * chance.random() ** 3), items - 1)}",
              kind="play", value=0.9, at=1.7e9 + k)
        for n in (10, 200) for u in range(50) for k in range(n)
    ]  # fmt: skip
    events = [
        Event(id=f"{e.user}/{e.id}", user=e.user, item=e.item, kind=e.kind, value=e.value, at=e.at) for e in events
    ]
    for start in range(0, len(events), 5000):
        store.append(events[start : start + 5000])
    store.close()
    return library


def measure(service: Service, prefix: str, rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {}
    for k in range(rounds):
        started = time.perf_counter()
        slate, _ = service.recommend(f"{prefix}-{k % 50}", 20, Ask())
        for stage, ms in {**slate.ms, "all": (time.perf_counter() - started) * 1000}.items():
            times.setdefault(stage, []).append(ms)
    return times


def main() -> None:
    items = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    dim = int(sys.argv[2]) if len(sys.argv) > 2 else 512
    with tempfile.TemporaryDirectory() as folder:
        library = fill(Path(folder), items, dim)
        store = open_store(library.database)
        started = time.perf_counter()
        service = Service(library, store)
        print(f"{items} items x {dim}, state built in {time.perf_counter() - started:.2f} s")
        vectors, probe = service.state.catalogue.shelves["text"].vectors, np.ones(dim, np.float32)
        floor = min(_timed(lambda: vectors @ probe) for _ in range(20))
        print(f"floor, every vector read once: {floor:.2f} ms")
        for prefix in ("0", "10", "200"):
            measure(service, prefix, 20)
            times = measure(service, prefix, 300)
            told = "  ".join(f"{s} {np.percentile(v, 50):.2f}/{np.percentile(v, 99):.2f}" for s, v in times.items())
            print(f"history {prefix:>3}: p50/p99 ms  {told}")
        store.close()


def _timed(work: object) -> float:
    started = time.perf_counter()
    work()  # type: ignore[operator]
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    main()
