"""The routes for machines: many users at once, streams of events, a person's data out and away, metrics, the session of
the page."""

from __future__ import annotations

import time
from typing import Annotated, Any, TypeVar

import msgspec
from anyio.to_thread import run_sync
from litestar import Request, Response, delete, get, post
from litestar.datastructures import State as AppState
from litestar.exceptions import ClientException
from litestar.params import FromPath, QueryParameter

from matinee.errors import Language, MatineeError
from matinee.serve import asking, forms, intake, words
from matinee.serve.describe import BatchOperation, MergeOperation, SessionOperation, StreamOperation
from matinee.serve.edge import COOKIE
from matinee.serve.service import Ask, Service

T = TypeVar("T")
AnyRequest = Request[Any, Any, AppState]
MOST_USERS = 200  # in one batch
LINE = 64 * 1024  # bytes of one line of a stream
STEP = 1000  # events that are made durable together
Confirm = Annotated[str, QueryParameter(description="The user's id once more, so that nobody is erased by a slip.")]


def service_of(request: AnyRequest) -> Service:
    found: Service = request.app.state.service
    return found


def lang_of(request: AnyRequest) -> Language:
    return words.language_of(request.headers.get("accept-language"), request.query_params.get("lang"))


@post("/recommendations", status_code=200, operation_class=BatchOperation)
async def batch(request: AnyRequest) -> forms.Batch:
    """Slates for many users in one request: ``{"users": [...], "n": 20, "scenario": ...}``."""
    body, service, lang = await request.body(), service_of(request), lang_of(request)
    asked = _decoded(body, forms.BatchIn)
    if not 1 <= len(asked.users) <= MOST_USERS or not 1 <= asked.n <= 200:
        raise MatineeError(
            "batch.size",
            f"A batch has 1 to {MOST_USERS} users and 1 to 200 items for each.",
            f"一批包含 1 到 {MOST_USERS} 个用户，每个 1 到 200 个条目。",
        )
    ask = Ask(
        collection=asked.collection, categories=asked.categories, where=asked.where, scenario=asked.scenario,
        diversity=asked.diversity,
    )  # fmt: skip
    slates = [await run_sync(asking.recommendations, service, user, asked.n, ask, lang) for user in asked.users]
    return forms.Batch(slates=tuple(slates))


@post("/events/stream", status_code=202, operation_class=StreamOperation, request_max_body_size=None)
async def stream(request: AnyRequest) -> forms.Accepted:
    """Events as NDJSON, one a line, of any length. Made durable in steps of 1,000 as they come; when the connection
    breaks, what was taken in stays, and sending all again changes nothing."""
    service, lang = service_of(request), lang_of(request)
    told = forms.Accepted(accepted=0, duplicates=0, rejected=())
    lines: list[bytes] = []
    left, number = b"", 0
    async for chunk in request.stream():
        *whole, left = (left + chunk).split(b"\n")
        if len(left) > LINE:
            raise MatineeError(
                "stream.line", f"A line is longer than {LINE} bytes.", f"有一行超过 {LINE} 字节。", status=413
            )  # fmt: skip
        lines += [line for line in whole if line.strip()]
        while len(lines) >= STEP:
            told = await run_sync(_taken, service, lines[:STEP], number, told, lang)
            lines, number = lines[STEP:], number + STEP
    if left.strip():
        lines.append(left)
    return await run_sync(_taken, service, lines, number, told, lang) if lines else told


def _taken(
    service: Service, lines: list[bytes], number: int, told: forms.Accepted, lang: Language
) -> forms.Accepted:  # fmt: skip
    now = time.time()
    batch = intake.read_each(lines, now)
    answer, refused = service.append(batch)
    rejected = (forms.Rejected(index=number + i, error=code, message=intake.why(code, lang)) for i, code in refused)
    return forms.Accepted(
        accepted=told.accepted + answer.accepted,
        duplicates=told.duplicates + answer.duplicates,
        rejected=(*told.rejected, *rejected)[:10_000],
    )


