"""New users of whom a table says something: is what their groups watch better than what everybody watches?

    MATINEE_DATA=FOLDER python -m benchmarks.groups [--tune]

MovieLens-100K and 1M with their tables of users (age, gender, occupation). Every user is new once: five parts, each
asked when the counts are made of the other four. The lists are made for an empty history; asked for is all that the
user then watched (NDCG@10, recall@10 over min(10, watched)). 95% intervals are bootstraps over users, differences are
paired by user: to popularity, or, for the order of first slates (``starter``), to that order without groups. ``--tune``
tries the settings on three in ten users of MovieLens-100K, who are left out of the report on it; those chosen so stand
in ``matinee/pipeline/groups.py``.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from matinee.data.datasets.frame import Dataset
from matinee.data.datasets.people import people
from matinee.data.datasets.table import read_dataset
from matinee.evaluation.significance import intervals, paired
from matinee.pipeline import catalogue as catalogues
from matinee.pipeline import groups
from matinee.pipeline.groups import GroupCounts, Lift, groups_in
from matinee.pipeline.sources import Starter
from matinee.types import Candidates, Doubles, Floats, Ints, Item, Query

K, PARTS, TUNING = 10, 5, 0.3
FIELDS = ("age", "gender", "occupation")


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--tune", action="store_true")
    folder = Path(os.environ.get("MATINEE_DATA", ".")) / "data"
    small, large = loaded(folder / "ml-100k"), loaded(folder / "ml-1m")
    chance = np.random.default_rng(0)
    tuning = chance.permutation(len(small[0].users))[: round(TUNING * len(small[0].users))]
    if asked.parse_args().tune:
        tune(small, tuning)
        return
    rest = np.setdiff1d(np.arange(len(small[0].users)), tuning)
    report("MovieLens-100K", small, rest)
    report("MovieLens-1M", large, np.arange(len(large[0].users)))


def loaded(path: Path) -> tuple[Dataset, list[Mapping[str, Any]]]:
    data = read_dataset(path)
    known, _ = people(path)
    return data, [{name: known[user][name] for name in FIELDS if name in known[user]} for user in data.users]


Score = Callable[[GroupCounts, Mapping[str, Any]], Floats]


def popular(counts: GroupCounts, profile: Mapping[str, Any]) -> Floats:
    return np.where(counts.everybody > 0, counts.everybody, np.nan).astype(np.float32)


def by(*fields: str) -> Score:
    def score(counts: GroupCounts, profile: Mapping[str, Any]) -> Floats:
        found = counts.lift({name: profile[name] for name in fields if name in profile})
        return popular(counts, profile) if found is None else found.score

    return score


def unsmoothed(counts: GroupCounts, profile: Mapping[str, Any]) -> Floats:
    """The control: everybody of exactly the same groups and nobody else, ties by popularity."""
    own = counts.exact.get(groups_in(profile), np.zeros(len(counts.everybody)))  # type: ignore[attr-defined]
    return (own + counts.everybody / (counts.everybody.max() + 1)).astype(np.float32)


def report(name: str, known: tuple[Dataset, list[Mapping[str, Any]]], asked: Ints) -> None:
    ways: dict[str, Score] = {
        "popular": popular,
        **{f"popular in {field}": by(field) for field in FIELDS},
        "popular in all three": by(*FIELDS),
        "exactly the same three, not smoothed": unsmoothed,
    }  # fmt: skip
    print(f"\n{name}, {len(asked)} new users\n")
    print("| | NDCG@10 | recall@10 | NDCG less without groups | p |\n|---|---|---|---|---|")
    values = {way: measured(known, score, asked) for way, score in ways.items()}
    values["starter"] = measured(known, None, asked)
    values["starter by all three"] = measured(known, None, asked, in_groups=True)
    for way, found in values.items():
        base = values["starter" if way.startswith("starter") else "popular"]
        ndcg, recall, gain = intervals(np.stack([found[0], found[1], found[0] - base[0]]))
        p = paired((found[0] - base[0])[None])[0]
        tell = [f"{e.value:.4f} ({e.low:.4f} to {e.high:.4f})" for e in (ndcg, recall)]
        less = f"{gain.value:+.4f} ({gain.low:+.4f} to {gain.high:+.4f}) | {p:.4f}" if found is not base else " | "
        print(f"| {way} | {' | '.join(tell)} | {less} |", flush=True)


def measured(
    known: tuple[Dataset, list[Mapping[str, Any]]], score: Score | None, asked: Ints, in_groups: bool = False
) -> Doubles:
    """(2, asked): NDCG and recall by user. ``score`` None: the order that strangers are served, with and without."""
    data, profiles = known
    log = data.log
    part = np.random.default_rng(1).permutation(len(data.users)) % PARTS
    starts = np.searchsorted(log.users, np.arange(len(data.users) + 1))
    out = np.zeros((2, len(asked)))
    gain = 1 / np.log2(np.arange(K) + 2)
    for which in range(PARTS):
        train = part[log.users] != which
        there = [(row, profiles[row]) for row in np.flatnonzero(part != which)]
        counts = GroupCounts.of(log.users[train], log.items[train], len(data.items), there)
        exact: dict[Any, Doubles] = {}
        if score is unsmoothed:
            for row, profile in there:
                mine = exact.setdefault(groups_in(profile), np.zeros(len(data.items)))
                mine[log.items[starts[row] : starts[row + 1]]] += 1
            counts.__dict__["exact"] = exact
        starters: dict[Any, Floats] = {}
        for at in np.flatnonzero(part[asked] == which).tolist():
            row = int(asked[at])
            if score is not None:
                scores = score(counts, profiles[row])
            else:
                lift = (counts.lift(profiles[row]) if in_groups else None) or Lift(popular(counts, {}), {})
                key = groups_in(profiles[row]) if in_groups else None
                if key not in starters:
                    starters[key] = started(data, lift)
                scores = starters[key]
            best = np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")[:K]
            watched = log.items[starts[row] : starts[row + 1]]
            hits = np.isin(best, watched)
            most = min(K, len(np.unique(watched)))
            out[:, at] = (hits * gain).sum() / gain[:most].sum(), hits.sum() / most
    return out


def started(data: Dataset, lift: Lift) -> Floats:
    """The order of strangers' first slates, by counts of everybody or of the groups."""
    items = [data.catalogue.get(row, Item(id=name)) for row, name in enumerate(data.items)]
    catalogue = catalogues.of_items(items)
    everything = np.arange(len(items))
    whole = Candidates(everything, np.full(len(items), np.nan, np.float32), everything * 0)
    starter = Starter(catalogue, lift)
    return starter.score(Query(now=float(data.log.at.max()) + 1), whole)


def tune(known: tuple[Dataset, list[Mapping[str, Any]]], asked: Ints) -> None:
    for smooth in (3.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0):
        for hold in (0.4, 0.55, 0.7, 0.85, 1.0):
            groups.SMOOTH, groups.HOLD = smooth, hold  # type: ignore[misc]
            found = measured(known, by(*FIELDS), asked).mean(axis=1)
            print(f"smooth {smooth:5.0f} hold {hold:.2f}  NDCG@10 {found[0]:.4f}  recall@10 {found[1]:.4f}", flush=True)


if __name__ == "__main__":
    main()
