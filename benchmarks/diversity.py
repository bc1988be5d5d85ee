"""What variety costs: NDCG against diversity within the list and coverage, for MMR and DPP over their whole range.

    MATINEE_DATA=FOLDER python -m benchmarks.diversity --out FOLDER [--svg docs/diversity.svg] [--cut 0.9] [--budget]

MovieLens-100K later in time: the default is fitted on the first nine tenths (``--cut``) and asked 1,500 events of the
next tenth; its best 200 unseen films go to the selectors that serving uses, with the TF-IDF of titles and genres as the
space of text. Diversity is the mean of 1 - cosine over the pairs of ten: once in that space, as the selectors see it,
and once of genres alone, which a viewer sees. Coverage: the share of all films that is in any list. ``random`` shows
what is left where nobody minds relevance. ``--budget``: slates under a budget of expected DCG instead, and the most
varied there are (``benchmarks.variety``). The scores are kept in the folder, so selectors can be tried again without
fitting.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.variety import Budget
from matinee.data.datasets.table import read_dataset
from matinee.data.splits import Cases, time_fold
from matinee.evaluation.measure import category_shares, diversity_vectors
from matinee.evaluation.replay import query_of
from matinee.evaluation.significance import by_user, intervals
from matinee.evaluation.words import word_features
from matinee.metrics import beyond
from matinee.models import load_recipe
from matinee.pipeline.catalogue import Catalogue, of_items
from matinee.pipeline.dpp import DPP
from matinee.pipeline.selectors import LEAD, MMR
from matinee.pipeline.shelf import Shelf
from matinee.protocols import Selector
from matinee.types import Candidates, Ints, Query, Space

STEPS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7)
POOL, K = 200, 10


def pools(cases: Cases, scores: np.ndarray) -> list[Candidates]:
    """The best 200 unseen of every case, best first."""
    out = []
    for row in scores.astype(np.float32):
        best = np.argsort(-np.nan_to_num(row, nan=-np.inf), kind="stable")[:POOL]
        best = best[np.isfinite(row[best])].astype(np.int64)
        out.append(Candidates(best, row[best], np.zeros(len(best), np.int64)))
    return out


@dataclass(frozen=True)
class Chance:
    """Any ten of the pool."""

    name: str = "random"

    def select(self, query: Query, candidates: Candidates, n: int) -> Ints:
        order = np.random.default_rng(int(query.now)).permutation(len(candidates))
        return order[:n].astype(np.int64)


Spaces = dict[str, np.ndarray]  # what diversity is measured on


def measured(selector: Selector, cases: Cases, found: list[Candidates], spaces: Spaces) -> dict[str, np.ndarray]:
    slates = np.full((len(cases), K), -1, np.int64)
    for c, pool in enumerate(found):
        picked = selector.select(query_of(cases, c, K), pool, K)
        slates[c, : len(picked)] = pool.items[picked]
    place = np.where((slates == cases.targets[:, None]).any(1), (slates == cases.targets[:, None]).argmax(1), K)
    gain = np.where(place < K, 1 / np.log2(place + 2.0), 0.0)
    return {
        "ndcg": gain,
        "coverage": np.full(len(gain), beyond.coverage(slates, np.ones(cases.history.n_items, bool))),
        **{name: beyond.diversity(slates, vectors) for name, vectors in spaces.items()},
    }


def served(catalogue: Catalogue) -> list[tuple[str, float, Selector]]:
    """The selectors of serving at all settings, and chance."""
    tried: list[tuple[str, float, Selector]] = [("mmr", step, MMR(catalogue, step)) for step in STEPS]
    tried += [("dpp", step, DPP(catalogue, step)) for step in STEPS]
    tried += [(f"mmr, {LEAD} of 10 by score", step, MMR(catalogue, step, lead=LEAD)) for step in (0.2, 0.3, 0.5, 0.7)]
    return [*tried, ("random", 1.0, Chance())]


def within_budget(catalogue: Catalogue, spaces: Spaces) -> list[tuple[str, float, Selector]]:
    """The default, slates that give up a share of the DCG expected, and the most varied with the first k kept."""
    tried: list[tuple[str, float, Selector]] = [(f"mmr, {LEAD} of 10 by score", 0.5, MMR(catalogue, 0.5, lead=LEAD))]
    kinds = {name: (np.nan_to_num(vectors),) for name, vectors in spaces.items()}
    for name, rows in (kinds | {"both": tuple(part[0] for part in kinds.values())}).items():
        tried += [(f"budget, {name}", share, Budget(rows, share)) for share in (0.01, 0.02, 0.05)]
    for window in (50, 200):
        for name, rows in kinds.items():
            tried += [(f"most, {name}, {window}, first", k, Budget(rows, 1.0, k, window)) for k in (9, 8, 5, 0)]
    return tried


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--svg", type=Path)
    parser.add_argument("--cut", type=float, default=0.9)
    parser.add_argument("--budget", action="store_true")
    args = parser.parse_args()
    if "MATINEE_DATA" not in os.environ:
        parser.error("set MATINEE_DATA to the folder that holds data/")
    data = read_dataset(Path(os.environ["MATINEE_DATA"]) / "data/ml-100k")
    words = word_features(data)
    assert words is not None
    data = data.with_features({"words": words})
    fold = time_fold(data, args.cut, args.cut + 0.1, most=1500)
    file = args.out / f"diversity scores {args.cut:g}.npy"
    if not file.exists():
        args.out.mkdir(parents=True, exist_ok=True)
        model, n = load_recipe("default").fit(fold.train, seed=0), fold.train.n_items
        everything = Candidates(np.arange(n), np.full(n, np.nan, np.float32), np.zeros(n, np.int64))
        rows = np.stack([model.score(query_of(fold.cases, c, K), everything) for c in range(len(fold.cases))])
        for c, row in enumerate(rows):
            row[fold.cases.history.items[fold.cases.start[c] : fold.cases.stop[c]]] = np.nan
        np.save(file, rows.astype(np.float16))
    found = pools(fold.cases, np.load(file))
    items = [data.catalogue[row] for row in range(len(data.items))]
    catalogue = of_items(items)
    space = Space("text", "words", words.shape[1])
    known = np.flatnonzero(np.isfinite(words).all(1))
    catalogue = replace(catalogue, shelves={"text": Shelf.build(space, known, words[known], len(items))})
    genres = diversity_vectors(data, category_shares(data))
    assert genres is not None
    shelf = catalogue.shelves["text"]
    users, owner = np.unique(fold.cases.users, return_inverse=True)
    spaces = {"content": shelf.centred(np.arange(len(items))), "genres": genres}
    tried: list[tuple[str, float, Selector]] = [("none", 0.0, MMR(catalogue, 0.0))]
    tried += within_budget(catalogue, spaces) if args.budget else served(catalogue)
    plain: dict[str, np.ndarray] = {}
    lines: dict[str, list[tuple[float, float, float]]] = {"mmr": [(0.0, 0.0, 0.0)], "dpp": [(0.0, 0.0, 0.0)]}
    print("| selector | setting | NDCG@10 | against none, 95% | diversity, content | genres | coverage@10 |")
    print("|---|---|---|---|---|---|---|")
    for name, step, selector in tried:
        got = measured(selector, fold.cases, found, spaces)
        people = {key: by_user(values, owner, len(users)) for key, values in got.items()}
        plain = plain or people
        gap = intervals((people["ndcg"] - plain["ndcg"])[None])[0]
        more = {key: float(np.nanmean(people[key]) / np.nanmean(plain[key]) - 1) for key in ("ndcg", *spaces)}
        if name in lines:
            lines[name].append((step, more["ndcg"], more["content"]))
        cells = [f"{np.nanmean(people[key]):.4f} ({more[key]:+.1%})" for key in ("ndcg", *spaces)]
        cells.insert(1, f"{gap.low:+.4f} to {gap.high:+.4f}")
        print(f"| {name} | {step:.2f} | {' | '.join(cells)} | {got['coverage'][0]:.3f} |", flush=True)
    if args.svg:
        args.svg.write_text(frontier(lines), encoding="utf-8")


def frontier(lines: dict[str, list[tuple[float, float, float]]]) -> str:
    """An SVG of NDCG lost against diversity won, a line a selector, each point with its setting."""
    width, height, left, low = 640, 400, 60, 350
    most = max(more for rows in lines.values() for _, _, more in rows) or 1.0
    least = min(lost for rows in lines.values() for _, lost, _ in rows) or -0.1

    def at(more: float, lost: float) -> tuple[float, float]:
        return left + max(more, 0) / most * (width - left - 30), 30 + min(lost, 0) / least * (low - 30)

    sides = 'text-anchor="middle">{} against none</text>'
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        f'<rect width="{width}" height="{height}" fill="#fff"/><g font-size="12">',
        f'<path d="M{left} 30V{low}H{width - 30}" fill="none" stroke="#666"/>',
        f'<text x="{width / 2}" y="{height - 12}" ' + sides.format("diversity within the list"),
        f'<text x="16" y="{low / 2}" transform="rotate(-90 16 {low / 2})" ' + sides.format("NDCG@10"),
    ]
    for share in np.linspace(0, most, 6):
        out.append(f'<text x="{at(share, 0)[0]:.0f}" y="{low + 16}" text-anchor="middle">{share:+.0%}</text>')
    for share in np.linspace(0, least, 6):
        out.append(f'<text x="{left - 6}" y="{at(0, share)[1] + 4:.0f}" text-anchor="end">{share:+.0%}</text>')
    for (name, rows), colour in zip(lines.items(), ("#0b6", "#b3007a"), strict=True):
        points = [at(more, lost) for _, lost, more in rows]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}"/>')
        for (step, *_), (x, y) in zip(rows, points, strict=True):
            told = f"<title>{name} {step}</title>"
            out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}">{told}</circle>')
        x, y = points[-1]
        out.append(f'<text x="{x - 4:.0f}" y="{y - 8:.0f}" text-anchor="end" fill="{colour}">{name}</text>')
    return "\n".join([*out, "</g></svg>", ""])


if __name__ == "__main__":
    main()
