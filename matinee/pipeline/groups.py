"""What people of the same group watch: of the same country, language, age group, gender, or whatever a table of users
says.

How often a group watched an item is smoothed to how often everybody did, as if ``SMOOTH`` people like all others
belonged to it (a Dirichlet prior, as Zhai and Lafferty 2004, section 3.1, smooth language models), so that small groups
do not decide. Where a person belongs to several groups, the logarithms of their shares are added up (naive Bayes, as if
the groups were independent) and held back by ``HOLD``, for they are not.

A group of fewer than ``least`` people is never used, and what fewer than ``least`` people of a group watched is never
told as theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from matinee.types import Doubles, Floats, Ints

LEAST = 10  # people
SMOOTH = 20.0  # people like all others that each group is given beside its own
HOLD = 0.7  # of the sum over the groups of a person
TOLD = 0.05  # what a group's share must exceed everybody's by, in logarithms, to be told as a reason
MOST_GROUPS = 200  # the largest ones
KEPT = 32  # sums that are kept for the next who belongs to the same groups
LONGEST = 100  # characters of a value that names a group
AGES = (0, 18, 25, 35, 45, 55, 65)

Group = tuple[str, str]  # the field and its value


def groups_in(profile: Mapping[str, Any]) -> tuple[Group, ...]:
    """The groups a profile says somebody belongs to, one a field. Texts count without case; an age that is a number
    counts by age group."""
    found = []
    for name, value in profile.items():
        if isinstance(value, bool | int | float | str) and (told := _value(name, value)):
            found.append((name, told))
    return tuple(found)


def _value(name: str, value: Any) -> str:
    if name == "age" and isinstance(value, int | float) and not isinstance(value, bool):
        if not 0 <= value < 150:
            return ""
        at = int(np.searchsorted(AGES, value, side="right")) - 1
        return f"{AGES[at]}-{AGES[at + 1] - 1}" if at + 1 < len(AGES) else f"{AGES[at]}+"
    told = str(value).strip().casefold()
    return told if len(told) <= LONGEST else ""


@dataclass(frozen=True)
class GroupCounts:
    """``number`` of each group that is large enough; ``starts`` (G + 1,), ``items`` and ``watchers`` (m,) how many of
    each group watched what; ``everybody`` (size,) how many people did; ``people``: how many there are in all."""

    number: Mapping[Group, int]
    starts: Ints
    items: Ints
    watchers: Ints
    everybody: Doubles
    people: int
    least: int = LEAST
    _kept: dict[tuple[int, ...], Lift] = field(default_factory=dict, repr=False, compare=False)

    @staticmethod
    def of(
        users: Ints, items: Ints, size: int, profiles: Iterable[tuple[int, Mapping[str, Any]]], least: int = LEAST
    ) -> GroupCounts:
        """``users`` and ``items`` (n,): rows of who watched what, repeats and all; ``size``: rows of items;
        ``profiles``: (user row, profile). A pair counts once. O(n log n + groups of all watchers)."""
        inside = (items >= 0) & (items < size) & (users >= 0)
        pairs = np.unique(users[inside] * np.int64(max(size, 1)) + items[inside])
        users, items = pairs // max(size, 1), pairs % max(size, 1)
        everybody = np.bincount(items, minlength=size).astype(np.float64)
        members: dict[Group, list[int]] = {}
        for row, profile in profiles:
            for group in groups_in(profile):
                members.setdefault(group, []).append(row)
        large = sorted((g for g in members if len(members[g]) >= max(least, 1)), key=lambda g: (-len(members[g]), g))
        kept = large[:MOST_GROUPS]
        bounds = np.searchsorted(users, np.arange(int(users.max(initial=-1)) + 2))
        columns, counts = [], []
        for group in kept:
            rows = np.asarray(members[group], np.int64)
            rows = rows[rows < len(bounds) - 1]
            own = np.concatenate([items[bounds[r] : bounds[r + 1]] for r in rows.tolist()] or [items[:0]])
            found, watchers = np.unique(own, return_counts=True)
            columns.append(found)
            counts.append(watchers)
        starts = np.concatenate([[0], np.cumsum([len(c) for c in columns])]).astype(np.int64)
        none = np.empty(0, np.int64)
        return GroupCounts(
            {group: at for at, group in enumerate(kept)}, starts, np.concatenate([none, *columns]),
            np.concatenate([none, *counts]).astype(np.int64), everybody, len(np.unique(users)), least,
        )  # fmt: skip

    def lift(self, profile: Mapping[str, Any]) -> Lift | None:
        """What the groups of a profile add; None where none of them is large enough. O(size) for a new combination."""
        own = tuple(group for group in groups_in(profile) if group in self.number)
        if not own or not self.people:
            return None
        key = tuple(sorted(self.number[group] for group in own))
        if (known := self._kept.get(key)) is None:
            by_field = {name: self._one(self.number[name, value]) for name, value in own}
            total = HOLD * np.sum(list(by_field.values()), axis=0)
            told = {name: self._told(self.number[name, value], by_field[name]) for name, value in own}
            known = Lift(self._best(total), told)
            while len(self._kept) >= KEPT:
                self._kept.pop(next(iter(self._kept)), None)
            self._kept[key] = known
        return known

    def _one(self, group: int) -> Doubles:
        """(size,) log of the group's smoothed share of each item over everybody's; 0 for what nobody watched."""
        here = slice(self.starts[group], self.starts[group + 1])
        own = np.zeros(len(self.everybody))
        own[self.items[here]] = self.watchers[here]
        share = self.everybody / max(self.everybody.sum(), 1.0)
        given = SMOOTH * self.everybody.sum() / self.people  # what so many people like all others watched
        smoothed = (own + given * share) / (own.sum() + given)
        ratio: Doubles = np.divide(smoothed, share, out=np.ones_like(share), where=share > 0)
        return np.asarray(np.log(ratio), np.float64)

    def _told(self, group: int, lift: Doubles) -> dict[int, float]:
        here = slice(self.starts[group], self.starts[group + 1])
        many = self.items[here][self.watchers[here] >= self.least]
        return {int(row): float(lift[row]) for row in many if lift[row] > TOLD}

    def _best(self, total: Doubles) -> Floats:
        return np.where(self.everybody > 0, self.everybody * np.exp(total), np.nan).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Lift:
    """``score`` (size,): how many people like these would have watched each item, were they as many as all; NaN for
    what nobody watched. ``told``: of each field the items that its group watches more than others do, and by how
    much."""

    score: Floats
    told: Mapping[str, Mapping[int, float]]

    def scores(self, rows: Ints) -> Floats:
        """(n,) as ``Popularity.scores`` of everybody: NaN where nobody watched it, or it came since the count."""
        found = np.full(len(rows), np.nan, np.float32)
        inside = (rows >= 0) & (rows < len(self.score))
        found[inside] = self.score[rows[inside]]
        return found

    def reason(self, row: int) -> str:
        """The field of the group that speaks most for an item; "" where none may be told."""
        best = max(((lifts[row], name) for name, lifts in self.told.items() if row in lifts), default=(0.0, ""))
        return best[1]
