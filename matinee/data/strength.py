"""How much an event says about a taste: from -1 (never again) through 0 (says nothing) to 1 (as good as it gets)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import msgspec
import numpy as np

from matinee.types import EVENT_KINDS, Doubles, Floats, Ints


@dataclass(frozen=True, slots=True)
class StrengthTable:
    """The strength of each kind, and how ``value`` moves it. Every number is a choice; change it by making another.

    - ``play``: times the share that was watched. ``value`` of 1 or less is that share. Above 1 it is seconds, and since
      an event does not know how long its item is, s seconds count as s / (s + ``half_seconds``). Without a value a play
      counts ``play_unknown``: it was started, nobody knows for how long. A negative value counts as 0. A play of less
      than ``skip_share``, or of fewer than ``skip_seconds``, counts as a skip; one of ``finish_share`` or more counts
      as a finish.
    - ``rating``: (stars - ``rating_zero``) / ``rating_span``, cut to [-1, 1]: of five stars 5 -> 1, 4 -> 0.6,
      3.5 -> 0.4, 3 -> 0.2 (it was watched to be rated), 2 -> -0.2, 1 -> -0.6, 0.5 -> -0.8. Without stars 0.
    - the others do not look at ``value``. An impression and a search say nothing about an item by themselves.
    """

    impression: float = 0.0
    play: float = 1.0
    play_unknown: float = 0.5
    half_seconds: float = 60.0
    skip_share: float = 0.0
    skip_seconds: float = 0.0
    finish_share: float = 1.0
    finish: float = 1.0
    like: float = 1.0
    dislike: float = -1.0
    save: float = 0.9
    share: float = 1.0
    comment: float = 0.5
    search: float = 0.0
    skip: float = -0.3
    hide: float = -1.0
    rating_zero: float = 2.5
    rating_span: float = 2.5

    def base(self) -> Floats:
        """(len(EVENT_KINDS),) float32: the strength of each kind by its code, before ``value`` is looked at."""
        by_name = {name: getattr(self, name) for name in EVENT_KINDS if name != "rating"}
        return np.array([by_name.get(name, 0.0) for name in EVENT_KINDS], np.float32)


PLAY, RATING = EVENT_KINDS.index("play"), EVENT_KINDS.index("rating")
DEFAULT = StrengthTable()


def table_of(settings: msgspec.Struct) -> StrengthTable:
    """The table of ``[strength]`` in the settings, whose keys are this table's fields."""
    return StrengthTable(**msgspec.structs.asdict(settings))


@cache
def _base(table: StrengthTable) -> Floats:
    return table.base()


def strengths(kinds: Ints, value: Doubles, table: StrengthTable = DEFAULT) -> Floats:
    """(n,) float32 in [-1, 1] for events of ``kinds`` (n,) int64 codes and ``value`` (n,) float64, NaN = none.

    The rules stand in ``StrengthTable``. An infinite value counts as none. O(n).
    """
    value = np.where(np.isfinite(value), value, np.nan)
    out = _base(table)[kinds]
    play, rating = kinds == PLAY, kinds == RATING
    if play.any():
        v = np.maximum(value[play], 0.0)
        share = np.where(v <= 1.0, v, v / (v + table.half_seconds))
        told = np.where(np.isnan(v), table.play_unknown, table.play * share)
        short = np.where(v <= 1.0, v < table.skip_share, v < table.skip_seconds)  # NaN compares false
        whole = (v <= 1.0) & (v >= table.finish_share)
        out[play] = np.where(short, table.skip, np.where(whole, table.finish, told))
    if rating.any():
        stars = (value[rating] - table.rating_zero) / table.rating_span
        out[rating] = np.nan_to_num(np.clip(stars, -1.0, 1.0), nan=0.0)
    return out
