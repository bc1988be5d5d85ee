"""Scratch memory by item row, so that sets of items are met without sorting them."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from matinee.types import Bools, Ints


class Places(threading.local):
    """A scratch array of one number for each item and thread, never cleared: whoever reads a place has written it."""

    def __init__(self) -> None:
        self._held = np.empty(0, np.int32)

    def of(self, size: int) -> np.ndarray[Any, np.dtype[np.int32]]:
        if len(self._held) < size:
            self._held = np.zeros(size, np.int32)
        return self._held


class Marks(threading.local):
    """A mark for each item and thread, all down between two questions."""

    def __init__(self) -> None:
        self._held = np.zeros(0, np.bool_)

    def among(self, items: Ints, others: Ints) -> Bools:
        """(len(items),) whether each row is one of the others. O(len(items) + len(others)). ``items`` are not negative."""
        others = others[others >= 0]
        if not len(others):
            return np.zeros(len(items), np.bool_)
        size = 1 + max(int(others.max()), int(items.max(initial=0)))
        if len(self._held) < size:
            self._held = np.zeros(size, np.bool_)
        try:
            self._held[others] = True
            found: Bools = self._held[items]
        finally:
            self._held[others] = False
        return found


PLACES = Places()
MARKS = Marks()
