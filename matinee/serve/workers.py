"""Several processes at one address: Python answers with one core a process. The parent holds the listening socket and
the right to serve the store, starts the workers, starts one anew that dies, and ends them when it is asked to stop."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from matinee.errors import MatineeError
from matinee.serve.share import ABSENT, Held, Place
from matinee.settings import Library

log = logging.getLogger("matinee.serve")
READY = "ready\n"
PAUSE = 1.0  # seconds before a worker that died is started anew
PATIENCE = 20.0  # seconds that workers have to end


class Task(msgspec.Struct, frozen=True):
    """What a worker is told. ``target``: of ``open_store``, empty for the library's own."""

    library: str
    target: str = ""
    read_only: bool = False
    host: str = "127.0.0.1"
    socket: int = -1
    shared: str = ""
    place: int = 0


def several(library: Library, bound: socket.socket, task: Task, count: int, begun: Callable[[], None]) -> None:
    """Runs ``count`` workers until SIGINT or SIGTERM. ``begun`` is called when all of them answer."""
    stopping = threading.Event()
    with tempfile.TemporaryDirectory(prefix="matinee-") as shared:
        told = msgspec.structs.replace(task, socket=bound.fileno(), shared=shared)
        Held.make(Path(shared), count)
        held = Held(Path(shared))
        workers = [Worker(msgspec.structs.replace(told, place=place)) for place in range(count)]
        before = _on_signals(stopping.set)
        try:
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.wait_ready()
            begun()
            while not stopping.wait(0.2):
                for worker in workers:
                    worker.keep_alive(held)
        finally:
            _end(workers)
            held.close()
            for number, handler in before:
                signal.signal(number, handler)


@dataclass(slots=True)
class Worker:
    """One process, and when it may be started anew."""

    task: Task
    process: subprocess.Popen[str] | None = None
    again: float = 0.0

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "matinee.serve.workers", msgspec.json.encode(self.task).decode()],
            pass_fds=[self.task.socket], stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def wait_ready(self) -> None:
        """Raises ``serve.worker`` for a worker that ends before it answers."""
        said = self.process.stdout if self.process else None
        if said is None or said.readline() != READY:
            raise MatineeError(
                "serve.worker",
                "A worker process did not start; what it said stands above. Try it alone: matinee serve --workers 1",
                "工作进程启动失败，原因见上。可以先单独运行：matinee serve --workers 1",
                exit_code=1,
            )

    def keep_alive(self, held: Held) -> None:
        """Starts it anew when it died, after a pause."""
        if self.process is None or self.process.poll() is None:
            return
        now = time.monotonic()
        if not self.again:
            held.tell(self.task.place, ABSENT)
            log.error("worker %d died (%s); another takes its place", self.process.pid, self.process.returncode)
            self.again = now + PAUSE
        elif now >= self.again:
            self._close()
            self.again = 0.0
            self.start()

    def end(self, until: float) -> None:
        if self.process is None:
            return
        try:
            self.process.wait(max(until - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._close()

    def _close(self) -> None:
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()


def _end(workers: Sequence[Worker]) -> None:
    """All at once, each with the requests under way answered; after ``PATIENCE`` by force."""
    for worker in workers:
        if worker.process is not None and worker.process.poll() is None:
            worker.process.terminate()
    until = time.monotonic() + PATIENCE
    for worker in workers:
        worker.end(until)


def _on_signals(stop: Callable[[], None]) -> list[tuple[int, Any]]:
    if threading.current_thread() is not threading.main_thread():
        return []
    numbers = (signal.SIGINT, signal.SIGTERM)
    return [(number, signal.signal(number, lambda *_: stop())) for number in numbers]


def work(task: Task) -> None:
    """A worker's life: its own store and service behind the parent's socket. Ends with its parent, too."""
    from matinee.serve.run import keys_for, listen
    from matinee.store import open_store

    library = Library.open(Path(task.library))
    store = open_store(task.target or library.target, read_only=task.read_only)
    parent = os.getppid()
    threading.Thread(target=_end_with, args=(parent,), name="matinee-parent", daemon=True).start()
    try:
        with socket.socket(fileno=task.socket) as bound:
            listen(
                library, store, task.host, keys_for(task.host, library.settings.access), bound, _ready,
                Place(Path(task.shared), task.place),
            )  # fmt: skip
    finally:
        store.close()


def _ready() -> None:
    sys.stdout.write(READY)
    sys.stdout.flush()


def _end_with(parent: int) -> None:
    """A parent that was killed cannot say so: its workers would hold the port for ever."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, who tells the workers
    try:
        work(msgspec.json.decode(sys.argv[1], type=Task))
    except MatineeError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
