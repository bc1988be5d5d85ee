"""``serve``: from a library to a listening server, with every reason not to start said plainly."""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from matinee.errors import MatineeError
from matinee.protocols import Store
from matinee.serve.edge import Edge, is_loopback
from matinee.serve.keys import SHORTEST, Keys, Role, digest
from matinee.serve.pressure import LONGEST, SHARE, Gate, Rates
from matinee.serve.process import prepare
from matinee.serve.schedule import scheduled
from matinee.serve.share import Place
from matinee.serve.workers import Task, several
from matinee.settings import Access, Library
from matinee.store import serving

KEY, HOSTS = "MATINEE_KEY", "MATINEE_HOSTS"
MAKE_ONE = f"export {KEY}=$(python3 -c 'import secrets; print(secrets.token_urlsafe(24))')"
BACKLOG = 2048  # connections that wait to be accepted
DRAIN = 10  # seconds that requests under way have when the server is asked to stop

Say = Callable[[str, str], None]  # a line in English and in Chinese


def bind(host: str, port: int) -> socket.socket:
    """A bound socket; port 0 takes a free one. Raises ``serve.port_taken``, ``serve.port_denied`` or
    ``serve.address``."""
    try:
        # with its protocol named: asyncio sets TCP_NODELAY only where it reads TCP, and 40 ms a request hang on that
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
        except OSError:
            bound.close()
            raise
        return bound
    except socket.gaierror as error:
        raise _address(host, error.strerror or str(error)) from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise MatineeError(
                "serve.port_taken",
                f"Port {port} is taken by another program. Stop it, or choose another port: --port {port + 1}",
                f"端口 {port} 已被其他程序占用。请停止该程序，或换一个端口：--port {port + 1}",
                exit_code=1,
            ) from None
        if error.errno == errno.EACCES:
            raise MatineeError(
                "serve.port_denied",
                f"Port {port} may only be used by the administrator. Choose one above 1023: --port 8420",
                f"端口 {port} 只有管理员可以使用。请选择 1023 以上的端口：--port 8420",
                exit_code=1,
            ) from None
        raise _address(host, error.strerror or str(error)) from None
    except OverflowError:
        raise MatineeError(
            "serve.port_wrong",
            f"{port} is no port: it lies between 0 and 65535.",
            f"{port} 不是端口：应在 0 到 65535 之间。",
        ) from None


def _address(host: str, why: str) -> MatineeError:
    return MatineeError(
        "serve.address",
        f"Cannot listen on {host}: {why}. Use --host 127.0.0.1 for this machine alone, 0.0.0.0 for all networks.",
        f"无法在 {host} 上监听：{why}。仅本机使用请用 --host 127.0.0.1，所有网络请用 0.0.0.0。",
        exit_code=1,
    )


def keys_for(host: str, settings: Access) -> Keys:
    """The keys in force: those of the settings, and ``MATINEE_KEY`` as an admin's. Raises ``serve.no_key`` when others
    could reach the server and there is none, ``serve.weak_key`` for one that could be guessed."""
    key = os.environ.get(KEY, "")
    if key and len(key) < SHORTEST:
        raise MatineeError(
            "serve.weak_key",
            f"{KEY} is too short: it needs at least {SHORTEST} characters of chance, for example: {MAKE_ONE}",
            f"{KEY} 太短：至少需要 {SHORTEST} 个随机字符，例如：{MAKE_ONE}",
        )
    roles: dict[str, Role] = {known.sha256.lower(): known.role for known in settings.keys}
    if key:
        roles[digest(key)] = "admin"
    if not roles and not is_loopback(host):
        raise MatineeError(
            "serve.no_key",
            f"Others could reach {host}, so a key is needed. Make one: {MAKE_ONE}",
            f"其他机器可以访问 {host}，因此需要密钥。请创建：{MAKE_ONE}",
        )
    return Keys(roles)


def allowed_hosts(host: str) -> frozenset[str]:
    """Names that the Host header may carry beside loopback ones; none = any, where a key protects the server."""
    named = {name.strip() for name in os.environ.get(HOSTS, "").split(",") if name.strip()}
    return frozenset(named | {"localhost"}) if is_loopback(host) or named else frozenset()


def serve(
    library: Library, store: Store, host: str = "127.0.0.1", port: int = 8420, say: Say | None = None,
    workers: int = 1, target: str = "", read_only: bool = False,
) -> None:  # fmt: skip
    """Serves until SIGINT or SIGTERM; returns then, with the requests under way answered.

    With several ``workers`` as many processes share the address; each opens ``target`` (else what the library names)
    by itself. The address is said once the socket listens. Raises ``serve.*`` errors before that, and ``store.served``
    while another server writes to this store.
    """
    keys, bound = keys_for(host, library.settings.access), bind(host, port)
    with bound, serving(store):
        bound.listen(BACKLOG)
        address = f"http://{f'[{host}]' if ':' in host else host}:{bound.getsockname()[1]}"

        def begun() -> None:
            (say or _say)(f"Matinee is at {address}  (Ctrl-C stops it)", f"Matinee 已启动：{address}（按 Ctrl-C 停止）")

        with scheduled(library, target):
            if workers > 1:
                several(library, bound, Task(str(library.path), target, read_only, host), workers, begun)
            else:
                listen(library, store, host, keys, bound, begun)


def listen(
    library: Library, store: Store, host: str, keys: Keys, bound: socket.socket, begun: Callable[[], None],
    place: Place | None = None,
) -> None:  # fmt: skip
    """One process answers what comes in at a listening socket, until it is asked to stop. ``place``: among the workers
    of one server."""
    import uvicorn
    from threadpoolctl import threadpool_limits

    from matinee import kernels
    from matinee.serve.accept import SharingServer
    from matinee.serve.http import application
    from matinee.serve.patience import patient
    from matinee.serve.service import Service

    prepare()
    kernels.start()
    limits = library.settings.access
    service = Service(library, store)
    if place is not None:
        service.metrics.share(place.folder)
    gate = Gate(limits.running, limits.waiting, longest=min(LONGEST, SHARE * limits.seconds))
    app = Edge(
        application(service), allowed_hosts(host), keys, Rates(limits.rate, limits.burst), gate, service.metrics,
        limits.seconds,
    )  # fmt: skip
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", server_header=False, ws="none",
        http=patient(limits.seconds, gate, service.metrics),
        backlog=BACKLOG,
        timeout_graceful_shutdown=DRAIN, timeout_keep_alive=30, h11_max_incomplete_event_size=64 * 1024,
    )  # fmt: skip
    server = uvicorn.Server(config) if place is None else SharingServer(config, bound, place)

    def stop(*_: object) -> None:
        server.should_exit = True  # also before uvicorn listens to signals itself

    # requests run side by side in threads: a product that takes every core only makes the others wait
    with _signals_end_quietly(stop), threadpool_limits(1, "blas"):
        service.warm()
        begun()
        service.reader.start()
        service.seeker.start(service.reader.wait)  # one after the other: they share the text encoder
        server.run(sockets=[bound])


@contextmanager
def _signals_end_quietly(stop: Callable[..., None]) -> Iterator[None]:
    """uvicorn stops on a signal and then raises it again for whoever was there before: ``stop``, since a stop that was
    asked for is no failure."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(en: str, zh: str) -> None:
    from matinee.errors import language

    logging.getLogger("matinee.serve").info(zh if language() == "zh" else en)
