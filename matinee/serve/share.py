"""How many connections each process behind one listening socket holds, in a file that all of them map."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path

FILE = "connections"
ABSENT = -1


class Held:
    """A number for each process, ``ABSENT`` for one that takes none; 4 bytes each, which are written whole. ``make``
    once, then one of these in each process."""

    def __init__(self, folder: Path) -> None:
        with (folder / FILE).open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self._counts = memoryview(self._map).cast("i")

    @staticmethod
    def make(folder: Path, processes: int) -> None:
        (folder / FILE).write_bytes(ABSENT.to_bytes(4, "little", signed=True) * processes)

    def tell(self, place: int, count: int) -> None:
        self._counts[place] = count

    def too_many(self, place: int) -> bool:
        """Whether another should take the next one: who takes any has fewer, by more than an eighth."""
        least = min((count for count in self._counts if count != ABSENT), default=0)
        return self._counts[place] > least + least // 8

    def close(self) -> None:
        self._counts.release()
        self._map.close()


@dataclass(frozen=True, slots=True)
class Place:
    """A worker's: the folder in which the workers of one server tell each other their counts, and its number."""

    folder: Path
    number: int
