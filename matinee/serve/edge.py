"""What stands before the routes: keeps escaped path segments, checks the host, the origin and the key."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, urlsplit

from matinee.serve import words
from matinee.serve.problem import MEDIA_TYPE, body

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]
SAFE = ("GET", "HEAD", "OPTIONS")
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host in ("localhost", "localhost."):
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Edge:
    """ASGI middleware around the whole application.

    - Routes by ``raw_path``, so an id may hold ``/``: ``a%2Fb`` stays one segment, and handlers decode segments.
    - ``hosts``: names that a ``Host`` header may carry (none = any). On loopback this stops DNS rebinding: a foreign
      page whose name was pointed at 127.0.0.1 still sends its own name.
    - A write that carries a foreign ``Origin`` is refused, so no foreign page can send events through a browser.
    - ``key``: when given, ``/api`` wants it as ``Authorization: Bearer`` or ``X-API-Key``; compared in constant time.
    """

    app: App
    hosts: frozenset[str] = frozenset()
    key: str = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {k.lower(): v.decode("latin-1") for k, v in scope["headers"]}
        if refusal := self._refusal(scope, headers):
            await _refuse(send, headers, *refusal)
            return
        raw = scope.get("raw_path") or scope["path"].encode()
        scope = {**scope, "path": raw.partition(b"?")[0].decode("latin-1")}

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *HEADERS]}
            await send(message)

        await self.app(scope, receive, with_headers)

    def _refusal(self, scope: Scope, headers: dict[bytes, str]) -> tuple[int, str, tuple[str, str]] | None:
        host = headers.get(b"host", "")
        name = _parsed(f"//{host}").hostname if _plain(host) else None
        if self.hosts and (name is None or (name not in self.hosts and not is_loopback(name))):
            return 421, "host.unknown", (
                "This server does not answer to that host name. Open it by its address, or name it with --allow-host.",
                "服务器不接受此主机名。请用地址访问，或用 --allow-host 指定。",
            )  # fmt: skip
        origin = headers.get(b"origin")
        if scope["method"] not in SAFE and origin and _parsed(origin).netloc != host:
            return 403, "origin.foreign", (
                "A page of another site may not change anything here.", "不允许其他网站的页面修改这里的数据。",
            )  # fmt: skip
        if self.key and scope["path"].startswith("/api") and not self._has_key(headers):
            return 401, "key.needed", (
                "Send the key as 'Authorization: Bearer KEY'.", "请用 'Authorization: Bearer KEY' 发送密钥。",
            )  # fmt: skip
        return None

    def _has_key(self, headers: dict[bytes, str]) -> bool:
        given = headers.get(b"x-api-key") or headers.get(b"authorization", "").removeprefix("Bearer ")
        return hmac.compare_digest(given.encode(), self.key.encode())


def _parsed(address: str) -> SplitResult:
    try:
        return urlsplit(address)
    except ValueError:
        return SplitResult("", "", "", "", "")


def _plain(host: str) -> bool:
    return all(c.isalnum() or c in ".-:[]_" for c in host)


async def _refuse(
    send: Send, headers: dict[bytes, str], status: int, code: str, detail: tuple[str, str]
) -> None:  # fmt: skip
    lang = words.language_of(headers.get(b"accept-language"))
    content = body(status, code, words.pick(detail, lang), lang)
    answer = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(content)).encode())]
    if status == 401:
        answer.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": [*answer, *HEADERS]})
    await send({"type": "http.response.body", "body": content})
