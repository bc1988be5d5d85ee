"""MovieLens-1M: which fusion of text, poster and trailer sound ranks films best that nobody has watched yet.

    MATINEE_DATA=FOLDER python -m benchmarks.fusion_ml1m [--tune] [--only ridge,concat] [--seeds 0,1,2] [--keep FOLDER]

Protocol ``cold-items``: 20% of the films are hidden from training, ranked among themselves for every user who watched
one. The score is the cosine of a film with the user's history, faded by rank^-0.5; everything is fitted on the training
rows alone. ``--tune`` asks the tuning fold instead (another 10% of the films), over the settings in ``TRIED``: choose
there, then run once without it. Each seed hides other films; a user counts with the mean over the seeds. p: paired
sign flips over users, corrected by Holm. ``--keep`` writes what each draw gave, and does not measure it again.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from matinee.data.datasets.table import read_dataset
from matinee.data.splits import Cases, Fold, make_split
from matinee.encoders import fuse
from matinee.encoders.fuse_learned import Beside, Contrastive, Gated, Ridge
from matinee.evaluation.encode import encoded_features
from matinee.evaluation.significance import holm, intervals, paired
from matinee.metrics.ranking import Ranking
from matinee.types import Floats

TRIED: dict[str, fuse.Fusion] = {
    "concat text x2": fuse.Concat({"text": 2.0}),
    "concat text x4": fuse.Concat({"text": 4.0}),
    "weighted text x2": fuse.WeightedSum({"text": 2.0}),
    "weighted text x4": fuse.WeightedSum({"text": 4.0}),
    "cca power 1": fuse.CCA(power=1),
    "cca power 4": fuse.CCA(power=4),
    "cca ridge 4": fuse.CCA(ridge=4),
    "ridge 3": Ridge(ridge=3),
    "ridge 10": Ridge(ridge=10),
    "ridge 100": Ridge(ridge=100),
    "ridge 3; trust 0": Ridge(ridge=3, trust=0.0),
    "ridge 3; width 64": Ridge(ridge=3, width=64),
    "beside share 2": Beside(share=2),
    "beside share 1": Beside(share=1),
    "beside share 0": Beside(share=0),
    "beside ridge 3": Beside(ridge=3),
    "gated 3": Gated(ridge=3),
    "gated 3; sharpness 20": Gated(ridge=3, sharpness=20),
    "contrastive decay 0.1": Contrastive(decay=0.1),
    "contrastive decay 0.3": Contrastive(decay=0.3),
    "contrastive decay 10": Contrastive(decay=10),
    "contrastive heat 0.25": Contrastive(heat=0.25),
    "contrastive 384 axes": Contrastive(axes=384),
    "contrastive width 128": Contrastive(width=128),
}
CHOSEN = ("concat text x2", "weighted text x4")  # the best weights of the tuning fold, beside the even ones


def sound(root: Path, ids: list[str]) -> Floats:
    """(n, 128) unit rows of VGGish trailers; which trailer is whose was inferred by those who published it."""
    with np.load(root / "trailer_vggish.npz", allow_pickle=False) as file:
        known = dict(zip(map(str, file["movie_id"].tolist()), file["vggish"], strict=True))
    out = np.full((len(ids), 128), np.nan, np.float32)
    for row, key in enumerate(ids):
        if key in known:
            out[row] = known[key]
    return fuse.unit(out)


def today(features: dict[str, Floats]) -> Callable[[Cases], np.ndarray]:
    """Without fusion: the mean of one cosine by modality over its spread, as the recipe ``content`` scores."""

    def scores(cases: Cases) -> np.ndarray:
        total, count = np.zeros((len(cases), len(cases.candidates)), np.float32), np.zeros(len(cases.candidates))
        for x in features.values():
            rows, there = fuse.centred(x, fuse.mean_of(x))
            sample = rows[there][:: max(1, int(there.sum()) // 1000)]
            spread = float((sample @ sample.T)[np.triu_indices(len(sample), 1)].std())
            total += np.nan_to_num(cosines(rows, cases) / spread)
            count += there
        return np.where(count > 0, total / np.maximum(count, 1), -np.inf)

    return scores


def cosines(rows: Floats, cases: Cases) -> np.ndarray:
    """(q, n_items): each item with the weighted sum of each case's history; NaN for a history without a vector."""
    filled, profile = np.nan_to_num(rows), np.zeros((len(cases), rows.shape[1]), np.float32)
    for c in range(len(cases)):
        items = cases.history.items[cases.start[c] : cases.stop[c]]
        profile[c] = np.arange(len(items), 0, -1, dtype=np.float32) ** np.float32(-0.5) @ filled[items]
    return fuse.unit(profile) @ filled.T


