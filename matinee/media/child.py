"""The fenced child: ``python -m matinee.media.child FD``. It never reads media itself. For each job it forks a process
with the walls of ``walls.py`` around it, hands it the open file and the pipe for the answer, and waits for its end.

It has one thread, so forking it is sound; what it imports, its children need not (and cannot) load any more.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import struct
import sys
import time
from typing import IO, NoReturn

import msgspec

from matinee.media.answers import ANSWER, SHARE, Ended, Job
from matinee.media.walls import address_space, die_with_parent, limit, lock


def receive(sock: socket.socket) -> tuple[Job, int, int] | None:
    """The next job with the file to read and the pipe to answer on; None when there are no more."""
    data, fds, _, _ = socket.recv_fds(sock, 65536, 2)
    if not data:
        return None
    (length,) = struct.unpack("<I", data[:4])
    while len(data) < 4 + length:
        data += sock.recv(65536)
    return msgspec.msgpack.decode(data[4:], type=Job), fds[0], fds[1]


class Teller:
    """Writes how much of a file was gone through, 0 to 1, at most twenty times a second and never backwards."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self.pipe, self.told, self.due = pipe, 0, 0.0

    def __call__(self, share: float) -> None:
        now = time.monotonic()
        level = max(0, min(255, int(share * 255)))
        if level > self.told and now >= self.due:
            self.told, self.due = level, now + 0.05
            self.pipe.write(SHARE + bytes([level]))


def work(job: Job, media: int, answers: int, taken: int) -> NoReturn:
    """Runs in the process of one file."""
    code = 1
    try:
        die_with_parent()
        os.dup2(media, 3)
        os.dup2(answers, 4)
        os.closerange(5, 256)
        limit(job.walls, taken)
        if job.walls.locked:
            lock()
        from matinee.media.tasks import run

        with open(4, "wb", buffering=0, closefd=False) as pipe:
            raw = msgspec.msgpack.encode(run(job, 3, Teller(pipe)))
            pipe.write(ANSWER)
            view = memoryview(raw)
            while view:
                view = view[pipe.write(view) :]
        code = 0
    except MemoryError:
        code = 70
    except BaseException:  # noqa: BLE001  # nothing may leave this process but its exit status
        code = 71
    finally:
        os._exit(code)


def wait(pid: int, seconds: float) -> Ended:
    """The end of a child, killed when its time is over."""
    deadline = time.monotonic() + seconds
    late = False
    handle = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else -1
    while True:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            break
        left = deadline - time.monotonic()
        if left <= 0 and not late:
            late = True
            os.kill(pid, signal.SIGKILL)  # not yet waited for, so the number is still its own
        if handle >= 0 and left > 0:
            select.select([handle], [], [], left)
        else:
            time.sleep(0.002)
    if handle >= 0:
        os.close(handle)
    scale = 1 if sys.platform == "darwin" else 1024
    return Ended(code=os.waitstatus_to_exitcode(status), late=late, peak=usage.ru_maxrss * scale)


def main() -> None:
    sock = socket.socket(fileno=int(sys.argv[1]))
    from matinee.media.tasks import preload

    preload()
    gc.collect()
    gc.freeze()  # what was loaded stays: a search for garbage would copy all of it into each forked process
    taken = address_space()
    with contextlib.suppress(ConnectionError, KeyboardInterrupt):
        while (next_job := receive(sock)) is not None:
            job, media, answers = next_job
            pid = os.fork()
            if pid == 0:
                sock.close()
                work(job, media, answers, taken)
            os.close(media)
            os.close(answers)
            sock.sendall(msgspec.msgpack.encode(wait(pid, job.walls.seconds)))


if __name__ == "__main__":
    main()
