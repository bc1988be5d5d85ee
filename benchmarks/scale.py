"""Fit time and peak memory of recipes as the log grows, on generated logs with a long tail.

    python -m benchmarks.scale --events 1000000 5000000 --recipes ease item_knn ials
    python -m benchmarks.scale --events 20000000 --recipes default

Every fit runs in a process of its own, so its peak is its own: ``peak`` is the process's most resident memory, ``data``
what it held before the fit. ``seconds`` are of the wall, ``cpu`` of all threads together, which other work on the
machine disturbs less; say how many threads with ``--threads``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np

from matinee.types import History, Interactions, Query

RECIPES = (
    "popular_recent", "item_knn", "cooccurrence", "rp3beta", "user_knn", "ease", "transitions", "transitions_ridge",
    "ials", "bpr", "explicit_mf", "default",
)  # fmt: skip
PER_USER = 140  # events, as in MovieLens-20M
TASTES = 200


def made_log(events: int, n_items: int, seed: int = 0) -> Interactions:
    """A log with what real ones have: items' popularity falls as a power of their rank (Zipf-Mandelbrot), people's
    activity is log-normal, everybody has three tastes of 200, and in three of ten rows an item is followed by the one
    that often follows it. About ``events`` rows; repeats of a pair are left out. O(n log n)."""
    rng = np.random.default_rng(seed)
    n_users = max(events // PER_USER, 1)
    weight = rng.lognormal(0, 1.1, n_users)
    lengths = np.maximum(np.round(weight / weight.sum() * events * 1.6), 5).astype(np.int64)  # four tenths repeat
    users = np.repeat(np.arange(n_users), lengths)
    popularity = (np.arange(n_items) + 30.0) ** -1.0
    items = rng.permutation(n_items)
    taste_of = np.sort(rng.integers(0, TASTES, n_items))
    order = np.lexsort((rng.random(n_items), taste_of))
    share = popularity[order]
    start = np.searchsorted(taste_of[order], np.arange(TASTES))
    total = np.add.reduceat(share, start)
    ends = np.cumsum(share / np.repeat(total, np.diff(np.r_[start, n_items])))  # taste t ends at t + 1
    tastes = rng.choice(TASTES, (n_users, 3), p=total / total.sum())
    slot = rng.choice(3, len(users), p=(0.6, 0.3, 0.1))
    place = np.searchsorted(ends, tastes[users, slot] + rng.random(len(users)))
    found = items[order[np.minimum(place, n_items - 1)]]
    follows = rng.permutation(n_items)
    after = np.flatnonzero((rng.random(len(users) - 1) < 0.3) & (users[1:] == users[:-1])) + 1
    found[after] = follows[found[after - 1]]
    at = 1.5e9 + rng.random(n_users)[users] * 1e8 + np.arange(len(users)) % 10_000 * 3600.0
    first = np.unique(users * n_items + found, return_index=True)[1]
    first.sort()
    first = first[np.lexsort((at[first], users[first]))]
    ones = np.ones(len(first), np.float32)
    return Interactions(users[first], found[first].astype(np.int64), at[first], ones, n_users, n_items)


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def one(recipe: str, folder: str, fields: dict[str, object]) -> dict[str, object]:
    from matinee.models import load_recipe

    made = load_recipe(recipe, fields)
    columns = [np.load(f"{folder}/{name}.npy") for name in ("users", "items", "at", "strength")]
    n_users, n_items = np.load(f"{folder}/bounds.npy").tolist()
    data = Interactions(*columns, n_users, n_items)
    before, began, worked = peak(), time.perf_counter(), time.process_time()
    model = made.fit(data, seed=0)
    seconds, cpu, most = time.perf_counter() - began, time.process_time() - worked, peak()
    stored = sum(array.nbytes for array in model.arrays().values())
    asked = []
    for user in range(0, n_users, max(n_users // 50, 1)):
        part = slice(int(np.searchsorted(users := data.users, user)), int(np.searchsorted(users, user + 1)))
        past = History(data.items[part], data.at[part], data.strength[part], np.ones(part.stop - part.start, np.int64))
        start = time.perf_counter()
        model.retrieve(Query(now=2e9, history=replace(past)), 200)
        asked.append(time.perf_counter() - start)
    return {
        "recipe": recipe, "events": len(data), "users": n_users, "items": n_items, "seconds": round(seconds, 1),
        "cpu": round(cpu, 1),
        "data_gb": round(before, 2), "peak_gb": round(most, 2), "model_mb": round(stored / 1e6, 1),
        "ask_ms": round(float(np.median(asked)) * 1e3, 2),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES))
    parser.add_argument("--set", nargs="*", default=[], help="NAME=JSON, a recipe's setting")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=float, default=1200.0, help="seconds that one fit may take")
    parser.add_argument("--folder", default="", help="where the generated logs are kept; a temporary one if left out")
    parser.add_argument("--out", default="", help="a file that a line of JSON is added to for each fit")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    fields = {name: json.loads(value) for name, _, value in (pair.partition("=") for pair in given.set)}
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    if given.one:
        print(json.dumps(one(*given.one, fields)))
        return
    import tempfile

    with tempfile.TemporaryDirectory() as temporary:
        for events in given.events:
            folder = f"{given.folder or temporary}/{events}x{given.items}"
            keep_log(folder, events, given.items)
            for recipe in given.recipes:
                line = measured(recipe, folder, given)
                print(line, flush=True)
                if given.out:
                    with open(given.out, "a", encoding="utf-8") as out:
                        out.write(line + "\n")


def keep_log(folder: str, events: int, items: int) -> None:
    if os.path.exists(f"{folder}/bounds.npy"):
        return
    os.makedirs(folder, exist_ok=True)
    data = made_log(events, items)
    for name in ("users", "items", "at", "strength"):
        np.save(f"{folder}/{name}.npy", getattr(data, name))
    np.save(f"{folder}/bounds.npy", np.array([data.n_users, data.n_items]))


def measured(recipe: str, folder: str, given: argparse.Namespace) -> str:
    """The line of one fit, made by a child; of one that failed or took too long, why."""
    threads = {name: str(given.threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    command = [sys.executable, "-m", "benchmarks.scale", "--one", recipe, folder, "--set", *given.set]
    try:
        done = subprocess.run(
            command, env={**os.environ, **threads}, capture_output=True, text=True, timeout=given.limit, check=False
        )
    except subprocess.TimeoutExpired:
        return json.dumps({"recipe": recipe, "log": os.path.basename(folder), "failed": f"over {given.limit} s"})
    if done.returncode:
        why = done.stderr.strip().splitlines()[-1:] or [f"left with {done.returncode}"]
        return json.dumps({"recipe": recipe, "log": os.path.basename(folder), "failed": why[0]})
    return done.stdout.strip()


if __name__ == "__main__":
    main()
