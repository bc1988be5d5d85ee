"""EASE, iALS and item-kNN beside `implicit` and Cornac: equal data, equal threads, quality by one measure.

    python3 -m venv peers && peers/bin/pip install implicit==0.7.3 cornac==3.0.1
    MATINEE_DATA=FOLDER PEERS_PYTHON=peers/bin/python python -m benchmarks.peers --threads 2

MovieLens-1M, the last film of every user is the test. Everybody learns from the same 0/1 matrix without order (so ours
run with ``fade`` and ``power`` 0) and names the best ten films that a user has not seen; this file counts NDCG@10 and
its interval. Every library runs in its own Python and in processes of its own, by turns, ``--rounds`` times; the median
of the fits is told, and the peak of the process's memory. ``ask`` is the time for ten films for all 6,040 users.
Cornac's ItemKNN is made for ratings: on a 0/1 matrix, centred to zeros, it knows nothing (NDCG@10 .001), so it is left
out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks.quality_ml1m import interactions, interval, sequences

OURS = "ours"
# (whose, what, settings). iALS: the best of twelve settings on each side (--search), by the film before the last; the
# others were set once, alike on both sides
RUNS: list[tuple[str, str, dict[str, float]]] = [
    (OURS, "ease", {"ridge": 500.0, "fade": 0.0, "power": 0.0}),
    ("cornac", "ease", {"lamb": 500.0}),
    (
        OURS,
        "ials",
        {"dims": 64, "rounds": 2, "passes": 2, "fade": 0.0, "power": 0.0, "unobserved": 0.6, "ridge": 0.003},
    ),
    ("implicit", "ials", {"factors": 64, "regularization": 0.3, "alpha": 3.0, "iterations": 5}),
    (OURS, "item_knn", {"neighbours": 100, "shrink": 0.0, "power": 0.0}),
    ("implicit", "item_knn", {"K": 100}),
]
LEVEL = {"fade": 0.0, "power": 0.0}
SEARCH: list[tuple[str, str, dict[str, float]]] = [
    *(
        (OURS, "ials", {"dims": 64, "passes": 2, "rounds": n, "ridge": ridge, "unobserved": weight, **LEVEL})
        for n, ridge, weight in product((1, 2), (0.003, 0.006, 0.012), (0.3, 0.6))
    ),
    *(
        ("implicit", "ials", {"factors": 64, "iterations": n, "regularization": ridge, "alpha": weight})
        for n, ridge, weight in product((3, 5), (0.3, 1.0, 3.0), (1.0, 3.0))
    ),
]
CHILD = """
import json, resource, sys, time
import numpy as np
from scipy.sparse import csr_matrix
whose, what, settings, folder = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), sys.argv[4]
threads = int(sys.argv[5])
given = np.load(folder + "/log.npz")
users, items, shape = given["users"], given["items"], tuple(given["shape"].tolist())
x = csr_matrix((np.ones(len(users), np.float32), (users, items)), shape=shape)
whole = {name: int(value) if name in ("factors", "iterations", "K", "k") else value for name, value in settings.items()}
if whose == "implicit":
    if what == "ials":
        from implicit.als import AlternatingLeastSquares
        model = AlternatingLeastSquares(**whole, num_threads=threads, random_state=0, use_gpu=False)
    else:
        from implicit.nearest_neighbours import CosineRecommender
        model = CosineRecommender(**whole, num_threads=threads)
    start, worked = time.perf_counter(), time.process_time()
    model.fit(x, show_progress=False)
    fit, cpu = time.perf_counter() - start, time.process_time() - worked
    start = time.perf_counter()
    best = model.recommend(np.arange(shape[0]), x, N=10, filter_already_liked_items=True)[0]
else:
    import cornac
    from cornac.data import Dataset
    triples = list(zip(users.tolist(), items.tolist(), [1.0] * len(users)))
    data = Dataset.from_uir(triples)
    model = cornac.models.EASE(**whole, verbose=False)
    start, worked = time.perf_counter(), time.process_time()
    model.fit(data)
    fit, cpu = time.perf_counter() - start, time.process_time() - worked
    row_of = np.array([data.iid_map[item] for item in range(shape[1])])
    start = time.perf_counter()
    best = np.zeros((shape[0], 10), np.int64)
    for user in range(shape[0]):
        score = np.asarray(model.score(data.uid_map[user]), np.float64).ravel()[row_of]
        score[x.indices[x.indptr[user]:x.indptr[user + 1]]] = -np.inf
        near = np.argpartition(-score, 10)[:10]
        best[user] = near[np.argsort(-score[near], kind="stable")]
