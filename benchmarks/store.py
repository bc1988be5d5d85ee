"""The store: durable events a second, singly and in bulk, reads of one user, and the log for training both ways.

    python -m benchmarks store [--events 1000000] [--target FOLDER | --target postgresql://... | --target postgresql]

``postgresql`` starts the PostgreSQL that is installed here, in a temporary folder, with its own settings as they come.
Every append is on the disk when it is counted (``synchronous=FULL``), so the figures are the disk's as much as the
code's: a plain write and sync of 4 KiB is timed beside them.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from matinee.protocols import Store
from matinee.store import is_postgres, open_store
from matinee.store.snapshot import read_log
from matinee.types import EVENT_KINDS, Event, Item

QUICK = True
ITEMS, USERS = 10_000, 10_000
HIDE = EVENT_KINDS.index("hide")


def events(first: int, n: int, seed: int = 0) -> list[Event]:
    chance = np.random.default_rng(seed + first)
    users, items, kinds = chance.integers(USERS, size=n), chance.integers(ITEMS, size=n), chance.random(n)
    return [
        Event(
            id=f"{first + k}-4f9a61c2", user=f"user-{u}", item=f"item-{i}", kind="play" if r < 0.98 else "hide",
            at=1.7e9 + first + k, value=float(r), session=f"s{u}", slate=f"slate-{k}",
        )
        for k, (u, i, r) in enumerate(zip(users, items, kinds, strict=True))
    ]  # fmt: skip


def timed(act: Callable[[int], object], times: int) -> np.ndarray:
    """(times,) seconds of each call."""
    took = np.empty(times)
    for n in range(times):
        begin = time.perf_counter()
        act(n)
        took[n] = time.perf_counter() - begin
    return took


def tell(what: str, took: np.ndarray, each: int = 1) -> None:
    p50, p99 = np.percentile(took, [50, 99]) * 1000
    print(
        f"{what:44} p50 {p50:9.3f} ms  p99 {p99:9.3f} ms  {each * len(took) / took.sum():12,.0f} a second", flush=True
    )


def synced(folder: Path, times: int) -> np.ndarray:
    with (folder / "floor").open("wb") as file:

        def write(_: int) -> None:
            file.write(b"x" * 4096)
            file.flush()
            os.fdatasync(file.fileno())

        return timed(write, times)


def together(store: Store, threads: int, each: int, base: int) -> float:
    """Events a second of several threads that append one at a time."""

    def work(who: int) -> None:
        for event in events(base + who * each, each):
            store.append([event])

    workers = [threading.Thread(target=work, args=(who,)) for who in range(threads)]
    begin = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return threads * each / (time.perf_counter() - begin)


@contextmanager
def opened(target: str) -> Iterator[tuple[Store, Path]]:
    server = is_postgres(target)
    if target == "postgresql":
        from tests.contracts.postgres_server import running

        with running() as own, opened(own.address("postgres")) as found:
            yield found
        return
    with (
        tempfile.TemporaryDirectory(dir=None if server else target) as name,
        closing(open_store(target if server else Path(name) / "matinee.db")) as store,
    ):
        yield store, Path(name)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--events", type=int, default=200_000, help="in the log when it is read")
    options.add_argument(
        "--target", default=".", help="a folder on the disk to measure, postgresql://..., or postgresql"
    )
    given = options.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    with opened(given.target) as (store, folder):
        store.put_items([Item(id=f"item-{n}") for n in range(ITEMS)])
        tell("floor: write 4 KiB and sync", synced(folder, 300))
        ready = [events(n, 1) for n in range(500)]
        tell("one event, durable", timed(lambda n: store.append(ready[n]), 500))
        print(f"{'8 threads, one event at a time':44} {together(store, 8, 60, 10_000):,.0f} a second")
        ready = [events(20_000 + 1_000 * n, 1_000) for n in range(20)]
        tell("1,000 events in one call", timed(lambda n: store.append(ready[n]), 20), 1_000)
        for first in range(100_000, 100_000 + given.events - 21_000, 10_000):
            store.append(events(first, 10_000))
        print(f"-- a log of {store.counts().events:,} events")
        tell("history: the last 200 of a user", timed(lambda n: store.history(f"user-{n}", 200, 1e12), 500))
        tell("items_of: all a user ever hid", timed(lambda n: store.items_of(f"user-{n}", ("hide", "dislike")), 500))
        tell("items_of: all a user ever saw", timed(lambda n: store.items_of(f"user-{n}"), 500))
        tell("events_after: the newest 50", timed(lambda _: store.events_after(None, 50), 100))
        tell("log(): the database", timed(lambda _: store.log(), 3), store.counts().events)
        begin = time.perf_counter()
        read_log(store, folder, 1_000)
        print(f"{'read_log(): the first, which writes it':44} {time.perf_counter() - begin:.2f} s")
        tell("read_log(): the snapshot", timed(lambda _: read_log(store, folder, 1_000), 5), store.counts().events)


if __name__ == "__main__":
    main()
