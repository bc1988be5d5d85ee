"""Several processes behind one socket: each has its share of the connections, and none is lost to one that sleeps."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from matinee.serve.share import ABSENT, Held
from tests.walks.serving import address
from tests.walks.test_serve import fill


def test_who_holds_more_than_another_leaves_it_the_next_one(tmp_path: Path) -> None:
    Held.make(tmp_path, 3)
    mine, other = Held(tmp_path), Held(tmp_path)
    try:
        mine.tell(0, 5)
        assert not mine.too_many(0)  # nobody else takes any
        other.tell(1, 5)
        assert not mine.too_many(0)
        other.tell(1, 4)
        assert mine.too_many(0)
        assert not other.too_many(1)
        mine.tell(0, 90)
        other.tell(1, 80)  # an eighth is near enough
        assert not mine.too_many(0)
        mine.tell(0, 91)
        assert mine.too_many(0)
        other.tell(1, ABSENT)
        assert not mine.too_many(0)
    finally:
        mine.close()
        other.close()


@dataclass
class Workers:
    process: subprocess.Popen[str]
    port: int

    def pids(self) -> list[int]:
        return [int(p) for p in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()]

    def sockets(self) -> list[int]:
        return [sum(os.readlink(f).startswith("socket:") for f in Path(f"/proc/{p}/fd").iterdir()) for p in self.pids()]

    @contextlib.contextmanager
    def connected(self, count: int) -> Iterator[list[http.client.HTTPConnection]]:
        connections = [http.client.HTTPConnection("127.0.0.1", self.port, timeout=10) for _ in range(count)]
        try:
            for one in connections:
                one.connect()
            yield connections
        finally:
            for one in connections:
                one.close()


def ask(connection: http.client.HTTPConnection) -> int:
    connection.request("GET", "/api/v1/users/u1/recommendations?n=3")
    answer = connection.getresponse()
    answer.read()
    return answer.status


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    folder = tmp_path_factory.mktemp("library")
    fill(folder)
    environ = {**os.environ, "MATINEE_CACHE": str(folder / "none"), "OMP_NUM_THREADS": "1", "MATINEE_LANG": "en"}
    with subprocess.Popen(
        [sys.executable, "-m", "matinee", "serve", "--workers", "2", "--port", "0", "--library", str(folder)],
        stderr=subprocess.PIPE, text=True, env=environ,
    ) as process:  # fmt: skip
        running = Workers(process, int(address(process).rpartition(":")[2]))
        try:
            with running.connected(8) as connections:
                assert {ask(one) for one in connections} == {200}
            time.sleep(1.0)
            yield running
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0


def test_connections_are_dealt_evenly(workers: Workers) -> None:
    """Left to themselves the workers split eight of them 7 to 1 or 8 to 0 in some rounds of forty, and 6 to 2."""
    before, uneven = workers.sockets(), []
    for _ in range(25):
        with workers.connected(8) as connections:
            assert {ask(one) for one in connections} == {200}
            held = [now - then for now, then in zip(workers.sockets(), before, strict=True)]
            assert sum(held) == 8
            uneven.append(abs(held[0] - held[1]))
        time.sleep(0.1)
    assert max(uneven) <= 4
    assert sum(uneven) / len(uneven) < 1.5


def test_who_sleeps_takes_none_from_those_who_wait(workers: Workers) -> None:
    one = workers.pids()[0]
    with workers.connected(4) as connections:
        assert {ask(c) for c in connections} == {200}
        os.kill(one, signal.SIGSTOP)
        try:
            begun = time.monotonic()
            with workers.connected(12) as more:
                assert {ask(c) for c in more} == {200}
            assert time.monotonic() - begun < 3.0
        finally:
            os.kill(one, signal.SIGCONT)


def test_connections_after_a_death_are_answered_by_the_others_and_then_shared(workers: Workers) -> None:
    gone = workers.pids()[0]
    os.kill(gone, signal.SIGKILL)
    for _ in range(40):  # while it is noticed, and while another starts
        with workers.connected(2) as connections:
            assert {ask(one) for one in connections} == {200}
    end = time.monotonic() + 30
    while len(workers.pids()) < 2 or gone in workers.pids():
        assert time.monotonic() < end
        time.sleep(0.1)
    held = [0, 0]
    while min(held) < 3:
        assert time.monotonic() < end
        before = workers.sockets()
        with workers.connected(8) as connections:
            assert {ask(one) for one in connections} == {200}
            held = [now - then for now, then in zip(workers.sockets(), before, strict=True)]
        time.sleep(0.2)
