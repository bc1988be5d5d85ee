"""A trained sequence model as it is served: item vectors, and a network in ONNX Runtime that turns a history into one
vector. The score of an item is their product. No PyTorch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from matinee.models.common import pick, silence, top
from matinee.models.neural.sequences import last_of
from matinee.models.neural.vectors import Content, encode, standardised
from matinee.types import Bools, Candidates, Floats, Ints, Pixels, Query

WEIGHT, MEAN, SPREAD = "weight.", "mean.", "spread."


@dataclass(frozen=True, slots=True)
class SequenceModel:
    """``table`` (n_items, width): item vectors; ``known`` (n_items,): watched in training or with content, the others
    score NaN. ``graph``: ONNX bytes, empty for a model that had nothing to learn from. ``weights``: the item encoder's,
    ``spaces``: mean and spread of each modality, both only where there is content; ``with_features`` needs them.
    ``length``: how much of a history is read. Dislikes are read where the graph asks what was liked; else not."""

    name: str
    table: Floats
    known: Bools
    graph: Pixels
    length: int
    weights: Mapping[str, Floats]
    spaces: Mapping[str, tuple[Floats, float]]
    session: Any

    def state(self, query: Query) -> Floats | None:
        """(width,) the history as one vector; None where it says nothing. O(length^2) for transformers, else linear."""
        if self.session is None:
            return None
        names = [entry.name for entry in self.session.get_inputs()]
        items, at, liked = last_of(query.history, self.known, self.length, dislikes="liked" in names)
        if not len(items):
            return None
        given = {"x": self.table[items][None], "at": at[None], "liked": liked[None]}
        wanted = {name: given[name] for name in names}
        state: Floats = self.session.run(["state"], wanted)[0][0]
        return state

    def _everything(self, query: Query) -> Floats:
        state = self.state(query)
        if state is None:
            return silence(len(self.known))
        return np.where(self.known, self.table @ state, np.float32(np.nan)).astype(np.float32)

    def retrieve(self, query: Query, n: int) -> Candidates:
        """The best n of the catalogue. O(n_items x width) beside the network."""
        return top(self._everything(query), n)

    def score(self, query: Query, candidates: Candidates) -> Floats:
        return pick(self._everything(query), candidates.items)

    def explain(self, query: Query, items: Ints) -> Floats:
        """(len(items), 0): a network is not additive over the history."""
        del query
        return np.zeros((len(items), 0), np.float32)

    def with_features(self, features: Mapping[str, Floats]) -> SequenceModel:
        """The same model over other features: rows may have been added since, and are known by their content.
        Modalities it was not trained with are ignored. O(n x dim x width)."""
        content = {m: standardised(features[m], *self.spaces[m]) for m in sorted(self.spaces) if m in features}
        if not content:
            return self
        n_items = max(len(self.table), *(len(part.has) for part in content.values()))
        table, known = encode(self.weights, content, n_items)
        return SequenceModel(self.name, table, known, self.graph, self.length, self.weights, self.spaces, self.session)

    def arrays(self) -> Mapping[str, Any]:
        return {
            "table": self.table, "known": self.known, "graph": self.graph, "length": np.int64(self.length),
            **{WEIGHT + key: value for key, value in self.weights.items()},
            **{MEAN + key: mean for key, (mean, _) in self.spaces.items()},
            **{SPREAD + key: np.float64(spread) for key, (_, spread) in self.spaces.items()},
        }  # fmt: skip

    @staticmethod
    def from_arrays(name: str, arrays: Mapping[str, Any]) -> SequenceModel:
        weights = {key.removeprefix(WEIGHT): arrays[key] for key in sorted(arrays) if key.startswith(WEIGHT)}
        names = [key.removeprefix(MEAN) for key in sorted(arrays) if key.startswith(MEAN)]
        spaces = {key: (arrays[MEAN + key], float(arrays[SPREAD + key])) for key in names}
        return SequenceModel(
            name, arrays["table"], arrays["known"], arrays["graph"], int(arrays["length"]), weights, spaces,
            session(arrays["graph"]),
        )  # fmt: skip


def sequence_model(
    name: str, graph: bytes, weights: Mapping[str, Floats], content: Mapping[str, Content], length: int
) -> SequenceModel:
    """A model of what training left: the exported network, the item encoder's weights and the features it saw."""
    n_items = len(weights["own"])
    table, known = encode(weights, content, n_items)
    stored = np.frombuffer(graph, np.uint8)
    spaces = {key: (part.mean, part.spread) for key, part in content.items()}
    return SequenceModel(name, table, known, stored, length, weights if spaces else {}, spaces, session(stored))


def silent_model(name: str, n_items: int, width: int) -> SequenceModel:
    """A model without an opinion on anything: nothing in the log follows anything."""
    table, known = np.zeros((n_items, width), np.float32), np.zeros(n_items, bool)
    return SequenceModel(name, table, known, np.empty(0, np.uint8), 1, {}, {}, None)


def session(graph: Pixels) -> Any:
    """ONNX Runtime over the bytes, one thread a request; None for empty bytes."""
    if not len(graph):
        return None
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph.tobytes(), options, providers=["CPUExecutionProvider"])
