"""What the operator sees: the catalogue and its gaps, files that were refused, ingest as it runs, events as they come,
releases, a request taken apart, a map, coverage, and the settings in force. All of it wants the admin key where there
are keys (``keys.needed``)."""

from __future__ import annotations

import json
import os
import re
import time
from typing import Annotated, Any

import msgspec
from anyio.to_thread import run_sync
from litestar import Request, get, post
from litestar.datastructures import State as AppState
from litestar.params import FromQuery, QueryParameter

from matinee.errors import Language, MatineeError
from matinee.release import load_release
from matinee.serve import survey, words
from matinee.serve.answers import Answers
from matinee.serve.compare import Comparison
from matinee.serve.service import Ask, Service
from matinee.serve.trace import Trace, trace
from matinee.settings import Settings

AnyRequest = Request[Any, Any, AppState]
After = Annotated[int, QueryParameter(ge=-1, le=2**62)]
Many = Annotated[int, QueryParameter(ge=1, le=500, description="How many.")]
SECRET = re.compile(r"key|secret|password|passwd|token|sha256|dsn|credential", re.IGNORECASE)
LOGIN = re.compile(r"(?<=://)[^/@\s]+@")
HIDDEN = "(hidden)"
LARGEST = 4 * 1024 * 1024  # bytes of ingest.json that are read
ENVIRON = ("MATINEE_KEY", "MATINEE_HOSTS", "MATINEE_CACHE", "MATINEE_LANG")


class Setting(msgspec.Struct, kw_only=True):
    """``name`` dotted; ``default``: what holds where the file says nothing; ``changed``: whether the file says else."""

    name: str
    value: Any
    default: Any
    changed: bool


class SettingsForm(msgspec.Struct, kw_only=True):
    library: str
    settings: tuple[Setting, ...]
    environ: dict[str, bool]


class Refused(msgspec.Struct, kw_only=True):
    path: str
    status: str
    note: str
    size: int
    item: str | None


class RefusedForm(msgspec.Struct, kw_only=True):
    total: int
    by_status: dict[str, int]
    files: tuple[Refused, ...]


class IngestForm(msgspec.Struct, kw_only=True):
    """``progress``: ``ingest.json`` as ingest wrote it, null where nothing was ingested since; ``age``: seconds since
    it was written."""

    progress: dict[str, Any] | None
    age: float | None


class LoggedEvent(msgspec.Struct, kw_only=True):
    sequence: int
    user: str
    kind: str
    item: str | None
    title: str | None
    at: float
    value: float | None
    text: str | None
    slate: str | None


class EventsForm(msgspec.Struct, kw_only=True):
    """``last``: ask again with ``after=`` this."""

    last: int
    events: tuple[LoggedEvent, ...]


class ReleaseForm(msgspec.Struct, kw_only=True):
    """``weights``: each expert's share of the blend; ``made``: what made it; ``gate``: what was measured beside the one
    in force before it (``matinee.models.gate``); ``files``: whether its folder is there; ``used``: when it was put
    in force, Unix seconds."""

    digest: str
    in_force: bool
    weights: dict[str, float]
    made: dict[str, Any]
    files: bool
    gate: dict[str, Any] = {}
    used: tuple[float, ...] = ()


class ReleasesForm(msgspec.Struct, kw_only=True):
    in_force: str
    releases: tuple[ReleaseForm, ...]