def ndcg(scores: np.ndarray, cases: Cases, k: int = 10) -> np.ndarray:
    """(q,) NDCG@10 among the candidates; no case has watched any."""
    allowed = np.flatnonzero(cases.candidates)
    own = np.nan_to_num(scores[:, allowed], nan=-np.inf)
    best = allowed[np.argsort(-own, axis=1, kind="stable")[:, :k]]
    hits = np.stack([np.isin(best[c], cases.targets_of(c)) for c in range(len(cases))])
    return Ranking("ndcg", k).of_hits(hits, np.diff(cases.bounds))


def run(fold: Fold, features: dict[str, Floats], ways: dict[str, fuse.Fusion]) -> dict[str, np.ndarray]:
    data = replace(fold.train, features=features)
    chance = np.random.default_rng(1).random((len(fold.cases), data.n_items))
    out = {"by chance": ndcg(chance, fold.cases)}
    for name, x in features.items():
        out[f"{name} alone"] = ndcg(cosines(fuse.centred(x, fuse.mean_of(x))[0], fold.cases), fold.cases)
    out["mean of cosines (no fusion)"] = ndcg(today(features)(fold.cases), fold.cases)
    for name, way in ways.items():
        begun = time.perf_counter()
        fuser = way.fit(data)
        fitted = time.perf_counter()
        out[name] = ndcg(cosines(fuser.fuse(features), fold.cases), fold.cases)
        print(f"{name:<28} {out[name].mean():.4f}  fit {fitted - begun:.1f} s, dim {fuser.dim}", flush=True)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--only", default="", help="ways, separated by commas")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--keep", type=Path)
    args = parser.parse_args()
    if "MATINEE_DATA" not in os.environ:
        parser.error("set MATINEE_DATA to the folder that holds data/ml-1m")
    root = Path(os.environ["MATINEE_DATA"]) / "data/ml-1m"
    data = read_dataset(root)
    features = encoded_features(data, ["text", "frames"], lambda what, done, of: print(what, done, of, end="\r"))
    features["sound"] = sound(root, list(data.items))
    there = ", ".join(f"{m} {int(fuse.known(x).sum())}" for m, x in features.items())
    print(f"{len(data.users)} users, {len(data.items)} films ({there})")
    ways: dict[str, fuse.Fusion] = {name: fuse.load_fusion(name) for name in fuse.FUSIONS} | TRIED
    picked = args.only.split(",") if args.only else list(ways if args.tune else [*fuse.FUSIONS, *CHOSEN])
    draws: dict[str, list[np.ndarray]] = {}
    for seed in args.seeds.split(","):
        split = make_split(data, "cold-items", seed=int(seed))
        fold = split.tune if args.tune else split.test
        print(f"seed {seed}: {len(fold.cases)} cases, {int(fold.cases.candidates.sum())} films to rank", flush=True)
        for name, values in kept(
            args.keep, int(seed), lambda fold=fold: run(fold, features, {n: ways[n] for n in picked})
        ).items():
            draws.setdefault(name, []).append(np.full(len(data.users), np.nan))
            draws[name][-1][fold.cases.users] = values
    show({name: np.stack(values) for name, values in draws.items()})


def kept(folder: Path | None, seed: int, made: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    file = folder / f"seed{seed}.npz" if folder else None
    if file is not None and file.exists():
        with np.load(file, allow_pickle=False) as there:
            return {name: there[name] for name in there.files}
    values = made()
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, **values)
    return values


def show(draws: dict[str, np.ndarray]) -> None:
    """The table of (seeds, users) values by way."""
    asked = ~np.isnan(next(iter(draws.values()))).all(axis=0)
    table = {name: np.nanmean(values[:, asked], axis=0) for name, values in draws.items()}
    best = max(table, key=lambda name: table[name].mean())
    others = [name for name in table if name != best]
    p = dict(zip(others, holm(paired(np.stack([table[best] - table[name] for name in others]))), strict=True))
    print(f"\n| way | NDCG@10 | 95% interval | by seed | p against {best} |\n|---|---|---|---|---|")
    for name, e in zip(table, intervals(np.stack(list(table.values()))), strict=True):
        each = " ".join(f"{value:.3f}" for value in np.nanmean(draws[name], axis=1))
        print(f"| {name} | {e.value:.4f} | {e.low:.4f} to {e.high:.4f} | {each} | {p[name]:.4f} |" if name in p
              else f"| {name} | {e.value:.4f} | {e.low:.4f} to {e.high:.4f} | {each} | |")  # fmt: skip


if __name__ == "__main__":
    main()
