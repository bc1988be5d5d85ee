"""Recipes beside each other on three MovieLens sets, as a reviewer would run them; tables as Markdown.

python -m benchmarks quality --out FOLDER        runs all of PLANS (hours on a busy machine), then prints
python -m benchmarks quality --out FOLDER NAME   one of them
python -m benchmarks quality --read FOLDER       prints what lies there

Needs MATINEE_DATA, the folder that holds ``data/ml-100k`` and so on.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

RECIPES = (
    "popular,popular_recent,popular_fading,random,item_knn,user_knn,cooccurrence,rp3beta,ease_order_blind,ease,"
    "transitions,transitions_ridge,transitions_memories,content,blend_closed_form"
)
PLANS = {
    "ml-100k-time": ("ml-100k", "time"),
    "ml-100k-successive": ("ml-100k", "time-successive"),
    "ml-100k-loo": ("ml-100k", "leave-one-out"),
    "latest-time": ("ml-latest-small", "time"),
    "latest-successive": ("ml-latest-small", "time-successive"),
    "latest-loo": ("ml-latest-small", "leave-one-out"),
    "ml-1m-loo": ("ml-1m", "leave-one-out"),
}
COLUMNS = ("ndcg@10", "hr@10", "ndcg@20", "coverage@10", "diversity@10", "novelty@10", "recall@10[tail]")


def command(name: str, folder: Path) -> list[str]:
    data, split = PLANS[name]
    out = ["--json", str(folder / f"{name}.json"), "--html", str(folder / f"{name}.html")]
    place = str(Path(os.environ["MATINEE_DATA"], "data", data))
    return ["evaluate", place, "--split", split, "--recipes", RECIPES, *out]


def cell(metrics: dict[str, Any], name: str) -> str:
    estimate = metrics.get(name)
    if estimate is None or estimate["value"] is None:
        return "-"
    value, low, high = estimate["value"], estimate["low"], estimate["high"]
    return f"{value:.4f}" if low is None else f"{value:.4f} ({low:.4f}-{high:.4f})"


def table(form: dict[str, Any]) -> list[str]:
    """One run as Markdown, best first, and whether the best is surely better than each."""
    results = sorted(form["results"], key=lambda r: -r["metrics"]["ndcg@10"]["value"])
    best = results[0]["recipe"]
    p = {c["b"]: c["p_holm"] for c in form["comparisons"] if c["a"] == best}
    names = [n for n in COLUMNS if any(n in r["metrics"] for r in results)]
    lines = [f"| recipe | {' | '.join(names)} | p | fit, s | ms a case | MiB |", "|---" * (len(names) + 5) + "|"]
    for r in results:
        cells = [cell(r["metrics"], n) for n in names]
        cells = [c if n in ("ndcg@10", "hr@10") else c.split(" ")[0] for n, c in zip(names, cells, strict=True)]
        seconds, memory = r["seconds"], "-" if r["peak_mib"] is None else f"{r['peak_mib']:.0f}"
        sure = "" if r["recipe"] not in p else f"{p[r['recipe']]:.4f}"
        cells += [sure, f"{seconds['fit']:.1f}", f"{seconds['score_each']:.2f}", memory]
        lines.append(f"| {r['recipe']} | {' | '.join(cells)} |")
    return lines


def report(folder: Path) -> None:
    for name in PLANS:
        file = folder / f"{name}.json"
        if not file.is_file():
            continue
        form = json.loads(file.read_text(encoding="utf-8"))
        data, counts = form["data"], form["split"]["counts"]
        print(f"\n### {name}\n")
        print(f"`matinee evaluate {PLANS[name][0]} --split {PLANS[name][1]} --recipes ...`: {form['split']['says']}.")
        print(
            f"{data['users']} users, {data['items']} items, {data['rows']} rows; trained on {counts['train_rows']}; "
            f"{counts['test_cases']} cases of {len(form['users'])} users; repairs {data['repairs'] or 'none'}.\n"
        )
        print("\n".join(table(form)))
        print()
        for one in data["files"]:
            print(f"- `{one['file']}` {one['bytes']} bytes, sha256 `{one['sha256']}`")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *PLANS], help="some of the plans; all where none is named")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--read", type=Path)
    given = parser.parse_args()
    if given.out is not None:
        if "MATINEE_DATA" not in os.environ:
            parser.error("MATINEE_DATA names no folder with data/")
        given.out.mkdir(parents=True, exist_ok=True)
        for name in given.names or PLANS:
            subprocess.run([sys.executable, "-m", "matinee", *command(name, given.out)], check=True)
    if (folder := given.read or given.out) is None:
        parser.error("name a folder with --out or --read")
    report(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
