"""An outcome as JSON: everything that made it and everything by user, so that others can compute again."""

from __future__ import annotations

import hashlib
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

import matinee
from matinee.data.splits import SPLITS
from matinee.errors import MatineeError
from matinee.evaluation.measure import EXPECTED, LIKED
from matinee.evaluation.run import Outcome, Result
from matinee.evaluation.significance import Estimate

RULES = {
    "ranking": "every candidate is ranked; nothing is sampled",
    "seen": "items in the history are not recommended, whatever the event was; targets among them are not asked",
    "ties": "equal scores are ordered by a fixed shuffle that turns from case to case, the same for all models",
    "no_opinion": "an item scored NaN is not recommended; a target there is a miss",
    "value": "a metric is each user's mean over their cases, then the mean over users that have a value",
    "interval": "95%, percentiles of a bootstrap over users; the same resamples for every recipe and metric",
    "test": "two-sided sign-flip permutation test on users' differences of the headline, Holm over all that were made",
    "diversity": "mean of 1 - cosine over the pairs of a list, on categories where there are any, else on the features",
    "serendipity": f"hits outside the {EXPECTED} most watched items of training, as a share of the list",
    "calibration": "KL divergence of the list's categories from the history's, Steck 2018; lower is better",
    "groups": "head: the most watched items that hold 20% of training; mid: up to 80%; tail: the rest; cold: unwatched",
    "warm_up": "NDCG when only the newest so many events of each history are known, on at most 500 cases",
    "auc": f"chance that a hidden item with {LIKED:g} stars or more scores above one with fewer, by user",
    "stars": "stars fitted to the score and the user's mean on the tuning fold; accuracy is of liked or not",
    "peak_mib": "greatest resident memory while fitting, less what was there before; looked at every 20 ms",
}


def as_json(outcome: Outcome, *, people: bool = True) -> bytes:
    """The whole outcome; on one line where it holds the values by user, for they are many. ``people`` False leaves them
    out.
    NaN is written as null."""
    compact = msgspec.json.encode(as_dict(outcome, people=people))
    return compact if people else msgspec.json.format(compact, indent=1)


def as_dict(outcome: Outcome, *, people: bool = True) -> dict[str, Any]:
    data, split = outcome.data, outcome.split
    return {
        "matinee": matinee.__version__,
        "headline": outcome.headline,
        "settings": msgspec.to_builtins(outcome.settings),
        "data": {
            "name": data.name, "format": data.format, "users": len(data.users), "items": len(data.items),
            "rows": len(data.log.at), "timed": data.timed, "files": [checksum(file) for file in data.files],
            "repairs": dict(data.repairs), "known_items": len(data.catalogue), "notes": list(outcome.notes),
        },
        "split": {"name": split.name, "says": SPLITS[split.name].says, "counts": dict(split.counts)},
        "rules": RULES,
        "machine": machine(),
        "seconds": round(outcome.seconds, 3),
        "results": [_result(result, people=people) for result in outcome.results],
        "comparisons": [
            {"a": c.a, "b": c.b, "metric": outcome.headline, **_estimate(c.difference), "p": c.p, "p_holm": c.p_holm}
            for c in outcome.comparisons
        ],
        "users": list(outcome.users) if people else [],
    }  # fmt: skip


def _result(result: Result, *, people: bool) -> dict[str, Any]:
    tuned = result.tuned
    return {
        "recipe": result.recipe,
        "fields": dict(result.fields),
        "metrics": {name: _estimate(estimate) for name, estimate in result.metrics.items()},
        "warm_up": {str(known): _estimate(estimate) for known, estimate in result.warm_up.items()},
        "seconds": {name: round(value, 6) for name, value in result.seconds.items()},
        "peak_mib": None if result.peak_mib is None else round(result.peak_mib, 1),
        "seed_spread": _number(result.seed_spread),
        "tuned": None if tuned is None else {
            "fields": dict(tuned.fields), "trials": tuned.trials, "validation": _number(tuned.value),
            "validation_of_defaults": _number(tuned.default),
        },
        "people": {name: [_number(v) for v in values] for name, values in result.people.items()} if people else {},
    }  # fmt: skip


def _estimate(estimate: Estimate) -> dict[str, float | None]:
    return {"value": _number(estimate.value), "low": _number(estimate.low), "high": _number(estimate.high)}


def _number(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), 6)


def checksum(file: Path) -> dict[str, Any]:
    """Name, bytes and SHA-256 of a file that was read."""
    digest = hashlib.sha256()
    with file.open("rb") as f:
        while part := f.read(1 << 20):
            digest.update(part)
    return {"file": file.name, "bytes": file.stat().st_size, "sha256": digest.hexdigest()}


def machine() -> dict[str, Any]:
    """What the figures were taken on; nothing that names the machine or its owner."""
    packages = ("numpy", "scipy", "polars", "torch", "implicit")
    versions = {}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "system": platform.system(), "processor": platform.machine(), "cpus": os.cpu_count(),
        "python": platform.python_version(), "threads": os.environ.get("OMP_NUM_THREADS", "default"), **versions,
    }  # fmt: skip


def write(file: Path, content: bytes) -> None:
    """Writes beside the place and moves it there, so that no half file is left. Raises ``evaluate.unwritable``."""
    beside = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        beside.write_bytes(content)
        beside.replace(file)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise MatineeError(
            "evaluate.unwritable",
            f"Cannot write {file}: {error.strerror}. Name a file in a folder that you may write to.",
            f"无法写入 {file}：{error.strerror}。请指定有写入权限的位置。",
            exit_code=1,
        ) from error
