"""What is inside an item: shots with their frames, what is said, what stands written, topics and chapters, each from
the fact that ingest keeps. A fact that is not of its form counts as absent: the page goes on without it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.datastructures import State as AppState
from litestar.params import FromPath

from matinee.errors import Language, MatineeError
from matinee.serve import forms, inside, static, words
from matinee.serve.address import API, address
from matinee.serve.answers import Answers
from matinee.serve.service import Service

AnyRequest = Request[Any, Any, AppState]
MOST_SHOTS, MOST_SEGMENTS, MOST_NAMES = 240, 20_000, 500
SIGNS = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": " ", "\n": " ", "\0": " "})


def whole(service: Service, id: str, lang: Language) -> forms.Whole:
    """All that is known of an item: what the catalogue says, and its facts. One read of the store. Raises
    ``item.unknown``."""
    state = service.current()
    row = service.row(state, id)
    told = Answers(state.catalogue, lang).whole(row)
    facts = service.store.facts(id)
    return msgspec.structs.replace(
        told,
        shots=shots_of(facts, id),
        transcript=transcript_of(facts),
        seen_text=tuple(inside.SeenText(text=t, confidence=c, at=at) for t, c, at in _rows(facts, "seen_text", _seen)),
        topics=topics_of(facts, lang),
        chapters=tuple(inside.Chapter(start=a, end=b, title=t) for a, b, t in _rows(facts, "chapters", _span)),
    )


def shots_of(facts: Mapping[str, Any], id: str) -> tuple[inside.Shot, ...]:
    """In order; ``frame`` is the address of the shot's picture."""
    return tuple(
        inside.Shot(start=start, end=end, frame=f"{API}/{address('items', id, 'frames', str(i))}" if frame else None)
        for i, (start, end, frame) in enumerate(_rows(facts, "shots", _shot)[:MOST_SHOTS])
    )


def transcript_of(facts: Mapping[str, Any]) -> inside.Transcript | None:
    told = facts.get("transcript")
    if not isinstance(told, dict):
        return None
    segments = _rows(told, "segments", _span)[:MOST_SEGMENTS]
    return (
        inside.Transcript(language=str(told.get("language") or ""), by=str(told.get("from") or ""), segments=segments)
        if segments
        else None
    )


def topics_of(facts: Mapping[str, Any], lang: Language) -> tuple[inside.Topic, ...]:
    found = _rows(facts, "topics", _topic)
    return tuple(inside.Topic(name=words.pick((en, zh), lang) or en, confidence=c, by=by) for en, zh, c, by in found)


def _rows(facts: Mapping[str, Any], key: str, read: Any) -> tuple[Any, ...]:
    """What ``read`` makes of each entry of a list; entries that are not of the form are left out."""
    given = facts.get(key)
    found = []
    for entry in given if isinstance(given, Sequence) and not isinstance(given, str) else ():
        try:
            found.append(read(entry))
        except (KeyError, TypeError, ValueError, IndexError, AttributeError):
            continue
    return tuple(found[:MOST_SEGMENTS])


def _shot(entry: Mapping[str, Any]) -> tuple[float, float, str | None]:
    frame = entry.get("frame")
    return _time(entry["start"]), _time(entry["end"]), frame if isinstance(frame, str) else None


def _span(entry: Sequence[Any]) -> tuple[float, float, str]:
    return _time(entry[0]), _time(entry[1]), str(entry[2])


def _seen(entry: Sequence[Any]) -> tuple[str, float, float]:
    return str(entry[0]), _time(entry[1]), _time(entry[2]) if len(entry) > 2 else 0.0


def _topic(entry: Sequence[Any]) -> tuple[str, str, float, str]:
    return str(entry[0]), str(entry[1]), _time(entry[2]), str(entry[3])


def _time(value: Any) -> float:
    told = float(value)
    if not math.isfinite(told) or told < 0:
        raise ValueError(value)
    return told


def webvtt(transcript: inside.Transcript) -> str:
    """A transcript as WebVTT (W3C, section 4): marks are escaped, so what was said is never markup."""
    cues = (
        f"{stamp(start)} --> {stamp(max(end, start + 0.001))}\n{text.translate(SIGNS).strip()}\n"
        for start, end, text in transcript.segments
        if text.strip() and end > 0  # lyrics without times have none
    )
    return "WEBVTT\n\n" + "\n".join(cues)


def stamp(seconds: float) -> str:
    """``hh:mm:ss.ttt``."""
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}.{thousandths:03d}"


def _service(request: AnyRequest) -> Service:
    found: Service = request.app.state.service
    return found


def _facts(request: AnyRequest, item: str) -> tuple[str, dict[str, Any]]:
    """The id and its facts. Raises ``item.unknown``."""
    from matinee.serve.http import segment

    service, named = _service(request), segment(item)
    service.row(service.current(), named)
    return named, service.store.facts(named)


@get("/items/{item:str}/captions.vtt", sync_to_thread=True)
def captions(request: AnyRequest, item: FromPath[str]) -> Response[str]:
    """What is said in an item, as WebVTT; 404 where nothing is known of it."""
    transcript = transcript_of(_facts(request, item)[1])
    if transcript is None:
        raise MatineeError(
            "captions.missing",
            "No words are known of this item: it has no subtitles, and speech was not read. Set [reading] speech = true"
            " in matinee.toml and ingest again.",
            "没有此条目的文字：它没有字幕，也未识别语音。请在 matinee.toml 中设置 [reading] speech = true 并重新导入。",
            status=404,
        )
    headers = {"cache-control": "private, max-age=300", "content-security-policy": "default-src 'none'"}
    return Response(webvtt(transcript), media_type="text/vtt; charset=utf-8", headers=headers)


@get("/items/{item:str}/frames/{number:int}", sync_to_thread=True)
def frame(request: AnyRequest, item: FromPath[str], number: FromPath[int]) -> Response[bytes]:
    """The picture of a shot, counted from 0 in the order of ``shots``."""
    _, facts = _facts(request, item)
    found = _rows(facts, "shots", _shot)
    named = found[number][2] if 0 <= number < min(len(found), MOST_SHOTS) else None
    if named is None:
        raise static.nothing()
    return static.cover(_service(request).library.path, named)


HANDLERS = (captions, frame)
