"""MovieLens-1M, leave-one-out, full ranking: the quality of recipes as papers report it (and leak-prone as papers are).

    MATINEE_DATA=FOLDER python -m benchmarks.quality_ml1m [--recipes ease,transitions] [--validation] [--users 2000]

Every user's last film is the test, the rest is the history; films seen are not ranked; every other film is.
``--validation`` leaves the last out and asks for the one before it: what to tune on.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np

from matinee.models import load_recipe
from matinee.protocols import Model
from matinee.types import EVENT_KINDS, History, Interactions, Query

PLAY = EVENT_KINDS.index("play")
DEFAULT = "popular,item_knn,ease_order_blind,ease,transitions"


def sequences(file: Path) -> tuple[list[np.ndarray], int]:
    """Each user's films oldest first, as rows; the number of films."""
    lines = file.read_text().splitlines()[1:]
    raw = [np.array(line.split("\t")[1].split(), np.int64) for line in lines]
    ids = np.unique(np.concatenate(raw))
    return [np.searchsorted(ids, films).astype(np.int64) for films in raw], len(ids)


def interactions(histories: list[np.ndarray], n_items: int) -> Interactions:
    length = np.array([len(h) for h in histories])
    at = np.concatenate([np.arange(n, dtype=np.float64) for n in length])
    users = np.repeat(np.arange(len(length)), length)
    ones = np.ones(len(at), np.float32)
    return Interactions(users, np.concatenate(histories), at, ones, len(length), n_items)


def asked(history: np.ndarray) -> Query:
    n = len(history)
    past = History(history, np.arange(n, dtype=np.float64), np.ones(n, np.float32), np.full(n, PLAY, np.int64))
    return Query(now=1e6, history=past)


def gains(model: Model, histories: list[np.ndarray], targets: np.ndarray, k: int = 10) -> np.ndarray:
    """(users,) NDCG@k of one relevant film each."""
    out = np.zeros(len(targets))
    for user, (history, target) in enumerate(zip(histories, targets, strict=True)):
        found = model.retrieve(asked(history), k + len(history)).items
        place = np.flatnonzero(found[~np.isin(found, history)][:k] == target)
        out[user] = 1 / np.log2(place[0] + 2) if len(place) else 0.0
    return out


def interval(values: np.ndarray, draws: int = 1000) -> tuple[float, float]:
    """95% of the bootstrap's means over users."""
    rng = np.random.default_rng(0)
    means = [values[rng.integers(0, len(values), len(values))].mean() for _ in range(draws)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", default=DEFAULT)
    parser.add_argument("--validation", action="store_true")
    parser.add_argument("--users", type=int, default=0, help="ask for this many users only (0 = all)")
    args = parser.parse_args()
    if "MATINEE_DATA" not in os.environ:
        parser.error("set MATINEE_DATA to the folder that holds data/ml-1m/sequences.tsv")
    films, n_items = sequences(Path(os.environ["MATINEE_DATA"]) / "data/ml-1m/sequences.tsv")
    back = 2 if args.validation else 1
    histories, targets = [f[:-back] for f in films], np.array([f[-back] for f in films])
    data = interactions(histories, n_items)
    step = max(1, len(films) // args.users) if args.users else 1
    print(f"{len(films)} users, {n_items} films, {len(data)} events; asking {len(targets[::step])} users")
    print(f"{'recipe':<20} {'NDCG@10':>8} {'95% interval':>17} {'fit s':>7} {'ask s':>7}")
    for name in args.recipes.split(","):
        start = time.perf_counter()
        model = load_recipe(name).fit(data, seed=0)
        fitted = time.perf_counter()
        values = gains(model, histories[::step], targets[::step])
        low, high = interval(values)
        seconds = fitted - start, time.perf_counter() - fitted
        print(
            f"{name:<20} {values.mean():8.4f} [{low:.4f}, {high:.4f}] {seconds[0]:7.1f} {seconds[1]:7.1f}", flush=True
        )


if __name__ == "__main__":
    main()
