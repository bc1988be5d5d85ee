"""A real server in a real process, for the walk tests."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

SERVE = (
    "import sys, logging; from pathlib import Path; from matinee.settings import Library;"
    "from matinee.store import open_store; from matinee.serve.run import serve;"
    "logging.basicConfig(level=logging.WARNING);"
    "library = Library.create(Path(sys.argv[1])); store = open_store(library.database);"
    "serve(library, store, sys.argv[2], int(sys.argv[3]), lambda en, zh: print(en, flush=True)); store.close()"
)


def worked() -> float:
    """Processor seconds of all child processes that have ended."""
    told = os.times()
    return told.children_user + told.children_system


@dataclass
class Server:
    """``url`` of a running server; ``client`` talks to it."""

    process: subprocess.Popen[str]
    url: str
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.url, timeout=30)

    def get(self, path: str, **params: Any) -> Any:
        answer = self.client.get(f"/api/v1/{path}", params=params or None)
        assert answer.status_code == 200, (answer.status_code, answer.text)
        return answer.json()

    def post(self, *events: dict[str, Any]) -> Any:
        answer = self.client.post("/api/v1/events", json=list(events))
        assert answer.status_code == 202, answer.text
        return answer.json()

    def put(self, item: str, **fields: Any) -> Any:
        answer = self.client.put(f"/api/v1/items/{quoted(item)}", json=fields)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def slate(self, user: str, **params: Any) -> list[str]:
        return [i["item"] for i in self.get(f"users/{quoted(user)}/recommendations", **params)["items"]]

    def kill(self) -> None:
        """Dies at once, as by a power cut of the process."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


def address(process: subprocess.Popen[str]) -> str:
    """Where ``matinee serve`` says on stderr that it is. What its threads and workers tell there may come before."""
    assert process.stderr is not None
    told = []
    for line in process.stderr:
        told.append(line)
        if line.startswith("Matinee is at "):
            return line.split()[3]
    raise AssertionError(f"it ended without saying where it is: {told}")


def quoted(id: str) -> str:
    from urllib.parse import quote

    return quote(id, safe="")


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def started(folder: Path, host: str = "127.0.0.1", port: int = 0, **environ: str) -> subprocess.Popen[str]:
    # an empty cache: no weights, so that nothing is loaded in the background unless a test brings it
    env = {**os.environ, "MATINEE_CACHE": str(folder / "no-cache"), "OMP_NUM_THREADS": "1", **environ}
    return subprocess.Popen(
        [sys.executable, "-c", SERVE, str(folder), host, str(port)],
        env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@contextlib.contextmanager
def serving(folder: Path, **environ: str) -> Iterator[Server]:
    """A server over the library in a folder, on a free port, until the block ends."""
    process = started(folder, **environ)
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line.startswith("Matinee is at "):
        process.kill()
        raise AssertionError(line + (process.stderr.read() if process.stderr else ""))
    server = Server(process, line.split()[3])
    for _ in range(100):
        with contextlib.suppress(httpx.TransportError):
            server.client.get("/api/v1/health")
            break
        time.sleep(0.05)
    try:
        yield server
    finally:
        server.client.close()
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)
        for pipe in (process.stdout, process.stderr):
            if pipe:
                pipe.close()
