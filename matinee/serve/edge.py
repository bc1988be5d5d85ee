"""What stands before the routes: keeps escaped path segments; checks host, origin, key and rate; sheds what is too
much; counts and times. Nothing here reads a body."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, urlsplit

import msgspec

from matinee.serve import words
from matinee.serve.address import named
from matinee.serve.keys import ROLES, Keys, Role, digest, needed
from matinee.serve.metrics import Metrics
from matinee.serve.pressure import Gate, Rates
from matinee.serve.problem import MEDIA_TYPE, body

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]
Headers = Mapping[bytes, str]

access = logging.getLogger("matinee.access")
SAFE = ("GET", "HEAD", "OPTIONS")
COOKIE = "matinee_key"
GONE = "matinee.gone"  # in the scope of a request whose client has gone away
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
class Refusal:
    status: int
    code: str
    detail: tuple[str, str]
    headers: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Edge:
    """ASGI middleware around the whole application.

    - Routes by ``raw_path``, so an id may hold ``/``: ``a%2Fb`` stays one segment, and handlers decode segments. What
      cannot travel so comes in the query (``serve.address``).
    - ``hosts``: names that a ``Host`` header may carry (none = any). On loopback this stops DNS rebinding: a foreign
      page whose name was pointed at 127.0.0.1 still sends its own name.
    - A write that carries a foreign ``Origin`` is refused, so no foreign page can send events through a browser.
    - ``keys``: where there are any, ``/api`` and ``/metrics`` want one of the right role, as ``Authorization: Bearer``,
      ``X-API-Key`` or the page's cookie.
    - ``rates`` and ``gate`` bound one asker and all together; ``seconds`` is the longest an answer may take to begin.
    """

    app: App
    hosts: frozenset[str] = frozenset()
    keys: Keys = field(default_factory=lambda: Keys({}))
    rates: Rates = field(default_factory=Rates)
    gate: Gate = field(default_factory=Gate)
    metrics: Metrics = field(default_factory=Metrics)
    seconds: float = 10.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = {k.lower(): v.decode("latin-1") for k, v in scope["headers"]}
        raw = scope.get("raw_path") or scope["path"].encode()
        path = raw.partition(b"?")[0].decode("latin-1")
        asked, scope = scope, {**scope, "path": named(path, scope.get("query_string", b""))}
        answer = Answer(send)
        if refusal := self._refusal(scope, headers):
            await answer.refuse(headers, refusal)
        elif not gated(scope["path"]):
            await self.app(scope, receive, answer.pass_on)
        elif not await self.gate.enter():
            await answer.refuse(headers, BUSY)
        else:
            try:
                if GONE in asked:  # while it stood in line; its body could not be read any more
                    return
                async with asyncio.timeout(self.seconds):
                    await self.app(scope, receive, answer.pass_on)
            except TimeoutError:
                if not answer.status:
                    await answer.refuse(headers, SLOW)
            finally:
                self.gate.leave()
        route = str(scope.get("path_template") or "other")
        count(self.metrics, scope["method"], route, answer.status, time.perf_counter() - started)

    def _refusal(self, scope: Scope, headers: Headers) -> Refusal | None:
        host = headers.get(b"host", "")
        name = _parsed(f"//{host}").hostname if _plain(host) else None
        if self.hosts and (name is None or (name not in self.hosts and not is_loopback(name))):
            return HOST
        origin = headers.get(b"origin")
        if scope["method"] not in SAFE and origin and _parsed(origin).netloc != host:
            return ORIGIN
        key = _key(headers)
        guarded = scope["path"].startswith("/api/") or scope["path"] == "/metrics"
        if self.keys and guarded and scope["path"] not in OPEN:
            role = self.keys.role_of(key)
            if role is None:
                return KEY
            if ROLES.index(role) < ROLES.index(needed(scope["method"], scope["path"])):
                return _role(needed(scope["method"], scope["path"]))
        asker = digest(key) if key else str((scope.get("client") or ("",))[0])
        if guarded and (wait := self.rates.wait(asker)):
            return _rate(wait)
        return None


def count(metrics: Metrics, method: str, route: str, status: int, seconds: float) -> None:
    """Counts a request under its route's pattern; ids of users and items are in no label and in no log line."""
    metrics.count("matinee_requests_total", status=str(status), method=method, route=route)
    metrics.time("matinee_request_seconds", seconds, method=method, route=route)
    metrics.tell()
    if access.isEnabledFor(logging.INFO):
        line = {"method": method, "route": route, "status": status, "ms": round(seconds * 1000, 2)}
        access.info(msgspec.json.encode(line).decode())


