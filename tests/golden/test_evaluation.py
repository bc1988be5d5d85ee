"""The whole path from GroupLens' files to a figure, against the same figure by plain loops over the files."""

import os
from collections import Counter
from math import log2
from pathlib import Path

import pytest

from matinee.evaluation.run import Settings, evaluate

DATA = os.environ.get("MATINEE_DATA")


@pytest.mark.skipif(not DATA, reason="MATINEE_DATA names no folder with data/")
def test_popularity_on_movielens_100k_by_plain_loops():
    """Leave-one-out: what was most rated by all other rows on earlier days than the asked one, without what the user
    rated. Equal counts make the plain figure a range; ours must lie in it."""
    folder = Path(DATA or "", "data", "ml-100k")
    by_user: dict[str, list[tuple[int, int, str]]] = {}
    for place, line in enumerate((folder / "u.data").read_text().splitlines()):
        cells = line.split("\t")
        if len(cells) == 4:
            by_user.setdefault(cells[0], []).append((int(cells[3]), place, cells[1]))
    train = []
    for rows in by_user.values():
        rows.sort()
        train += [(at // 86400, item) for at, _, item in rows[:-2]]
    train.sort()
    worst = best = 0.0
    end = max(at for rows in by_user.values() for at, _, _ in rows[:-2])
    counts: Counter[str] = Counter()
    position = 0
    for rows in sorted(by_user.values(), key=lambda rows: max(rows[-1][0], rows[-2][0] + 1e-6)):
        at, _, target = rows[-1]
        day = at // 86400 if at <= end else 10**9
        while position < len(train) and train[position][0] < day:
            counts[train[position][1]] += 1
            position += 1
        seen = {item for _, _, item in rows[:-1]}
        if counts[target]:
            others = [n for item, n in counts.items() if item not in seen and item != target]
            above = sum(n > counts[target] for n in others)
            level = sum(n == counts[target] for n in others)
            best += 1 / log2(above + 2) if above < 10 else 0
            worst += 1 / log2(above + level + 2) if above + level < 10 else 0
    settings = Settings(split="leave-one-out", recipes=("popular",), at=(10,), warm_up=False, words=False)
    value = evaluate(folder, settings).results[0].metrics["ndcg@10"].value
    assert worst / len(by_user) - 1e-9 <= value <= best / len(by_user) + 1e-9
    assert best - worst < 0.1 * best
