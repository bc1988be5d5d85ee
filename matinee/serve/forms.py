"""What the API answers with, as typed structs: the OpenAPI schema is made of these."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import msgspec

from matinee.serve.inside import Chapter, SeenText, Shot, Topic, Transcript
from matinee.types import Event


@dataclass(frozen=True, slots=True)
class Ask:
    """What a request narrows and turns, in public ids. ``page``: the token of the page before. ``country``,
    ``language`` and ``interests`` say of somebody what is not known yet; nothing with ``properties.age`` above ``age``
    is shown, nor anything of the creators ``blocked``."""

    collection: str = ""
    categories: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    diversity: float | None = None
    where: str = ""
    scenario: str = "home"
    novelty: float | None = None
    exploration: float | None = None
    boost: tuple[tuple[str, float], ...] = ()
    page: str = ""
    seed: int | None = None
    country: str = ""
    language: str = ""
    interests: tuple[str, ...] = ()
    age: float | None = None
    blocked: tuple[str, ...] = ()


class Brief(msgspec.Struct, kw_only=True):
    """What a list says of an item. ``cover`` and ``play`` are URL paths, null where there is nothing. ``about``: topics
    that the encoders gave it, likeliest first, in the language of the answer."""

    item: str
    title: str
    collection: str
    categories: tuple[str, ...]
    duration: float | None
    cover: str | None
    play: str | None
    kind: str
    about: tuple[str, ...] = ()


class Why(msgspec.Struct, kw_only=True):
    """``kind``: because, looks, sounds, reads, topic, group, popular, new; ``item``: the id behind it; ``text`` in
    words; ``weight``: its share of the score; ``labels``: what the two have in common, in the language of the
    answer."""

    kind: str
    item: str | None
    title: str | None
    text: str
    weight: float
    labels: tuple[str, ...] = ()


class Recommended(Brief, kw_only=True):
    """``score`` is null where no expert had an opinion; ``propensity`` is the chance that this item stood here."""

    score: float | None
    source: str
    reasons: tuple[Why, ...]
    position: int
    propensity: float = 1.0


class Recommendations(msgspec.Struct, kw_only=True, omit_defaults=True):
    """``note`` says why there are fewer items than asked for. ``next`` is the token of the next page. ``fallback``
    names the steps that were taken because nothing was left: seen, category."""

    slate: str
    user: str
    release: str
    items: tuple[Recommended, ...]
    dropped: dict[str, int]
    ms: dict[str, float]
    scenario: str = "home"
    note: str | None = None
    next: str | None = None
    fallback: tuple[str, ...] = ()


class Similar(Brief, kw_only=True):
    score: float
    by: str


class Batch(msgspec.Struct, kw_only=True):
    slates: tuple[Recommendations, ...]


class BatchIn(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    users: tuple[str, ...]
    n: int = 20
    collection: str = ""
    categories: tuple[str, ...] = ()
    where: str = ""
    scenario: str = "home"
    diversity: float | None = None


class SessionIn(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    key: str = ""


class MergeIn(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    session: str


class Merged(msgspec.Struct, kw_only=True):
    """``merged``: False when the session was this user's already."""

    user: str
    session: str
    merged: bool


class Export(msgspec.Struct, kw_only=True):
    """All that is kept of a user."""

    user: str
    events: tuple[Event, ...]
    profile: dict[str, Any] = {}


class Person(msgspec.Struct, kw_only=True):
    """``profile``: what is known of a user beside what they did."""

    user: str
    profile: dict[str, Any]


class Erased(msgspec.Struct, kw_only=True):
    """``retrain``: whether the release in force was trained before; training again forgets what it learnt.
    ``backups``: copies made before, that still hold the user and are to be deleted."""

    user: str
    erased: bool
    retrain: bool
    backups: tuple[str, ...] = ()


class ScenarioForm(msgspec.Struct, kw_only=True):
    """A row of the scenario table: what it is for, and what a good slate is measured by."""

    scenario: str
    about: str
    objective: str
    seen: str
    sources: tuple[str, ...]
    exploration: float


class Scenarios(msgspec.Struct, kw_only=True):
    scenarios: tuple[ScenarioForm, ...]


class SimilarItems(msgspec.Struct, kw_only=True, omit_defaults=True):
    item: str
    by: str
    items: tuple[Similar, ...]
    note: str | None = None


class Hit(Brief, kw_only=True):
    """``matched``: words, text, picture, sound - what spoke for it most."""

    score: float
    matched: str


