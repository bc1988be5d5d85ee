"""kill -9 of PostgreSQL itself at random moments: its postmaster is killed, its other processes follow by themselves,
and it is started again on what it left. What the store acknowledged is there; a batch is there whole or not at all.

The same harness must find a store that acknowledges before it commits, and one whose commits do not wait for the log.
What it cannot find is a server with ``fsync=off``: the system keeps what a killed process wrote, only a power cut takes
it, and of that the store warns when it connects.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

import pytest

from matinee.errors import MatineeError
from matinee.store import open_store
from matinee.types import Event, Item
from tests.contracts.postgres_server import Postgres, alive, running

pytestmark = pytest.mark.xdist_group("postgres")

BATCH = 5
WRITERS = 3


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    # as it comes, save that the process which writes the log now and then, unasked, sleeps long: what a commit did not
    # write itself is then lost by a kill, and the second control has something to find
    # (syncfs: recovery syncs the disk once instead of each of a thousand files, which took most of the time)
    with running("wal_writer_delay=10000", "recovery_init_sync_method=syncfs") as server:
        yield server


def batch(n: int) -> list[Event]:
    return [
        Event(id=f"{n}.{k}", user=f"u{n}", kind="play", at=float(n), item="a", session=f"s{n}") for k in range(BATCH)
    ]


@dataclass
class Harness:
    """Writers append batches of their own, each for a user of its own, until the server dies under them. ``early``:
    they acknowledge before they append. ``found`` counts what was wrong after the server came back."""

    postgres: Postgres
    address: str
    early: bool = False
    profiles: bool = False  # what is known of people is written, instead of events
    acknowledged: set[int] = field(default_factory=set)
    found: Counter[str] = field(default_factory=Counter)
    numbers: Iterator[int] = field(default_factory=itertools.count)
    kills: int = 0

    def run(self, kills: int, seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(kills):
            before = len(self.acknowledged)
            with closing(open_store(self.address)) as store:
                store.put_items([Item(id="a")])
                writers = [threading.Thread(target=self.write, args=(store,)) for _ in range(WRITERS)]
                for writer in writers:
                    writer.start()
                while len(self.acknowledged) <= before + 2:  # it is under way
                    time.sleep(0.002)
                time.sleep(chance.random() * 0.15)
                there = self.postgres.processes()
                self.postgres.kill()
                assert len(there) > 5
                assert not any(map(alive, there))
                for writer in writers:
                    writer.join(30)
            self.postgres.start()
            self.kills += 1
            self.judge()
            if self.found:
                return

    def write(self, store) -> None:
        while True:
            n = next(self.numbers)
            if self.early:
                self.acknowledged.add(n)
            try:
                self.put(store, n)
            except MatineeError as error:
                if error.code != "store.unreachable":
                    self.found[error.code] += 1
                return
            except Exception as error:  # noqa: BLE001  # whatever it is, it should have been said as one of ours
                self.found[f"{type(error).__name__}: {error}"] += 1
                return
            self.acknowledged.add(n)

    def put(self, store, n: int) -> None:
        if self.profiles:
            store.put_profiles({f"{n}.{k}": {"n": n, "country": "CN"} for k in range(BATCH)})
        else:
            store.append(batch(n))

    def judge(self) -> None:
        with closing(open_store(self.address)) as store:
            kept = Counter(int(store_id.split(".")[0]) for store_id in (people if self.profiles else ids)(store))
            self.found["torn"] += sum(count != BATCH for count in kept.values())
            self.found["lost"] += len(self.acknowledged - set(kept))
            counts = store.counts()
            expected = (BATCH * len(kept), 0) if self.profiles else (len(kept), BATCH * len(kept))
            self.found["miscounted"] += (counts.users, counts.events) != expected
            sequence = store.log().sequence.tolist()
            self.found["disordered"] += sequence != sorted(set(sequence))
        self.found = +self.found


def ids(store) -> list[str]:
    return [event.id for _, event in store.events_after(-1, 10**9)]


def people(store) -> list[str]:
    """Those of whom anything is known, and it is what was put with them."""
    names = dict(store.users())
    told = {names[row]: profile for row, profile in store.profiles()}
    assert all(name.startswith(f"{profile['n']}.") for name, profile in told.items())
    return list(told)


@pytest.mark.parametrize("profiles", [False, True], ids=["events", "profiles"])
@pytest.mark.parametrize("kills", [6, pytest.param(150, marks=pytest.mark.torture)])
def test_nothing_acknowledged_is_lost(postgres: Postgres, kills: int, profiles: bool) -> None:
    with postgres.database() as address:
        harness = Harness(postgres, address, profiles=profiles)
        harness.run(kills, seed=kills)
        assert harness.kills == kills
        assert harness.found == Counter()
        assert len(harness.acknowledged) > 2 * kills


@pytest.mark.parametrize("profiles", [False, True], ids=["events", "profiles"])
def test_the_harness_finds_an_acknowledgement_before_the_commit(postgres: Postgres, profiles: bool) -> None:
    """Three writers are at it at any time: a few kills are enough to catch one between saying and doing."""
    with postgres.database() as address:
        harness = Harness(postgres, address, early=True, profiles=profiles)
        harness.run(20, seed=1)
        assert harness.found["lost"]


def test_the_harness_finds_commits_that_do_not_wait(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    from matinee.store.postgres import connection

    def hasty(url: str, read_only: bool = False) -> connection.Connection:
        made = connect(url, read_only)
        made.execute("SET synchronous_commit = off")
        return made

    connect = connection.connect
    monkeypatch.setattr(connection, "connect", hasty)
    with postgres.database() as address:
        harness = Harness(postgres, address)
        harness.run(20, seed=2)
        assert harness.found["lost"]


def test_it_starts_again_after_a_kill_without_a_hand(postgres: Postgres) -> None:
    """With the pid file and the socket of the killed one still lying there."""
    with postgres.database() as address:
        with closing(open_store(address)) as store:
            store.put_items([Item(id="a")])
            store.append(batch(1))
        postgres.kill()
        assert (postgres.folder / "data/postmaster.pid").exists()
        with pytest.raises(MatineeError) as error:
            open_store(address)
        assert error.value.code == "store.unreachable"
        postgres.start()
        with closing(open_store(address)) as store:
            assert store.append(batch(1)).duplicates == BATCH
