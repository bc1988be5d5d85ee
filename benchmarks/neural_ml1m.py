"""MovieLens-1M, leave-one-out, full ranking: a deep sequence model, alone and blended with closed forms.

    MATINEE_DATA=FOLDER python -m benchmarks.neural_ml1m --out FOLDER [--recipe sasrec] [--set width=64] [--blend]

The protocol is that of ``benchmarks.quality_ml1m``: every user's last film is the test, films seen are not ranked.
Training stops early by films held out of the rest, never by the test. ``--out`` takes checkpoints (start it again to
resume), the log, the model and every user's NDCG. ``--blend`` weighs it with the closed forms on those held-out films.
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

from benchmarks.quality_ml1m import asked, gains, interactions, interval, sequences
from matinee.models import load_model, load_recipe, tensors
from matinee.models.blend import Blend, learn_weights
from matinee.models.neural.checkpoint import Run
from matinee.models.neural.sequences import hold_out
from matinee.models.neural.sequences import sequences as as_sequences
from matinee.protocols import Model
from matinee.types import Interactions, Query


def settings(pairs: list[str]) -> dict[str, Any]:
    """``width=64`` as JSON values."""
    return {key: json.loads(value) for key, _, value in (pair.partition("=") for pair in pairs)}


def trained(args: argparse.Namespace, data: Interactions, say: Any) -> Model:
    """The model from ``--out`` if it is there, else trained, with checkpoints."""
    file = args.out / f"{args.recipe}.safetensors"
    if file.exists():
        return load_model(args.recipe, tensors.unpack(file.read_bytes()))
    recipe: Any = load_recipe(args.recipe, settings(args.set))
    say(str(recipe))
    start, cpu = time.perf_counter(), time.process_time()
    model: Model = recipe.fit(data, seed=args.seed, run=Run(args.out, lambda stage, share: say(stage)))
    say(f"trained in {time.perf_counter() - start:.0f} s, {time.process_time() - cpu:.0f} s of processor, in this run")
    file.write_bytes(tensors.pack(model.arrays()))
    return model


def held_cases(data: Interactions, seed: int) -> tuple[Interactions, list[tuple[Query, int]]]:
    """What the network was trained on, and the films held out of it: what a blend may be weighed on."""
    learn, held = hold_out(as_sequences(data), 0.1, 1000, seed)
    cases = [(asked(held.items[held.of(u)][:-1]), int(held.items[held.of(u)][-1])) for u in range(len(held))]
    users = np.repeat(np.arange(len(learn)), np.diff(learn.starts))
    ones = np.ones(len(users), np.float32)
    return replace(data, users=users, items=learn.items, at=learn.at, strength=ones), cases


def blended(model: Model, data: Interactions, args: argparse.Namespace, say: Any) -> Blend:
    earlier, cases = held_cases(data, args.seed)
    names = args.closed.split(",")
    trial = [load_recipe(name).fit(earlier, seed=args.seed) for name in names]
    weights = learn_weights([model, *trial], cases, data.n_items)
    say(f"weights on {len(cases)} held-out films: {dict(zip([args.recipe, *names], weights.round(3).tolist()))}")  # noqa: B905
    return Blend((model, *(load_recipe(name).fit(data, seed=args.seed) for name in names)), weights)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recipe", default="sasrec")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="of PyTorch; 0 leaves it to PyTorch")
    parser.add_argument("--blend", action="store_true")
    parser.add_argument("--closed", default="transitions_ridge,ease,transitions", help="what --blend adds")
    args = parser.parse_args()
    if "MATINEE_DATA" not in os.environ:
        parser.error("set MATINEE_DATA to the folder that holds data/ml-1m/sequences.tsv")
    if args.threads:
        import torch

        torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    log = (args.out / "log.txt").open("a", buffering=1)

    def say(text: str) -> None:
        line = f"{time.strftime('%H:%M:%S')} {text}"
        print(line, flush=True)
        log.write(line + "\n")

    films, n_items = sequences(Path(os.environ["MATINEE_DATA"]) / "data/ml-1m/sequences.tsv")
    histories, targets = [f[:-1] for f in films], np.array([f[-1] for f in films])
    data = interactions(histories, n_items)
    model = trained(args, data, say)
    report(args.recipe, model, histories, targets, args.out, say)
    if args.blend:
        report(f"{args.recipe}_blend", blended(model, data, args, say), histories, targets, args.out, say)


def report(name: str, model: Model, histories: list[np.ndarray], targets: np.ndarray, out: Path, say: Any) -> None:
    start = time.perf_counter()
    values = gains(model, histories, targets)
    low, high = interval(values)
    each = 1000 * (time.perf_counter() - start) / len(targets)
    say(f"{name}: NDCG@10 {values.mean():.4f} [{low:.4f}, {high:.4f}], {len(targets)} users, {each:.1f} ms each")
    np.save(out / f"{name}.npy", values)


if __name__ == "__main__":
    main()
