"""What is known of a user beside what they did: asked, and put whole."""

from __future__ import annotations

import math
from typing import Any

from anyio.to_thread import run_sync
from litestar import Request, get, put
from litestar.datastructures import State as AppState
from litestar.params import FromPath

from matinee.errors import MatineeError
from matinee.serve import forms
from matinee.serve.describe import ProfileOperation
from matinee.serve.intake import LONGEST_ID, decode
from matinee.store.trouble import usable_text

AnyRequest = Request[Any, Any, AppState]
MOST, LONGEST = 50, 1000  # fields of a profile, characters of a text


@get("/users/{user:str}", sync_to_thread=True)
def get_user(request: AnyRequest, user: FromPath[str]) -> forms.Person:
    """What is known of a user beside what they did: country, language, age, gender, or whatever was put."""
    from matinee.serve.http import segment, service_of

    named, store = segment(user), service_of(request).store
    if not store.names_of(named):
        raise MatineeError("user.unknown", f"There is no user {named!r}.", f"没有用户“{named}”。", status=404)
    return forms.Person(user=named, profile=store.profile(named))


@put("/users/{user:str}", operation_class=ProfileOperation)
async def put_user(request: AnyRequest, user: FromPath[str]) -> forms.Person:
    """Says who a user is, in the place of what was known: ``{"country": "CN", "language": "zh", "age": 31}``; any other
    field is kept too. ``{}`` takes it away. A user who is new is made. What people of the same groups watch gives their
    first slates an order. Durable when this answers."""
    from matinee.serve.http import segment, service_of

    named, service = segment(user), service_of(request)
    profile = profile_of(named, await request.body())
    await run_sync(service.groups.put, named, profile)
    return forms.Person(user=named, profile=profile)


def profile_of(user: str, body: bytes) -> dict[str, Any]:
    """The profile of a PUT. Raises ``profile.wrong``."""
    given = decode(body or b"{}")
    good = isinstance(given, dict) and len(given) <= MOST and 0 < len(user) <= LONGEST_ID and usable_text(user)
    if not good or not all(len(name) <= 100 and usable_text(name) and _plain(value) for name, value in given.items()):
        raise MatineeError(
            "profile.wrong",
            f"A profile is a JSON object of at most {MOST} fields; each is a text of at most {LONGEST} characters, a"
            " number, true, false, or a list of such.",
            f"用户资料是至多 {MOST} 个字段的 JSON 对象；每个字段为不超过 {LONGEST} 个字符的文本、数字、true、false，"
            "或其列表。",
        )
    return {name: value for name, value in given.items() if value not in (None, "", [])}


def _plain(value: Any, deep: bool = False) -> bool:
    if isinstance(value, str):
        return len(value) <= LONGEST and usable_text(value)
    if isinstance(value, list) and not deep:
        return len(value) <= MOST and all(_plain(one, deep=True) for one in value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return math.isfinite(value) and abs(value) < 1e15
    return value is None or isinstance(value, bool)


HANDLERS: tuple[Any, ...] = (get_user, put_user)
