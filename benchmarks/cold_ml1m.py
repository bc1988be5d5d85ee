"""MovieLens-1M, films that nobody has watched yet: what each part of content is worth, and the default beside them.

    MATINEE_DATA=FOLDER python -m benchmarks.cold_ml1m --out FOLDER --seeds 0 [--only 'marec;content'] [--all | --both]
    python -m benchmarks.cold_ml1m --out FOLDER --read

Protocol ``cold-items``: 20% of the films are hidden from training with every row of theirs and ranked among themselves
(``--all``: among all films) for each user who watched one of them. Every way is a recipe with its settings, fitted on
the training rows and asked as serving asks. Each seed hides other films; a user counts with the mean over the seeds;
95% intervals are bootstraps over users, and the values by seed stand beside them. Two ceilings see what nobody can: how
often the hidden films were watched, and EASE fitted with them. Values by user are kept in the folder, so it can be run
in pieces.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fusion_ml1m import sound
from matinee.data.datasets.table import read_dataset
from matinee.data.splits import Fold, make_split
from matinee.evaluation.encode import encoded_features
from matinee.evaluation.replay import replay
from matinee.evaluation.significance import holm, intervals, paired
from matinee.evaluation.tune import fewer
from matinee.metrics.ranking import Ranking
from matinee.models import load_recipe
from matinee.models.aspects import FACTS, SPACES, TOGETHER, WEIGHTS

PARTS = {
    "text": [name for name in WEIGHTS if name in (SPACES + "text", TOGETHER) or name.startswith(FACTS)],
    "pictures": [SPACES + "frames"],
    "sound": [SPACES + "sound"],
}


def only(*parts: str) -> dict[str, Any]:
    kept = {name for part in parts for name in PARTS[part]}
    return {"weights": tuple((name, 0.0) for name in WEIGHTS if name not in kept)}


WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "random": ("random", {}),
    "content, text alone": ("content_text", {}),
    "content, pictures alone": ("content_frames", {}),
    "content, sound alone": ("content_sound", {}),
    "content": ("content", {}),
    "content_fused": ("content_fused", {}),
    "marec, text alone": ("marec", only("text")),
    "marec, pictures alone": ("marec", only("pictures")),
    "marec, sound alone": ("marec", only("sound")),
    "marec without text": ("marec", only("pictures", "sound")),
    "marec without pictures": ("marec", only("text", "sound")),
    "marec without sound": ("marec", only("text", "pictures")),
    "marec, vectors alone": ("marec", {"weights": tuple((n, 0.0) for n in WEIGHTS if n.startswith(FACTS))}),
    "marec, facts alone": ("marec", {"weights": tuple((n, 0.0) for n in WEIGHTS if n.startswith(SPACES))}),
    "marec": ("marec", {}),
    "default": ("default", {}),
}
CEILINGS = ("ceiling: watches known", "ceiling: EASE with the films")


def values(model: Any, fold: Fold, k: int = 10) -> np.ndarray:
    ranked = replay(model, fold.cases, k)
    return Ranking("ndcg", k).of_hits(ranked.hits, ranked.relevant)


def ceiling(name: str, whole: Any) -> Any:
    """A model that was fitted with the hidden rows."""
    recipe = "popular" if name == CEILINGS[0] else "ease_order_blind"
    return load_recipe(recipe).fit(whole, seed=0)


def run(folder: Path, seed: int, names: list[str], kinds: dict[str, int]) -> None:
    """``kinds``: the protocols asked of each fitted way, and of how many users; 0: all."""
    root = Path(os.environ["MATINEE_DATA"]) / "data/ml-1m"
    data = read_dataset(root)
    features = encoded_features(data, ["text", "frames"], lambda what, done, of: None)
    features["sound"] = sound(root, list(data.items))
    data = data.with_features(features)
    folds = {}
    for kind, users in kinds.items():
        fold = folds[kind] = make_split(data, kind, seed=seed).test
        if users:
            fold = folds[kind] = Fold(fold.train, fewer(fold.cases, users))
        print(f"seed {seed}: {len(fold.cases)} cases, {int(fold.cases.candidates.sum())} films to rank", flush=True)
    for name in names:
        files = {kind: folder / f"{kind} {seed} {name.replace(':', '')}.npz" for kind in kinds}
        if all(file.exists() for file in files.values()):
            continue
        begun = time.perf_counter()
        train = next(iter(folds.values())).train  # the same rows, however the hidden films are ranked
        if name in WAYS:
            recipe, fields = WAYS[name]
            model: Any = load_recipe(recipe, fields).fit(train, seed=0)
        else:
            model = ceiling(name, data.interactions())
        fitted = time.perf_counter()
        for kind, fold in folds.items():
            found = np.full(len(data.users), np.nan)
            found[fold.cases.users] = values(model, fold)
            np.savez(files[kind], values=found, seconds=fitted - begun)
            print(f"{kind} {name:<28} {np.nanmean(found):.4f}  fit {fitted - begun:.1f} s", flush=True)


def read(folder: Path, kind: str, show: Callable[[str], None] = print) -> None:
    """A table of what is in the folder."""
    draws: dict[str, list[np.ndarray]] = {}
    for name in [*WAYS, *CEILINGS]:
        for file in sorted(folder.glob(f"{kind} * {name.replace(':', '')}.npz")):
            if file.stem.removeprefix(kind).split(" ", 2)[2] == name.replace(":", ""):
                with np.load(file, allow_pickle=False) as held:
                    draws.setdefault(name, []).append(held["values"])
    if not draws:
        return
    with np.errstate(invalid="ignore"):
        means = {name: np.nanmean(rows, axis=0) for name, rows in draws.items()}
    bounds = intervals(np.stack(list(means.values())))
    base = np.nanmean(means["content"]) if "content" in means else np.nan
    show(f"\n{kind}\n\n| way | NDCG@10 | 95% interval | by draw | times content |\n|---|---|---|---|---|")
    for (name, rows), one in zip(draws.items(), bounds, strict=True):
        each = " ".join(f"{np.nanmean(row):.3f}" for row in rows)
        show(f"| {name} | {one.value:.4f} | {one.low:.4f} to {one.high:.4f} | {each} | {one.value / base:.2f} |")
    pairs = [("marec", f"marec without {part}") for part in PARTS] + [("marec", "content"), ("default", "content")]
    pairs = [(a, b) for a, b in pairs if a in means and b in means and len(draws[a]) == len(draws[b])]
    if not pairs:
        return
    gaps = np.stack([means[a] - means[b] for a, b in pairs])
    show("\n| difference | NDCG@10 | 95% interval | p (Holm) |\n|---|---|---|---|")
    for (a, b), one, p in zip(pairs, intervals(gaps), holm(paired(gaps)), strict=True):
        show(f"| {a} over {b} | {one.value:+.4f} | {one.low:+.4f} to {one.high:+.4f} | {p:.4f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--only", default="", help="ways, separated by semicolons")
    parser.add_argument("--users", type=int, default=0, help="ask only so many of them; 0: all")
    parser.add_argument("--all", action="store_true", help="rank among all films")
    parser.add_argument("--both", action="store_true", help="both ways with one fit, among all films for a quarter")
    parser.add_argument("--read", action="store_true")
    args = parser.parse_args()
    if args.read:
        for kind in ("cold-items", "cold-items-all"):
            read(args.out, kind)
        return
    if "MATINEE_DATA" not in os.environ:
        parser.error("set MATINEE_DATA to the folder that holds data/ml-1m")
    args.out.mkdir(parents=True, exist_ok=True)
    names = args.only.split(";") if args.only else [*WAYS, *CEILINGS]
    kinds = {"cold-items-all" if args.all else "cold-items": args.users}
    if args.both:
        kinds = {"cold-items": args.users, "cold-items-all": args.users // 4}
    for seed in args.seeds.split(","):
        run(args.out, int(seed), names, kinds)


if __name__ == "__main__":
    main()
