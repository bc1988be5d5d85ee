"""Events as they arrive: each is judged alone, so one bad event costs nothing but itself."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from matinee.errors import Language, MatineeError
from matinee.types import EVENT_KINDS, Event

MOST = 10_000  # events in one request
LONGEST_ID, LONGEST_TEXT = 1024, 10_000  # characters
AHEAD = 300.0  # seconds that a client's clock may run ahead
MILLISECONDS = 1e11  # Unix seconds reach this in the year 5138, Unix milliseconds in 1973
ODD_NUMBER = re.compile(rb"[\[:,\s]-?(?:NaN|Infinity)\s*[,\]}]")
FIELDS = ("id", "user", "kind", "at", "item", "value", "text", "session", "slate")

_FIELDS = "id, user, item, text, session and slate are texts of at most 1024 characters (text: 10000)"
_FIELDS_ZH = "id、user、item、text、session、slate 必须是不超过 1024 个字符的文本（text 不超过 10000）"
REFUSED: dict[str, tuple[str, str]] = {
    "event.not_an_object": ("an event is a JSON object", "事件必须是 JSON 对象"),
    "event.missing_field": (
        "id, user and kind are needed, and item unless the kind is search",
        "缺少 id、user、kind，或（除 search 外）item",
    ),
    "event.unknown_field": (
        f"the fields of an event are {', '.join(FIELDS)}",
        f"事件的字段只有 {'、'.join(FIELDS)}",
    ),
    "event.bad_field": (_FIELDS, _FIELDS_ZH),
    "event.bad_text": (_FIELDS, _FIELDS_ZH),
    "event.bad_kind": (f"kind is one of {', '.join(EVENT_KINDS)}", f"kind 必须是 {'、'.join(EVENT_KINDS)} 之一"),
    "event.bad_value": ("value is a finite number, not negative", "value 必须是非负的有限数"),
    "event.bad_at": ("at is Unix seconds or an ISO 8601 time", "at 必须是 Unix 秒数或 ISO 8601 时间"),
    "event.at_milliseconds": ("at looks like milliseconds; send seconds", "at 看起来是毫秒；请发送秒数"),
    "event.at_future": ("at lies in the future", "at 在将来"),
    "event.at_ancient": ("at lies before 1970", "at 早于 1970 年"),
    "event.unknown_item": ("there is no such item", "没有这个条目"),
    "event.unknown_user": ("there is no such user", "没有这个用户"),
}


@dataclass(frozen=True, slots=True)
class Batch:
    """``events`` that are well formed, their ``positions`` in the request, and (position, code) of the refused."""

    events: tuple[Event, ...]
    positions: tuple[int, ...]
    refused: tuple[tuple[int, str], ...]


def decode(body: bytes) -> Any:
    """JSON of unknown shape. Raises ``body.not_json`` for anything that is none, however deep or odd.

    ``NaN`` and ``Infinity`` are no JSON, but common writers write them: they are read, so that only the event that
    holds one is refused.
    """
    try:
        return json.loads(body) if ODD_NUMBER.search(body) else msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, ValueError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise MatineeError("body.not_json", f"The body is not JSON: {why}.", f"请求体不是 JSON：{why}。") from None


def read_events(body: bytes, now: float) -> Batch:
    """One event or a list. Raises ``body.not_json`` or ``body.too_many`` when there is nothing to judge one by one."""
    given = decode(body)
    several: Sequence[Any] = given if isinstance(given, list) else [given]
    if len(several) > MOST:
        raise MatineeError(
            "body.too_many",
            f"{len(several)} events in one request; send at most {MOST} at a time.",
            f"一次请求包含 {len(several)} 个事件；每次最多发送 {MOST} 个。",
            status=413,
        )
    events, positions, refused = [], [], []
    for i, one in enumerate(several):
        try:
            events.append(read_event(one, now))
            positions.append(i)
        except RefusedError as reason:
            refused.append((i, reason.code))
    return Batch(tuple(events), tuple(positions), tuple(refused))


def read_each(lines: Sequence[bytes], now: float) -> Batch:
    """One event a line; a line that is no JSON is refused like any other bad event."""
    events, positions, refused = [], [], []
    for i, line in enumerate(lines):
        try:
            events.append(read_event(decode(line), now))
            positions.append(i)
        except RefusedError as reason:
            refused.append((i, reason.code))
        except MatineeError:
            refused.append((i, "event.not_an_object"))
    return Batch(tuple(events), tuple(positions), tuple(refused))


class RefusedError(ValueError):
    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def read_event(given: Any, now: float) -> Event:
    """One event. Raises ``RefusedError`` with the code that says why not."""
    if not isinstance(given, dict):
        raise RefusedError("event.not_an_object")
    if not given.keys() <= set(FIELDS):
        raise RefusedError("event.unknown_field")
    kind = given.get("kind")
    needed = ("id", "user", "kind") if kind == "search" else ("id", "user", "kind", "item")
    if any(given.get(name) in (None, "") for name in needed):
        raise RefusedError("event.missing_field")
    if kind not in EVENT_KINDS:
        raise RefusedError("event.bad_kind")
    return Event(
        id=_text(given["id"]),
        user=_text(given["user"]),
        kind=kind,
        at=_time(given.get("at"), now),
        item=_optional(given.get("item")),
        value=_value(given.get("value")),
        text=_optional(given.get("text"), LONGEST_TEXT),
        session=_optional(given.get("session")),
        slate=_optional(given.get("slate")),
    )


def _text(given: Any, longest: int = LONGEST_ID) -> str:
    if not isinstance(given, str) or len(given) > longest:
        raise RefusedError("event.bad_field")
    try:
        given.encode("utf-8")  # half of a surrogate pair is no character and could not be stored
    except UnicodeEncodeError:
        raise RefusedError("event.bad_field") from None
    return given


def _optional(given: Any, longest: int = LONGEST_ID) -> str | None:
    return None if given is None or given == "" else _text(given, longest)


def _value(given: Any) -> float | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise RefusedError("event.bad_value")
    if not 0 <= given <= 1e12 or not math.isfinite(given):
        raise RefusedError("event.bad_value")
    return float(given)


def _time(given: Any, now: float) -> float:
    """Unix seconds. Missing: now. Up to ``AHEAD`` in the future counts as now, for clocks differ; beyond is refused."""
    if given is None:
        return now
    if isinstance(given, str):
        try:
            told = datetime.fromisoformat(given)
            at = (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            raise RefusedError("event.bad_at") from None
    elif isinstance(given, int | float) and not isinstance(given, bool):
        if not -1e300 < given < 1e300:
            raise RefusedError("event.bad_at")
        at = float(given)
    else:
        raise RefusedError("event.bad_at")
    if not math.isfinite(at):
        raise RefusedError("event.bad_at")
    if at > now + AHEAD:
        millis = at > MILLISECONDS and not isinstance(given, str)
        raise RefusedError("event.at_milliseconds" if millis else "event.at_future")
    if at < 0:
        raise RefusedError("event.at_ancient")
    return min(at, now)


def why(code: str, lang: Language) -> str:
    """The sentence to a code that refuses an event."""
    pair = REFUSED.get(code, (code, code))
    return pair[1] if lang == "zh" else pair[0]
