"""Whether a new release may take the place of the one in force: both are asked what people watched last."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from matinee.models.holdout import latest_slice
from matinee.protocols import Source
from matinee.types import Interactions, Query

SHARE, CASES = 0.1, 300  # of the log, the latest; drawn from it
ENOUGH = 30  # cases below which nothing can be said


@dataclass(frozen=True, slots=True)
class Verdict:
    """NDCG@10 of both on the same ``cases``; ``passed``: nothing speaks against the new one."""

    new: float
    old: float
    cases: int
    passed: bool


def judged(new: Source, old: Source, data: Interactions, gate: float, *, seed: int = 0) -> Verdict:
    """The new one passes when its NDCG@10 on the latest events is at least (1 - ``gate``) of the old one's, or when
    there are too few to tell.

    The new release was trained with these events and the old one with fewer of them, so the comparison favours the new
    one: what fails is broken, and what passes is not thereby better. That is measured by ``matinee evaluate``.
    Two retrievals a case.
    """
    cases = latest_slice(data, share=SHARE, most=CASES, seed=seed).cases
    if len(cases) < ENOUGH:
        return Verdict(0.0, 0.0, len(cases), True)
    fresh, former = (float(np.mean([gain(model, *case) for case in cases])) for model in (new, old))
    return Verdict(fresh, former, len(cases), fresh >= (1 - gate) * former)


def gain(model: Source, query: Query, item: int, k: int = 10) -> float:
    """1 / log2(1 + place) of the item among the first k of what was not watched before; 0 beyond."""
    seen = np.setdiff1d(query.history.items, [item])
    found = model.retrieve(query, k + len(seen)).items
    place = np.flatnonzero(found[~np.isin(found, seen)][:k] == item)
    return float(1 / np.log2(place[0] + 2)) if len(place) else 0.0
