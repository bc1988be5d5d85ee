"""What a file's name says, read as media servers read it: film and year, series with season and episode, tracks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from matinee.media.tags import cleaned

EPISODE = re.compile(
    r"(?i)(?<![a-z0-9])(?:s(?P<s>\d{1,3})[ ._-]*e(?P<e>\d{1,4})|(?P<s2>\d{1,2})x(?P<e2>\d{2,3}))(?:[-e]+\d+)*(?!\d)"
)
SEASON = re.compile(r"(?i)^(?:season|series|staffel|saison|第)\s*(\d{1,3})\s*季?$|^s(\d{1,3})$")
IN_SEASON = re.compile(r"(?i)^(?:e|ep|episode|第)?[ ._-]*(\d{1,3})[集话話]?(?=$|[ ._-])")
YEAR = re.compile(r"[\[(]((?:19|20)\d\d)[\])]|(?<=[ ._])((?:19|20)\d\d)(?=$|[ ._])")
TRACK = re.compile(r"^(?:(?:\d{1,2}-\d{2}|0\d{1,2})\s+|(?:\d{1,2}-)?\d{1,3}(?:[.)]\s*|\s*[-_]\s*))(?=\D*\w)")
# what follows a title in the names of copies: from the first of these on, nothing is title
COPY = re.compile(
    r"(?i)(?<=[ ._\[(-])(?:2160p|1080[pi]|720p|576p|480p|4k|uhd|blu-?ray|bdrip|brrip|dvdrip|web-?dl|webrip|hdtv|hdrip|"
    r"remux|x26[45]|h\.?26[45]|hevc|xvid|divx|10bit|hdr10?|aac|ac3|dts|ddp?5[ .]1|proper|repack|extended|"
    r"unrated)(?=$|[ ._\])-])"
)


@dataclass(frozen=True, slots=True)
class Named:
    """``title`` is never empty; of an episode it is the episode's own title, or series and number."""

    title: str
    year: int | None = None
    series: str | None = None
    season: int | None = None
    episode: int | None = None


def spaced(text: str) -> str:
    """Dots and underscores for spaces, where a name has none; no loose marks at its ends."""
    if " " not in text.strip():
        text = re.sub(r"[_.]+", " ", text)
        text = re.sub(r"(?<=[a-zA-Z])-(?=[a-zA-Z])", " ", text) if " " not in text else text
    text = re.sub(r"[\[({][^\])}]*[\])}]\s*$", "", text) if re.search(r"\w\s*[\[({]", text) else text
    return re.sub(r"\s+", " ", text).strip(" -_.,") or ""


def year_in(text: str) -> tuple[str, int | None]:
    """The text before a year, and the year: the last one that has something before it."""
    found = [m for m in YEAR.finditer(text) if spaced(text[: m.start()])]
    if not found:
        return text, None
    return text[: found[-1].start()], int(found[-1][1] or found[-1][2])


def parse(path: Path, kind: str) -> Named:
    """``kind``: video, audio or image; the folders above tell the series of what lies in ``Season 1``."""
    stem = cleaned(path.stem, 300)
    whole = spaced(stem) or cleaned(path.name, 300) or "?"
    if kind == "image":
        return Named(whole)
    if kind == "audio":
        title = spaced(TRACK.sub("", stem))
        return Named(title or whole)
    if match := EPISODE.search(stem):
        season, episode = int(match["s"] or match["s2"]), int(match["e"] or match["e2"])
        return episode_named(stem[: match.start()], stem[match.end() :], season, episode, path)
    in_season = SEASON.match(path.parent.name)
    if in_season and (match := IN_SEASON.match(stem)):
        season = int(in_season[1] or in_season[2])
        return episode_named("", stem[match.end() :], season, int(match[1]), path)
    cut = COPY.search(stem)
    title, year = year_in(stem[: cut.start()] if cut else stem)
    return Named(spaced(title) or whole, year)


def episode_named(before: str, after: str, season: int, episode: int, path: Path) -> Named:
    series, year = year_in(before)
    series = spaced(series)
    if not series:  # the name begins with the number: the series is the folder, or the one above its season's
        folder = path.parent.parent if SEASON.match(path.parent.name) else path.parent
        series, year = year_in(cleaned(folder.name, 300))
        series = spaced(series)
    cut = COPY.search(after)
    title = spaced(after[: cut.start()] if cut else after)
    return Named(title or f"{series} S{season:02}E{episode:02}".strip(), year, series or None, season, episode)
