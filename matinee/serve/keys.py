"""Keys with roles. A key is long and random; only its SHA-256 is kept, so who reads the settings learns no key."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Role = Literal["read", "write", "admin"]
ROLES: tuple[Role, ...] = ("read", "write", "admin")  # each may do what those before it may
SHORTEST = 16  # characters of a key


@dataclass(frozen=True, slots=True)
class Keys:
    """Roles by the SHA-256 of their keys, in hexadecimal. Without any, everybody on this machine may do everything."""

    roles: Mapping[str, Role]

    def role_of(self, key: str) -> Role | None:
        """The highest role of a key, None for one that is unknown. Takes the same time whichever key it is."""
        given = digest(key)
        found: Role | None = None
        for known, role in self.roles.items():
            if hmac.compare_digest(given, known) and (found is None or ROLES.index(role) > ROLES.index(found)):
                found = role
        return found

    def __bool__(self) -> bool:
        return bool(self.roles)


def digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def fresh() -> str:
    """A new key of 192 bits of chance."""
    return secrets.token_urlsafe(24)


def needed(method: str, path: str) -> Role:
    """The role that a request needs: reading, telling what a user did, or changing the library and looking into it."""
    if path.startswith("/api/v1/console/"):
        return "admin"
    if method in ("GET", "HEAD", "OPTIONS"):
        personal = path.endswith("/export") or PERSON.fullmatch(path)
        return "admin" if personal or path in ("/metrics", "/api/v1/events") else "read"
    if method == "POST" and path.startswith("/api/v1/") and path.split("?")[0].removeprefix("/api/v1/") in WRITES:
        return "write"
    if method == "POST" and (MERGE.fullmatch(path) or FEEDBACK.fullmatch(path)):
        return "write"  # who may say what a session did may say whose it is
    if method == "POST" and path in ("/api/v1/recommendations", "/api/v1/search/picture", "/api/v1/search/sound"):
        return "read"
    if method == "PUT" and PERSON.fullmatch(path):
        return "write"  # who may say what a user did may say who it is
    if method in ("PUT", "DELETE") and OWN_INTEREST.fullmatch(path):
        return "write"  # what a viewer says of their own taste is an event
    return "admin"


WRITES = ("events", "events/stream")
PERSON = re.compile(r"/api/v1/users/[^/]+")
MERGE = re.compile(r"/api/v1/users/[^/]+/merge")
FEEDBACK = re.compile(r"/api/v1/slates/[^/]+/feedback")
OWN_INTEREST = re.compile(r"/api/v1/users/[^/]+/interests/[^/]+")
