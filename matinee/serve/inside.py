"""The forms of what is inside an item."""

from __future__ import annotations

import msgspec


class Shot(msgspec.Struct, kw_only=True):
    """``start`` and ``end`` in seconds; ``frame`` is the URL path of its picture, null where there is none."""

    start: float
    end: float
    frame: str | None


class Transcript(msgspec.Struct, kw_only=True, rename={"by": "from"}):
    """``from``: whisper-base, subtitle or lyrics; ``segments``: (start, end, text), seconds."""

    language: str
    by: str
    segments: tuple[tuple[float, float, str], ...]


class SeenText(msgspec.Struct, kw_only=True):
    """Words that stand in the picture ``at`` so many seconds."""

    text: str
    confidence: float
    at: float


class Topic(msgspec.Struct, kw_only=True):
    """A tag that the encoders gave, in the language of the answer; ``by``: the space it was seen in."""

    name: str
    confidence: float
    by: str


class Chapter(msgspec.Struct, kw_only=True):
    start: float
    end: float
    title: str
