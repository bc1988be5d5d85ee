"""Power cuts at any point of any write: with ``synchronous=FULL`` nothing acknowledged is lost and nothing is torn.

The same harness must find what the weaker settings lose: NORMAL forgets acknowledged events, OFF also breaks the file.
(kill -9 cannot tell the three apart: the operating system still has the pages.)
"""

from __future__ import annotations

import os
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from matinee.errors import MatineeError
from matinee.store.check import check
from matinee.store.sqlite import SQLiteStore
from matinee.types import Event, Item, Space

power = pytest.importorskip("tests.properties.power", reason="needs apsw (pip install apsw)", exc_type=ImportError)

BATCH = 4
SPACE = Space("text", "1", 8)


def work(monkeypatch: pytest.MonkeyPatch, folder: Path, synchronous: str) -> object:
    """The store's own writers at work on the recorded disk: batches, items, vectors, releases, an erasure."""
    name = f"cut-{synchronous}-{folder.name}"
    disk = power.Disk(name)
    with monkeypatch.context() as patch:
        patch.setattr("matinee.store.connection.sqlite3", power.Library(name, synchronous))
        store = SQLiteStore(folder / "matinee.db")
        store.put_items([Item(id="a")])
        disk.record.acknowledge("item a")
        for n in range(60):
            user = f"user-{n % 6 if n <= 40 else n % 5}-name"
            store.append([Event(id=f"{n}.{k}", user=user, kind="play", at=float(n), item="a") for k in range(BATCH)])
            disk.record.acknowledge(f"batch {n}")
            if n % 10 == 3:
                store.put_items([Item(id=f"i{n}", description="d" * 3000)])
                store.put_vectors(SPACE, [f"h{n}"], np.eye(8, dtype=np.float32)[[n % 8]])
                store.link_content(f"i{n}", SPACE, f"h{n}")
                store.put_release(f"r{n}", {"n": n})
                store.use_release(f"r{n}")
                disk.record.acknowledge(f"release {n}")
            if n == 50:
                assert store.merge_user("user-0-name", "user-1-name")
                disk.record.acknowledge("merge")
            if n == 40:
                assert store.erase_user("user-5-name")
                disk.record.acknowledge("erasure")
        store.close()
    return disk.record


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where there is such a place: thousands of files are written and synced."""
    memory = Path("/dev/shm")  # noqa: S108
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        yield Path(name)


def harm(record: object, folder: Path, number: int, seed: int) -> Counter[str]:
    """Cuts the power at ``number`` points and counts what is wrong with what is left."""
    chance = random.Random(seed)
    start = record.acks[0][0]  # before that there is no item and nothing was promised
    found: Counter[str] = Counter()
    points = [chance.randrange(start, len(record.steps) + 1) for _ in range(number)]
    for point, files in power.cuts(record, points, seed):
        acknowledged = [what for at, what in record.acks if at <= point]
        for old in folder.glob("matinee.db*"):
            old.unlink()
        for name, data in files.items():
            (folder / name).write_bytes(data)
        found["erased user left"] += "erasure" in acknowledged and any(b"user-5-name" in d for d in files.values())
        found["cuts"] += 1
        try:
            found += judged(folder / "matinee.db", acknowledged, point > after(record, "batch 40"))
        except MatineeError:
            found["unusable"] += 1
    return found


def after(record: object, what: str) -> int:
    return next(at for at, name in record.acks if name == what)


def judged(path: Path, acknowledged: list[str], erasing: bool) -> Counter[str]:
    found: Counter[str] = Counter()
    with closing(SQLiteStore(path)) as store:
        kept = Counter(int(at) for at in store.log().at.tolist())
        found["torn"] += any(events != BATCH for events in kept.values())
        promised = {int(what.split()[1]) for what in acknowledged if what.startswith("batch")}
        if erasing:
            promised -= {n for n in range(41) if n % 6 == 5}
        found["lost"] += bool(promised - set(kept)) or store.item("a") is None
        if "merge" in acknowledged:
            found["merge lost"] += store.names_of("user-0-name") != ("user-1-name", "user-0-name")
        found["merge torn"] += len({event.user for event in store.events_of("user-0-name", 999)}) > 1
        releases = [int(what.split()[1]) for what in acknowledged if what.startswith("release")]
        found["release lost"] += bool(releases) and int((store.release() or ("r0",))[0][1:]) < releases[-1]
    found["damaged"] += bool(check(path))
    return found


@pytest.mark.parametrize("number", [1_000, pytest.param(10_000, marks=pytest.mark.torture)])
def test_power_cuts_lose_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    record = work(monkeypatch, folder, "FULL")
    found = harm(record, folder, number, seed=number)
    assert +found == Counter(cuts=number)


@pytest.mark.parametrize(("synchronous", "what"), [("NORMAL", "lost"), ("OFF", "lost"), ("OFF", "unusable")])
def test_the_harness_finds_what_weaker_settings_lose(
    folder: Path, monkeypatch: pytest.MonkeyPatch, synchronous: str, what: str
) -> None:
    record = work(monkeypatch, folder, synchronous)
    found = harm(record, folder, 60, seed=1)
    assert found[what] > 3, found
