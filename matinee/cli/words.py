"""What the command line says: in the user's language, and without anything that could command a terminal."""

from __future__ import annotations

import sys
import unicodedata
from typing import Any

from matinee.errors import language


def t(en: str, zh: str) -> str:
    return zh if language() == "zh" else en


def say(line: str = "") -> None:
    """A line of the answer, on stdout."""
    sys.stdout.write(clean(line) + "\n")


def note(line: str) -> None:
    """A line beside the answer, on stderr."""
    sys.stderr.write(clean(line) + "\n")
    sys.stderr.flush()


def emit(form: Any) -> None:
    """One JSON document on stdout."""
    import msgspec

    sys.stdout.write(msgspec.json.format(msgspec.json.encode(form), indent=2).decode() + "\n")


def clean(text: str) -> str:
    """Titles come from files of strangers: control characters and direction overrides become ``?``."""
    return "".join(c if c == "\n" or unicodedata.category(c) not in ("Cc", "Cf", "Cs") else "?" for c in text)


def width(text: str) -> int:
    """Columns on a terminal: Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def table(rows: list[tuple[str, ...]]) -> None:
    """Rows in columns that line up."""
    if not rows:
        return
    widest = [max(width(clean(row[i])) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [clean(cell) + " " * (wide - width(clean(cell))) for cell, wide in zip(row, widest, strict=True)]
        say("  ".join(cells).rstrip())


def minutes(seconds: float | None) -> str:
    if seconds is None:
        return ""
    whole = round(seconds)
    hours = f"{whole // 3600}:" if whole >= 3600 else ""
    return f"{hours}{whole % 3600 // 60:02d}:{whole % 60:02d}" if hours else f"{whole // 60}:{whole % 60:02d}"
