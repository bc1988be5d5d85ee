"""Words as they are compared: folded, and those of a script without spaces cut into pairs of characters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from sys import intern
from typing import Any

WORD = re.compile(r"[\w']+")
HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff\u3040-\u30ff]+")
LONGEST = 24_000  # characters of a vocabulary: about what a feature film's dialogue holds


def folded(text: str) -> str:
    """Lower case, without accents and odd widths, so that Amélie is found as amelie."""
    for _ in range(3):  # a wide or styled capital is one only when it was taken apart, and so on: ℡, ﷺ, ϓ
        text = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in text if not unicodedata.combining(c)).strip()


def tokens(text: str, most: int = 32) -> tuple[str, ...]:
    """Words of a query; a run of Chinese or kana gives its pairs of characters, for it has no spaces. Of a text the
    first ``most`` words count."""
    found: list[str] = []
    for word in WORD.findall(folded(text))[:most]:
        runs = HAN.findall(word)
        found += [word] if not runs else []
        for run in runs:
            found += [run[i : i + 2] for i in range(max(len(run) - 1, 1))]
        found += [w for w in HAN.split(word) if w and runs]
    return tuple(dict.fromkeys(found))


def vocabulary(texts: Iterable[str]) -> str:
    """Each token of long texts once, between spaces: `` on the way ``. A token is looked for with its spaces, so "way"
    is in it and "wa" is not. At most ``LONGEST`` characters. O(length), done once when a text is taken in."""
    kept: dict[str, None] = {}
    size = 1
    for text in texts:
        for token in tokens(text, 200_000):
            size += 0 if token in kept else len(token) + 1
            if size > LONGEST:
                return f" {' '.join(kept)} "
            kept[token] = None
    return f" {' '.join(kept)} " if kept else ""


Topics = tuple[tuple[str, str], ...]  # in English and in Chinese


def topic_names(value: Any) -> Topics:
    """The names in a fact ``topics``, ``[[English, Chinese, confidence, space], ...]``; entries of another form are
    left out. Texts are shared: there are few different ones."""
    rows = value if isinstance(value, list) else []
    return tuple((intern(str(t[0])), intern(str(t[1]))) for t in rows if isinstance(t, list) and len(t) == 4)
