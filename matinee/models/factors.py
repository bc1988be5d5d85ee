"""A factor model that serves anyone: the user's vector is solved for from the history at every request (folding
in), so a new user works from the first event and nothing about a person is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from matinee.models.common import Taste, pick, silence, taste, top
from matinee.types import Bools, Candidates, Doubles, Floats, Ints, Query


@dataclass(frozen=True, slots=True)
class Factors:
    """``items`` (n, dims); ``known`` (n,): trained on; ``settings``: the weight of the unobserved, ridge, scaling,
    power; ``square`` (dims, dims): items'items, which every request needs. Make one with ``factors``.

    The user's vector minimises the squared error over the history (target 1, or -1 where disliked, confidence the
    weight) and, with ``unobserved``, over all items (target 0): it is linear in the history, so reasons add up.
    """

    name: str
    items: Floats
    known: Bools
    settings: Doubles
    square: Doubles

    def _heard(self, query: Query) -> Taste:
        said = taste(query.history, len(self.known), float(self.settings[3]))
        heard = self.known[said.items]
        return Taste(said.at[heard], said.items[heard], said.weight[heard])

    def _system(self, said: Taste) -> tuple[Doubles, Doubles]:
        """(dims, dims) and (history, dims): what the user's vector solves, event by event."""
        unobserved, ridge, scaling, _ = self.settings.tolist()
        own = self.items[said.items].astype(np.float64)
        left = unobserved * self.square + (own * np.abs(said.weight)[:, None]).T @ own
        left[np.diag_indices_from(left)] += ridge * (len(own) + unobserved * len(self.items)) ** scaling + 1e-9
        return left, own * said.weight[:, None]

    def _parts(self, said: Taste) -> Floats:
        """(history, dims): what each event adds to the user's vector."""
        left, right = self._system(said)
        return np.linalg.solve(left, right.T).T.astype(np.float32)

    def _everything(self, query: Query) -> Floats:
        said = self._heard(query)
        if not len(said.items):
            return silence(len(self.known))
        left, right = self._system(said)
        scores = self.items @ np.linalg.solve(left, right.sum(0)).astype(np.float32)
        return np.where(self.known, scores, np.float32(np.nan)).astype(np.float32)

    def score_batch(self, queries: Sequence[Query], items: Ints) -> Floats:
        """(len(queries), len(items)) float32, as ``score`` row by row; all users by one product."""
        people = np.full((len(queries), self.items.shape[1]), np.nan, np.float32)
        for person, query in zip(people, queries, strict=True):
            said = self._heard(query)
            if len(said.items):
                left, right = self._system(said)
                person[:] = np.linalg.solve(left, right.sum(0))
        scores = people @ self.items.T
        scores[:, ~self.known] = np.nan
        return pick(scores, items)

    def retrieve(self, query: Query, n: int) -> Candidates:
        """The best n of the catalogue. O(n_items x dims + dims^3)."""
        return top(self._everything(query), n)

    def score(self, query: Query, candidates: Candidates) -> Floats:
        return pick(self._everything(query), candidates.items)

    def explain(self, query: Query, items: Ints) -> Floats:
        """(len(items), len(history)) float32; rows sum to the score."""
        out = np.zeros((len(items), len(query.history)), np.float32)
        said = self._heard(query)
        reach = np.flatnonzero((items >= 0) & (items < len(self.known)))
        reach = reach[self.known[items[reach]]]
        if len(said.items):
            out[np.ix_(reach, said.at)] = self.items[items[reach]] @ self._parts(said).T
        return out

    def arrays(self) -> Mapping[str, Any]:
        return {"items": self.items, "known": self.known, "settings": self.settings}

    @staticmethod
    def from_arrays(name: str, arrays: Mapping[str, Any]) -> Factors:
        return factors(name, arrays["items"], arrays["known"], arrays["settings"])


def factors(name: str, items: Floats, known: Bools, settings: Doubles) -> Factors:
    return Factors(name, items, known, settings, (items.T @ items).astype(np.float64))