class UseIn(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    digest: str


def service_of(request: AnyRequest) -> Service:
    found: Service = request.app.state.service
    return found


def lang_of(request: AnyRequest) -> Language:
    return words.language_of(request.headers.get("accept-language"), request.query_params.get("lang"))


def surveyor(request: AnyRequest) -> survey.Surveyor:
    """One for the application, made when it is first asked for."""
    state = request.app.state
    found: survey.Surveyor | None = state.get("surveyor")
    if found is None:
        found = state.surveyor = survey.Surveyor(state.service)
    return found


@get("/console/settings", sync_to_thread=True)
def settings(request: AnyRequest) -> SettingsForm:
    """The settings in force, each beside its default. What may be a secret is hidden, whatever it holds."""
    library = service_of(request).library
    now, usual = _flat(msgspec.to_builtins(library.settings)), _flat(msgspec.to_builtins(Settings()))
    told = tuple(
        Setting(
            name=name, value=_told(name, value), default=_told(name, usual.get(name)), changed=value != usual.get(name)
        )
        for name, value in now.items()
    )
    return SettingsForm(
        library=str(library.path.resolve()), settings=told, environ={name: name in os.environ for name in ENVIRON}
    )


def _flat(tree: dict[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in tree.items():
        found |= _flat(value, f"{before}{name}.") if isinstance(value, dict) and value else {before + name: value}
    return found


def _told(name: str, value: Any) -> Any:
    """The value without what may be a secret: by its name, or as the login within an address."""
    if SECRET.search(name.rpartition(".")[2]):
        count = len(value) if isinstance(value, list | tuple | dict) else None
        return f"{HIDDEN} x {count}" if count else ("" if not value else HIDDEN)
    if isinstance(value, dict):
        return {key: _told(str(key), each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_told(name, each) for each in value]
    return LOGIN.sub(HIDDEN + "@", value) if isinstance(value, str) else value


@get("/console/refused", sync_to_thread=True)
def refused(request: AnyRequest, n: Many = 200) -> RefusedForm:
    """Files that were not taken, or only partly, and why; those that failed wholly first."""
    bad = [file for file in service_of(request).store.files() if file.status != "taken"]
    counts: dict[str, int] = {}
    for file in bad:
        counts[file.status] = counts.get(file.status, 0) + 1
    bad.sort(key=lambda file: (file.status != "refused", file.status, file.path))
    zh = lang_of(request) == "zh"

    def why(note: str) -> str:  # written down as English | Chinese | version
        en, other = (*note.split(" | "), note)[:2]
        return (other if zh else en)[:500]

    listed = tuple(Refused(path=f.path, status=f.status, note=why(f.note), size=f.size, item=f.item) for f in bad[:n])
    return RefusedForm(total=len(bad), by_status=counts, files=listed)


@get("/console/ingest", sync_to_thread=True)
def ingest(request: AnyRequest) -> IngestForm:
    """What an ingest that runs says of itself, or what the last one said."""
    file = service_of(request).library.path / "ingest.json"
    try:
        with file.open("rb") as opened:
            told = json.loads(opened.read(LARGEST))
            age = max(time.time() - os.fstat(opened.fileno()).st_mtime, 0.0)
    except (OSError, ValueError, RecursionError):
        return IngestForm(progress=None, age=None)
    return IngestForm(progress=told if isinstance(told, dict) else None, age=round(age, 1))


@get("/console/events", sync_to_thread=True)
def events(request: AnyRequest, after: After = -1, n: Many = 50) -> EventsForm:
    """Events as they come, oldest first: those after a sequence number, or the newest n where none is named."""
    service = service_of(request)
    answers = Answers(service.current().catalogue, lang_of(request))
    found = service.store.events_after(None if after < 0 else after, n)
    told = []
    for sequence, event in found:
        seen = answers.event(event)
        told.append(
            LoggedEvent(
                sequence=sequence, user=seen.user, kind=seen.kind, item=seen.item, title=seen.title,
                at=float(event.at), value=seen.value, text=seen.text, slate=seen.slate,
            )
        )  # fmt: skip
    return EventsForm(last=found[-1][0] if found else max(after, 0), events=tuple(told))


@get("/console/releases", sync_to_thread=True)
def releases(request: AnyRequest) -> ReleasesForm:
    """Every release that the store knows, the one in force first, with what made it and what was measured."""
    return listed_releases(service_of(request))


def listed_releases(service: Service) -> ReleasesForm:
    current = service.store.release()
    used: dict[str, list[float]] = {}
    for at, digest in service.store.releases_used():
        used.setdefault(digest, []).append(at)
    listed = tuple(
        ReleaseForm(
            digest=digest, in_force=current is not None and current[0] == digest,
            weights={str(k): float(v) for k, v in manifest.get("weights", {}).items()},
            made=dict(manifest.get("made", {})), files=(service.library.releases / digest / "manifest.json").is_file(),
            gate=dict(manifest.get("gate", {})), used=tuple(used.get(digest, ())),
        )
        for digest, manifest in service.store.releases()
    )  # fmt: skip
    order = sorted(listed, key=lambda one: (one.in_force, max(one.used, default=0.0)), reverse=True)
    return ReleasesForm(in_force=current[0] if current else "", releases=tuple(order))


@get("/console/releases/compare", sync_to_thread=True)
def compare_releases(request: AnyRequest) -> Comparison:
    """The latest releases measured on the same cases, in the background; ``ready`` false: ask again in a second."""
    return surveyor(request).comparison()


@post("/console/releases/use", status_code=200)
async def use_release(request: AnyRequest) -> ReleasesForm:
    """Put a release in force: ``{"digest": ...}``. It is read whole and checked before; the next request is answered
    with it. The one before stays, so that this can be undone."""
    body = await request.body()
    await run_sync(_use, service_of(request), body)
    return await run_sync(listed_releases, service_of(request))


def _use(service: Service, body: bytes) -> None:
    try:
        digest = msgspec.json.decode(body, type=UseIn).digest
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MatineeError("body.wrong", f"The body is wrong: {error}.", f"请求体有误：{error}。") from None
    if digest not in {known for known, _ in service.store.releases()}:
        raise MatineeError(
            "release.unknown",
            f"There is no release {digest[:80]!r}; matinee releases lists them.",
            f"没有发布版本“{digest[:80]}”；用 matinee releases 查看。",
            status=404,
        )
    load_release(service.library.releases / digest)
    service.store.use_release(digest)
    service.current()


@get("/console/catalogue", sync_to_thread=True)
def catalogue(request: AnyRequest) -> survey.CatalogueForm:
    """How many items of which kind, and what is missing of them."""
    return surveyor(request).catalogue()


@get("/console/coverage", sync_to_thread=True)
def coverage(request: AnyRequest) -> survey.CoverageForm:
    """How plays and recommendations spread over the catalogue."""
    return surveyor(request).coverage()


@get("/console/map", sync_to_thread=True)
def atlas(request: AnyRequest, space: FromQuery[str] = "") -> survey.MapForm:
    """The items of a space as points in the plane; made in the background and kept until the catalogue changes.
    ``ready`` false: ask again in a second."""
    return surveyor(request).map(space, lang_of(request))


@get("/console/request", sync_to_thread=True)
def request_trace(
    request: AnyRequest, user: FromQuery[str], n: Many = 20, collection: FromQuery[str] = "",
    category: FromQuery[str] = "", scenario: FromQuery[str] = "home", diversity: FromQuery[float | None] = None,
    novelty: FromQuery[float | None] = None, where: FromQuery[str] = "",
) -> Trace:  # fmt: skip
    """A request taken apart: candidates by source, what each filter dropped, scores by expert, milliseconds."""
    ask = Ask(
        collection=collection, categories=(category,) if category else (), scenario=scenario, diversity=diversity,
        novelty=novelty, where=where,
    )  # fmt: skip
    return trace(service_of(request), user, n, ask, lang_of(request))


HANDLERS: tuple[Any, ...] = (
    settings, refused, ingest, events, releases, compare_releases, use_release, catalogue, coverage, atlas,
    request_trace,
)  # fmt: skip