class Answer:
    """Passes the application's answer on with the headers that every answer has, and remembers its status."""

    def __init__(self, send: Send) -> None:
        self.send, self.status = send, 0

    async def pass_on(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message.get("headers", ()), *HEADERS]}
        await self.send(message)

    async def refuse(self, headers: Headers, refusal: Refusal) -> None:
        lang = words.language_of(headers.get(b"accept-language"))
        content = body(refusal.status, refusal.code, words.pick(refusal.detail, lang), lang)
        told = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(content)).encode())]
        start = {"type": "http.response.start", "status": refusal.status, "headers": [*told, *refusal.headers]}
        await self.pass_on(start)
        await self.send({"type": "http.response.body", "body": content})


def gated(path: str) -> bool:
    """Whether a place at work is needed; not for what is cheap, or long by nature."""
    return path.startswith("/api/") and not path.endswith(("/health", "/media"))


def _key(headers: Headers) -> str:
    if given := headers.get(b"x-api-key"):
        return given
    if (bearer := headers.get(b"authorization", "")).startswith("Bearer "):
        return bearer.removeprefix("Bearer ")
    try:
        cookie = SimpleCookie(headers.get(b"cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return cookie.value if cookie else ""


def _parsed(address: str) -> SplitResult:
    try:
        return urlsplit(address)
    except ValueError:
        return SplitResult("", "", "", "", "")


def _plain(host: str) -> bool:
    return all(c.isalnum() or c in ".-:[]_" for c in host)


OPEN = ("/api/v1/health", "/api/v1/session")
HOST = Refusal(421, "host.unknown", (
    "This server does not answer to that host name. Open it by its address, or name it in MATINEE_HOSTS.",
    "服务器不接受此主机名。请用地址访问，或在 MATINEE_HOSTS 中指定。",
))  # fmt: skip
ORIGIN = Refusal(403, "origin.foreign", (
    "A page of another site may not change anything here.", "不允许其他网站的页面修改这里的数据。",
))  # fmt: skip
KEY = Refusal(401, "key.needed", (
    "Send the key as 'Authorization: Bearer KEY'.", "请用 'Authorization: Bearer KEY' 发送密钥。",
), ((b"www-authenticate", b"Bearer"),))  # fmt: skip
BUSY = Refusal(503, "server.busy", (
    "More is asked than can be answered now. Try again soon; Retry-After says when.",
    "请求过多，暂时无法处理。请稍后重试，等待时间见 Retry-After。",
), ((b"retry-after", b"1"),))  # fmt: skip
SLOW = Refusal(503, "server.slow", (
    "The answer took too long and was given up. Ask for less, or try again.",
    "处理超时，已放弃。请减少请求内容或稍后重试。",
), ((b"retry-after", b"2"),))  # fmt: skip


def _role(role: Role) -> Refusal:
    return Refusal(403, "key.role", (
        f"This needs a key of the role {role}; the one that was sent may do less.",
        f"此操作需要 {role} 角色的密钥；当前密钥权限不足。",
    ))  # fmt: skip


def _rate(wait: float) -> Refusal:
    return Refusal(429, "rate.exceeded", (
        f"You ask too often. Try again in {wait:.1f} s.", f"请求过于频繁。请在 {wait:.1f} 秒后重试。",
    ), ((b"retry-after", str(math.ceil(wait)).encode()),))  # fmt: skip
