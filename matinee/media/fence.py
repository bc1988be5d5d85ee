"""The fence: every byte of media is parsed in a child process with walls around it. This side starts children, hands
them an open file, and takes back an answer of known shape and bounded size; what the file did to the child stays there.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import msgspec

from matinee.errors import MatineeError
from matinee.media.answers import ANSWER, MARK_HEIGHT, MARK_WIDTH, SHARE, Answer, Ended, Job

GRACE = 5.0  # seconds after which a child that should have ended a file itself is given up
KEPT = ("PATH", "LANG", "LC_ALL", "SYSTEMROOT", "PYTHONPATH", "VIRTUAL_ENV", "HOME", "TMPDIR", "LD_LIBRARY_PATH")


def failure(code: str, en: str, zh: str) -> MatineeError:
    return MatineeError(f"media.{code}", en, zh, status=422)


def open_file(path: Path) -> int:
    """A descriptor of a regular file; links are not followed. Raises ``media.link``, ``special``, ``empty``..."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        if os.path.islink(path):
            raise failure("link", "it is a link; links are not followed", "这是一个链接；不跟随链接") from error
        why = getattr(error, "strerror", None) or str(error)
        raise failure("unreadable", f"it cannot be opened ({why})", f"无法打开（{why}）") from error
    about = os.fstat(fd)
    if stat.S_ISREG(about.st_mode) and about.st_size:
        return fd
    os.close(fd)
    if not stat.S_ISREG(about.st_mode):
        raise failure("special", "it is no regular file", "不是普通文件")
    raise failure("empty", "it is empty", "文件为空")


class Fence:
    """One child that reads files one after the other. Use it from one thread; a second thread takes a second fence.

    Starting costs about half a second once, each file about ten milliseconds. ``close`` or leave ``with`` to end it.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._sock: socket.socket | None = None

    def __enter__(self) -> Fence:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
        if self._process is not None:
            try:
                self._process.wait(1)
            except subprocess.TimeoutExpired:
                self._kill()
        self._process = self._sock = None

    def run(self, fd: int, job: Job, tell: Callable[[float], None] | None = None) -> tuple[Answer, Ended]:
        """The child's answer for an open file; ``tell`` hears how much of a long one was gone through, 0 to 1. Raises
        ``media.*`` when it was killed, broke or answered nonsense."""
        sock = self._start()
        reader, writer = os.pipe()
        try:
            raw = msgspec.msgpack.encode(job)
            socket.send_fds(sock, [struct.pack("<I", len(raw)) + raw], [fd, writer])
            os.close(writer)
            writer = -1
            data = self._collect(reader, job, tell)
            ended = self._ended(sock, job)
        except (OSError, TimeoutError, EOFError, msgspec.MsgspecError) as error:
            self._kill()
            raise failure("killed", "its reader did not answer and was ended", "读取进程没有响应，已被终止") from error
        except BaseException:
            self._kill()
            raise
        finally:
            os.close(reader)
            if writer >= 0:
                os.close(writer)
        return judged(data, ended, job), ended

    def _collect(self, reader: int, job: Job, tell: Callable[[float], None] | None) -> bytearray:
        """All that comes through the pipe until it closes; at most ``walls.answer`` bytes and ``walls.seconds``."""
        deadline = time.monotonic() + job.walls.seconds + GRACE
        data, taken, shares = bytearray(), 0, True
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([reader], [], [], left)[0]:
                raise TimeoutError
            part = os.read(reader, 1 << 20)
            if not part:
                return data
            data += part
            taken += len(part)
            if shares:
                shares = told(data, tell)
            if taken > job.walls.answer:
                raise failure("too_much", "its reader answered more than is allowed", "读取结果超出允许的大小")

    def _ended(self, sock: socket.socket, job: Job) -> Ended:
        sock.settimeout(job.walls.seconds + GRACE)
        part = sock.recv(4096)
        if not part:
            raise EOFError
        return msgspec.msgpack.decode(part, type=Ended)

    def _start(self) -> socket.socket:
        if self._sock is not None and self._process is not None and self._process.poll() is None:
            return self._sock
        self._kill()
        ours, theirs = socket.socketpair()
        environment = {k: v for k, v in os.environ.items() if k in KEPT}
        environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        self._process = subprocess.Popen(
            # -P: the working folder may hold hostile files, and must not be where modules are looked for
            [sys.executable, "-P", "-m", "matinee.media.child", str(theirs.fileno())],
            pass_fds=[theirs.fileno()], env=environment, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        theirs.close()
        self._sock = ours
        return ours

    def _kill(self) -> None:
        """Ends the child and the process of the file it is at."""
        if self._process is not None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                self._process.kill()
            self._process.wait()
        if self._sock is not None:
            self._sock.close()
        self._process = self._sock = None


def told(data: bytearray, tell: Callable[[float], None] | None) -> bool:
    """Takes what a child tells of its way off the front of its answer; whether more of that may come."""
    level = -1
    while len(data) >= 2 and data[:1] == SHARE:
        level = data[1]
        del data[:2]
    if tell is not None and level >= 0:
        tell(level / 255)
    if data[:1] == ANSWER:
        del data[:1]
        return False
    return data[:1] in (b"", SHARE)


def judged(data: bytearray, ended: Ended, job: Job) -> Answer:
    """The answer of a child that ended well; otherwise the reason in words."""
    if ended.late or ended.code == -signal.SIGXCPU or ended.code == -signal.SIGKILL:
        raise failure("slow", "reading it took longer than is allowed", "读取时间超出限制")
    if ended.code == 70:
        raise failure("too_big", "reading it takes more memory than is allowed", "读取所需内存超出限制")
    if ended.code < 0:
        name = signal.Signals(-ended.code).name
        raise failure(
            "crashed", f"it broke its reader ({name}), which was fenced off", f"它使读取进程崩溃（{name}），已被隔离"
        )
    try:
        answer = msgspec.msgpack.decode(data, type=Answer)
    except msgspec.MsgspecError as error:
        raise failure("damaged", "nothing in it could be read", "无法读取任何内容") from error
    if ended.code != 0 or len(answer.frames) != answer.frame_count * answer.frame_height * answer.frame_width * 3:
        raise failure("damaged", "nothing in it could be read", "无法读取任何内容")
    if answer.frame_count > job.frames or len(answer.sound) % 4 or len(answer.frame_at) != answer.frame_count:
        raise failure("damaged", "its reader answered what makes no sense", "读取结果无效")
    if job.task == "clip" and 4 * sum(n for _, n in answer.windows) != len(answer.sound):
        raise failure("damaged", "its reader answered what makes no sense", "读取结果无效")
    grey = len(answer.mark_at) * MARK_HEIGHT * MARK_WIDTH
    pictures = all(p[:2] == b"\xff\xd8" for p in (answer.cover, *(p for _, _, p in answer.scenes)) if p)
    if len(answer.marks) != grey or not pictures:
        raise failure("damaged", "its reader answered what makes no sense", "读取结果无效")
    return answer
