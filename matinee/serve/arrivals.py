"""The cold-start expert of a release over the catalogue of today: what was added since training is placed among the
rest by its text, pictures, sound and facts the moment its ingest ends, and scored on the same scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from matinee.data.facts import fact_vectors
from matinee.models.aspects import FACTS, SPACES
from matinee.models.common import top
from matinee.models.marec import MARecModel
from matinee.pipeline.catalogue import Catalogue
from matinee.pipeline.experts import Table
from matinee.pipeline.neighbours import Neighbours
from matinee.pipeline.taste import Told
from matinee.types import Candidates, Floats, Ints, Item, Query

TOLD = 0.25  # a lesser share of content in a score is not told apart by kind
GATHER = 4  # one in so many of all rows is few
Kept = dict[int, tuple[Item | None, int, Floats]]  # by row the item and the vectors a place was worked out of, and it


@dataclass(frozen=True)
class Arrived:
    """``model`` as it was trained, with ``ease`` in the form that answers fastest; ``catalogue`` as it is now; ``kept``
    holds the places of what came since, for as long as the release is in force."""

    model: MARecModel
    ease: Neighbours
    catalogue: Catalogue
    kept: Kept = field(default_factory=dict, compare=False)

    @property
    def name(self) -> str:
        return self.model.name

    @cached_property
    def now(self) -> MARecModel:
        """The model with a place for every item of today. O(items that came since x landmarks x dims), once each."""
        trained = self.model.content
        size = max(len(trained), self.catalogue.size)
        lacking = np.ones(size, np.bool_)
        lacking[: len(trained)] = ~trained.any(axis=1)
        rows = self.catalogue.living[lacking[self.catalogue.living]]
        if not len(rows):
            return self.model
        content = np.zeros((size, trained.shape[1]), np.float32)
        content[: len(trained)] = trained
        content[rows] = self._places(rows)
        return replace(self.model, content=content)

    def _places(self, rows: Ints) -> Floats:
        """(len(rows), k): those worked out before, and the others in one go."""
        features = self._features(rows)
        signs = [hash(tuple(matrix[at].tobytes() for matrix in features.values())) for at in range(len(rows))]
        items = [self.catalogue.items[row] for row in rows.tolist()]
        told = [self.kept.get(row, (None, 0, None)) for row in rows.tolist()]
        fresh = np.array(
            [known[2] is None or known[0] is not item or known[1] != sign
             for known, item, sign in zip(told, items, signs, strict=True)], bool,
        )  # fmt: skip
        if fresh.any():
            of = {name: matrix[fresh] for name, matrix in features.items()}
            made = self.model.places(of, self._facts(rows[fresh]), int(fresh.sum()))
            for at, place in zip(np.flatnonzero(fresh).tolist(), made, strict=True):
                self.kept[int(rows[at])] = (items[at], signs[at], place)
        return np.stack([self.kept[row][2] for row in rows.tolist()])

    def _features(self, rows: Ints) -> dict[str, Floats]:
        """By kind the vectors of some items; a space of other dimensions than the release knows is not its own."""
        aspects = self.model.lens.aspects
        out = {}
        for shelf in self.catalogue.content():
            aspect = aspects.get(SPACES + shelf.space.kind)
            if aspect is not None and len(aspect.mean) == shelf.space.dim:
                out[shelf.space.kind] = shelf.take(rows)
        return out

    def _facts(self, rows: Ints) -> dict[str, Floats]:
        found = enumerate(self.catalogue.items[row] for row in rows.tolist())
        return fact_vectors({at: item for at, item in found if item is not None}, len(rows))

    def retrieve(self, query: Query, n: int) -> Candidates:
        """The best n of the catalogue. O(history x items)."""
        scores: Floats = self.table(query, np.arange(len(self.now.content))).scores()[0]
        return top(scores, n)

    def score(self, query: Query, candidates: Candidates) -> Floats:
        scores: Floats = self.table(query, candidates.items).scores()[0]
        return scores

    @cached_property
    def shares(self) -> tuple[Floats, Floats]:
        """(n,) of EASE and of content in the score of each item of today."""
        return self.now.shares(len(self.now.content))

    def table(self, query: Query, items: Ints) -> ArrivedTable:
        told = Told.of(query.history).below(len(self.now.share))
        inside = (items >= 0) & (items < len(self.now.content))
        rows = np.where(inside, items, 0)
        warm, cold = (np.where(inside, part[rows], 0) for part in self.shares)
        past = self.now.carried[told.items]
        return ArrivedTable(self, told, rows, past, (warm, cold), self.ease.table(query, items), len(query.history))

    def content(self, rows: Ints, profiles: Floats) -> Floats:
        """(len(profiles), len(rows)) content's scores. Of many rows all are multiplied, which copies nothing."""
        places = self.now.content
        if len(rows) * GATHER > len(places):
            return np.asarray((places @ profiles.T)[rows].T, np.float32)
        return np.asarray(profiles @ places[rows].T, np.float32)

    def explain(self, query: Query, items: Ints) -> Floats:
        """(len(items), len(history)): the terms of ``score``, summing to it."""
        terms = self.table(query, items).terms(np.arange(len(items)))
        total = np.zeros((len(items), len(query.history)), np.float32)
        for part in terms.values():
            total += part
        return total

    def by_kind(self, rows: Ints, profile: Floats) -> dict[str, Floats]:
        """By kind (text, frames, sound) (len(rows),) what share of the content score under a profile (k,) it makes:
        facts count as text; a kind that pulls the other way makes none."""
        inside = rows < self.catalogue.size
        rows = np.where(inside, rows, 0)
        given = {SPACES + name: matrix for name, matrix in self._features(rows).items()}
        given |= {FACTS + name: matrix for name, matrix in self._facts(rows).items()}
        raised: dict[str, Floats] = {}
        for name, part in self.model.lens.parts(given):
            kind = name.removeprefix(SPACES) if name.startswith(SPACES) else "text"
            raised[kind] = raised.get(kind, np.zeros(len(rows), np.float32)) + part @ profile
        raised = {kind: np.maximum(pull, 0) * inside for kind, pull in raised.items()}
        total = sum(raised.values(), np.full(len(rows), 1e-12, np.float32))
        return {kind: np.asarray(pull / total, np.float32) for kind, pull in raised.items()}

    def arrays(self) -> Mapping[str, Any]:
        return self.model.arrays()


