"""Interests found in what a viewer did, and the viewer's word on them: take one away, or give it back."""

from __future__ import annotations

import secrets
import time
from typing import Any

import msgspec
import numpy as np
from litestar import Request, delete, get, put
from litestar.datastructures import State as AppState
from litestar.params import FromPath

from matinee.errors import MatineeError
from matinee.pipeline.catalogue import Catalogue
from matinee.serve.intake import LONGEST_ID
from matinee.serve.muted import KINDS, muted, named_in
from matinee.serve.service import Service
from matinee.types import INTEREST, Event, History

AnyRequest = Request[Any, Any, AppState]
MOST = 24  # interests told
BEHIND = 3  # items named for each


class Interest(msgspec.Struct, kw_only=True):
    """``interest``: its name in requests, such as ``category:Drama``; ``weight``: its share of what was liked, 0 to 1;
    ``items``: the last things that it was found in; ``muted``: taken away by the viewer."""

    interest: str
    kind: str
    name: str
    weight: float
    items: tuple[str, ...]
    muted: bool


class Interests(msgspec.Struct, kw_only=True):
    user: str
    interests: tuple[Interest, ...]


def found(history: History, catalogue: Catalogue, away: frozenset[str]) -> tuple[Interest, ...]:
    """Categories and tags of what was liked, by the share of it that each has; those taken away stand after the
    others. An item's strength is divided among its categories, and likewise among its tags, so that one with many
    names does not speak louder. O(history)."""
    weight: dict[str, float] = dict.fromkeys(away, 0.0)
    behind: dict[str, list[str]] = {}
    for row, strength in zip(history.items[::-1].tolist(), history.strength[::-1].tolist(), strict=True):
        item = catalogue.items[row] if 0 <= row < catalogue.size else None
        if item is None or strength <= 0:
            continue
        for kind, names in named_in(item):
            for name in names:
                key = f"{kind}:{name}"
                weight[key] = weight.get(key, 0.0) + strength / len(names)
                behind.setdefault(key, []).append(item.id)
    total = max(float(np.maximum(history.strength, 0).sum()), 1e-9)
    order = sorted(weight, key=lambda key: (key in away, -weight[key], key))
    kept = [key for key in order if key in away or len(set(behind[key])) > 1 or key.startswith("category:")]
    told = [key for key in kept if key not in away][:MOST] + [key for key in kept if key in away]
    return tuple(
        Interest(
            interest=key, kind=key.partition(":")[0], name=key.partition(":")[2], weight=round(weight[key] / total, 4),
            items=tuple(dict.fromkeys(behind.get(key, ())))[:BEHIND], muted=key in away,
        )
        for key in told
    )  # fmt: skip


def interests_of(service: Service, user: str) -> Interests:
    history, _ = service.history(user)
    told = found(history, service.current().catalogue, muted(service.store, user))
    return Interests(user=user, interests=told)


def say(service: Service, user: str, interest: str, away: bool) -> Interests:
    """Durable when it returns. Raises ``interest.wrong``, or ``user.unknown`` for one who never did anything."""
    kind, _, name = interest.partition(":")
    if kind not in KINDS or not name or len(interest) > LONGEST_ID - len(INTEREST):
        raise MatineeError(
            "interest.wrong",
            "An interest is category:NAME or tag:NAME, as GET /users/{user}/interests tells them.",
            "兴趣的格式为 category:名称 或 tag:名称，见 GET /users/{user}/interests。",
        )
    if not service.store.events_of(user, 1):
        raise MatineeError("user.unknown", f"There is no user {user!r}.", f"没有用户“{user}”。", status=404)
    text = INTEREST + interest
    event = Event(
        id=f"interest-{secrets.token_hex(12)}", user=user, kind="hide", at=time.time(), text=text, value=float(away)
    )
    answer = service.store.append([event])
    if answer.refused:
        raise MatineeError("interest.wrong", "This interest cannot be kept.", "无法保存该兴趣。")
    return interests_of(service, user)


def _asked(request: AnyRequest, *parts: str) -> tuple[Any, ...]:
    from matinee.serve.http import segment

    return (request.app.state.service, *(segment(part) for part in parts))


@get("/users/{user:str}/interests", sync_to_thread=True)
def interests(request: AnyRequest, user: FromPath[str]) -> Interests:
    """What a viewer likes, as far as it has a name: categories and tags, the heaviest first."""
    return interests_of(*_asked(request, user))


@delete("/users/{user:str}/interests/{interest:str}", status_code=200, sync_to_thread=True)
def take_away(request: AnyRequest, user: FromPath[str], interest: FromPath[str]) -> Interests:
    """Suggest no more because of this interest, and less of it. The next request follows."""
    service, named, which = _asked(request, user, interest)
    return say(service, named, which, away=True)


@put("/users/{user:str}/interests/{interest:str}", status_code=200, sync_to_thread=True)
def give_back(request: AnyRequest, user: FromPath[str], interest: FromPath[str]) -> Interests:
    """Undoes a DELETE."""
    service, named, which = _asked(request, user, interest)
    return say(service, named, which, away=False)


HANDLERS: tuple[Any, ...] = (interests, take_away, give_back)
