"""Ways to hide a part of a log and ask for it. Each gives two folds: ``tune`` to choose settings, ``test`` for the end.

What a test row says is never in the training rows of its fold, and the settings are chosen without any test row. Only
rows of positive strength are asked for. A target that the history already holds is not asked (recommending it again is
another task), and a case without a target left is dropped; both are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from matinee.data.columns import nearest
from matinee.data.datasets.frame import Dataset
from matinee.errors import MatineeError
from matinee.types import Bools, Doubles, History, Interactions, Ints

TEST, VALID = 0.1, 0.1  # shares of the rows that time and random splits hide
COLD, COLD_VALID = 0.2, 0.1  # shares of items or users that cold splits hide
FOLD_IN = 0.8  # share of a cold user's rows that is shown
NEEDS_ZH = {"time": "时间", "order": "顺序"}
MOST_CASES = 200_000  # beyond it whole users are left out by chance, and counted


@dataclass(frozen=True, slots=True)
class Cases:
    """q questions. Case c asks at ``now[c]`` for the items ``targets[bounds[c]:bounds[c + 1]]`` of ``users[c]``, whose
    history is the rows ``start[c]:stop[c]`` of ``history`` (with their ``kinds`` and ``value``). ``stars`` belongs to
    ``targets``: the value of the row, NaN for none. ``candidates`` (n_items,): what may be recommended; everything but
    for ``cold-items``. Sorted by user."""

    history: Interactions
    kinds: Ints
    value: Doubles
    users: Ints
    start: Ints
    stop: Ints
    now: Doubles
    targets: Ints
    stars: Doubles
    bounds: Ints
    candidates: Bools

    def __len__(self) -> int:
        return len(self.users)

    def history_of(self, case: int, last: int | None = None) -> History:
        """What the user had done by then, oldest first; with ``last`` only the newest so many events."""
        start, stop = int(self.start[case]), int(self.stop[case])
        rows = slice(start if last is None else max(start, stop - last), stop)
        h = self.history
        return History(h.items[rows], h.at[rows], h.strength[rows], self.kinds[rows])

    def targets_of(self, case: int) -> Ints:
        return self.targets[self.bounds[case] : self.bounds[case + 1]]


@dataclass(frozen=True, slots=True)
class Fold:
    train: Interactions
    cases: Cases


@dataclass(frozen=True, slots=True)
class Split:
    """``counts``: what was left out by which rule, and the sizes."""

    name: str
    tune: Fold
    test: Fold
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Way:
    """One way to split: what makes it, what it needs of the data, and a sentence for reports."""

    make: Callable[[Log, int, dict[str, int]], tuple[Fold, Fold]]
    needs: str
    says: str


@dataclass(frozen=True, slots=True)
class Log:
    """The data a split works on: ``rows``, their ``kinds`` and ``value``; ``order``: "time", "order" or "none"."""

    rows: Interactions
    kinds: Ints
    value: Doubles
    order: str

    def only(self, keep: Bools) -> Log:
        r = self.rows
        rows = replace(r, users=r.users[keep], items=r.items[keep], at=r.at[keep], strength=r.strength[keep])
        return Log(rows, self.kinds[keep], self.value[keep], self.order)


def make_split(data: Dataset, name: str, *, seed: int = 0, feedback: str = "watched") -> Split:
    """The split called ``name``; ``seed`` matters where chance has a part. Raises ``split.unknown`` with the nearest
    name, ``split.needs`` where the data has no times or no order, ``split.empty`` where nothing can be asked."""
    if name not in SPLITS:
        near, known = nearest(name, SPLITS), ", ".join(SPLITS)
        raise MatineeError(
            "split.unknown",
            f"There is no split {name!r}; did you mean {near!r}? Known: {known}.",
            f"没有名为 {name!r} 的划分方式；是否指 {near!r}？可用：{known}。",
        )
    way = SPLITS[name]
    order = "time" if data.timed else "order" if data.ordered else "none"
    if (way.needs == "time" and order != "time") or (way.needs == "order" and order == "none"):
        instead = "leave-one-out" if order == "order" else "random"
        has = {"order": "an order only", "none": "none"}[order]
        raise MatineeError(
            "split.needs",
            f"The split {name!r} needs {way.needs}, and {data.name} has {has}. Use --split {instead}.",
            f"划分方式 {name!r} 需要{NEEDS_ZH[way.needs]}，而 {data.name} 没有。请改用 --split {instead}。",
        )
    log = Log(data.interactions(feedback), data.log.kinds, data.log.value, order)
    counts: dict[str, int] = {}
    tune, test = way.make(log, seed, counts)
    if not len(test.cases):
        raise MatineeError(
            "split.empty",
            f"The split {name!r} of {data.name} leaves nothing to ask: too few rows a user.",
            f"{data.name} 按 {name!r} 划分后没有可评估的内容：每个用户的记录太少。",
        )
    counts |= {"train_rows": len(test.train), "test_cases": len(test.cases), "test_targets": len(test.cases.targets)}
    counts |= {"tune_cases": len(tune.cases), "cases_without_history": int((test.cases.start == test.cases.stop).sum())}
    return Split(name, tune, test, counts)


def _time_last(log: Log, seed: int, counts: dict[str, int]) -> tuple[Fold, Fold]:
    return _time(log, seed, counts, successive=False)


def _time_successive(log: Log, seed: int, counts: dict[str, int]) -> tuple[Fold, Fold]:
    return _time(log, seed, counts, successive=True)


def _time(log: Log, seed: int, counts: dict[str, int], *, successive: bool) -> tuple[Fold, Fold]:
    """One moment for everybody: what lies before it is training. Of every user active after it the last event is asked,
    or each of them in turn; the history is everything strictly before the target, also after the moment."""
    at = log.rows.at
    middle, late = np.quantile(at, [1 - TEST - VALID, 1 - TEST], method="higher")

    def fold(cut: float, until: float) -> Fold:
        asked = np.flatnonzero((at >= cut) & (at < until) & (log.rows.strength > 0))
        if not successive:
            users = log.rows.users[asked]
            asked = asked[np.r_[users[1:] != users[:-1], True]] if len(asked) else asked
        return Fold(log.only(at < cut).rows, _single(log, asked, seed, counts))

    return fold(middle, late), fold(late, np.inf)


def time_fold(data: Dataset, start: float, stop: float, *, most: int = MOST_CASES, seed: int = 0) -> Fold:
    """One moment of a rolling evaluation: training is what lies before the share ``start`` of the rows by time; asked
    is each row from there to the share ``stop`` in turn, at most ``most`` by ``seed``, with the history up to it."""
    log = Log(data.interactions(), data.log.kinds, data.log.value, "time")
    at = log.rows.at
    cut, until = np.quantile(at, [start, min(stop, 1.0)], method="higher")
    late = (at >= cut) & (log.rows.strength > 0) & ((at < until) | (stop >= 1.0))
    asked = np.flatnonzero(late)
    if len(asked) > most:
        asked = np.sort(np.random.default_rng(seed).choice(asked, most, replace=False))
    return Fold(log.only(at < cut).rows, _single(log, asked, seed, {}))


def _leave_one_out(log: Log, seed: int, counts: dict[str, int]) -> tuple[Fold, Fold]:
    """Of every user the last event is the test and the one before the validation; both are left out of training
    (Kang and McAuley 2018). The test history holds the validation event, and events of the target's own time that
    come before it in the file. Other users' later events are in training: this split leaks the future, and serves
    to compare with papers."""
    positive = np.flatnonzero(log.rows.strength > 0)
    users = log.rows.users[positive]
    stops = np.searchsorted(users, np.unique(users), side="right")
    starts = np.r_[0, stops[:-1]] if len(stops) else stops
    enough = stops - starts >= 3
    counts["users_with_under_3_events"] = int((~enough).sum())
    test, valid = positive[stops[enough] - 1], positive[stops[enough] - 2]
    cut = np.full(log.rows.n_users, len(log.rows), np.int64)
    cut[log.rows.users[valid]] = valid
    train = log.only(np.arange(len(log.rows)) < cut[log.rows.users]).rows
    return (
        Fold(train, _single(log, valid, seed, {}, strict=False)),
        Fold(train, _single(log, test, seed, counts, strict=False)),
    )


def _random(log: Log, seed: int, counts: dict[str, int]) -> tuple[Fold, Fold]:
    """Rows by chance. It leaks the future and is easy: only for data without order."""
    draw = np.random.default_rng(seed).random(len(log.rows))
    positive = log.rows.strength > 0
    test, valid = positive & (draw < TEST), positive & (draw >= TEST) & (draw < TEST + VALID)
    everything = np.ones(log.rows.n_items, bool)
    return (
        _hidden(log.only(~test), valid[~test], everything, {}),
        _hidden(log, test, everything, counts),
    )  # fmt: skip


def _cold_items(log: Log, seed: int, counts: dict[str, int]) -> tuple[Fold, Fold]:
    """Items that training has never seen; only they are candidates."""
    return _cold(log, seed, counts, only_cold=True)


def _cold_items_all(log: Log, seed: int, counts: dict[str, int]) -> tuple[Fold, Fold]:
    """The same, with warm items as rivals."""
    return _cold(log, seed, counts, only_cold=False)


def _cold(log: Log, seed: int, counts: dict[str, int], *, only_cold: bool) -> tuple[Fold, Fold]:
    n = log.rows.n_items
    order = np.random.default_rng(seed).permutation(n)
    many, few = max(1, round(n * COLD)), max(1, round(n * COLD_VALID))
    test, valid = np.zeros(n, bool), np.zeros(n, bool)
    test[order[:many]], valid[order[many : many + few]] = True, True
    counts["cold_items"] = many
    known = log.only(~test[log.rows.items])
    everything = np.ones(n, bool)
    return (
        _hidden(known, valid[known.rows.items], valid if only_cold else ~test, {}),
        _hidden(log, test[log.rows.items], test if only_cold else everything, counts),
    )


def _cold_users(log: Log, seed: int, counts: dict[str, int]) -> tuple[Fold, Fold]:
    """Users that training has never seen: the first 80% of their rows are shown, the rest is asked for. Without an
    order the rows are shuffled first."""
    n = log.rows.n_users
    rng = np.random.default_rng(seed)
    order = rng.permutation(n)
    many, few = max(1, round(n * COLD)), max(1, round(n * COLD_VALID))
    group = np.zeros(n, np.int64)
    group[order[:many]], group[order[many : many + few]] = 2, 1
    counts["cold_users"] = many
    everything = np.ones(log.rows.n_items, bool)
    starts = log.rows.starts
    place = np.arange(len(log.rows)) - starts[log.rows.users]
    if log.order == "none":
        shuffled = np.lexsort((rng.random(len(log.rows)), log.rows.users))
        place[shuffled] = np.arange(len(log.rows)) - starts[log.rows.users]
    shown = place < np.ceil(FOLD_IN * np.diff(starts))[log.rows.users]

    def fold(which: int, used: dict[str, int]) -> Fold:
        mine = log.only(group[log.rows.users] == which)
        hidden = ~shown[group[log.rows.users] == which] & (mine.rows.strength > 0)
        train = log.only(group[log.rows.users] < which if which == 2 else group[log.rows.users] == 0).rows
        return Fold(train, _hidden(mine, hidden, everything, used).cases)

    return fold(1, {}), fold(2, counts)


SPLITS: dict[str, Way] = {
    "time": Way(_time_last, "time", "one moment for all; the last event of each user after it"),
    "time-successive": Way(_time_successive, "time", "one moment for all; each event after it in turn"),
    "leave-one-out": Way(_leave_one_out, "order", "the last event of each user; leaks the future, as papers do"),
    "random": Way(_random, "none", "10% of the rows by chance; leaks the future"),
    "cold-items": Way(_cold_items, "none", "20% of the items unseen in training, ranked among themselves"),
    "cold-items-all": Way(_cold_items_all, "none", "20% of the items unseen in training, ranked among all"),
    "cold-users": Way(_cold_users, "none", "20% of the users unseen in training; 80% of their rows shown"),
}


def _single(log: Log, asked: Ints, seed: int, counts: dict[str, int], *, strict: bool = True) -> Cases:
    """A case for each row in ``asked`` (ascending): its item, with what the user did before as history. ``strict``:
    what has the same time as the target is not known before it; otherwise the order of the file decides, and ``now``
    is the least moment after the history."""
    rows = log.rows
    if len(asked) > MOST_CASES:
        users = np.unique(rows.users[asked])
        keep = np.random.default_rng(seed).permutation(users)[: int(len(users) * MOST_CASES / len(asked))]
        fewer = asked[np.isin(rows.users[asked], keep)]
        counts["cases_left_out_by_chance"] = len(asked) - len(fewer)
        asked = fewer
    start, stop = rows.starts[rows.users[asked]], asked.copy()
    if log.order == "time":
        now = rows.at[asked]
        if strict:
            stop = _first_at(rows, asked)
        elif len(asked):
            before = rows.at[np.maximum(asked - 1, start)]
            now = np.where(before >= now, np.nextafter(before, np.inf), now)
    else:
        now = np.full(len(asked), rows.at.max() + 1 if len(rows) else 0.0)
    everything = np.ones(rows.n_items, bool)
    bounds = np.arange(len(asked) + 1)
    cases = Cases(
        rows, log.kinds, log.value, rows.users[asked], start, stop, now, rows.items[asked], log.value[asked], bounds,
        everything,
    )  # fmt: skip
    return _asked_once(cases, counts)


def _first_at(rows: Interactions, asked: Ints) -> Ints:
    """For each asked row the first row of the same user and time; rows are sorted by both."""
    if not len(rows):
        return asked
    fresh = np.r_[True, (np.diff(rows.users) != 0) | (np.diff(rows.at) != 0)]
    first = np.maximum.accumulate(np.where(fresh, np.arange(len(rows)), 0))
    return first[asked].astype(np.int64)


def _hidden(log: Log, hidden: Bools, candidates: Bools, counts: dict[str, int]) -> Fold:
    """Training without the hidden rows, and a case for each user who has any: all of them, asked at the end of time."""
    kept = log.only(~hidden)
    asked = np.flatnonzero(hidden & (log.rows.strength > 0))
    owners = log.rows.users[asked]
    users, first = np.unique(owners, return_index=True)
    starts = kept.rows.starts
    now = np.full(len(users), log.rows.at.max() + 1 if len(log.rows) else 0.0)
    bounds = np.r_[first, len(asked)].astype(np.int64)
    cases = Cases(
        kept.rows, kept.kinds, kept.value, users, starts[users], starts[users + 1], now, log.rows.items[asked],
        log.value[asked], bounds, candidates,
    )  # fmt: skip
    return Fold(kept.rows, _asked_once(cases, counts))


def _asked_once(cases: Cases, counts: dict[str, int]) -> Cases:
    """Leaves out targets that the history holds or that are stated twice, then cases without a target."""
    n = max(cases.history.n_items, 1)
    owner = np.repeat(np.arange(len(cases)), np.diff(cases.bounds))
    keep = np.ones(len(cases.targets), bool)
    if len(keep):
        pair = owner * n + cases.targets
        first = np.zeros(len(pair), bool)
        first[np.unique(pair, return_index=True)[1]] = True
        keep = first & ~np.array(
            [
                (cases.targets[at] == cases.history.items[cases.start[c] : cases.stop[c]]).any()
                for at, c in enumerate(owner)
            ],
            bool,
        )
    counts["repeated_targets"] = counts.get("repeated_targets", 0) + int((~keep).sum())
    left = np.bincount(owner[keep], minlength=len(cases)).astype(np.int64)
    some = left > 0
    return replace(
        cases, users=cases.users[some], start=cases.start[some], stop=cases.stop[some], now=cases.now[some],
        targets=cases.targets[keep], stars=cases.stars[keep], bounds=np.r_[0, np.cumsum(left[some])].astype(np.int64),
    )  # fmt: skip
