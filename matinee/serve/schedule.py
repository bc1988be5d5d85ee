"""Training while serving: every so many hours a child process, at a lower priority, trains and puts a release in force,
which the servers then notice by themselves."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from matinee.errors import MatineeError
from matinee.settings import Library

log = logging.getLogger("matinee.serve")
NICE = 10


@contextmanager
def scheduled(library: Library, target: str = "") -> Iterator[None]:
    """Trains every ``training.schedule_hours`` until the block ends; 0: never. A training under way is ended with it:
    the release in force is only ever replaced by a whole one."""
    hours = library.settings.training.schedule_hours
    if hours <= 0:
        yield
        return
    stopping = threading.Event()
    thread = threading.Thread(
        target=_run, args=(library, target, hours * 3600, stopping), name="matinee-schedule", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(10)


def _run(library: Library, target: str, seconds: float, stopping: threading.Event) -> None:
    while not stopping.wait(seconds):
        child = subprocess.Popen(
            [sys.executable, "-m", "matinee.serve.schedule", str(library.path), target],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        ending = threading.Thread(target=_ends_with, args=(child, stopping), daemon=True)
        ending.start()
        _, said = child.communicate()
        if child.returncode and not stopping.is_set():
            last = said.strip().splitlines()[-1:] or [""]
            log.error("scheduled training left with %d: %s", child.returncode, last[0])
        elif not child.returncode:
            log.info("scheduled training done")


def _ends_with(child: subprocess.Popen[str], stopping: threading.Event) -> None:
    while child.poll() is None:
        if stopping.wait(0.5):
            child.terminate()
            return


def main(folder: str, target: str) -> int:
    """The child: one training at a lower priority."""
    from matinee.store import open_store
    from matinee.train import train

    os.nice(NICE)
    try:
        library = Library.open(Path(folder))
        store = open_store(target or library.target)
        try:
            train(library, store)
        finally:
            store.close()
    except MatineeError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""))
