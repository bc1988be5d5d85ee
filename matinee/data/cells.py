"""One cell of a table -> a value, or ``CellError`` that says what is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

LATEST = 253402300799.0  # the last second of the year 9999
SECONDS = {
    "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "min": 60.0, "mins": 60.0, "minute": 60.0, "minutes": 60.0,
    "h": 3600.0, "hour": 3600.0, "hours": 3600.0,
}  # fmt: skip


class CellError(ValueError):
    """What is wrong, as a sentence for the report."""


def missing(cell: Any) -> bool:
    return (
        cell is None or (isinstance(cell, str) and not cell.strip()) or (isinstance(cell, float) and math.isnan(cell))
    )


def text(cell: Any) -> str:
    """A cell as text; whole floats (a Parquet or pandas habit) lose their ``.0``."""
    if isinstance(cell, bool):
        raise CellError(f"{cell} is not text")
    if isinstance(cell, str):
        if any("\ud800" <= c <= "\udfff" for c in cell):
            raise CellError("it is not UTF-8")
        return cell.strip()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, int | float):
        return str(cell)
    raise CellError(f"a {type(cell).__name__} stands where text is expected")


def plain(cell: Any) -> Any:
    """A cell as it stands; a text that is a number becomes one, for a CSV knows no others."""
    if not isinstance(cell, str):
        return cell
    told = text(cell)
    try:
        value = float(told)
    except ValueError:
        return told
    if not math.isfinite(value):
        return told
    return int(value) if value.is_integer() else value


def number(cell: Any) -> float:
    try:
        if isinstance(cell, bool):
            raise ValueError
        value = float(cell)
    except (TypeError, ValueError, OverflowError):
        raise CellError(f"{cell!r} is not a number") from None
    if not math.isfinite(value):
        raise CellError(f"{cell!r} is not a finite number")
    return value


def whole(cell: Any) -> int:
    value = number(cell)
    if not value.is_integer():
        raise CellError(f"{cell!r} is not a whole number")
    return int(value)


def texts(cell: Any) -> tuple[str, ...]:
    """A list, or text split on ``|``; empty parts and repeats are left out, order stays."""
    parts: Sequence[Any] = cell.split("|") if isinstance(cell, str) else cell if isinstance(cell, list) else [cell]
    return tuple(dict.fromkeys(text(p) for p in parts if not missing(p)))


def seconds(cell: Any) -> float:
    """A length: seconds, ``H:MM:SS``, ``MM:SS`` or a number with its unit (``81 min``). Not negative."""
    if isinstance(cell, str) and ":" in cell:
        value = 0.0
        for part in cell.split(":"):
            value = value * 60 + number(part)
    elif isinstance(cell, str) and len(words := cell.split()) == 2 and words[1].lower() in SECONDS:
        value = number(words[0]) * SECONDS[words[1].lower()]
    else:
        value = number(cell)
    if value < 0:
        raise CellError(f"a length of {cell!r} is below zero")
    return value


def moment(cell: Any, *, years: bool = False) -> float:
    """A time as Unix seconds, UTC: a number of seconds, milliseconds (from 1e11 on), microseconds (from 1e14) or
    nanoseconds (from 1e17), ISO 8601 (without a zone it is UTC), or with ``years`` a year between 1800 and 2200."""
    if isinstance(cell, datetime | date):
        return _of_date(cell)
    try:
        value = number(cell)
    except CellError:
        try:
            return _of_date(datetime.fromisoformat(text(cell)))
        except ValueError:
            raise CellError(f"{cell!r} is neither Unix time nor ISO 8601") from None
    if years and 1800 <= value <= 2200 and value.is_integer():
        return datetime(int(value), 1, 1, tzinfo=UTC).timestamp()
    for bound, unit in ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3)):
        if abs(value) >= bound:
            value /= unit
            break
    if abs(value) > LATEST:
        raise CellError(f"the time {cell!r} lies beyond the year 9999")
    return value


def _of_date(value: datetime | date) -> float:
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
