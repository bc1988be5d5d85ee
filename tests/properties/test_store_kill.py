"""kill -9 at random moments of every operation that writes: what was acknowledged is there; what was not is there whole
or not at all, and the next attempt finishes it.

A worker (``killed.py``) says each number over a pipe once its operation has returned. It is killed in the middle of its
work, what it left is judged, and the next worker goes on with it. The same harness is run on workers without what makes
them safe, and must find that they lose or tear: a test that cannot fail proves nothing.
"""

from __future__ import annotations

import os
import random
import re
import select
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from matinee.errors import MatineeError
from matinee.ingest import ingest
from matinee.release import load_release
from matinee.settings import Library
from matinee.store import migrations
from matinee.store.backup import backup, content_digest, read, restore
from matinee.store.check import check
from matinee.store.sqlite import SQLiteStore
from matinee.types import Item
from tests.properties.killed import BATCH, ROWS, events, release_of

MEMORY = next((name for name in ("/dev/shm",) if os.access(name, os.W_OK)), None)  # noqa: S108
Acked = set[int]


@dataclass
class Harness:
    """Kills workers of one operation in ``folder``, and judges what each left. ``found`` counts what was wrong."""

    operation: str
    folder: Path
    safe: bool = True
    acknowledged: Acked = field(default_factory=set)
    found: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    span: float = 0.02  # seconds within which a worker is killed; about one operation, found by listening

    def run(self, kills: int, seed: int) -> None:
        chance = random.Random(seed)
        read_end, write_end = os.pipe()
        os.set_blocking(read_end, False)
        mode = "safe" if self.safe else "unsafe"
        command = [sys.executable, "-m", "tests.properties.killed", self.operation, str(self.folder), mode]
        nursery = subprocess.Popen(
            [*command, str(write_end)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[write_end], text=True,
            bufsize=1, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert nursery.stdin
        assert nursery.stdout
        try:
            for _ in range(kills):
                nursery.stdin.write(f"{max(self.acknowledged, default=-1) + 1}\n")
                child = int(nursery.stdout.readline())
                heard = self.listen(read_end, 2) if self.kills == 0 else b""
                if chance.random() < 0.7:  # else it may die while it opens the file
                    heard += self.listen(read_end, 1)
                time.sleep(chance.random() * self.span)
                os.kill(child, signal.SIGKILL)
                assert nursery.stdout.readline() == "dead\n", heard
                heard += rest(read_end)
                self.acknowledged |= {int(number) for number in heard.split()}
                self.kills += 1
                try:
                    self.found += JUDGES[self.operation](self.folder, self.acknowledged)
                except (MatineeError, sqlite3.Error) as error:
                    self.found[f"unusable: {error}"] += 1
                if not self.safe and self.found:
                    return
        finally:
            nursery.stdin.close()
            nursery.wait(timeout=10)
            nursery.stdout.close()
            os.close(read_end)
            os.close(write_end)

    def listen(self, pipe: int, lines: int) -> bytes:
        """Waits for acknowledgements; of two the time between them is how long the operation takes."""
        heard, at = b"", [time.perf_counter()]
        while heard.count(b"\n") < lines:
            assert select.select([pipe], [], [], 30)[0], "a worker says nothing"
            heard += os.read(pipe, 1 << 16)
            at.append(time.perf_counter())
        if lines > 1:
            self.span = min(max(1.2 * (at[-1] - at[-2]), 0.002), 0.1)
        return heard


def rest(pipe: int) -> bytes:
    heard = b""
    try:
        while more := os.read(pipe, 1 << 16):
            heard += more
    except BlockingIOError:
        pass
    return heard


# what is judged after each death: a count of what is wrong


def judge_events(folder: Path, acked: Acked) -> Counter[str]:
    return judged_log(folder, acked, 1)


def judge_batches(folder: Path, acked: Acked) -> Counter[str]:
    return judged_log(folder, acked, BATCH)


def judged_log(folder: Path, acked: Acked, size: int) -> Counter[str]:
    with closing(SQLiteStore(folder / "matinee.db")) as store:
        kept = Counter(int(at) for at in store.log().at.tolist())
        counts = store.counts()
        wrong = (
            counts.events != kept.total()
            or counts.items != len(list(store.items()))
            or counts.users != len(list(store.users()))
        )
    return +Counter(
        lost=len(acked - set(kept)), torn=sum(1 for events in kept.values() if events != size), miscounted=int(wrong)
    )


def judge_ingest(folder: Path, acked: Acked) -> Counter[str]:
    with closing(SQLiteStore(folder / "matinee.db")) as store:
        items = Counter(int(item.id.split("/")[0]) for _, item in store.items() if item.id != "a")
        with store.database.read() as c:
            told = Counter(int(one.split("/")[0]) for (one,) in c.execute("SELECT id FROM events"))
    return +Counter(
        lost=sum(1 for n in acked if items[n] != ROWS or told[n] != ROWS),
        twice=sum(1 for n in items if items[n] > ROWS or told[n] > ROWS),
    )


def judge_release(folder: Path, acked: Acked) -> Counter[str]:
    with closing(SQLiteStore(folder / "matinee.db")) as store:
        found = store.release()
    n = -1 if found is None else int(found[0], 16)
    wrong = Counter(lost=int(n < max(acked, default=-1)))
    if found is not None:
        release, expected = load_release(folder / "releases" / found[0]), release_of(n)
        for name, model in release.models.items():
            wrong["mixed"] += any((model.arrays()[k] != v).any() for k, v in expected.models[name].arrays().items())
    return +wrong


def judge_erase(folder: Path, acked: Acked) -> Counter[str]:
    left = {int(n) for path in folder.glob("matinee.db*") for n in re.findall(rb"user-(\d+)-name", path.read_bytes())}
    wrong = Counter({"bytes of an acknowledged one": len(left & acked)})
    with closing(SQLiteStore(folder / "matinee.db")) as store:
        kept = Counter(int(at) for at in store.log().at.tolist())
    left = {int(n) for path in folder.glob("matinee.db*") for n in re.findall(rb"user-(\d+)-name", path.read_bytes())}
    wrong["half gone"] = sum(1 for events in kept.values() if events != BATCH)
    wrong["bytes of one gone"] = len(left - set(kept))
    return +wrong


def judge_migrate(folder: Path, acked: Acked) -> Counter[str]:
    wrong: Counter[str] = Counter()
    for path in folder.glob("*.db"):
        with closing(sqlite3.connect(path)) as c:
            version = c.execute("PRAGMA user_version").fetchone()[0]
        wrong["lost"] += int(path.stem) in acked and version != len(migrations.STEPS)
        with closing(SQLiteStore(path)) as store:
            wrong["events"] += store.counts().events != 40 or len(store.log().items) != 40
        wrong["damaged"] += int(path.stem) not in acked and bool(check(path))
        for old in folder.glob(f"{path.stem}.*"):
            old.unlink()
    return +wrong


def judge_backup(folder: Path, acked: Acked) -> Counter[str]:
    wrong: Counter[str] = Counter()
    for target in folder.parent.glob("backup*"):
        read(target)
        if int(target.name.removeprefix("backup")) < max(acked, default=0):
            subprocess.run(["rm", "-r", str(target)], check=True)
    wrong["lost"] = int(bool(acked) and not (folder.parent / f"backup{max(acked)}").exists())
    return +(wrong + judged_log(folder, set(), BATCH))


def judge_restore(folder: Path, acked: Acked) -> Counter[str]:
    SQLiteStore(folder / "matinee.db").close()
    kept = {read(folder.parent / f"kept{n}").manifest.content for n in (0, 1)}
    with closing(sqlite3.connect(folder / "matinee.db")) as c:
        wrong = Counter(mixed=int(content_digest(c) not in kept))
    wrong["damaged"] = bool(check(folder / "matinee.db"))
    return +wrong


def judge_merge(folder: Path, acked: Acked) -> Counter[str]:
    owners: dict[int, set[str]] = {}
    kept: Counter[int] = Counter()
    with closing(SQLiteStore(folder / "matinee.db")) as store:
        for _, event in store.events_after(0, 10**9):
            owners.setdefault(int(event.at), set()).add(event.user)
            kept[int(event.at)] += 1
        users = store.counts().users
        wrong = Counter(miscounted=int(users != len(list(store.users()))))
    wrong["torn"] = sum(1 for names in owners.values() if len(names) != 1)
    wrong["lost"] = sum(1 for n in acked if owners.get(n) != {f"u{n % 3}"} or kept[n] != BATCH + 1)
    return +wrong


def judge_profile(folder: Path, acked: Acked) -> Counter[str]:
    with closing(SQLiteStore(folder / "matinee.db")) as store:
        names = dict(store.users())
        told = {names[row]: profile for row, profile in store.profiles()}
        users = store.counts().users
    one = told.pop("one", {"n": -1})["n"]
    kept = Counter(profile["n"] for profile in told.values())
    return +Counter(
        lost=len(acked - set(kept)), torn=sum(1 for people in kept.values() if people != BATCH),
        mixed=int(one != max(kept, default=-1)), miscounted=int(users != len(names)),
    )  # fmt: skip


JUDGES: dict[str, Callable[[Path, Acked], Counter[str]]] = {
    "event": judge_events, "batch": judge_batches, "threads": judge_batches, "ingest": judge_ingest,
    "release": judge_release, "erase": judge_erase, "migrate": judge_migrate, "backup": judge_backup,
    "restore": judge_restore, "merge": judge_merge, "profile": judge_profile,
}  # fmt: skip


@pytest.fixture
def folder() -> Iterator[Path]:
    """A small library, in memory where there is such a place: a kill does not ask what the disk has."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        path = Path(name) / "library"
        Library.create(path)
        (path / "matinee.toml").write_text("encoders = []\n")
        with closing(SQLiteStore(path / "matinee.db")) as store:
            store.put_items([Item(id="a")])
        yield path


def prepare(operation: str, folder: Path) -> None:
    """What an operation needs beforehand."""
    if operation == "migrate":
        (folder / "matinee.db").unlink()
        with closing(sqlite3.connect(folder / "old", isolation_level=None)) as c:
            migrations.migrate(c, folder / "old", migrations.STEPS[:1])
            c.execute("INSERT INTO items VALUES (0, 1, 'a', '{\"id\":\"a\"}')")
            c.execute("INSERT INTO users VALUES (0, 'u')")
            for n in range(40):
                c.execute("INSERT INTO events VALUES (NULL, 0, 0, 1, 2.5, NULL, ?, NULL, NULL, NULL)", (f"e{n}",))
            c.execute("UPDATE state SET items = 1, users = 1, events = 40")
    if operation in ("backup", "restore"):
        for number in range(2):
            with closing(SQLiteStore(folder / "matinee.db")) as store:
                store.append([one for n in range(30) for one in events(30 * number + n, f"u{n}")])
                store.put_items([Item(id=f"only in {number}", description="d" * 20_000)])
                store.delete_item(f"only in {1 - number}")
            backup(folder, folder.parent / f"kept{number}")
        backup(folder, folder.parent / "good")


SHARES = {
    "event": 130, "batch": 110, "threads": 120, "ingest": 70, "release": 100, "erase": 130, "migrate": 100,
    "backup": 70, "restore": 90, "merge": 120, "profile": 120,
}  # fmt: skip


def test_there_are_enough_kills() -> None:
    assert sum(SHARES.values()) >= 1_000


@pytest.mark.parametrize("times", [1, pytest.param(10, marks=pytest.mark.torture)])
@pytest.mark.parametrize("operation", SHARES)
def test_nothing_acknowledged_is_lost_and_nothing_is_half_done(folder: Path, operation: str, times: int) -> None:
    prepare(operation, folder)
    harness = Harness(operation, folder)
    harness.run(SHARES[operation] * times, seed=times)
    assert harness.found == Counter()
    assert harness.kills == SHARES[operation] * times
    assert len(harness.acknowledged) >= harness.kills / 3
    if operation not in ("migrate", "ingest"):
        assert [piece for piece in check(folder / "matinee.db") if piece.code != "check.erasure"] == []
    if operation == "backup":
        backup(folder, folder.parent / "last")
    if operation == "ingest":
        with closing(SQLiteStore(folder / "matinee.db")) as store:
            ingest(Library.open(folder), store, [folder.parent / "source0"])
    if operation == "restore":
        restore(folder.parent / "kept0", folder)
    assert [path for path in folder.parent.rglob("*") if path.name.endswith(".part")] == []


@pytest.mark.parametrize("operation", SHARES)
def test_the_harness_finds_what_is_not_safe(folder: Path, operation: str) -> None:
    prepare(operation, folder)
    harness = Harness(operation, folder, safe=False)
    for seed in range(10):
        harness.run(20, seed)
        if harness.found:
            break
    assert harness.found
