"""The best that is known for the size of the data at hand, on a CPU, without extras. Why these: docs/models.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from matinee.models.blend import Blend
from matinee.models.blended import Blended
from matinee.models.common import watched
from matinee.types import Interactions

SQUARE = 8_000  # items up to which square matrices over items are a matter of seconds
LARGE = 30_000  # and up to which they fit at all, as MARec's must
DENSE = 100.0  # positive events per item from which the two-memory ridge has enough to tell its two apart
SPARE = (  # speak of items that were watched, and of no others
    "item_knn", "transitions", "ials", "ease", "rp3beta", "user_knn", "transitions_ridge", "transitions_memories",
)  # fmt: skip
FEW = 200  # events below which behaviour says little


@dataclass(frozen=True, slots=True)
class Default:
    """``share`` and ``cases`` as of ``Blended``."""

    share: float = 0.1
    cases: int = 2000
    name: str = "default"

    def fit(self, data: Interactions, *, seed: int = 0) -> Blend:
        """A blend of ``experts(data)``."""
        blended = Blended(experts(data), self.share, self.cases, spare=SPARE, name=self.name)
        return replace(blended.fit(data, seed=seed), name=self.name)


def experts(data: Interactions) -> tuple[str, ...]:
    """The recipes that are blended for this data, by its items, events and features."""
    counts = watched(data)
    known, events, n = int((counts > 0).sum()), int(counts.sum()), data.n_items
    chosen = ["popular", "popular_recent"]
    if events >= FEW:
        chosen += ["item_knn", "transitions", "ials", "ease"]  # above 12,000 items EASE needs no square
        if n <= SQUARE:
            chosen += ["rp3beta", "user_knn", "transitions_ridge"]
            if events >= DENSE * known:
                chosen += ["transitions_memories"]
    elif events:
        chosen += ["item_knn", "transitions"]
    if events >= FEW and n <= LARGE and (data.features or data.facts):
        chosen += ["marec"]  # it sees all that content sees, and where it speaks plain nearness only blurs it
    elif data.features:
        chosen += ["content"]
    return tuple(chosen)


def expanded(names: Sequence[str], data: Interactions) -> tuple[str, ...]:
    """The names, each once, with ``default`` replaced by what it stands for with this data: a release holds its experts
    one by one, weighed by one blend."""
    found = (part for name in names for part in (experts(data) if name == "default" else (name,)))
    return tuple(dict.fromkeys(found))
