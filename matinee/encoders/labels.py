"""The names of what the networks see and hear, and of topics, in English and Chinese (``names/*.tsv``: a line a class,
in order)."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files


@lru_cache(maxsize=4)
def names(table: str) -> tuple[tuple[str, str], ...]:
    """(English, Chinese) of every class of ``imagenet`` (1,000) or ``audioset`` (521, as YAMNet orders them)."""
    lines = (files("matinee.encoders") / "names" / f"{table}.tsv").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("\t") for line in lines]
    return tuple((en, zh) for en, zh in pairs)


def imagenet() -> tuple[str, ...]:
    return tuple(en for en, _ in names("imagenet"))


def audioset() -> tuple[str, ...]:
    return tuple(en for en, _ in names("audioset"))


@lru_cache(maxsize=1)
def chinese() -> dict[str, str]:
    return dict(names("topics")) | dict(names("imagenet")) | dict(names("audioset"))


def label_zh(label: str) -> str:
    """The Chinese name of a label, or the label itself where none is known."""
    return chinese().get(label) or label


def label_in(label: str, lang: str) -> str:
    return label_zh(label) if lang.startswith("zh") else label
