"""The default beside each single recipe, later in time, over several moments pooled.

    MATINEE_DATA=FOLDER python -m benchmarks.quality_time ml-100k --out FOLDER [--cuts 0.5,0.7,0.9] [--cases 1500]
    python -m benchmarks.quality_time ml-100k --out FOLDER --read

One moment splits a small log into few active users: 166 of MovieLens-100K, too few to tell near neighbours apart. So
several moments are taken. At each, everything is fitted on what lies before it, and what lies in the tenth of the log
after it is asked, each event in turn (at most ``--cases``, drawn by chance), with all that its user had done strictly
before. Every film is ranked but those seen. The single recipes are the blend's own experts, and those of ``--singles``
that it left out are fitted alone on the same rows. A metric is each user's mean over their cases; p: paired sign flips
over users, corrected by Holm.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from matinee.data.datasets.frame import Dataset
from matinee.data.datasets.table import read_dataset
from matinee.data.splits import Cases, Fold, time_fold
from matinee.evaluation.replay import query_of
from matinee.evaluation.significance import by_user, holm, intervals, paired
from matinee.evaluation.words import word_features
from matinee.models import load_recipe
from matinee.models.blend import Blend, level, standard
from matinee.protocols import Model
from matinee.types import Candidates

SHARE = 0.1  # of the log after each moment that is asked
SINGLES = "popular,popular_recent,item_knn,user_knn,rp3beta,ease,transitions,transitions_ridge,ials,marec,content"


def gains(model: Blend, others: Sequence[Model], cases: Cases, k: int = 10) -> dict[str, np.ndarray]:
    """name -> (q,) NDCG@k of the blend, of each of its experts and of the others; of equal scores the target comes
    last."""
    n = cases.history.n_items
    everything = Candidates(np.arange(n), np.full(n, np.nan, np.float32), np.zeros(n, np.int64))
    names = [single.name for single in (*model.models, *others)]
    out = {name: np.zeros(len(cases)) for name in ["default", *names]}
    for c in range(len(cases)):
        query = query_of(cases, c, k)
        z = np.stack([standard(m.score(query, everything)) for m in (*model.models, *others)], 1)
        both = np.column_stack([level(z[:, : len(model.models)], model.weights), z])
        both[cases.history.items[cases.start[c] : cases.stop[c]]] = np.nan
        own = both[cases.targets[c]]
        place = (np.nan_to_num(both, nan=-np.inf) >= own[None, :]).sum(0) - 1
        found = np.where(np.isfinite(own) & (place < k), 1 / np.log2(np.maximum(place, 0) + 2.0), 0.0)
        for name, value in zip(out, found, strict=True):
            out[name][c] = value
    return out


def run(data: Dataset, cut: float, most: int, file: Path, singles: Sequence[str]) -> None:
    fold: Fold = time_fold(data, cut, cut + SHARE, most=most)
    begun = time.perf_counter()
    model = load_recipe("default").fit(fold.train, seed=0)
    fitted = time.perf_counter() - begun
    assert isinstance(model, Blend)
    within = {expert.name for expert in model.models}
    others = [load_recipe(name).fit(fold.train, seed=0) for name in singles if name not in within]
    found = gains(model, others, fold.cases)
    users = np.array([data.users[row] for row in fold.cases.users])
    kept: dict[str, Any] = {**found, "users": users, "fit": np.float64(fitted), "weights": model.weights}
    np.savez(file, **kept)
    print(f"{file.stem}: {len(fold.train)} rows, {len(fold.cases)} cases, fit {fitted:.0f} s", flush=True)


def read(files: list[Path]) -> None:
    """Users pooled over the moments, each with the mean of their cases."""
    held = [dict(np.load(file, allow_pickle=False)) for file in files]
    names = [name for name in held[0] if name not in ("users", "fit", "weights") and all(name in h for h in held)]
    people, owner = np.unique(np.concatenate([h["users"] for h in held]), return_inverse=True)
    means = {name: by_user(np.concatenate([h[name] for h in held]), owner, len(people)) for name in names}
    others = sorted((name for name in names if name != "default"), key=lambda name: -means[name].mean())
    gaps = np.stack([means["default"] - means[name] for name in others])
    found = intervals(np.stack([means[name] for name in ["default", *others]]))
    print(f"\n{len(people)} users, {len(owner)} cases, {len(files)} moments\n")
    print("| recipe | NDCG@10 | 95% interval | default over it | 95% interval | p (Holm) |\n|---|---|---|---|---|---|")
    print(f"| default | {found[0].value:.4f} | {found[0].low:.4f} to {found[0].high:.4f} | | | |")
    for name, one, gap, p in zip(others, found[1:], intervals(gaps), holm(paired(gaps)), strict=True):
        span = f"{gap.value:+.4f} | {gap.low:+.4f} to {gap.high:+.4f}"
        print(f"| {name} | {one.value:.4f} | {one.low:.4f} to {one.high:.4f} | {span} | {p:.4f} |")
        spread = float(np.std(means["default"] - means[name], ddof=1))
        if p >= 0.05:  # users needed for power .8 at two-sided .05: ((1.96 + .84) spread / gap)^2
            print(f"|   | | | needs about {int((2.8 * spread / max(abs(gap.value or 0), 1e-9)) ** 2)} users | | |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cuts", default="0.5,0.7,0.9")
    parser.add_argument("--cases", type=int, default=1500)
    parser.add_argument("--singles", default=SINGLES)
    parser.add_argument("--read", action="store_true")
    args = parser.parse_args()
    if not args.read:
        if "MATINEE_DATA" not in os.environ:
            parser.error("set MATINEE_DATA to the folder that holds data/")
        args.out.mkdir(parents=True, exist_ok=True)
        data = read_dataset(Path(os.environ["MATINEE_DATA"]) / "data" / args.data)
        if (vectors := word_features(data)) is not None:
            data = data.with_features({"words": vectors})
        for cut in args.cuts.split(","):
            run(data, float(cut), args.cases, args.out / f"{args.data} {cut}.npz", args.singles.split(","))
    read(sorted(args.out.glob(f"{args.data} *.npz")))


if __name__ == "__main__":
    main()
