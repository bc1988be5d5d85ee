"""Addresses of users and items. An id travels percent-encoded as one segment of the path. ``.`` and ``..`` cannot:
browsers, proxies and clients fold them away, escaped or not (RFC 3986, section 5.2.4; WHATWG URL, "dot segments"). For
them, or for any other id, ``-`` stands in the path and the id in the query: ``/items/-/similar?item=..``.

Only ``-`` is replaced, so a proxy that lets somebody at ``/users/ann/`` cannot be talked into ``?user=bob``.
"""

from __future__ import annotations

from urllib.parse import quote

API = "/api/v1"
NAMES = {"users": "user", "items": "item", "reasons": "item"}  # what stands before an id -> its name in the query
PLACES = {"users": 4, "items": 4, "reasons": 6}  # where the id then is in /api/v1/users/ID/reasons/ID
STAND_IN = "-"


def address(*parts: str) -> str:
    """``address("users", "ann", "rows")`` is ``users/ann/rows``; an id that cannot travel in a path goes behind a
    question mark."""
    path, query = [], []
    for before, part in zip(("", *parts), parts, strict=False):
        if part in (".", "..") and before in NAMES:
            path.append(STAND_IN)
            query.append(f"{NAMES[before]}={part}")
        else:
            path.append(quote(part, safe=""))
    return "/".join(path) + ("?" + "&".join(query) if query else "")


def named(path: str, query: bytes) -> str:
    """The path with the ids of the query in the place of ``-``, still percent-encoded. O(length)."""
    if STAND_IN not in path or not query or not path.startswith(f"{API}/"):
        return path
    parts = path.split("/")
    for before, at in PLACES.items():
        if len(parts) > at and parts[at] == STAND_IN and parts[at - 1] == before:
            told = _value(query, NAMES[before])
            parts[at] = told if told else STAND_IN
    return "/".join(parts)


def _value(query: bytes, name: str) -> str:
    """The first value of a name, escaped as a segment is: nothing in it is a mark of the path."""
    for pair in query.decode("latin-1").split("&"):
        key, _, value = pair.partition("=")
        if key == name:
            return quote(value.replace("+", " ").encode("latin-1"), safe="%").replace(".", "%2E")
    return ""