@dataclass(frozen=True, slots=True)
class ArrivedTable:
    """``items`` (n,) rows within the catalogue; ``past`` (m, k) what each past item carries; ``shares``: (n,) of EASE
    and of content in each score; ``ease``: its own table."""

    expert: Arrived
    told: Told
    items: Ints
    past: Floats
    shares: tuple[Floats, Floats]
    ease: Table
    history: int

    def scores(self, without: Sequence[int] = ()) -> Floats:
        """(1 + len(without), n) scores by the whole history, then without each named past item."""
        model = self.expert.model
        weights = model.evened(self.told.weights(model.power, 1.0, without))
        warm, cold = self.shares
        score = warm * np.nan_to_num(self.ease.scores(without)) + cold * self.expert.content(
            self.items, weights @ self.past
        )
        silent = ~(weights != 0).any(axis=1)[:, None] | ~(warm + cold > 0)[None, :]
        return np.where(silent, np.float32(np.nan), score).astype(np.float32)

    def terms(self, picked: Ints) -> dict[str, Floats]:
        """By kind ("" for behaviour): what each past event adds. An item's content is shared out over its text,
        pictures and sound as they make up its whole score, where content makes a good part of it."""
        weight = self.expert.model.evened(self.told.weights(self.expert.model.power)[0])
        warm, cold = (part[picked] for part in self.shares)
        out = {"": self.ease.terms(picked)[""] * warm[:, None]}
        places = self.expert.now.content[self.items[picked]]
        own = np.zeros((len(picked), self.history), np.float32)
        own[:, self.told.at] = (places * cold[:, None]) @ (self.past * weight[:, None]).T
        left = np.ones(len(picked), np.float32)
        new = np.flatnonzero(cold > TOLD)
        if len(new):
            profile = (weight @ self.past).astype(np.float32)
            for kind, share in self.expert.by_kind(self.items[picked[new]], profile).items():
                out[kind] = np.zeros_like(own)
                out[kind][new] = own[new] * share[:, None]
                left[new] -= share
        out[""] = out[""] + own * left[:, None]
        return {kind: np.asarray(terms, np.float32) for kind, terms in out.items()}
