"""User-based nearest neighbours (Resnick et al. 1994; cosine): what the people with the nearest taste watched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from matinee.models.common import Taste, pick, positives, silence, taste, top, watched
from matinee.models.gram import user_items
from matinee.types import Bools, Candidates, Floats, Interactions, Ints, Query


@dataclass(frozen=True, slots=True)
class UserKNN:
    """``neighbours``: people asked; ``shrink`` is added to the cosine's denominator; ``fade``: how fast a neighbour's
    rows fade with their age in places; ``power``: the same for the history when asked."""

    neighbours: int = 150
    shrink: float = 5.0
    fade: float = 0.3
    power: float = 0.5
    name: str = "user_knn"

    def fit(self, data: Interactions, *, seed: int = 0) -> UserKNNModel:
        """Keeps the user-item matrix; O(n)."""
        del seed
        seen = positives(data, once=True)
        weight = (seen.strength * (1.0 + seen.rank) ** -self.fade).astype(np.float32)
        x = user_items(seen, weight, (data.n_users, data.n_items))
        x.sort_indices()
        settings = np.array([self.neighbours, self.shrink, self.power])
        return UserKNNModel(
            self.name, x.data, x.indptr.astype(np.int64), x.indices.astype(np.int64), watched(data) > 0, settings
        )


@dataclass(frozen=True, slots=True)
class UserKNNModel:
    """The user-item matrix as CSR: ``values`` and ``columns`` (nnz,), ``starts`` (n_users + 1,); ``known`` (n_items,);
    ``settings``: neighbours, shrink, power. Anyone with a history has neighbours, whether in the log or not."""

    name: str
    values: Floats
    starts: Ints
    columns: Ints
    known: Bools
    settings: Floats

    def _matrix(self) -> Any:
        from scipy.sparse import csr_matrix

        return csr_matrix((self.values, self.columns, self.starts), shape=(len(self.starts) - 1, len(self.known)))

    def _near(self, said: Taste) -> tuple[Any, Floats]:
        """The nearest people's rows, and one over (the product of lengths + shrink) of each."""
        x = self._matrix()
        profile = np.zeros(len(self.known), np.float32)
        profile[said.items] = said.weight
        squares = np.add.reduceat(np.r_[self.values**2, np.float32(0)], self.starts[:-1]) if len(self.values) else None
        if squares is None or not profile.any():
            return x[:0], np.empty(0, np.float32)
        length = np.sqrt(np.where(np.diff(self.starts) > 0, squares, 0))
        scale = 1 / (length * np.linalg.norm(profile) + self.settings[1] + 1e-9)
        likeness = (x @ profile) * scale
        near = top(np.where(likeness != 0, likeness, np.nan).astype(np.float32), int(self.settings[0])).items
        return x[near], scale[near].astype(np.float32)

    def _everything(self, query: Query) -> Floats:
        said = taste(query.history, len(self.known), float(self.settings[2]))
        rows, scale = self._near(said)
        if not rows.shape[0]:
            return silence(len(self.known))
        likeness = (rows[:, said.items] @ said.weight) * scale
        return np.where(self.known, rows.T @ likeness, np.nan).astype(np.float32)

    def retrieve(self, query: Query, n: int) -> Candidates:
        """The best n of the catalogue. O(rows of the log)."""
        return top(self._everything(query), n)

    def score(self, query: Query, candidates: Candidates) -> Floats:
        return pick(self._everything(query), candidates.items)

    def explain(self, query: Query, items: Ints) -> Floats:
        """(len(items), len(history)) float32: an event's part in the likeness of the neighbours who watched the item;
        rows sum to the score."""
        out = np.zeros((len(items), len(query.history)), np.float32)
        said = taste(query.history, len(self.known), float(self.settings[2]))
        rows, scale = self._near(said)
        reach = np.flatnonzero((items >= 0) & (items < len(self.known)))
        if rows.shape[0] and len(reach):
            theirs = rows[:, items[reach]].toarray() * scale[:, None]
            out[np.ix_(reach, said.at)] = (theirs.T @ rows[:, said.items].toarray()) * said.weight[None, :]
        return out

    def arrays(self) -> Mapping[str, Any]:
        return {
            "values": self.values, "starts": self.starts, "columns": self.columns, "known": self.known,
            "settings": self.settings,
        }  # fmt: skip

    @staticmethod
    def from_arrays(name: str, arrays: Mapping[str, Any]) -> UserKNNModel:
        a = arrays
        return UserKNNModel(name, a["values"], a["starts"], a["columns"], a["known"], a["settings"])
