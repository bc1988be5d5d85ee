"""What came of a slate, why an item would be in one, and the log as it grows."""

from __future__ import annotations

import time
from typing import Annotated, Any

import msgspec
import numpy as np
from anyio.to_thread import run_sync
from litestar import Request, get, post
from litestar.datastructures import State as AppState
from litestar.params import FromPath, FromQuery, QueryParameter

from matinee.errors import MatineeError
from matinee.pipeline.recommender import union
from matinee.serve import forms, intake, words
from matinee.serve.answers import Answers
from matinee.serve.describe import FeedbackOperation
from matinee.serve.service import Ask, Service
from matinee.types import Candidates, EventKind, Ints

AnyRequest = Request[Any, Any, AppState]
MOST = 1000  # things said of one slate
After = Annotated[
    int | None, QueryParameter(ge=0, le=2**62, description="Only later than this number; none: the newest.")
]
Events = Annotated[int, QueryParameter(ge=1, le=1000, description="How many.")]
Kinds = Annotated[list[EventKind] | None, QueryParameter(description="Only these kinds; may be repeated.")]


@post("/slates/{slate:str}/feedback", status_code=202, operation_class=FeedbackOperation)
async def feedback(request: AnyRequest, slate: FromPath[str]) -> forms.Accepted:
    """What a user did with a slate: ``{"user": ..., "shown": [items], "events": [{"item", "kind", "value"}]}``. Each
    becomes an event that names the slate; sending it again changes nothing. Durable when this answers."""
    from matinee.serve.http import lang_of, segment, service_of

    named, service, lang = segment(slate), service_of(request), lang_of(request)
    batch = read_feedback(named, await request.body(), time.time())

    def work() -> forms.Accepted:
        answer, refused = service.append(batch)
        rejected = tuple(forms.Rejected(index=i, error=code, message=intake.why(code, lang)) for i, code in refused)
        return forms.Accepted(accepted=answer.accepted, duplicates=answer.duplicates, rejected=rejected)

    return await run_sync(work)


def read_feedback(slate: str, body: bytes, now: float) -> intake.Batch:
    """The events of a feedback, ``shown`` first. An event's id is made of slate, user, kind and item, so that the same
    feedback twice is one. Raises ``body.wrong`` or ``body.too_many``."""
    try:
        told = msgspec.json.decode(body, type=forms.FeedbackIn)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise MatineeError("body.wrong", f"The body is wrong: {error}.", f"请求体有误：{error}。") from None
    said = [*(forms.SaidIn(item=item, kind="impression") for item in told.shown), *told.events]
    if len(said) > MOST:
        raise MatineeError(
            "body.too_many", f"At most {MOST} at a time.", f"每次最多 {MOST} 条。", status=413
        )  # fmt: skip
    events, positions, refused = [], [], []
    for i, one in enumerate(said):
        given = {
            "id": f"{slate}/{told.user}/{one.kind}/{one.item}", "user": told.user, "kind": one.kind, "item": one.item,
            "value": one.value, "at": one.at, "session": told.session, "slate": slate,
        }  # fmt: skip
        try:
            events.append(intake.read_event(given, now))
            positions.append(i)
        except intake.RefusedError as reason:
            refused.append((i, reason.code))
    return intake.Batch(tuple(events), tuple(positions), tuple(refused))


@get("/users/{user:str}/reasons/{item:str}", sync_to_thread=True)
def reasons(
    request: AnyRequest, user: FromPath[str], item: FromPath[str], scenario: FromQuery[str] = "home"
) -> forms.Explained:
    """Why an item would be recommended to a user, whether or not it is in the slate: its place among the candidates,
    its score, the reasons, and the filter that takes it away, if any does."""
    from matinee.serve.http import lang_of, segment, service_of

    service = service_of(request)
    with service.lane:
        return explained(
            service, segment(user), segment(item), scenario, Answers(service.state.catalogue, lang_of(request))
        )


def explained(service: Service, user: str, item: str, scenario: str, answers: Answers) -> forms.Explained:
    """Raises ``item.unknown`` or ``scenario.unknown``."""
    state = service.current()
    row = service.row(state, item)
    query = service.query(user, 20, Ask(scenario=scenario), state)
    recommender = service.recommender(state, Ask(scenario=scenario), query)
    own = Candidates(np.array([row], np.int64), np.full(1, np.nan, np.float32), np.zeros(1, np.int64))
    pool = union([*(s.retrieve(query, recommender.pool) for s in recommender.sources), own])
    dropped = ""
    for each in recommender.filters:
        keep = each.keep(query, pool)
        if not dropped and not keep[pool.items == row].all():
            dropped = each.name
        pool = pool.take(keep | (pool.items == row))
    pool = pool.with_score(recommender.scorer.score(query, pool))
    at: Ints = np.flatnonzero(pool.items == row).astype(np.int64)
    told = recommender.reasoner.explain(query, pool, at)[0] if recommender.reasoner else ()
    score = float(pool.score[at[0]])
    place = None if np.isnan(score) or dropped else int((pool.score > score).sum()) + 1
    return forms.Explained(
        user=user, item=item, scenario=scenario, release=state.release, score=forms.number(score), place=place,
        of=len(pool), dropped=dropped or None,
        reasons=tuple(answers.why(reason) for reason in told),
        note=words.said("dropped", answers.lang) if dropped else None,
    )  # fmt: skip


@get("/events", sync_to_thread=True)
def events(request: AnyRequest, after: After = None, n: Events = 50, kind: Kinds = None) -> forms.Logged:
    """The log as it grows, oldest first: the first ``n`` events with a number above ``after``; without it the newest.
    For operators: wants an admin key."""
    from matinee.serve.http import lang_of, service_of

    service = service_of(request)
    answers = Answers(service.current().catalogue, lang_of(request))
    found = sorted(service.store.events_after(after, n, tuple(kind or ())), key=lambda one: one[0])
    return forms.Logged(
        events=tuple(answers.event(event) for _, event in found), last=found[-1][0] if found else after or 0
    )  # fmt: skip


HANDLERS: tuple[Any, ...] = (feedback, reasons, events)
