"""What is looked for in a file after it was read, while it is still open behind the fence: one function each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from matinee.media.fence import Fence
from matinee.media.read import Reading
from matinee.media.side import Side
from matinee.settings import Library


@dataclass(frozen=True, slots=True)
class Open:
    """A file that was just read: its descriptor, the fence that may read more of it, what was read, what lies beside;
    ``tell`` hears how far a long step is, 0 to 1."""

    fd: int
    fence: Fence
    reading: Reading
    side: Side
    tell: Callable[[float], None]


Step = Callable[[Open], dict[str, Any]]
"""Facts of the item, by key. It runs in a worker's thread; a ``MatineeError`` makes the file refused."""


def steps_of(library: Library) -> tuple[Step, ...]:
    """The steps that the settings ask for, in order."""
    return ()


def keys_of_steps(library: Library) -> list[str]:
    """What names these steps: a file read with others is read again."""
    return ["shots@1"] if library.settings.reading.shots else []
