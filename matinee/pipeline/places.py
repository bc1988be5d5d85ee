"""Scratch memory by item row, so that sets of items are met without sorting them."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from matinee.types import Bools, Doubles, Ints


class Places(threading.local):
    """A scratch array of one number for each item and thread, never cleared: whoever reads a place has written it."""

    def __init__(self) -> None:
        self._held = np.empty(0, np.int32)

    def of(self, size: int) -> np.ndarray[Any, np.dtype[np.int32]]:
        if len(self._held) < size:
            self._held = np.zeros(size, np.int32)
        return self._held


class Zeros(threading.local):
    """Scratch arrays that are zero between two uses: whoever fills one clears it."""

    def __init__(self) -> None:
        self._places = np.zeros(0, np.int32)
        self._sums = np.zeros((0, 2), np.float64)

    def places(self, size: int) -> np.ndarray[Any, np.dtype[np.int32]]:
        """(at least size,)"""
        if len(self._places) < size:
            self._places = np.zeros(size, np.int32)
        return self._places

    def sums(self, size: int) -> Doubles:
        """(at least size, 2)"""
        if len(self._sums) < size:
            self._sums = np.zeros((size, 2), np.float64)
        return self._sums


class Marks(threading.local):
    """A mark for each item and thread, all down between two questions."""

    def __init__(self) -> None:
        self._held = np.zeros(0, np.bool_)

    def among(self, items: Ints, others: Ints) -> Bools:
        """(len(items),) whether each row, which is not negative, is one of the others. O(len(items) + len(others))."""
        most = int(items.max(initial=-1))
        others = others[(others >= 0) & (others <= most)]  # a page token may name any number
        if not len(others):
            return np.zeros(len(items), np.bool_)
        if len(self._held) <= most:
            self._held = np.zeros(most + 1, np.bool_)
        try:
            self._held[others] = True
            found: Bools = self._held[items]
        finally:
            self._held[others] = False
        return found


PLACES = Places()
ZEROS = Zeros()
MARKS = Marks()
