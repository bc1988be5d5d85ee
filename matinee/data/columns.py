"""What columns may be called. One table a kind of file: a field of the noun, and the headings that mean it.

Headings are compared in lower case with spaces, dashes and underscores taken out, and without what RecBole writes
behind a colon, so ``Item ID``, ``item_id``, ``itemId`` and ``item_id:token`` are one heading. Where a file has several
headings of one field, the first of the list here is the field; of a list field (creators) all are, in this order.
What no table names becomes a property of the item or the user under its own heading.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

Kind = Literal["items", "users", "events"]

ITEM_HEADINGS = ("item", "itemid", "movieid", "videoid", "trackid", "songid", "courseid", "iid")
USER_HEADINGS = ("user", "userid", "uid", "viewer", "viewerid", "member", "memberid", "reviewerid")

ITEM_COLUMNS: dict[str, tuple[str, ...]] = {
    "id": ("id", *ITEM_HEADINGS),
    "title": ("title", "name", "movietitle", "itemname"),
    "description": ("description", "plot", "overview", "summary", "abstract", "synopsis"),
    "tags": ("tags", "tag", "keywords", "hashtags"),
    "categories": ("categories", "category", "genres", "genre"),
    "creators": (
        "creators", "creator", "directors", "director", "artists", "artist", "authors", "author", "actors", "channel",
    ),
    "language": ("language", "lang"),
    "duration": ("duration", "durationseconds", "seconds", "length"),
    "released": ("released", "releasedate", "publishedat", "published", "date", "year", "releaseyear"),
    "expires": ("expires", "expiresat", "expiry"),
    "media": ("media", "mediapath", "file", "path", "video", "audio"),
    "cover": ("cover", "coverpath", "poster", "picture", "image", "thumbnail"),
    "series": ("series", "show"),
    "season": ("season",),
    "episode": ("episode",),
    "collection": ("collection",),
    "properties": ("properties",),
}  # fmt: skip
LIST_FIELDS = ("tags", "categories", "creators")

EVENT_COLUMNS: dict[str, tuple[str, ...]] = {
    "id": ("id", "eventid"),
    "user": USER_HEADINGS,
    "item": ITEM_HEADINGS,
    "kind": ("kind", "event", "eventtype", "feedbacktype", "action", "type"),
    "at": ("at", "timestamp", "time", "ts", "unixtime", "createdat", "date"),
    "value": ("value", "rating", "stars", "score", "watchseconds", "watched", "weight"),
    "text": ("text", "comment", "review", "query", "tag"),
    "session": ("session", "sessionid"),
    "slate": ("slate", "slateid"),
}
TEXTS = (
    "comment",
    "review",
    "tag",
)  # a row with words under one of these is a comment, where no column states the kind
STARS = ("rating", "stars", "score")  # a value under one of these headings is stars, where no column states the kind

USER_COLUMNS: dict[str, tuple[str, ...]] = {
    "id": ("id", *USER_HEADINGS),
    "country": ("country", "nation", "countrycode"),
    "language": ("language", "lang", "locale"),
    "age": ("age", "agegroup", "agerange", "ageband"),
    "gender": ("gender", "sex"),
    "occupation": ("occupation", "job", "profession"),
    "properties": ("properties", "profile", "labels"),
}

COLUMNS: dict[Kind, dict[str, tuple[str, ...]]] = {
    "items": ITEM_COLUMNS,
    "users": USER_COLUMNS,
    "events": EVENT_COLUMNS,
}

# other people's names of our kinds of event
KIND_NAMES: dict[str, str] = {
    "view": "play", "watch": "play", "listen": "play", "click": "play", "read": "play", "start": "play",
    "complete": "finish", "completed": "finish", "ended": "finish", "star": "like", "thumbsup": "like",
    "upvote": "like", "favorite": "save", "favourite": "save", "bookmark": "save", "thumbsdown": "dislike",
    "downvote": "dislike", "review": "rating", "rate": "rating", "show": "impression",
    "shown": "impression", "exposure": "impression", "notinterested": "hide", "block": "hide",
}  # fmt: skip


def plain(heading: str) -> str:
    """A heading as the tables above spell it."""
    return heading.split(":", 1)[0].strip().lower().replace("_", "").replace("-", "").replace(" ", "")


def fields_of(headings: Iterable[str], kind: Kind) -> dict[str, tuple[str, ...]]:
    """field -> the headings of this file that mean it, best first; a field that the file lacks is not there."""
    by_plain: dict[str, str] = {}
    for heading in headings:
        by_plain.setdefault(plain(heading), heading)
    found = {
        field: tuple(by_plain[alias] for alias in aliases if alias in by_plain)
        for field, aliases in COLUMNS[kind].items()
    }
    many = LIST_FIELDS if kind == "items" else ()
    return {field: names if field in many else names[:1] for field, names in found.items() if names}


def kind_of(headings: Sequence[str], stem: str) -> Kind | None:
    """What a table with these headings holds; ``stem`` (its name) decides only where ``id`` alone names the row."""
    spelled = {plain(h) for h in headings}
    has_user, has_item = bool(spelled & set(USER_HEADINGS)), bool(spelled & set(ITEM_HEADINGS))
    if has_user and (has_item or "kind" in fields_of(headings, "events")):
        return "events"
    if has_item:  # a table of other services' ids (MovieLens links.csv) describes nothing
        return "items" if len(fields_of(headings, "items")) > 1 or "item" in stem.lower() else None
    if has_user:
        return "users"
    if "id" not in spelled:
        return None
    if any(word in stem.lower() for word in ("user", "viewer", "member")):
        return "users"
    known = fields_of(headings, "items")
    return "items" if "title" in known or "media" in known or "item" in stem.lower() else None


def nearest(word: str, choices: Mapping[str, object] | Sequence[str]) -> str:
    """The choice most like a word that is none of them."""
    import difflib

    return max(sorted(choices), key=lambda c: difflib.SequenceMatcher(None, word.lower(), c.lower()).ratio())
