"""Whether sequence models gain by reading dislikes: ratings of one and two stars, later in time.

    MATINEE_DATA=FOLDER python -m benchmarks.dislikes ml-100k --out FOLDER [--recipes gru4rec,sasrec] [--seeds 0,1]
    python -m benchmarks.dislikes ml-100k --out FOLDER --read

Every model is fitted twice on the first four fifths of the log, with ``dislikes`` off and on, and asked for each rating
of the last fifth in turn (at most ``--cases``, drawn by chance) with all that its user had rated strictly before. Of
three stars and more: NDCG@10, to be high. Of one and two: how often the film stood among the first ten or fifty, to be
low. Every film is ranked but those rated. A user counts with the mean over cases and seeds; p: paired sign flips over
users. Values are kept in the folder, so it can be run in pieces.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from matinee.data.datasets.table import read_dataset
from matinee.data.splits import Cases, Log, time_fold
from matinee.evaluation.replay import query_of
from matinee.evaluation.significance import by_user, intervals, paired
from matinee.models import load_recipe
from matinee.types import Candidates, Interactions

CUT, LIKED = 0.8, 3.0  # share of the log to learn from; stars that say yes


def asked(data: Any, most: int) -> tuple[Interactions, Cases]:
    """What lies before the moment, and every rating after it, with strengths by stars."""
    rows = data.interactions("liked")
    cases = time_fold(data, CUT, 1.0, most=most).cases
    log = Log(rows, data.log.kinds, data.log.value, "time")
    earlier = rows.at < np.quantile(rows.at, CUT, method="higher")
    return log.only(earlier).rows, replace(cases, history=rows)


def places(model: Any, cases: Cases) -> np.ndarray:
    """(q,) the place of each target among the films not rated yet, 0 the best; of equal scores it comes last."""
    n = cases.history.n_items
    everything = Candidates(np.arange(n), np.full(n, np.nan, np.float32), np.zeros(n, np.int64))
    out = np.zeros(len(cases), np.int64)
    for c in range(len(cases)):
        scores = np.nan_to_num(model.score(query_of(cases, c, 10), everything), nan=-np.inf)
        own = scores[cases.targets[c]]
        scores[cases.history.items[cases.start[c] : cases.stop[c]]] = -np.inf
        out[c] = (scores >= own).sum() - 1 if np.isfinite(own) else n
    return out


def read(folder: Path, recipes: list[str], cases: Cases) -> None:
    users, owner = np.unique(cases.users, return_inverse=True)
    good = cases.stars >= LIKED
    print(f"{len(users)} users, {int(good.sum())} liked, {int((~good).sum())} disliked")
    print("| recipe | asked | off | on | on - off | 95% interval | p | seeds |\n|---|---|---|---|---|---|---|---|")
    for recipe in recipes:
        found = [[np.load(f) for f in sorted(folder.glob(f"{recipe} {way} *.npy"))] for way in ("off", "on")]
        seeds = min(map(len, found))
        if not seeds:
            continue
        off, on = (np.stack(rows[:seeds]) for rows in found)
        ways = {
            "liked: NDCG@10": (good, lambda p: np.where(p < 10, 1 / np.log2(np.minimum(p, 10) + 2.0), 0.0)),
            "disliked: in the first 10": (~good, lambda p: (p < 10).astype(float)),
            "disliked: in the first 50": (~good, lambda p: (p < 50).astype(float)),
        }
        for name, (of, gain) in ways.items():
            people, mine = np.unique(owner[of], return_inverse=True)
            a, b = (by_user(gain(p[:, of]).mean(0), mine, len(people)) for p in (off, on))
            gap = intervals((b - a)[None])[0]
            span = f"{gap.value:+.4f} | {gap.low:+.4f} to {gap.high:+.4f} | {paired((b - a)[None])[0]:.4f}"
            print(f"| {recipe} | {name} | {a.mean():.4f} | {b.mean():.4f} | {span} | {seeds} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recipes", default="gru4rec,sasrec")
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--cases", type=int, default=4000)
    parser.add_argument("--set", default="{}", help="settings of the recipes, as JSON")
    parser.add_argument("--read", action="store_true")
    args = parser.parse_args()
    if "MATINEE_DATA" not in os.environ:
        parser.error("set MATINEE_DATA to the folder that holds data/")
    args.out.mkdir(parents=True, exist_ok=True)
    train, cases = asked(read_dataset(Path(os.environ["MATINEE_DATA"]) / "data" / args.data), args.cases)
    recipes = args.recipes.split(",")
    tried = [(s, r, on) for s in args.seeds.split(",") for r in recipes for on in (False, True)]
    for seed, name, on in [] if args.read else tried:
        file = args.out / f"{name} {'on' if on else 'off'} {seed}.npy"
        if file.exists():
            continue
        begun = time.process_time()
        model = load_recipe(name, json.loads(args.set) | {"dislikes": on}).fit(train, seed=int(seed))
        np.save(file, places(model, cases))
        print(f"{file.stem}: {time.process_time() - begun:.0f} s of processor", flush=True)
    read(args.out, recipes, cases)


if __name__ == "__main__":
    main()
