"""Connections dealt evenly over the processes behind one listening socket. Each would take what it sees first, and who
is awake already sees it first: in about one of six rounds one of two workers held nearly all of eight connections, and
half of the cores had nothing to do. So one that holds more than another leaves a connection in the kernel's queue for a
moment."""

from __future__ import annotations

import asyncio
import errno
import logging
import select
import socket
import time
from typing import Any

import uvicorn

from matinee.serve.share import ABSENT, Held, Place

log = logging.getLogger("matinee.serve")
LOOK = 0.002  # seconds between two looks whether another took it
LEFT = 0.1  # seconds after which it is taken all the same; half as long for the next one, until there is balance or
TRUST = 1.0  # seconds have passed
AT_ONCE = 16  # connections taken before anything else is done
AGAIN = 1.0  # seconds until the next try where no more files may be opened
FULL = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class SharingServer(uvicorn.Server):
    """uvicorn's server, which takes connections itself: asyncio's way to take them cannot leave any to others."""

    def __init__(self, config: uvicorn.Config, bound: socket.socket, place: Place) -> None:
        super().__init__(config)
        self.bound, self.held, self.place = bound, Held(place.folder), place.number
        self._queue = select.poll()
        self._queue.register(bound, select.POLLIN)
        self._coming: set[asyncio.Task[Any]] = set()
        self._patience, self._since, self._forced = LEFT, 0.0, 0.0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=[])
        self.bound.setblocking(False)
        self._told()
        self._listen()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.held.tell(self.place, ABSENT)
        asyncio.get_running_loop().remove_reader(self.bound)
        await asyncio.gather(*self._coming, return_exceptions=True)
        await super().shutdown(sockets=[])

    def _listen(self) -> None:
        if not self._queue.poll(0):  # another took it
            self._since = 0.0
        if not self.should_exit:
            asyncio.get_running_loop().add_reader(self.bound, self._take)

    def _rest(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self.bound)
        loop.call_later(seconds, self._listen)

    def _take(self) -> None:
        """What waits, as far as no other process should have it. Called again while more does."""
        for _ in range(AT_ONCE):
            if self._left_to_others() or not self._one():
                return

    def _left_to_others(self) -> bool:
        now, too_many = time.monotonic(), self.held.too_many(self.place)
        if not too_many or now - self._forced > TRUST:
            self._patience = LEFT
        if not too_many:
            return False
        self._since = self._since or now
        if now - self._since < self._patience:
            self._rest(LOOK)
            return True
        self._patience, self._forced = self._patience / 2, now  # the others sleep
        return False

    def _one(self) -> bool:
        """Takes one; False when there is none."""
        self._since = 0.0
        try:
            connection, _ = self.bound.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False
        except OSError as error:
            if error.errno not in FULL:
                raise
            log.error("no connection can be taken: %s", error)
            self._rest(AGAIN)
            return False
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        task = loop.create_task(loop.connect_accepted_socket(self._protocol, connection))
        self._coming.add(task)
        task.add_done_callback(self._came)
        self._told()
        return True

    def _protocol(self) -> asyncio.Protocol:
        protocol: Any = self.config.http_protocol_class(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state  # type: ignore[call-arg]
        )  # fmt: skip
        protocol.lost = self._told
        return protocol  # type: ignore[no-any-return]

    def _came(self, task: asyncio.Task[Any]) -> None:
        self._coming.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.warning("a connection was lost before it began: %s", error)
        self._told()

    def _told(self) -> None:
        if not self.should_exit:
            self.held.tell(self.place, len(self.server_state.connections) + len(self._coming))