class Hits(msgspec.Struct, kw_only=True, omit_defaults=True):
    query: str
    items: tuple[Hit, ...]
    note: str | None = None


class Row(msgspec.Struct, kw_only=True, omit_defaults=True):
    row: str
    title: str
    items: tuple[Recommended, ...]
    item: str | None = None
    category: str | None = None
    slate: str | None = None


class Rows(msgspec.Struct, kw_only=True):
    user: str
    release: str
    rows: tuple[Row, ...]


class Seen(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An event as the API tells it back; ``title`` for the reader."""

    id: str
    user: str
    kind: str
    at: float
    item: str | None = None
    title: str | None = None
    value: float | None = None
    text: str | None = None
    session: str | None = None
    slate: str | None = None


class Events(msgspec.Struct, kw_only=True):
    events: tuple[Seen, ...]


class SaidIn(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a user did with one item of a slate."""

    item: str
    kind: str = "play"
    value: float | None = None
    at: float | str | None = None


class FeedbackIn(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What came of a slate. ``shown``: items that were looked at, in their order."""

    user: str
    shown: tuple[str, ...] = ()
    events: tuple[SaidIn, ...] = ()
    session: str | None = None


class Explained(msgspec.Struct, kw_only=True, omit_defaults=True):
    """``place`` among ``of`` candidates by score, from 1; none where a filter (``dropped``) takes the item away or
    nobody has an opinion."""

    user: str
    item: str
    scenario: str
    release: str
    score: float | None
    place: int | None
    of: int
    reasons: tuple[Why, ...]
    dropped: str | None = None
    note: str | None = None


class Logged(msgspec.Struct, kw_only=True):
    """``last``: the number to ask ``after`` next."""

    events: tuple[Seen, ...]
    last: int


class Rejected(msgspec.Struct, kw_only=True):
    index: int
    error: str
    message: str


class Accepted(msgspec.Struct, kw_only=True):
    accepted: int
    duplicates: int
    rejected: tuple[Rejected, ...]


class EventIn(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An event as a client sends it. ``at``: Unix seconds or ISO 8601; left out it is now. ``id`` makes it
    idempotent."""

    id: str
    user: str
    kind: str
    item: str | None = None
    at: float | str | None = None
    value: float | None = None
    text: str | None = None
    session: str | None = None
    slate: str | None = None


class Whole(Brief, kw_only=True):
    """Everything known of an item. ``labels``: what its pictures and its sound show, with probabilities, named in the
    language of the answer."""

    description: str
    tags: tuple[str, ...]
    creators: tuple[str, ...]
    language: str
    released: float | None
    expires: float | None
    series: str | None
    season: int | None
    episode: int | None
    properties: dict[str, Any]
    media: dict[str, Any]
    labels: dict[str, list[tuple[str, float]]]
    spaces: tuple[str, ...]
    shots: tuple[Shot, ...] = ()
    transcript: Transcript | None = None
    seen_text: tuple[SeenText, ...] = ()
    topics: tuple[Topic, ...] = ()
    chapters: tuple[Chapter, ...] = ()


class ItemIn(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """An item as a client puts it; its id is in the path, and may be repeated here."""

    id: str | None = None
    title: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    creators: tuple[str, ...] = ()
    language: str = ""
    duration: float | None = None
    released: float | None = None
    expires: float | None = None
    media: str | None = None
    cover: str | None = None
    series: str | None = None
    season: int | None = None
    episode: int | None = None
    collection: str = ""
    properties: dict[str, Any] = {}


class Category(msgspec.Struct, kw_only=True):
    category: str
    items: int


class CollectionForm(msgspec.Struct, kw_only=True):
    collection: str
    items: int
    categories: tuple[Category, ...]


class Collections(msgspec.Struct, kw_only=True):
    collections: tuple[CollectionForm, ...]


class UserForm(msgspec.Struct, kw_only=True):
    user: str
    events: int


class Users(msgspec.Struct, kw_only=True):
    users: tuple[UserForm, ...]


class Health(msgspec.Struct, kw_only=True):
    status: str
    release: str
    items: int
    users: int
    events: int
    encoders: dict[str, str] = {}
    version: str = ""


class Problem(msgspec.Struct, kw_only=True):
    """RFC 9457 (application/problem+json). ``code`` is stable; ``detail`` says how to mend it."""

    type: str
    title: str
    status: int
    detail: str
    code: str


def number(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 6)
