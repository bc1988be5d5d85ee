"""What lies beside a media file: yt-dlp's ``.info.json``, Kodi's and Jellyfin's ``.nfo``, subtitles, lyrics, posters.

They are text of strangers: read up to a size, never fetched from, never resolved; pictures go through the fence.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec

from matinee.errors import MatineeError
from matinee.media.fence import open_file
from matinee.media.tags import cleaned
from matinee.media.timed import Line, timed

LARGEST = 4 << 20
WORDS = (".srt", ".vtt", ".ass", ".ssa", ".lrc")
PICTURES = (".jpg", ".jpeg", ".png", ".webp")
OWN_ART = ("", "-poster", "-cover", "-thumb", "-landscape", "-fanart")  # after the file's own name, best first
FOLDER_ART = ("poster", "cover", "folder", "front", "albumart", "landscape", "thumb", "fanart", "backdrop")
OTHER_ART = ("banner", "clearart", "clearlogo", "logo", "disc", "discart", "characterart", "season-all-poster")


@dataclass(frozen=True, slots=True)
class Side:
    """``fields`` of an item, ``properties`` of it, ``lines`` spoken or sung in it with their ``language``."""

    fields: dict[str, Any] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    lines: tuple[Line, ...] = ()
    sung: bool = False
    language: str = ""
    chapters: tuple[tuple[float, float, str], ...] = ()


def is_art(path: Path, stems: Iterable[str]) -> bool:
    """Whether a picture belongs to media of these stems in its folder, so is no item of its own."""
    name = path.stem.lower()
    if path.suffix.lower() not in PICTURES:
        return False
    if name in FOLDER_ART or name in OTHER_ART or re.fullmatch(r"season\d+-(poster|banner|fanart)|fanart\d+", name):
        return True
    return any(
        name == s or (name.startswith(f"{s}-") and name[len(s) + 1 :] in (*FOLDER_ART, *OTHER_ART)) for s in stems
    )


def beside(path: Path, names: Sequence[str]) -> list[Path]:
    """The files of a folder (``names``) that speak of one media file in it, the most telling first."""
    stem = path.stem
    lower = {n.lower(): n for n in names}
    found = [f"{stem}.info.json", f"{stem}.nfo", "movie.nfo"]
    found += sorted(n for n in names if n.startswith(f"{stem}.") and Path(n).suffix.lower() in WORDS)
    found += [f"{stem}{mark}{ending}" for mark in OWN_ART for ending in PICTURES]
    found += [f"{art}{ending}" for art in FOLDER_ART for ending in PICTURES]
    there = [lower[n.lower()] for n in found if n.lower() in lower and lower[n.lower()] != path.name]
    return [path.parent / n for n in dict.fromkeys(there)]


def digest(paths: Sequence[Path]) -> str:
    """Changes when one of the files does."""
    said = []
    for path in paths:
        try:
            about = os.lstat(path)
        except OSError:
            continue
        said.append(f"{path.name}\0{about.st_size}\0{about.st_mtime_ns}")
    return hashlib.sha256("\n".join(said).encode("utf-8", "surrogateescape")).hexdigest()[:16] if said else ""


def text_in(path: Path) -> str:
    """A text file's beginning; nothing when it cannot be opened or is a link."""
    try:
        fd = open_file(path)
    except MatineeError:
        return ""
    with os.fdopen(fd, "rb") as file:
        raw = file.read(LARGEST)
    for encoding in ("utf-8-sig", "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", "gb18030"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return raw.decode("utf-8", "replace")


def read_side(paths: Sequence[Path]) -> Side:
    """All of it together; where two say the same thing, the first one counts."""
    fields: dict[str, Any] = {}
    properties: dict[str, str] = {}
    lines: tuple[Line, ...] = ()
    language, sung = "", False
    chapters: tuple[tuple[float, float, str], ...] = ()
    for path in paths:
        name = path.name.lower()
        if name.endswith(".info.json"):
            said = from_info(text_in(path))
        elif name.endswith(".nfo"):
            said = from_nfo(text_in(path))
        elif path.suffix.lower() in WORDS and not lines:
            lines, sung = timed(text_in(path), path.suffix.lower()), path.suffix.lower() == ".lrc"
            parts = path.name.rsplit(".", 2)
            language = parts[1].lower() if len(parts) == 3 and re.fullmatch(r"[A-Za-z]{2,3}(-\w+)?", parts[1]) else ""
            continue
        else:
            continue
        fields = said.fields | fields
        properties = said.properties | properties
        chapters = chapters or said.chapters
    return Side(fields, properties, lines, sung, language, chapters)


def poster(paths: Sequence[Path]) -> Path | None:
    return next((p for p in paths if p.suffix.lower() in PICTURES), None)


def strings(value: Any, most: int = 30) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    kept = (cleaned(v, 200) for v in values if isinstance(v, str))
    return tuple(dict.fromkeys(v for v in kept if v))[:most]


def from_info(text: str) -> Side:
    """What yt-dlp writes of a page."""
    try:
        info = msgspec.json.decode(text.encode())
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return Side()
    if not isinstance(info, dict):
        return Side()

    def first(*keys: str) -> str:
        return next((cleaned(v, 4000) for k in keys if isinstance(v := info.get(k), str) and v.strip()), "")

    fields: dict[str, Any] = {
        "title": first("title", "fulltitle", "track"), "description": first("description"), "series": first("series"),
        "language": first("language"), "tags": strings(info.get("tags", [])),
        "categories": strings(info.get("categories", [])),
        "creators": strings(info.get("artists") or first("artist", "creator", "channel", "uploader")),
        "date": first("release_date", "upload_date"), "season": info.get("season_number"),
        "episode": info.get("episode_number"),
    }  # fmt: skip
    properties = {"url": first("webpage_url", "original_url"), "licence": first("license")}
    return Side(
        sensible(fields), {k: v for k, v in properties.items() if v}, chapters=info_chapters(info.get("chapters"))
    )


def info_chapters(value: Any) -> tuple[tuple[float, float, str], ...]:
    out = []
    for one in value[:500] if isinstance(value, list) else []:
        if isinstance(one, dict) and all(isinstance(one.get(k), int | float) for k in ("start_time", "end_time")):
            out.append((float(one["start_time"]), float(one["end_time"]), cleaned(str(one.get("title", "")), 200)))
    return tuple(out)


def from_nfo(text: str) -> Side:
    """What Kodi and Jellyfin write of a film, an episode or a music video. A document type is refused: it could define
    entities that swell or point elsewhere."""
    start = text.find("<")
    if start < 0 or "<!DOCTYPE" in text.upper() or "<!ENTITY" in text.upper():
        return Side()
    try:
        root = ElementTree.fromstring(text[start : text.rfind(">") + 1])  # noqa: S314  # no entities: see above
    except ElementTree.ParseError:
        return Side()

    def one(*names: str) -> str:
        return next((cleaned(t, 4000) for n in names if (t := root.findtext(n)) and t.strip()), "")

    def all_of(*paths: str) -> tuple[str, ...]:
        return strings([e.text for p in paths for e in root.findall(p) if e.text])

    number = {k: int(v) for k in ("season", "episode") if (v := one(k)).isdecimal() and len(v) < 6}
    fields: dict[str, Any] = {
        "title": one("title", "originaltitle"), "description": one("plot", "outline", "review"),
        "tags": all_of("tag", "keyword"), "categories": all_of("genre", "style"),
        "creators": all_of("director", "artist", "credits", "actor/name"),
        "series": one("showtitle", "set/name", "album"),
        "date": one("premiered", "aired", "releasedate", "year"), "language": one("language"), **number,
    }  # fmt: skip
    return Side(sensible(fields), {"studio": s} if (s := one("studio")) else {})


def sensible(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is empty or of another kind than it should be."""
    kept = {k: v for k, v in fields.items() if v not in ("", (), None)}
    for key in ("season", "episode"):
        if key in kept and not (isinstance(kept[key], int) and 0 <= kept[key] < 100_000):
            del kept[key]
    return kept
