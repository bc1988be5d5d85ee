"""A server that is ended under load, held up by slow clients, or out of memory: others go on, nothing is lost."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from pathlib import Path

import httpx
import pytest

from matinee.serve import people
from matinee.settings import Library
from matinee.store import open_store
from tests.contracts.test_schema import Api
from tests.walks.serving import Server, serving
from tests.walks.test_serve import fill


@pytest.mark.parametrize("early", [False, True], ids=["acknowledged", "control: said before it was sent"])
def test_an_end_by_sigterm_under_load_loses_nothing_acknowledged(tmp_path: Path, early: bool) -> None:
    """Six clients send without a pause; the server answers what it has begun and is gone within ten seconds."""
    fill(tmp_path)
    said: set[str] = set()
    refused: set[int] = set()

    def send(url: str, who: int) -> None:
        with httpx.Client(base_url=url, timeout=20) as client:
            for n in range(100_000):
                events = [{"id": f"{who}/{n}/{k}", "user": f"w{who}", "item": "i1", "kind": "play"} for k in range(3)]
                if early:
                    said.update(event["id"] for event in events)
                try:
                    answer = client.post("/api/v1/events", json=events)
                except httpx.TransportError:
                    return
                if answer.status_code != 202:
                    refused.add(answer.status_code)
                    return
                said.update(event["id"] for event in events)

    with serving(tmp_path) as server:
        clients = [threading.Thread(target=send, args=(server.url, who)) for who in range(6)]
        for client in clients:
            client.start()
        while len(said) < 60:
            time.sleep(0.01)
        begun = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(15) in (0, -signal.SIGTERM)
        assert time.monotonic() - begun < 10
        for client in clients:
            client.join(30)
    assert refused <= {503}
    store = open_store(Library.open(tmp_path).database)
    kept = {event.id for _, event in store.events_after(-1, 10**9)}
    store.close()
    assert (said <= kept) != early
    whole = {one.rpartition("/")[0] for one in kept if one.count("/") == 2}
    assert all({f"{batch}/{k}" for k in range(3)} <= kept for batch in whole)


def stuck(server: Server) -> socket.socket:
    """A request whose body never comes to its end."""
    s = socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])))
    s.sendall(b"POST /api/v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4000\r\n\r\n[")
    return s


def slowest(server: Server, times: int = 8) -> float:
    worst = 0.0
    for _ in range(times):
        begun = time.monotonic()
        server.client.get("/api/v1/users/u1/recommendations", params={"n": 5})
        worst = max(worst, time.monotonic() - begun)
    return worst


def test_slow_and_idle_clients_do_not_hold_others_up(tmp_path: Path) -> None:
    """Bodies that do not end, and two hundred connections that say nothing. The control: when there are as many such
    bodies as requests may run, others do wait, until ``access.seconds`` takes their places away."""
    fill(tmp_path)
    (tmp_path / "matinee.toml").write_text("[access]\nrunning = 4\nseconds = 3.0\n")
    with serving(tmp_path) as server, contextlib.ExitStack() as held:
        address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        slowest(server)
        alone = slowest(server)
        for _ in range(200):
            held.enter_context(socket.create_connection(address))
        slow = [held.enter_context(stuck(server)) for _ in range(3)]
        assert slowest(server) < max(10 * alone, 1.0)
        slow.append(held.enter_context(stuck(server)))
        time.sleep(0.2)
        assert slowest(server, 1) > 1.0  # all four places are taken
        time.sleep(3.0)
        assert slowest(server) < max(10 * alone, 1.0)  # and are given back
        assert all(b" 503 " in s.recv(200) or b" 408 " in s.recv(200) for s in slow[:1])
        for s in slow[1:]:
            s.shutdown(socket.SHUT_WR)  # half closed
        assert server.get("health")["status"] == "ok"


def test_a_request_that_memory_does_not_suffice_for_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path)
    api = Api(tmp_path)
    try:
        for error, status, code in ((MemoryError(), 503, "server.memory"), (KeyError("x"), 500, "server.failed")):

            def fail(*_: object, error: Exception = error) -> None:
                raise error

            with monkeypatch.context() as patch:
                patch.setattr(people, "profile_of", fail)
                answer = api.ask("PUT", "/api/v1/users/u1", json={"age": 3})
                assert (answer.status_code, answer.json()["code"]) == (status, code)
                assert "Traceback" not in answer.text
            assert (answer.headers.get("retry-after") is not None) == (status == 503)
            assert api.ask("GET", "/api/v1/users/u1").json()["profile"] == {}  # nothing half done
            assert api.ask("PUT", "/api/v1/users/u1", json={}).status_code == 200
    finally:
        api.loop.run_until_complete(api.client.aclose())
        api.loop.run_until_complete(api.loop.shutdown_default_executor())
        api.loop.close()
        api.store.close()
