"""MovieLens-1M cut down to small libraries: from how much watching on is a learned fusion better than a plain one?

    MATINEE_DATA=FOLDER python -m benchmarks.fusion_small [--draws 5]

A library of so many films and so many users is drawn; a fifth of its films is hidden from all fitting and ranked among
themselves for every user who watched one, as in ``benchmarks.fusion_ml1m``. The table is the mean NDCG@10 over draws;
the columns of differences say how often in those draws ``beside`` was the better.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.fusion_ml1m import sound
from matinee.data.datasets.table import read_dataset
from matinee.encoders import fuse
from matinee.encoders.fuse_learned import Beside, Ridge
from matinee.errors import MatineeError
from matinee.evaluation.encode import encoded_features
from matinee.types import Floats, Interactions

WAYS: dict[str, fuse.Fusion] = {
    "concat": fuse.Concat(), "text x2": fuse.Concat({"text": 2.0}), "ridge": Ridge(), "beside": Beside(),
    "beside share 0": Beside(share=0.0), "beside share 0.2": Beside(share=0.2), "beside ridge 10": Beside(ridge=10.0),
}  # fmt: skip


def library(data: Interactions, films: int, users: int, seed: int) -> Interactions:
    """So many films, the likelier the more watched, and of those who watched at least three of them so many users."""
    rng = np.random.default_rng(seed)
    count = np.bincount(data.items, minlength=data.n_items) + 1e-9
    kept = rng.choice(data.n_items, films, replace=False, p=count / count.sum())
    place = np.full(data.n_items, -1)
    place[kept] = np.arange(films)
    here = place[data.items] >= 0
    busy = np.flatnonzero(np.bincount(data.users[here], minlength=data.n_users) >= 3)
    people = np.full(data.n_users, -1)
    people[rng.permutation(busy)[:users]] = np.arange(min(users, len(busy)))
    here &= people[data.users] >= 0
    order = np.lexsort((data.at[here], people[data.users[here]]))
    columns = [x[here][order] for x in (people[data.users], place[data.items], data.at, data.strength)]
    features = {m: x[kept] for m, x in data.features.items()}
    return Interactions(*columns, min(users, len(busy)), films, features)


def measured(data: Interactions, seed: int) -> dict[str, float]:
    hidden = np.zeros(data.n_items, bool)
    hidden[np.random.default_rng(100 + seed).permutation(data.n_items)[: data.n_items // 5]] = True
    seen = ~hidden[data.items]
    train = replace(
        data, users=data.users[seen], items=data.items[seen], at=data.at[seen], strength=data.strength[seen]
    )
    profiles, targets = [], []
    for user in range(data.n_users):
        own = data.items[data.users == user]
        if (past := own[~hidden[own]]).size and (future := own[hidden[own]]).size:
            profiles.append(past[::-1])
            targets.append(future)
    out = {}
    for name in ["mean of cosines", *WAYS]:
        scores = (
            mean_of_cosines(data.features, profiles) if name == "mean of cosines"
            else compared(fitted(name, train).fuse(data.features), profiles)
        )  # fmt: skip
        out[name] = float(np.mean([gain(s, hidden, t) for s, t in zip(scores, targets, strict=True)]))
    return out


def fitted(name: str, train: Interactions) -> fuse.Fuser:
    try:
        return WAYS[name].fit(train)
    except MatineeError:  # too few films were watched: what takes its place then
        return WAYS["concat"].fit(train)


def compared(rows: Floats, profiles: list[np.ndarray]) -> list[np.ndarray]:
    filled = np.nan_to_num(rows)
    weigh = [np.arange(1, len(p) + 1, dtype=np.float32) ** np.float32(-0.5) for p in profiles]
    return [filled @ (w @ filled[p]) for p, w in zip(profiles, weigh, strict=True)]


def mean_of_cosines(features: dict[str, Floats], profiles: list[np.ndarray]) -> list[np.ndarray]:
    total: list[np.ndarray] = [np.zeros(1)] * len(profiles)
    for x in features.values():
        rows, there = fuse.centred(x, fuse.mean_of(x))
        spread = float((rows[there] @ rows[there].T)[np.triu_indices(int(there.sum()), 1)].std())
        for k, scores in enumerate(compared(rows, profiles)):
            past = np.arange(1, len(profiles[k]) + 1, dtype=np.float32) ** np.float32(-0.5) @ rows[profiles[k]]
            total[k] = total[k] + scores / max(float(np.linalg.norm(past)), 1e-6) / spread
    return total


def gain(scores: np.ndarray, hidden: np.ndarray, targets: np.ndarray, k: int = 10) -> float:
    allowed = np.flatnonzero(hidden)
    best = allowed[np.argsort(-scores[allowed], kind="stable")[:k]]
    discount = 1 / np.log2(np.arange(2, k + 2))
    hits = np.isin(best, targets)
    return float(discount[: len(best)][hits].sum() / discount[: min(k, len(targets))].sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--sizes", default="60x20,60x100,200x5,200x50,200x500,1000x5,1000x50,1000x500")
    args = parser.parse_args()
    if "MATINEE_DATA" not in os.environ:
        parser.error("set MATINEE_DATA to the folder that holds data/ml-1m")
    root = Path(os.environ["MATINEE_DATA"]) / "data/ml-1m"
    whole = read_dataset(root)
    features = encoded_features(whole, ["text", "frames"], lambda what, done, of: None)
    features["sound"] = sound(root, list(whole.items))
    data = replace(whole.interactions(), features=features)
    print(f"| films | users | events | {' | '.join(['mean of cosines', *WAYS])} |\n|{'---|' * (4 + len(WAYS))}")
    for size in args.sizes.split(","):
        films, users = map(int, size.split("x"))
        runs, events = [], []
        for seed in range(args.draws):
            own = library(data, films, users, seed)
            runs.append(measured(own, seed))
            events.append(len(own))
        mean = {name: np.mean([run[name] for run in runs]) for name in runs[0]}
        cells = [
            f"{value:.3f} ({sum(run['beside'] > run[name] for run in runs)}/{len(runs)})"
            for name, value in mean.items()
        ]
        print(f"| {films} | {users} | {int(np.mean(events))} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
