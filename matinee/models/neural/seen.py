"""A trained network on pictures as it is served: a vector for every item that has a picture, and a dense head that says
how well an item suits a taste. No PyTorch here: new pictures pass through ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from matinee.models.common import pick, silence, taste, top
from matinee.models.neural.served import session
from matinee.types import Bools, Candidates, Floats, Ints, Pixels, Query

HEAD = "head."
BATCH = 256


@dataclass(frozen=True, slots=True)
class SeenModel:
    """``vectors`` (n_items, width), ``has`` (n_items,): with a picture, the others score NaN. ``head``: the dense
    layers. ``graph``: the convolutions as ONNX bytes, empty where there was nothing to learn. ``power``: how fast a
    history fades. The score is the log-odds of liking it."""

    name: str
    vectors: Floats
    has: Bools
    head: Mapping[str, Floats]
    graph: Pixels
    power: float

    def profile(self, query: Query) -> Floats | None:
        """(width,) the weighted mean of what was watched, dislikes taken off; None where no picture was."""
        said = taste(query.history, len(self.has), self.power)
        seen = self.has[said.items]
        if not seen.any() or not len(self.graph):
            return None
        weight = said.weight[seen]
        mean: Floats = (weight @ self.vectors[said.items[seen]]) / max(float(np.abs(weight).sum()), 1e-6)
        return mean

    def _everything(self, query: Query) -> Floats:
        taste_of = self.profile(query)
        if taste_of is None:
            return silence(len(self.has))
        return np.where(self.has, dense(self.head, taste_of, self.vectors), np.float32(np.nan)).astype(np.float32)

    def retrieve(self, query: Query, n: int) -> Candidates:
        """The best n of the catalogue. O(n_items x width x hidden)."""
        return top(self._everything(query), n)

    def score(self, query: Query, candidates: Candidates) -> Floats:
        return pick(self._everything(query), candidates.items)

    def explain(self, query: Query, items: Ints) -> Floats:
        """(len(items), 0): the head is not additive over the history."""
        del query
        return np.zeros((len(items), 0), np.float32)

    def with_pictures(self, pictures: Pixels) -> SeenModel:
        """The same model over other pictures (n, side, side, 3): rows may have been added since."""
        if not len(self.graph):
            return self
        has = present(pictures)
        vectors = np.zeros((len(pictures), self.vectors.shape[1]), np.float32)
        run = session(self.graph)
        for start in range(0, len(pictures), BATCH):
            rows = start + np.flatnonzero(has[start : start + BATCH])
            if len(rows):
                vectors[rows] = run.run(["vector"], {"pictures": prepared(pictures[rows])})[0]
        return replace(self, vectors=vectors, has=has)

    def arrays(self) -> Mapping[str, Any]:
        return {
            "vectors": self.vectors, "has": self.has, "graph": self.graph, "power": np.float64(self.power),
            **{HEAD + key: value for key, value in self.head.items()},
        }  # fmt: skip

    @staticmethod
    def from_arrays(name: str, arrays: Mapping[str, Any]) -> SeenModel:
        a = arrays
        head = {key.removeprefix(HEAD): a[key] for key in sorted(a) if key.startswith(HEAD)}
        return SeenModel(name, a["vectors"], a["has"], head, a["graph"], float(a["power"]))


def present(pictures: Pixels) -> Bools:
    """(n,): an item without a picture is all black."""
    out = pictures.any(axis=(1, 2, 3))
    return np.asarray(out, bool)


def prepared(pictures: Pixels) -> Floats:
    """(n, 3, side, side) float32 in [-1, 1]."""
    return np.ascontiguousarray(pictures.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(127.5) - np.float32(1))


def dense(head: Mapping[str, Floats], taste_of: Floats, vectors: Floats) -> Floats:
    """(n,) of the head: relu(W [taste, item, taste x item] + b), then one number, and their product. As
    ``frames_cnn.Head``."""
    width = len(taste_of)
    from_taste, from_item, from_both = (head["wide"][:, k * width : (k + 1) * width] for k in range(3))
    hidden = vectors @ (from_item + from_both * taste_of[None, :]).T + (from_taste @ taste_of + head["wide_bias"])
    out: Floats = np.maximum(hidden, 0) @ head["one"][0] + head["one_bias"][0]
    out += head["alike"][0] * (vectors @ taste_of)
    return out
