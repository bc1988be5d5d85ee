"""A pool of PostgreSQL connections, and what can go wrong with the server as ``MatineeError``.

Every writer first locks the one row of ``state``. So writers take turns, rows stay dense, and events become visible in
the order of their sequence numbers: a reader that goes on from the last number it saw misses nothing.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg

from matinee.errors import MatineeError

logger = logging.getLogger(__name__)
Connection = psycopg.Connection[tuple[Any, ...]]
LOCK_SECONDS = 10

# SQLSTATE, or the first two letters of its class -> (our code, HTTP status, English, Chinese)
SAYINGS: dict[str, tuple[str, int, str, str]] = {
    "53100": (
        "store.full",
        507,
        "The disk of the PostgreSQL server is full. Nothing already accepted is lost. Free some space there and send"
        " the request again.",
        "PostgreSQL 服务器的磁盘已满。已接受的数据没有丢失。请在服务器上清理空间后重新发送请求。",
    ),
    "25006": (
        "store.readonly",
        503,
        "The PostgreSQL server takes no writes ({why}). It may be a standby: name the primary in the address.",
        "PostgreSQL 服务器不接受写入（{why}）。它可能是备用服务器：请在地址中指定主服务器。",
    ),
    "XX": (
        "store.corrupt",
        500,
        "The PostgreSQL server reports damage ({why}). Stop writing and restore a backup of the server.",
        "PostgreSQL 服务器报告数据损坏（{why}）。请停止写入，并恢复服务器的备份。",
    ),
    "55P03": (
        "store.busy",
        503,
        "Another writer holds the PostgreSQL store for longer than the time limit. Try again.",
        "另一个写入者占用 PostgreSQL 存储的时间超过了限制。请稍后再试。",
    ),
    "28": (
        "store.refused",
        503,
        "The PostgreSQL server refuses the login ({why}). Check the user and password in the address.",
        "PostgreSQL 服务器拒绝登录（{why}）。请检查地址中的用户名和密码。",
    ),
    "42501": (
        "store.refused",
        503,
        "The PostgreSQL user lacks a right ({why}). Grant it CREATE on the database.",
        "PostgreSQL 用户缺少权限（{why}）。请授予其在该数据库上的 CREATE 权限。",
    ),
}
SAME = {"57014": "55P03", "40001": "55P03", "40P01": "55P03"}
UNREACHABLE = (
    "store.unreachable",
    503,
    "The PostgreSQL server cannot be reached ({why}). Check that it runs, and the address after --store.",
    "无法连接 PostgreSQL 服务器（{why}）。请检查服务器是否在运行，以及 --store 之后的地址。",
)


@contextmanager
def told(connection: Connection | None = None) -> Iterator[None]:
    """Turns the server's errors about itself into ours; errors of the program pass as they are.

    A server that dies can leave any error behind: libpq may hand out the loss of the ``connection`` as the result of a
    statement, which has no state and for psycopg no class of its own (``DatabaseError``).
    """
    try:
        yield
    except psycopg.Error as error:
        state = SAME.get(error.sqlstate or "", error.sqlstate or "")
        known = SAYINGS.get(state) or SAYINGS.get(state[:2])
        lost = not state and connection is not None and connection.closed
        if known is None and (lost or isinstance(error, psycopg.OperationalError)):
            known = UNREACHABLE
        if known is None:
            raise
        why = re.sub(r"\s+", " ", f"{error}").strip()
        code, status, en, zh = known
        raise MatineeError(code, en.format(why=why), zh.format(why=why), status=status, exit_code=1) from error


class Server:
    """``write()`` and ``read()`` lend a connection; ``url`` is what ``psycopg.connect`` takes."""

    __slots__ = ("_closed", "_idle", "_lock", "_mine", "read_only", "url")

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        self.url, self.read_only = url, read_only
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._closed = False
        self._mine = threading.local()

    @contextmanager
    def lend(self) -> Iterator[Connection]:
        """A connection outside a transaction."""
        with told():
            with self._lock:
                if self._closed:
                    raise closed()
                lent = self._idle.pop() if self._idle else None
            connection = lent or connect(self.url, self.read_only)
            try:
                with told(connection):
                    yield connection
            finally:
                gone = [connection]
                with self._lock:
                    if not (self._closed or connection.closed):
                        self._idle.append(gone.pop())
                    elif lent is not None and not self._closed:  # the server went away, and took the others too
                        gone += self._idle
                        self._idle.clear()
                for each in gone:
                    each.close()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction, the only writing one; durable when the block ends, undone if it raises."""
        joined: Connection | None = getattr(self._mine, "connection", None)
        if joined is not None:
            with told(joined), joined.transaction():  # a savepoint
                yield joined
            return
        with self.lend() as c, c.transaction():
            c.execute("SELECT 1 FROM state FOR UPDATE")
            yield c

    @contextmanager
    def together(self) -> Iterator[None]:
        """All writes of this thread inside the block become one transaction. Other writers wait."""
        if getattr(self._mine, "connection", None) is not None:
            yield
            return
        with self.write() as c:
            self._mine.connection = c
            try:
                yield
            finally:
                self._mine.connection = None

    def apart(self) -> None:
        """Raises inside ``together``: what must not be undone later has no place there."""
        if getattr(self._mine, "connection", None) is not None:
            raise RuntimeError("this cannot be done inside `together`")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A snapshot: all statements of the block see one moment."""
        with self.lend() as c, c.transaction():
            c.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield c

    def one(self, sql: LiteralString, values: tuple[Any, ...] = ()) -> tuple[Any, ...] | None:
        with self.lend() as c:
            return c.execute(sql, values).fetchone()

    def all(self, sql: LiteralString, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with self.lend() as c:
            return c.execute(sql, values).fetchall()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle[:] = list(self._idle), []
        for connection in idle:
            connection.close()


def connect(url: str, read_only: bool = False) -> Connection:
    connection = psycopg.connect(url, autocommit=True, connect_timeout=LOCK_SECONDS, application_name="matinee")
    try:
        connection.execute("SELECT set_config('lock_timeout', %s, false)", (f"{LOCK_SECONDS}s",))
        connection.execute("SET synchronous_commit = on")
        connection.execute("SET search_path = matinee")
        connection.execute("SET client_encoding = 'UTF8'")
        if read_only:
            connection.execute("SET default_transaction_read_only = on")
        connection.prepare_threshold = 2
    except BaseException:
        connection.close()
        raise
    return connection


def closed() -> MatineeError:
    return MatineeError(
        "store.closed",
        "The PostgreSQL store was closed. Open it again before using it.",
        "PostgreSQL 存储已关闭，请重新打开后再使用。",
        status=503,
        exit_code=1,
    )
