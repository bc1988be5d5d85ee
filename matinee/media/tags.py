"""What a container says of itself: tags and chapters, cleaned of what would only fool a reader's eye."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

LONGEST = 4000
# the names that containers use, and ours
NAMES = {
    "title": "title", "artist": "artist", "album_artist": "artist", "author": "artist", "performer": "artist",
    "composer": "composer", "album": "album", "genre": "genre", "date": "date", "year": "date",
    "creation_time": "created", "comment": "comment", "description": "description", "synopsis": "description",
    "show": "show", "season_number": "season", "episode_sort": "episode", "episode_id": "episode_id",
    "language": "language", "copyright": "copyright", "license": "licence", "lyrics": "lyrics", "track": "track",
    "purl": "url", "director": "director", "keywords": "keywords",
}  # fmt: skip


def cleaned(text: str, longest: int = LONGEST) -> str:
    """Without control signs, without marks that turn the direction of writing, without spaces at the ends."""
    kept = "".join(
        c for c in text[: 2 * longest] if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co")
    )
    return re.sub(r"[ \t]+", " ", kept).strip()[:longest]


def renamed(metadata: Mapping[str, str]) -> dict[str, str]:
    out: dict[str, str] = {}
    for key, value in list(metadata.items())[:200]:
        plain = key.lower().partition("-")[0]
        if plain in NAMES and (text := cleaned(value)):
            out.setdefault(NAMES[plain], text)
    return out


def read_tags(container: Any) -> dict[str, str]:
    """Of the container first, then of its streams (Ogg keeps them there)."""
    found = renamed(container.metadata)
    for stream in [*container.streams.video, *container.streams.audio][:4]:
        own = renamed(stream.metadata)
        own.pop("title", None) if "title" in found or len(container.streams) > 1 else None
        found = own | found if stream.type == "audio" else found
    return {k: v for k, v in found.items() if not (k == "language" and v in ("und", "unk"))}


def read_chapters(container: Any) -> list[tuple[float, float, str]]:
    """(start, end, title) in seconds, at most 500."""
    chapters = []
    for chapter in container.chapters()[:500]:
        base = float(chapter["time_base"])
        title = cleaned(str(dict(chapter.get("metadata") or {}).get("title", "")), 200)
        chapters.append((chapter["start"] * base, chapter["end"] * base, title))
    return chapters
