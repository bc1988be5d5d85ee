"""Matrix factorisation of ratings with biases (Koren, Bell, Volinsky 2009, "Matrix factorization techniques for
recommender systems", section "Adding biases"), by alternating least squares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from matinee.models.common import pick, silence, top
from matinee.models.rows import shared_out
from matinee.types import Bools, Candidates, Doubles, Floats, History, Interactions, Ints, Query


@dataclass(frozen=True, slots=True)
class ExplicitMF:
    """Predicts the strength itself, -1 to 1 (of five stars: (stars - 2.5) / 2.5), from all rows that say something,
    dislikes too. ``dims``; ``rounds``; ``ridge`` per rating on the factors, ``bias_ridge`` on the biases."""

    dims: int = 24
    rounds: int = 12
    ridge: float = 0.1
    bias_ridge: float = 5.0
    name: str = "explicit_mf"

    def fit(self, data: Interactions, *, seed: int = 0) -> ExplicitModel:
        """O(rounds x (rows x dims^2 + (users + items) x dims^3))."""
        says = np.flatnonzero((data.strength != 0) & np.isfinite(data.strength))
        pair = data.users[says] * np.int64(max(data.n_items, 1)) + data.items[says]
        latest = len(says) - 1 - np.unique(pair[::-1], return_index=True)[1]  # a pair's last word counts
        users, items, value = data.users[says][latest], data.items[says][latest], data.strength[says][latest]
        mean = float(value.mean()) if len(value) else 0.0
        of_item, of_user = np.zeros(data.n_items), np.zeros(data.n_users)
        for _ in range(5):
            of_item = _biases(items, value - mean - of_user[users], data.n_items, self.bias_ridge)
            of_user = _biases(users, value - mean - of_item[items], data.n_users, self.bias_ridge)
        rest = value - mean - of_item[items] - of_user[users]
        from scipy.sparse import csr_matrix

        x = csr_matrix((rest.astype(np.float32), (users, items)), shape=(data.n_users, data.n_items))
        by_item = x.T.tocsr()
        factors = np.random.default_rng(seed).normal(0, 0.1, (data.n_items, self.dims)).astype(np.float32)
        for _ in range(self.rounds):
            factors = _solve(by_item, _solve(x, factors, self.ridge), self.ridge)
        known = np.bincount(items, minlength=data.n_items) > 0
        settings = np.array([mean, self.ridge, self.bias_ridge])
        return ExplicitModel(self.name, factors, of_item.astype(np.float32), known, settings)


def _biases(rows: Ints, rest: Doubles, n: int, ridge: float) -> Doubles:
    total = np.bincount(rows, weights=rest, minlength=n)
    out: Doubles = total / (np.bincount(rows, minlength=n) + ridge)
    return out


def _solve(x: Any, other: Floats, ridge: float) -> Floats:
    """(rows, dims): the ridge regression of each row's values, stored ones alone, on the others' vectors."""
    out = np.zeros((x.shape[0], other.shape[1]), np.float32)
    length, diagonal = np.diff(x.indptr), np.arange(other.shape[1])

    def solve(rows: Ints) -> None:
        for row in rows.tolist():
            part = slice(x.indptr[row], x.indptr[row + 1])
            own = other[x.indices[part]]
            left = own.T @ own
            left[diagonal, diagonal] += np.float32(ridge * len(own) + 1e-6)
            out[row] = np.linalg.solve(left, own.T @ x.data[part])

    rows = np.flatnonzero(length).astype(np.int64)
    shared_out(solve, rows, length[rows] + len(diagonal))
    return out


@dataclass(frozen=True, slots=True)
class ExplicitModel:
    """``factors`` (n, dims), ``bias`` (n,), ``known`` (n,); ``settings``: the mean strength, ridge, bias ridge.
    The score is the predicted strength. A user's bias and vector come from the history at every request; without
    one the items' biases speak alone."""

    name: str
    factors: Floats
    bias: Floats
    known: Bools
    settings: Doubles

    def _everything(self, query: Query) -> Floats:
        mean, ridge, bias_ridge = self.settings.tolist()
        if not self.known.any():
            return silence(len(self.known))
        items, value = self._ratings(query.history)
        rest = value - mean - self.bias[items]
        own_bias = rest.sum() / (len(rest) + bias_ridge)
        own = self.factors[items]
        left = own.T @ own
        left[np.diag_indices_from(left)] += ridge * len(own) + 1e-6
        vector = np.linalg.solve(left, own.T @ (rest - own_bias))
        scores = mean + own_bias + self.bias + self.factors @ vector
        return np.where(self.known, scores, np.nan).astype(np.float32)

    def _ratings(self, history: History) -> tuple[Ints, Doubles]:
        says = (history.strength != 0) & (history.items >= 0) & (history.items < len(self.known))
        items, at = np.unique(history.items[says][::-1], return_index=True)
        value = history.strength[says][::-1][at].astype(np.float64)
        heard = self.known[items]
        return items[heard], value[heard]

    def retrieve(self, query: Query, n: int) -> Candidates:
        """The best n of the catalogue. O(n_items x dims + dims^3)."""
        return top(self._everything(query), n)

    def score(self, query: Query, candidates: Candidates) -> Floats:
        return pick(self._everything(query), candidates.items)

    def explain(self, query: Query, items: Ints) -> Floats:
        """What was rated enters by its distance from the mean, which nobody reads as a reason: (len(items), 0)."""
        del query
        return np.zeros((len(items), 0), np.float32)

    def arrays(self) -> Mapping[str, Any]:
        return {"factors": self.factors, "bias": self.bias, "known": self.known, "settings": self.settings}

    @staticmethod
    def from_arrays(name: str, arrays: Mapping[str, Any]) -> ExplicitModel:
        a = arrays
        return ExplicitModel(name, a["factors"], a["bias"], a["known"], a["settings"])
