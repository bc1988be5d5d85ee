"""What is written of items, as numbers that need no network: their kinds, the people behind them, where and when they
are from, their words.

Each aspect is a block of its own, so that a model can weigh "by the same people" against "of the same decade". Words
are hashed with a sign (Weinberger et al., Feature Hashing for Large Scale Multitask Learning, ICML 2009), so there is
no vocabulary: an item that comes tomorrow has its vector at once, and an old item's never changes. How rare a word is,
a model learns itself. Tags are left out: where users write them, they are written after watching.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache

import numpy as np

from matinee.types import Floats, Ints, Item

SIZES = {"kinds": 128, "people": 512, "place": 64, "words": 1024}  # slots that tokens are hashed to, by aspect
WORD = re.compile(r"[^\W_]+")
YEAR = re.compile(r"\((1[89]\d\d|20\d\d)\)\s*$")
YEARS = np.arange(1900, 2045, 5)  # centres of the slots of "year"
NEAR_YEARS = 5.0  # items so many years apart are alike by 1/e
MOST = 30_000  # items above which no model asks, for it would hold a square matrix over them
SHORT = 60  # properties with longer texts are no facts


def fact_vectors(items: Mapping[int, Item], n_items: int) -> dict[str, Floats]:
    """aspect -> (n_items, dim) float32 by row; rows of zeros where nothing is known. Of hashed tokens the logarithm of
    1 + their count, signed, not yet weighed or scaled; ``year`` is a bump around the year. Nothing for no items or more
    than ``MOST``. O(words), 7 KB an item."""
    if not items or n_items > MOST:
        return {}
    out = {name: np.zeros((n_items, size), np.float32) for name, size in SIZES.items()}
    out["year"] = np.zeros((n_items, len(YEARS)), np.float32)
    for row, item in items.items():
        if not 0 <= row < n_items:
            continue
        for name, tokens in _tokens(item).items():
            for token in tokens:
                slot, sign = _slot(token, SIZES[name])
                out[name][row, slot] += sign
        if (year := year_of(item)) is not None:
            out["year"][row] = np.exp(-np.abs(YEARS - year) / NEAR_YEARS)
    return {name: matrix if name == "year" else _damped(matrix) for name, matrix in out.items()}


def _damped(counts: Floats) -> Floats:
    return (np.sign(counts) * np.log1p(np.abs(counts))).astype(np.float32)


def collections_of(items: Mapping[int, Item], n_items: int) -> Ints:
    """(n_items,) the number of each item's collection, by name; 0 where it has none or there is no item. Empty where
    all are of one."""
    names = sorted({"", *(item.collection for item in items.values())})
    number = {name: at for at, name in enumerate(names)}
    groups = np.zeros(n_items, np.int64)
    for row, item in items.items():
        if 0 <= row < n_items:
            groups[row] = number[item.collection]
    return groups if len(names) > 1 and len(set(groups.tolist())) > 1 else np.empty(0, np.int64)


def year_of(item: Item) -> float | None:
    """The year it came out: ``released``, else a year in brackets at the end of the title."""
    if item.released is not None:
        try:
            return float(datetime.fromtimestamp(item.released, UTC).year)
        except (OverflowError, OSError, ValueError):
            return None
    found = YEAR.search(item.title)
    return float(found[1]) if found else None


def _tokens(item: Item) -> dict[str, Iterable[str]]:
    written = f"{YEAR.sub('', item.title)} {item.description}".casefold()
    properties = [(key, value) for key, value in item.properties.items() if isinstance(value, str)]
    place = [f"{key}={part}" for key, value in properties if len(value) <= SHORT for part in _parts(value)]
    language = [f"language={part}" for part in _parts(item.language)]
    return {
        "kinds": [part for kind in item.categories for part in _parts(kind)],
        "people": [part for creator in item.creators for part in _parts(creator)],
        "place": [*language, *place],
        "words": WORD.findall(written),
    }


def _parts(text: str) -> list[str]:
    return [part.strip().casefold() for part in text.split(",") if part.strip()]


@lru_cache(maxsize=200_000)
def _slot(token: str, size: int) -> tuple[int, float]:
    number = int.from_bytes(hashlib.blake2b(token.encode("utf-8", "replace"), digest_size=8).digest(), "little")
    return (number >> 1) % size, 1.0 if number & 1 else -1.0
