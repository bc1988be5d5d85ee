"""kill -9 at random moments: what was acknowledged is there; what was not is there whole or not at all.

A child process appends batches and says each number over a pipe once ``append`` has returned. It is killed in the
middle of its work, the file is opened again, and the next child goes on with it. The same harness is run on a writer
that acknowledges before the commit, and must find that it loses events: a test that cannot fail proves nothing.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from matinee.protocols import Store
from matinee.store import open_store
from matinee.types import Item

BATCH = 7

# One line in on stdin starts a round: fork a writer that works until it is killed. Forking is some 50 times faster than
# starting Python anew. The parent has opened no store, so the child inherits none.
NURSERY = """
import os, sys, time
from matinee.store import open_store
from matinee.store import sqlite, items, events
from matinee.types import Event, Item

def work(path, start, acks, early):
    store = open_store(path)
    n = start
    while True:
        batch = [Event(id=f"{n}.{k}", user=f"u{n % 5}", kind="play", at=float(n), item="a") for k in range(BATCH)]
        if early:
            os.write(acks, b"%d\\n" % n)
        store.append(batch)
        if n % 3 == 0:
            store.put_items([Item(id=f"i{n}"), Item(id=f"j{n}")])
            store.put_fact(f"i{n}", "k", n)
            store.delete_item(f"j{n}")
        if not early:
            os.write(acks, b"%d\\n" % n)
        n += 1

BATCH, path, early, acks = int(sys.argv[1]), sys.argv[2], sys.argv[3] == "early", int(sys.argv[4])
for line in sys.stdin:
    pid = os.fork()
    if not pid:
        work(path, int(line), acks, early)
    print(pid, flush=True)
    os.waitpid(pid, 0)
    print("dead", flush=True)
"""


@dataclass
class Harness:
    """Kills writers of one store file, and checks the file after each death."""

    path: Path
    early: bool = False
    acknowledged: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)
    torn: set[int] = field(default_factory=set)
    kills: int = 0

    def run(self, kills: int, seed: int) -> None:
        chance = random.Random(seed)
        read_end, write_end = os.pipe()
        mode = "early" if self.early else "late"
        command = [sys.executable, "-c", NURSERY, str(BATCH), str(self.path), mode, str(write_end)]
        nursery = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[write_end], text=True, bufsize=1
        )
        assert nursery.stdin
        assert nursery.stdout
        try:
            for _ in range(kills):
                nursery.stdin.write(f"{max(self.acknowledged, default=-1) + 1 + 1000 * self.kills}\n")
                child = int(nursery.stdout.readline())
                late = chance.random() < 0.7  # else it may die while it opens the file
                heard = os.read(read_end, 1 << 16) if late else b""
                time.sleep(chance.random() * 0.01)
                os.kill(child, signal.SIGKILL)
                assert nursery.stdout.readline() == "dead\n"
                os.set_blocking(read_end, False)
                try:
                    while more := os.read(read_end, 1 << 16):
                        heard += more
                except BlockingIOError:
                    pass
                os.set_blocking(read_end, True)
                self.acknowledged |= {int(number) for number in heard.split()}
                self.kills += 1
                self.check()
        finally:
            nursery.stdin.close()
            nursery.wait(timeout=10)
            nursery.stdout.close()
            os.close(read_end)
            os.close(write_end)

    def check(self) -> None:
        store: Store = open_store(self.path)
        log = store.log()
        kept: dict[int, int] = {}
        for at in log.at.tolist():
            kept[int(at)] = kept.get(int(at), 0) + 1
        self.lost |= self.acknowledged - set(kept)
        self.torn |= {number for number, events in kept.items() if events != BATCH}
        assert store.counts().events == len(log.items)
        assert store.counts().items == len(list(store.items()))
        assert store.counts().users == len(list(store.users()))
        store.close()


def fresh(tmp_path: Path) -> Path:
    store = open_store(tmp_path / "matinee.db")
    store.put_items([Item(id="a")])
    store.close()
    return tmp_path / "matinee.db"


@pytest.mark.parametrize("kills", [120, pytest.param(5_000, marks=pytest.mark.torture)])
def test_nothing_acknowledged_is_lost_and_no_batch_is_torn(tmp_path: Path, kills: int) -> None:
    harness = Harness(fresh(tmp_path))
    harness.run(kills, seed=kills)
    assert harness.kills == kills
    assert len(harness.acknowledged) >= kills / 3
    assert harness.lost == set()
    assert harness.torn == set()


def test_the_harness_finds_a_writer_that_acknowledges_too_early(tmp_path: Path) -> None:
    harness = Harness(fresh(tmp_path), early=True)
    for seed in range(5):  # each kill catches it with a chance of a third or so
        harness.run(20, seed)
        if harness.lost:
            break
    assert harness.lost