@get("/users/{user:str}/export", sync_to_thread=True)
def export(request: AnyRequest, user: FromPath[str]) -> forms.Export:
    """All that is kept of a user: every event, and what is known of them beside."""
    from matinee.serve.http import segment

    named, service = segment(user), service_of(request)
    events = tuple(service.store.events_of(named, 10**9))
    profile = service.store.profile(named)
    if not events and not profile:
        raise _no_user(named)
    return forms.Export(user=named, events=events, profile=profile)


@delete("/users/{user:str}", status_code=200, sync_to_thread=True)
def erase(request: AnyRequest, user: FromPath[str], confirm: Confirm) -> forms.Erased:
    """Erases a user and every event, to the last byte of the store, and the user's row from every released model that
    has one. What the events added to sums over everybody is forgotten by the next training; ``backups`` names copies
    that still hold the user."""
    from matinee.serve.http import segment

    named, service = segment(user), service_of(request)
    if confirm != named:
        raise MatineeError(
            "erase.unconfirmed", "confirm= must repeat the user's id.", "confirm= 必须重复该用户的 ID。"
        )  # fmt: skip
    if not (gone := service.erase(named)).found:
        raise _no_user(named)
    return forms.Erased(user=named, erased=True, retrain=bool(service.state.release), backups=gone.backups)


@post("/users/{user:str}/merge", status_code=200, operation_class=MergeOperation)
async def merge(request: AnyRequest, user: FromPath[str]) -> forms.Merged:
    """An anonymous session turns out to be this user: ``{"session": "its id"}``. All that it did, and what comes late,
    is the user's from now on. Doing it again changes nothing; 409 when the session went into another user before."""
    from matinee.serve.http import segment

    named, service = segment(user), service_of(request)
    session = _decoded(await request.body(), forms.MergeIn).session
    for given in (named, session):
        if len(given) > intake.LONGEST_ID:
            raise MatineeError(
                "merge.long", f"An id has at most {intake.LONGEST_ID} characters.",
                f"ID 最多 {intake.LONGEST_ID} 个字符。",
            )  # fmt: skip
    return forms.Merged(user=named, session=session, merged=await run_sync(service.store.merge_user, session, named))


def _no_user(user: str) -> MatineeError:
    return MatineeError("user.unknown", f"There is no user {user!r}.", f"没有用户“{user}”。", status=404)


@get("/metrics", sync_to_thread=True, include_in_schema=False)
def metrics(request: AnyRequest) -> Response[str]:
    """For Prometheus."""
    service = service_of(request)
    counts = service.store.counts()
    gauges = (("matinee_items", counts.items), ("matinee_users", counts.users), ("matinee_events", counts.events))
    return Response(service.metrics.text(gauges), media_type="text/plain; version=0.0.4; charset=utf-8")


@post("/session", status_code=204, operation_class=SessionOperation)
async def session(request: AnyRequest) -> Response[None]:
    """Keeps a key in a cookie that scripts cannot read, so that the page can play media. An empty key forgets it."""
    key = _decoded(await request.body(), forms.SessionIn).key
    if not key.isascii() or not all(c.isalnum() or c in "-_.~" for c in key) or len(key) > 256:
        raise ClientException("a key holds letters, digits and -_.~ only")
    age = 30 * 86400 if key else 0
    secure = "; Secure" if request.url.scheme == "https" else ""
    cookie = f"{COOKIE}={key}; Path=/; HttpOnly; SameSite=Strict; Max-Age={age}{secure}"
    return Response(None, status_code=204, headers={"set-cookie": cookie})


def _decoded(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise MatineeError("body.wrong", f"The body is wrong: {error}.", f"请求体有误：{error}。") from None


HANDLERS = (batch, stream, export, erase, merge, session)