ask = time.perf_counter() - start
np.save(folder + "/best.npy", best)
most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
print(json.dumps({"fit": fit, "cpu": cpu, "ask": ask, "peak": most}))
"""


def ours(what: str, settings: dict[str, float], folder: str) -> dict[str, float]:
    """The same of our own, in this process."""
    import resource
    import time

    from benchmarks.quality_ml1m import asked
    from matinee.models import load_recipe
    from matinee.types import Interactions

    given = np.load(f"{folder}/log.npz")
    users, items, shape = given["users"], given["items"], given["shape"].tolist()
    ones = np.ones(len(users), np.float32)
    data = Interactions(users, items, np.arange(len(users), dtype=np.float64), ones, *shape)
    recipe = load_recipe(what, settings)
    start, worked = time.perf_counter(), time.process_time()
    model = recipe.fit(data, seed=0)
    fit, cpu = time.perf_counter() - start, time.process_time() - worked
    starts, best = data.starts, np.zeros((shape[0], 10), np.int64)
    start = time.perf_counter()
    for user in range(shape[0]):
        seen = items[starts[user] : starts[user + 1]]
        found = model.retrieve(asked(seen), 10 + len(seen)).items
        fresh = found[~np.isin(found, seen)][:10]
        best[user, : len(fresh)] = fresh
        best[user, len(fresh) :] = -1
    ask = time.perf_counter() - start
    np.save(f"{folder}/best.npy", best)
    return {"fit": fit, "cpu": cpu, "ask": ask, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10}


def run(whose: str, what: str, settings: dict[str, float], folder: str, threads: int) -> dict[str, float]:
    limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    if whose == OURS:
        command = [sys.executable, "-m", "benchmarks.peers", "--child", what, json.dumps(settings), folder]
    else:
        command = [os.environ["PEERS_PYTHON"], "-c", CHILD, whose, what, json.dumps(settings), folder, str(threads)]
    done = subprocess.run(command, env={**os.environ, **limits}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{whose} {what}: {done.stderr.strip().splitlines()[-1:]}")
    answer: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def gains(best: np.ndarray, targets: np.ndarray) -> np.ndarray:
    place = np.argmax(best == targets[:, None], axis=1)
    hit = (best == targets[:, None]).any(1)
    return np.where(hit, 1 / np.log2(place + 2), 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--validation", action="store_true", help="the film before the last is the test: to choose by")
    parser.add_argument("--only", default="", help="one of ease, ials, item_knn")
    parser.add_argument("--set", nargs="*", default=[], help="WHOSE.NAME=JSON over the settings, to choose them")
    parser.add_argument("--search", action="store_true", help="iALS by twelve settings a side; with --validation")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(ours(given.child[0], json.loads(given.child[1]), given.child[2])))
        return
    if "MATINEE_DATA" not in os.environ or "PEERS_PYTHON" not in os.environ:
        parser.error("set MATINEE_DATA (holds data/ml-1m) and PEERS_PYTHON (a Python with implicit and cornac)")
    films, n_items = sequences(Path(os.environ["MATINEE_DATA"]) / "data/ml-1m/sequences.tsv")
    back = 2 if given.validation else 1
    data = interactions([f[:-back] for f in films], n_items)
    targets = np.array([f[-back] for f in films])
    runs = SEARCH if given.search else [r for r in RUNS if given.only in ("", r[1])]
    for text in given.set:
        name, _, value = text.partition("=")
        whose, _, field = name.partition(".")
        runs = [(w, what, {**s, field: json.loads(value)} if w == whose else s) for w, what, s in runs]
    with tempfile.TemporaryDirectory() as folder:
        np.savez(f"{folder}/log.npz", users=data.users, items=data.items, shape=np.array([data.n_users, n_items]))
        table(runs, folder, targets, given)


def table(
    runs: list[tuple[str, str, dict[str, float]]], folder: str, targets: np.ndarray, given: argparse.Namespace
) -> None:
    answers: list[list[dict[str, float]]] = [[] for _ in runs]
    quality: list[np.ndarray] = [np.zeros(0)] * len(runs)
    for _ in range(given.rounds):
        for at, (whose, what, settings) in enumerate(runs):
            answers[at].append(run(whose, what, settings, folder, given.threads))
            quality[at] = gains(np.load(f"{folder}/best.npy"), targets)
    print(f"{given.threads} threads, {given.rounds} rounds, medians")
    columns = f"{'fit s':>7} {'cpu s':>7} {'ask s':>7} {'peak MB':>8} {'NDCG@10':>8}  95% interval"
    print(f"{'recipe':<10} {'library':<9} {columns}")
    for (whose, what, settings), found, values in zip(runs, answers, quality, strict=True):
        keys = ("fit", "cpu", "ask", "peak")
        fit, cpu, ask, most = (float(np.median([one[key] for one in found])) for key in keys)
        low, high = interval(values)
        told = f"{what:<10} {whose:<9} {fit:7.2f} {cpu:7.2f} {ask:7.2f} {most:8.0f} {values.mean():8.4f}"
        print(f"{told} [{low:.4f}, {high:.4f}]" + (f"  {settings}" if given.search else ""))


if __name__ == "__main__":
    main()
