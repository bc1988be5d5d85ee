"""How slowly a client may send the head of a request: a connection that dribbles would hold its place for ever."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD = 10.0  # seconds from a connection's beginning, or from the first byte of a later request, to the whole head
LATE = (
    b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/problem+json\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%s"
)
SAID = (
    b'{"type":"urn:matinee:http.408","title":"Too slow","status":408,'
    b'"detail":"The head of the request did not arrive in time.","code":"http.408"}'
)


class PatientProtocol(H11Protocol):
    """uvicorn's own protocol with a limit; the one class here that must inherit."""

    _late: asyncio.TimerHandle | None = None
    head = HEAD

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._begin()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._waiting():
            self._begin()  # the first bytes of a head; of a head under way the clock runs on
        else:
            self._end()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._end()  # until the next byte uvicorn's own limit for idle connections holds

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        super().connection_lost(exc)

    def _waiting(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _begin(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(self.head, self._over)

    def _end(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _over(self) -> None:
        self._late = None
        if self._waiting() and not self.transport.is_closing():
            self.transport.write(LATE % (len(SAID), SAID))
            self.transport.close()


def patient(seconds: float) -> type[PatientProtocol]:
    """The protocol with another limit."""
    return type("PatientProtocol", (PatientProtocol,), {"head": seconds})
