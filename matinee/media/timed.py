"""Words with their times: subtitles (``.srt``, ``.vtt``, ``.ass``) and lyrics (``.lrc``).

They are text of strangers: any sequence of characters gives a list of lines, a broken line is passed over.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from matinee.media.tags import cleaned

Line = tuple[float, float, str]
"""(start, end, text) in seconds; start = end where no time is known."""

MOST = 20_000  # lines kept of one file
LONGEST = 500  # characters of a line
DAYS = 360_000.0  # seconds: a later moment is nonsense
LAST = 5.0  # seconds that the last line of lyrics stays, and at most every other
CLOCK = r"(?:(\d{1,3}):)?(\d{1,3}):(\d{1,2})(?:[.,:](\d{1,3}))?"
CUE = re.compile(rf"\s*{CLOCK}\s*-->\s*{CLOCK}")
STAMP = re.compile(rf"\[{CLOCK}\]")
MARK = re.compile(r"<[^>]{0,100}>|\{[^}]{0,200}\}")


def timed(text: str, ending: str) -> tuple[Line, ...]:
    """The lines of a file of this ending, by time. A line that repeats its neighbour makes that one longer."""
    if ending == ".lrc":
        return sung(text)
    found = dialogue(text) if ending in (".ass", ".ssa") else cues(text)
    return joined(sorted(found, key=lambda line: line[0]))


def seconds(clock: Sequence[str | None]) -> float:
    """Of (hours or None, minutes, seconds, fraction or None)."""
    hours, minutes, whole, part = clock
    fraction = float(f"0.{part}") if part else 0.0
    return min(int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(whole or 0) + fraction, DAYS)


def cues(text: str) -> Iterable[Line]:
    """SubRip and WebVTT: a line of two times, then text up to an empty line."""
    span: tuple[float, float] | None = None
    last = 0.0
    for raw in text.splitlines():
        line = raw.strip()
        if "-->" in line:
            if match := CUE.match(line):
                times = match.groups()
                span = seconds(times[:4]), seconds(times[4:])
            else:  # with broken times the words still count, without a time of their own
                span = last, last
            last = max(span)
        elif not line:
            span = None
        elif span is not None and (said := plain(line)):
            yield span[0], max(span), said


def dialogue(text: str) -> Iterable[Line]:
    """Advanced SubStation: ``Dialogue: layer, start, end, style, name, margins, effect, text``."""
    for raw in text.splitlines():
        parts = raw.strip().split(",", 9)
        if not parts[0].startswith("Dialogue:") or len(parts) < 10:
            continue
        start, end = (re.fullmatch(CLOCK, parts[i].strip()) for i in (1, 2))
        said = plain(parts[9].replace("\\N", " ").replace("\\n", " ").replace("\\h", " "))
        if start and end and said:
            begun = seconds(start.groups())
            yield begun, max(begun, seconds(end.groups())), said


def sung(text: str) -> tuple[Line, ...]:
    """Lyrics, of a file or a tag: ``[1:02.50]words``, several times before one line where it is sung again. Each line
    lasts until the next, at most ``LAST`` seconds; lyrics without any time have start = end = 0."""
    stamped: list[tuple[float, str]] = []
    plainly: list[str] = []
    shift = 0.0
    for raw in text.splitlines():
        if offset := re.fullmatch(r"\s*\[offset:\s*([+-]?\d{1,7})\]\s*", raw):
            shift = int(offset[1]) / 1000
            continue
        said = plain(re.sub(r"\[[^\]]{0,200}\]", "", raw))
        stamps = [seconds(m.groups()) for m in STAMP.finditer(raw)]
        stamped += [(max(0.0, at - shift), said) for at in stamps]
        if said and not stamps:
            plainly.append(said)
    if not any(said for _, said in stamped):
        return joined((0.0, 0.0, said) for said in plainly)
    stamped.sort(key=lambda pair: pair[0])
    after = [at for at, _ in stamped[1:]] + [stamped[-1][0] + LAST]
    return joined(
        (at, min(end, at + LAST), said) for (at, said), end in zip(stamped, after, strict=True) if said
    )  # fmt: skip


def plain(line: str) -> str:
    return cleaned(html.unescape(MARK.sub("", line)), LONGEST)


def joined(lines: Iterable[Line]) -> tuple[Line, ...]:
    """At most ``MOST``; of equal neighbours one, as long as both (captions that roll repeat the line before)."""
    kept: list[Line] = []
    for start, end, text in lines:
        if kept and kept[-1][2] == text:
            kept[-1] = kept[-1][0], max(kept[-1][1], end), text
        elif len(kept) < MOST:
            kept.append((round(start, 3), round(end, 3), text))
    return tuple(kept)


# --- a transcript, as it is kept -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Transcript:
    """What is said in an item. ``origin``: subtitle, lyrics, or the name of the model that heard it; ``language``: a
    code such as en, or nothing."""

    lines: tuple[Line, ...]
    origin: str
    language: str = ""

    @property
    def text(self) -> str:
        return "\n".join(line[2] for line in self.lines)

    def fact(self) -> dict[str, object]:
        """As the store keeps it: ``{"language", "from", "segments": [[start, end, text], ...]}``."""
        return {"language": self.language, "from": self.origin, "segments": [list(line) for line in self.lines]}

    @staticmethod
    def of(fact: object) -> Transcript | None:
        """Of a fact; None where it holds none."""
        if not isinstance(fact, dict) or not isinstance(fact.get("segments"), list):
            return None
        rows = [s for s in fact["segments"] if isinstance(s, list | tuple) and len(s) == 3]
        lines = tuple((float(a), float(b), str(c)) for a, b, c in rows)
        return Transcript(lines, str(fact.get("from", "")), str(fact.get("language", ""))) if lines else None
