"""What a connection may cost: how slowly a client may send the head of a request, for one that dribbles would hold its
place for ever; and a request that there is no place for, which is held back and refused before anything of it is read
but its first line."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from matinee.errors import Language
from matinee.serve import words
from matinee.serve.edge import BUSY, GONE, HEADERS, count, gated
from matinee.serve.metrics import Metrics
from matinee.serve.pressure import Gate
from matinee.serve.problem import MEDIA_TYPE, body

HEAD = 10.0  # seconds from a connection's beginning, or from the first byte of a later request, to the whole head
LATE = (
    b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/problem+json\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%s"
)
SAID = (
    b'{"type":"urn:matinee:http.408","title":"Too slow","status":408,'
    b'"detail":"The head of the request did not arrive in time.","code":"http.408"}'
)
FIRST = re.compile(rb"[A-Z]{3,7} (/[^ ?]*)(?:\?[^ ]*)? HTTP/1\.[01]\r\n")
SPECIAL = re.compile(rb"\r\n(?:content-length|transfer-encoding|connection|expect)[ \t]*:", re.IGNORECASE)
TONGUE = re.compile(rb"\r\naccept-language[ \t]*:([^\r\n]*)", re.IGNORECASE)
MOST = 64 * 1024  # bytes that one who is held back may send on


class PatientProtocol(H11Protocol):
    """uvicorn's own protocol with a limit; the one class here that must inherit.

    A request for which there is no place waits for its refusal here (``Gate.pause``): no task, nothing parsed, and a
    client that goes away is forgotten at once. When a place becomes free, or there is one at the end, it goes in as if
    it came just then. Otherwise one that is a head alone is refused with bytes that are made once; of others the head
    is read, and the edge refuses."""

    _late: asyncio.TimerHandle | None = None
    _held: asyncio.TimerHandle | None = None
    _since = 0.0
    lost: Callable[[], None] | None = None  # called when the connection is gone
    _kept = b""
    head = HEAD
    gate = Gate()
    metrics = Metrics()

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._begin()

    def data_received(self, data: bytes) -> None:
        if self._held is not None:
            self._kept += data
            if len(self._kept) > MOST:
                self.flow.pause_reading()
        elif not (self._between() and _wants_place(data)):
            self._take(data)
        elif self.gate.full() and (pause := self.gate.pause()):
            self._hold(data, pause)
        else:
            self._let_in(data)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._end()  # until the next byte uvicorn's own limit for idle connections holds

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        self._release()
        if self.cycle is not None:
            cast(dict[str, Any], self.cycle.scope)[GONE] = True
        super().connection_lost(exc)
        if self.lost is not None:
            self.lost()

    def shutdown(self) -> None:
        if self._held is not None:  # a stop does not wait for those who are held back
            self._refuse(self._release(), last=True)
        super().shutdown()

    def _take(self, data: bytes) -> None:
        super().data_received(data)
        if self._waiting():
            self._begin()  # the first bytes of a head; of a head under way the clock runs on
        else:
            self._end()

    def _waiting(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _between(self) -> bool:
        """Whether the next byte begins a request."""
        return self._waiting() and not self.conn.trailing_data[0] and self.conn.their_state is h11.IDLE

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

    def _hold(self, data: bytes, pause: float) -> None:
        self._unset_keepalive_if_required()
        self._end()
        self._kept, self._since = data, self.loop.time()
        self._held = self.loop.call_later(pause, self._go_on)
        self.gate.held[self] = lambda: self.loop.call_soon(self._go_on)

    def _release(self) -> bytes:
        """What it sent while it was held back, and is no longer."""
        if self._held is not None:
            self._held.cancel()
            self._held = None
            self.gate.held.pop(self, None)
        data, self._kept = self._kept, b""
        return data

    def _go_on(self) -> None:
        if self._held is None or self.transport.is_closing():
            return
        data = self._release()
        self.flow.resume_reading()
        if self.gate.full() and _is_plain(data):
            self._refuse(data)
        else:
            self._let_in(data)

    def _let_in(self, data: bytes) -> None:
        if not self.gate.coming:  # this turn's requests stand in line before the next turn's are looked at
            self.loop.call_soon(self.gate.have_come)
        self.gate.coming += 1
        self._take(data)

    def _refuse(self, data: bytes, last: bool = False) -> None:
        seconds = self.loop.time() - self._since
        told = TONGUE.search(data)
        lang = words.language_of(told[1].decode("latin-1").strip() if told else None)
        date = b"".join(b"%s: %s\r\n" % header for header in self.server_state.default_headers)
        self.transport.write(refusal(lang, max(round(seconds), 1), last) % date)
        self.server_state.total_requests += 1
        count(self.metrics, data[: data.find(b" ")].decode(), "other", BUSY.status, seconds)
        if not last:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )


def _is_plain(data: bytes) -> bool:
    """Whether it is one whole GET and nothing else, on a connection that stays."""
    end = data.find(b"\r\n\r\n")
    line = data[: data.find(b"\r\n")]
    usual = line.startswith(b"GET ") and line.endswith(b"HTTP/1.1")
    return usual and end == len(data) - 4 and not SPECIAL.search(data)


def _wants_place(data: bytes) -> bool:
    first = FIRST.match(data)
    return first is not None and gated(first[1].decode("latin-1"))


@lru_cache(64)
def refusal(lang: Language, again: int, last: bool) -> bytes:
    """A whole answer 503 with one ``%s`` for the headers of the moment; ``again``: seconds until it may be tried."""
    content = body(BUSY.status, BUSY.code, words.pick(BUSY.detail, lang), lang).replace(b"%", b"%%")
    told = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", b"%d" % len(content)), *HEADERS]
    told += [(b"retry-after", b"%d" % again), *([(b"connection", b"close")] if last else [])]
    lines = b"".join(b"%s: %s\r\n" % header for header in told)
    return b"HTTP/1.1 503 Service Unavailable\r\n%s" + lines + b"\r\n" + content


def patient(seconds: float, gate: Gate, metrics: Metrics) -> type[PatientProtocol]:
    """The protocol of a server with its own limits."""
    return type("PatientProtocol", (PatientProtocol,), {"head": seconds, "gate": gate, "metrics": metrics})
