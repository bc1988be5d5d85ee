"""The routes. Only here is anything async; handlers run in threads and hand over to the ``Service``."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import unquote

import msgspec
from litestar import Litestar, Request, Response, Router, delete, get, post, put, route
from litestar.datastructures import State as AppState
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.response import Stream

from matinee import __version__
from matinee.errors import Language, MatineeError
from matinee.serve import (
    asking,
    bulk,
    console,
    forms,
    intake,
    interests,
    listing,
    people,
    seek_routes,
    slates,
    static,
    within,
    words,
)  # fmt: skip
from matinee.serve.answers import Answers
from matinee.serve.describe import EventsOperation, ItemOperation, make_true
from matinee.serve.problem import on_any_error, on_http_error, on_matinee_error
from matinee.serve.rows import rows_of
from matinee.serve.service import Ask, Service
from matinee.serve.turns import Turns, plain
from matinee.types import EventKind, Item

BODY = 8 * 1024 * 1024  # bytes of a request
Many = Annotated[int, QueryParameter(ge=1, le=200, description="How many.")]
Events = Annotated[int, QueryParameter(ge=1, le=1000, description="How many.")]
Share = Annotated[float | None, QueryParameter(ge=0, le=1, description="0: relevance alone; 1: as varied as can be.")]
Kinds = Annotated[list[EventKind] | None, QueryParameter(description="May be given several times.")]
Names = Annotated[list[str] | None, QueryParameter(description="May be given several times.")]
Boosts = Annotated[
    list[str] | None, QueryParameter(description='Deviations to add where a filter holds: 2:"jazz" in tags')
]
Where = Annotated[str, QueryParameter(max_length=2000, description='A filter: duration < 600 and "jazz" in tags')]
Stated = Annotated[str, QueryParameter(max_length=100, description="What somebody says of themselves.")]
Interests = Annotated[
    list[str] | None, QueryParameter(max_items=10, description="What somebody likes, in words; may be repeated.")
]
Age = Annotated[float | None, QueryParameter(ge=0, le=150, description="Nothing whose properties.age is above it.")]
Blocked = Annotated[list[str] | None, QueryParameter(description="Creators that are not to be shown.")]
Lang = Annotated[str | None, QueryParameter(description="en or zh; otherwise Accept-Language decides.")]
Words_ = Annotated[str, QueryParameter(min_length=1, max_length=500, description="In Chinese or English.")]
AnyRequest = Request[Any, Any, AppState]


def service_of(request: AnyRequest) -> Service:
    found: Service = request.app.state.service
    return found


def segment(raw: str) -> str:
    """A path segment as the client meant it. Raises 400 where it is not UTF-8."""
    try:
        return unquote(raw, errors="strict")
    except UnicodeDecodeError:
        raise MatineeError("id.not_utf8", "The id in the path is not UTF-8.", "路径中的 ID 不是 UTF-8。") from None


def lang_of(request: AnyRequest) -> Language:
    return words.language_of(request.headers.get("accept-language"), request.query_params.get("lang"))


@post("/events", status_code=202, operation_class=EventsOperation)
async def post_events(request: AnyRequest) -> forms.Accepted:
    """Take in one event or a list; durable when this answers. Each is judged alone."""
    from anyio.to_thread import run_sync

    body, service, lang = await request.body(), service_of(request), lang_of(request)

    def work() -> forms.Accepted:
        answer, refused = service.append(intake.read_events(body, time.time()))
        rejected = tuple(forms.Rejected(index=i, error=code, message=intake.why(code, lang)) for i, code in refused)
        return forms.Accepted(accepted=answer.accepted, duplicates=answer.duplicates, rejected=rejected)

    return await run_sync(work)


@get("/users/{user:str}/recommendations")
async def recommendations(
    request: AnyRequest, user: FromPath[str], n: Many = 20, collection: FromQuery[str] = "", category: Names = None,
    diversity: Share = None, exclude: Names = None, where: Where = "", scenario: FromQuery[str] = "home",
    novelty: Share = None, exploration: Share = None, boost: Boosts = None, page: FromQuery[str] = "",
    seed: FromQuery[int | None] = None, country: Stated = "", language: Stated = "", interests: Interests = None,
    age: Age = None, blocked: Blocked = None, lang: Lang = None,
) -> forms.Recommendations:  # fmt: skip
    """A slate for a user, best first, with the reasons of every item. An unknown user gets a varied start."""
    ask = Ask(
        collection=collection, categories=tuple(category or ()), exclude=tuple(exclude or ()), diversity=diversity,
        where=where, scenario=scenario, novelty=novelty, exploration=exploration, boost=boosts(boost), page=page,
        seed=seed, country=country, language=language, interests=tuple(interests or ()), age=age,
        blocked=tuple(blocked or ()),
    )  # fmt: skip
    service, named, lang = service_of(request), segment(user), lang_of(request)
    turns: Turns = request.app.state.turns
    return await turns.take(plain(service.store, ask), lambda: asking.recommended(service, named, n, ask, lang))


def boosts(given: list[str] | None) -> tuple[tuple[str, float], ...]:
    """``2:"jazz" in tags`` is two deviations more for jazz. Raises ``boost.wrong``."""
    found = []
    for text in given or ():
        strength, _, where = text.partition(":")
        try:
            value = float(strength)
        except ValueError:
            value = math.nan
        if not -10 <= value <= 10 or not where.strip():
            raise MatineeError(
                "boost.wrong",
                'A boost is a number from -10 to 10, a colon and a filter: 2:"jazz" in tags',
                'boost 的格式为 -10 到 10 的数字、冒号和筛选条件：2:"jazz" in tags',
            )
        found.append((where, value))
    return tuple(found)


@get("/scenarios", sync_to_thread=False)
def scenarios(request: AnyRequest, lang: Lang = None) -> forms.Scenarios:
    """The kinds of places that can be asked for with ``scenario=``."""
    return asking.scenarios(lang_of(request))


@get("/users/{user:str}/rows", sync_to_thread=True)
def user_rows(
    request: AnyRequest, user: FromPath[str], n: Many = 20, collection: FromQuery[str] = "", category: Names = None,
    diversity: Share = None, exclude: Names = None, where: Where = "", novelty: Share = None, country: Stated = "",
    language: Stated = "", interests: Interests = None, age: Age = None, blocked: Blocked = None, lang: Lang = None,
) -> forms.Rows:  # fmt: skip
    """The rows of a page: for you, what was begun, because you watched, popular, new, more from a creator, categories
    that the user likes, and what is loved again. What narrows one narrows all."""
    ask = Ask(
        collection=collection, categories=tuple(category or ()), exclude=tuple(exclude or ()), diversity=diversity,
        where=where, novelty=novelty, country=country, language=language, interests=tuple(interests or ()), age=age,
        blocked=tuple(blocked or ()),
    )  # fmt: skip
    return rows_of(service_of(request), segment(user), n, ask, lang_of(request))


@get("/users/{user:str}/events", sync_to_thread=True)
def user_events(request: AnyRequest, user: FromPath[str], n: Events = 50, kind: Kinds = None) -> forms.Events:
    """What a user did, newest first; of these kinds alone where any is named."""
    service = service_of(request)
    answers, named = Answers(service.current().catalogue, lang_of(request)), segment(user)
    if kind:
        each = [service.store.events_of(named, n, kind=one) for one in dict.fromkeys(kind)]
        found = sorted((event for some in each for event in some), key=lambda event: -event.at)[:n]
    else:
        found = service.store.events_of(named, n)
    return forms.Events(events=tuple(answers.event(e) for e in found))


@get("/users", sync_to_thread=True)
def users(request: AnyRequest, n: Events = 50, q: FromQuery[str] = "") -> forms.Users:
    """Users whose id holds ``q``, those with the most events first."""
    return forms.Users(users=tuple(forms.UserForm(user=u, events=e) for u, e in service_of(request).users(n, q)))


@get("/items/{item:str}", sync_to_thread=True)
def get_item(request: AnyRequest, item: FromPath[str], lang: Lang = None) -> forms.Whole:
    """All that is known of an item, and what was seen and heard in it."""
    return within.whole(service_of(request), segment(item), lang_of(request))


@put("/items/{item:str}", operation_class=ItemOperation)
async def put_item(request: AnyRequest, item: FromPath[str]) -> forms.Whole:
    """Add an item or replace what is said of it. It is recommendable and searchable when this answers."""
    from anyio.to_thread import run_sync

    body, service, named = await request.body(), service_of(request), segment(item)

    def work() -> forms.Whole:
        row = service.put_item(item_of(named, body))
        return Answers(service.state.catalogue, lang_of(request)).whole(row)

    return await run_sync(work)


def item_of(id: str, body: bytes) -> Item:
    """The item of a PUT. Raises ``item.invalid``."""
    try:
        given = msgspec.json.decode(body or b"{}", type=forms.ItemIn)
        if given.id not in (None, id):
            raise ValueError("the id in the body is not the id in the path")
        told = {name: getattr(given, name) for name in given.__struct_fields__ if name != "id"}
        numbers = [told[name] for name in ("duration", "released", "expires")]
        if not all(v is None or abs(v) < 1e15 for v in numbers):
            raise ValueError("a number is too large")
        if not id or len(id) > intake.LONGEST_ID:
            raise ValueError(f"an id has 1 to {intake.LONGEST_ID} characters")
        return Item(id=id, **told)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, ValueError) as error:
        raise MatineeError("item.invalid", f"This is not an item: {error}.", f"这不是有效的条目：{error}。") from None


@delete("/items/{item:str}", sync_to_thread=True)
def delete_item(request: AnyRequest, item: FromPath[str]) -> None:
    """Take an item away. It is in no answer that begins after this one."""
    if not service_of(request).delete_item(segment(item)):
        raise MatineeError("item.unknown", "There is no such item.", "没有这个条目。", status=404)


@get("/items/{item:str}/similar", sync_to_thread=True)
def similar(
    request: AnyRequest, item: FromPath[str], n: Many = 20,
    by: Annotated[str, QueryParameter(pattern="^(all|text|picture|sound|speech|behaviour)$")] = "all",
    where: Where = "", collection: FromQuery[str] = "", age: Age = None, blocked: Blocked = None, lang: Lang = None,
) -> forms.SimilarItems:  # fmt: skip
    """Items like this one: by what they say, show, sound like, or by who watched them."""
    ask = Ask(where=where, collection=collection, age=age, blocked=tuple(blocked or ()))
    return asking.similar(service_of(request), segment(item), by, n, lang_of(request), ask)


@get("/search", sync_to_thread=True)
def search(
    request: AnyRequest, q: Words_, n: Many = 20, where: Where = "", collection: FromQuery[str] = "", age: Age = None,
    blocked: Blocked = None, lang: Lang = None,
) -> forms.Hits:  # fmt: skip
    """Find by meaning: what items say, show and sound like, in Chinese or English, and by their words."""
    ask = Ask(where=where, collection=collection, age=age, blocked=tuple(blocked or ()))
    return asking.search(service_of(request), q, n, lang_of(request), ask)


@get("/collections", sync_to_thread=True)
def collections(request: AnyRequest) -> forms.Collections:
    """Collections and their categories, largest first."""
    return Answers(service_of(request).current().catalogue).collections()


@get("/health", sync_to_thread=True)
def health(request: AnyRequest) -> forms.Health:
    service = service_of(request)
    counts, state = service.store.counts(), service.current()
    return forms.Health(
        status="ok", release=state.release, items=counts.items, users=counts.users, events=counts.events,
        encoders={"text": service.reader.state}, version=__version__,
    )  # fmt: skip


@get("/items/{item:str}/cover", sync_to_thread=True, include_in_schema=True)
def cover(request: AnyRequest, item: FromPath[str]) -> Response[bytes]:
    """The picture of an item."""
    service = service_of(request)
    state = service.current()
    named = state.catalogue.covers.get(service.row(state, segment(item)), "")
    return static.cover(service.library.path, named)


@route("/items/{item:str}/media", http_method=["GET", "HEAD"], sync_to_thread=True)
def media(request: AnyRequest, item: FromPath[str]) -> Response[Any] | Stream:
    """The media file of an item; ranges are honoured."""
    service, named = service_of(request), segment(item)
    state = service.current()
    path = state.catalogue.item(service.row(state, named)).media
    place = static.recorded(service.files(named, path), named, path)
    headers = request.headers
    return static.media(place, headers.get("range"), headers.get("if-range"), request.method == "HEAD")


@get(["/", "/console"], include_in_schema=False)
async def index() -> Response[bytes]:
    return static.page()  # a kilobyte; a sync handler of two paths would be wrapped into a thread twice, and fail


@get("/assets/{asset:str}", include_in_schema=False, sync_to_thread=True)
def asset(request: AnyRequest, asset: FromPath[str]) -> Response[bytes]:
    return static.page(segment(asset), request.headers.get("accept-encoding", ""))


HANDLERS: Sequence[Any] = (
    post_events, recommendations, scenarios, user_rows, user_events, users, get_item, put_item, delete_item, similar,
    search, collections, health, cover, media,
)  # fmt: skip


def application(service: Service) -> Litestar:
    """The ASGI application over one service."""
    rooms = (bulk, within, console, interests, listing, people, seek_routes, slates)
    api = Router("/api/v1", route_handlers=[*HANDLERS, *(handler for room in rooms for handler in room.HANDLERS)])
    plain = JsonRenderPlugin(path=["/", "/openapi.json"])
    dots = (
        "An id that is `.` or `..` cannot travel in a path: put `-` there and the id behind it as `?user=` or `?item=`."
    )
    about = OpenAPIConfig("Matinee", __version__, description=dots, path="/schema", render_plugins=[plain])
    handled: dict[Any, Any] = {
        MatineeError: on_matinee_error, HTTPException: on_http_error, Exception: on_any_error,
    }  # fmt: skip
    app = Litestar(
        [api, index, asset, bulk.metrics],
        openapi_config=about,
        request_max_body_size=BODY,
        state=AppState({"service": service, "turns": Turns(service.lane)}),
        exception_handlers=handled,
        logging_config=None,
    )
    make_true(app.openapi_schema)
    return app
