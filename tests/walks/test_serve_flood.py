"""More is asked than there are places: refusals are held back, and whoever is held is let in, told or forgotten."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from matinee.serve.pressure import LONGEST, RATE, Gate
from tests.walks.serving import Server, serving
from tests.walks.test_serve import fill
from tests.walks.test_serve_faults import stuck

GET = b"GET /api/v1/users/u1/recommendations?n=3 HTTP/1.1\r\nhost: localhost\r\n"
POST = b"POST /api/v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%s"
EVENT = b'{"id":"held","user":"u1","item":"i1","kind":"like"}'


def answer(connection: socket.socket, body: bool = True) -> bytes:
    """The next whole answer."""
    told = b""
    while (found := re.search(rb"content-length: (\d+).*?\r\n\r\n", told, re.DOTALL)) is None or (
        body and len(told) < found.end() + int(found[1])
    ):
        part = connection.recv(4096 if body else 1)
        assert part, told
        told += part
    return told


class Flooded:
    """A server whose one place is taken by a body that does not end, after so many refusals that more are held."""

    def __init__(self, server: Server, held: contextlib.ExitStack) -> None:
        self.server, self.held = server, held
        self.address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        self.stuck = held.enter_context(stuck(server))
        time.sleep(0.2)
        self.crowd = [self.ask(GET + b"\r\n") for _ in range(int(RATE) + 70)]
        time.sleep(0.3)

    def ask(self, data: bytes) -> socket.socket:
        one = self.held.enter_context(socket.create_connection(self.address, timeout=9))
        one.sendall(data)
        return one

    def refused(self) -> int:
        text = self.server.client.get("/metrics").text
        return sum(int(float(n)) for n in re.findall(r'matinee_requests_total\{[^}]*status="503"\} (\S+)', text))


@contextlib.contextmanager
def flooded(folder: Path, seconds: float) -> Iterator[Flooded]:
    fill(folder)
    (folder / "matinee.toml").write_text(f"[access]\nrunning = 1\nwaiting = 0\nseconds = {seconds}\n")
    with serving(folder) as server, contextlib.ExitStack() as held:
        yield Flooded(server, held)


def test_few_refusals_go_out_at_once_and_a_flood_at_an_even_rate() -> None:
    gate = Gate()
    assert [gate.pause(10.0 + k / 20) for k in range(100)] == [0.0] * 100
    flood = [30.0 + k / 1000 + gate.pause(30.0 + k / 1000) for k in range(200)]
    assert flood[0] == 30.0
    assert flood[-1] - flood[100] == pytest.approx(99 / RATE, rel=0.05)
    assert max(gate.pause(31.0 + k / 5000) for k in range(5000)) == pytest.approx(LONGEST)
    assert gate.pause(60.0) == 0.0


def test_who_is_held_back_is_let_in_as_soon_as_there_is_a_place(tmp_path: Path) -> None:
    with flooded(tmp_path, 10.0) as flood:
        crowd = [flood.ask(GET + b"\r\n") for _ in range(20)]
        crowd.append(flood.ask(POST % (len(EVENT), EVENT)))
        late = flood.ask(POST[:-2] % len(EVENT))  # its body comes while it is held
        late.sendall(EVENT)
        twice = flood.ask(GET + b"\r\n" + GET + b"\r\n")
        time.sleep(0.3)
        begun = time.monotonic()
        flood.stuck.close()
        answers = [answer(one).split(b"\r\n")[0] for one in (*crowd, late)]
        assert time.monotonic() - begun < 3.0
        assert answers == [b"HTTP/1.1 200 OK"] * 20 + [b"HTTP/1.1 202 Accepted"] * 2
        told = b""
        while told.count(b"HTTP/1.1 200 OK") < 2:
            part = twice.recv(4096)
            assert part
            told += part
        assert flood.server.client.get("/api/v1/users/u1/events?n=500").text.count('"held"') == 1


def test_who_is_held_back_for_long_is_told_and_may_ask_again(tmp_path: Path) -> None:
    with flooded(tmp_path, 3.0) as flood:
        begun = time.monotonic()
        chinese = flood.ask(GET + b"accept-language: zh\r\n\r\n")
        head = flood.ask(GET.replace(b"GET", b"HEAD") + b"\r\n")
        last = flood.ask(GET + b"connection: close\r\n\r\n")
        health = flood.ask(GET.replace(b"users/u1/recommendations?n=3", b"health") + b"\r\n")
        assert answer(health).startswith(b"HTTP/1.1 200 OK")  # needs no place, so it is not held
        assert time.monotonic() - begun < 0.5
        with contextlib.suppress(OSError):
            flood.stuck.sendall(b" ")
        told = answer(chinese)
        taken = time.monotonic() - begun
        assert b" 503 " in told.split(b"\r\n")[0]
        assert 0.2 < taken < 0.8 * 3 + 0.5
        assert "请求过多" in told.decode()
        assert b"\r\nretry-after: " in told
        assert b"\r\ndate: " in told
        assert b"\r\nx-content-type-options: nosniff" in told
        assert int(re.findall(rb"content-length: (\d+)", told)[0]) == len(told.partition(b"\r\n\r\n")[2])
        assert b" 503 " in answer(last)
        assert last.recv(4096) == b""  # closed, as it wished
        assert answer(head, body=False).startswith(b"HTTP/1.1 503")
        head.settimeout(0.2)
        with pytest.raises(TimeoutError):
            head.recv(1)  # no body
        time.sleep(3.0)  # the place is taken from the body that does not end
        chinese.sendall(GET + b"\r\n")
        assert answer(chinese).startswith(b"HTTP/1.1 200 OK")


def test_who_goes_away_while_held_back_is_forgotten(tmp_path: Path) -> None:
    with flooded(tmp_path, 4.0) as flood:
        stays = [flood.ask(GET + b"\r\n") for _ in range(5)]
        goes = [flood.ask(GET + b"\r\n") for _ in range(50)]
        for one in (*flood.crowd[-50:], *goes):
            one.close()
        before = flood.refused()
        assert all(b" 503 " in answer(one) for one in stays)
        time.sleep(0.5)
        assert flood.refused() - before <= 5 + 20  # who stayed, and what the crowd still had


def test_nothing_is_worked_out_for_who_went_away_while_in_line(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "matinee.toml").write_text("[access]\nrunning = 1\nwaiting = 60\nseconds = 1.5\n")
    with serving(tmp_path) as server, contextlib.ExitStack() as held:
        told = lambda: server.client.get("/metrics").text  # noqa: E731
        address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        holding = held.enter_context(stuck(server))
        time.sleep(0.2)
        for _ in range(40):
            with socket.create_connection(address) as one:
                one.sendall(GET + b"\r\n")
                time.sleep(0.005)
        stays = held.enter_context(socket.create_connection(address, timeout=9))
        stays.sendall(GET + b"\r\n")
        time.sleep(0.2)
        holding.close()
        assert answer(stays).startswith(b"HTTP/1.1 200 OK")
        time.sleep(0.2)
        slates = re.findall(r'requests_total\{.*recommendations",status="200"\} (\S+)', told())
        assert [float(n) for n in slates] == [1.0]


def test_a_stop_does_not_wait_for_who_is_held_back(tmp_path: Path) -> None:
    with flooded(tmp_path, 10.0) as flood:
        crowd = [flood.ask(GET + b"\r\n") for _ in range(100)]
        time.sleep(0.2)
        begun = time.monotonic()
        flood.server.process.send_signal(signal.SIGTERM)
        for one in crowd[50:]:
            told = answer(one)
            assert told.startswith(b"HTTP/1.1 503")
            assert b"\r\nconnection: close\r\n" in told
        assert time.monotonic() - begun < 1.0
        flood.stuck.close()  # what is under way may end
        assert flood.server.process.wait(10) in (0, -signal.SIGTERM)
        assert time.monotonic() - begun < 3.0
