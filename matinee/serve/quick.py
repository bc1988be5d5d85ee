"""A release's blend as requests need it: the same scores as ``Blend``, worked out once a request and for all trials of
its reasons together."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from matinee.models.blend import ENOUGH, Blend, level, shares, standard
from matinee.models.content import ContentModel
from matinee.models.factors import Factors
from matinee.models.linear import ItemWeights
from matinee.models.marec import MARecModel
from matinee.models.popular import PopularModel
from matinee.pipeline import taste
from matinee.pipeline.catalogue import of_items
from matinee.pipeline.experts import Grown, Same, SameTable, Table, table_of
from matinee.pipeline.neighbours import Neighbours, Places
from matinee.pipeline.sources import POWER, Nearest
from matinee.protocols import Model
from matinee.release import Release
from matinee.serve.arrivals import Arrived
from matinee.serve.factored import Factored
from matinee.types import Candidates, Floats, Ints, Query


@dataclass(frozen=True, slots=True)
class Quick:
    """The models of one release in the form that answers fastest; made once and kept while catalogues change."""

    models: tuple[Model, ...]

    @staticmethod
    def of(release: Release) -> Quick:
        places = Places()
        return Quick(tuple(_quick(model, places) for model in release.models.values()))

    def over(self, nearest: Nearest) -> tuple[Model, ...]:
        """The experts over a catalogue: content looks at the vectors of today."""
        return tuple(self._over(model, nearest) for model in self.models)

    def _over(self, model: Model, nearest: Nearest) -> Model:
        if isinstance(model, Arrived):
            return replace(model, catalogue=nearest.catalogue)
        if isinstance(model, ContentModel):
            return Nearest(nearest.catalogue, model.name) if _plain(model) else Grown(model, nearest)
        return model


def _quick(model: Model, places: Places) -> Model:
    if isinstance(model, ItemWeights):
        return _neighbours(model, places)
    if isinstance(model, MARecModel):
        return Arrived(model, _neighbours(model.ease, places), of_items(()))
    if isinstance(model, Factors):
        return Factored(model)
    return Same(model) if isinstance(model, PopularModel) else model


def _neighbours(model: ItemWeights, places: Places) -> Neighbours:
    return Neighbours(
        model.name, model.values, model.starts, model.columns, model.known, model.power, model.decay, places
    )


def _plain(model: ContentModel) -> bool:
    """Whether ``Nearest`` is the same measure."""
    memory = model.memory
    return model.name == "content" and memory.power == POWER and memory.fused and not (memory.short or memory.only)


@dataclass(frozen=True, slots=True)
class Worked:
    """What the last scoring of a thread left for the reasons of the same request: by expert its table and its opinions
    (1, n) on the common scale."""

    query: Query
    candidates: Candidates
    tables: tuple[Table, ...]
    opinions: tuple[Floats, ...]


class Memo(threading.local):
    worked: Worked | None = None


@dataclass(frozen=True)
class QuickBlend:
    """``blend``, whose tables are kept from the scoring to the reasons of a request; one request a thread at a time."""

    blend: Blend
    name: str = "blend"
    _memo: Memo = field(default_factory=Memo, compare=False)

    @property
    def models(self) -> Sequence[Model]:
        return self.blend.models

    def score(self, query: Query, candidates: Candidates) -> Floats:
        worked = self._worked(query, candidates)
        score: Floats = level_each(worked.opinions, self.blend.weights, len(candidates))[0]
        return score

    def parts(self, query: Query, candidates: Candidates) -> Floats:
        """(n, len(models)) what each expert adds to the weighted mean; NaN = no opinion."""
        opinions = self._worked(query, candidates).opinions
        z = np.stack([column[0] for column in opinions], 1) if opinions else np.empty((len(candidates), 0), np.float32)
        parts: Floats = z * shares(~np.isnan(z), self.blend.weights)
        return parts

    def terms(self, query: Query, candidates: Candidates, expert: int, picked: Ints) -> dict[str, Floats]:
        """By space what each past event adds to the expert's score of each picked candidate."""
        return self._worked(query, candidates).tables[expert].terms(picked)

    def score_without(self, query: Query, candidates: Candidates, items: Sequence[int]) -> Floats:
        """(1 + len(items), n) scores by the whole history, then without each past item, by one product an expert."""
        worked = self._worked(query, candidates)
        opinions = tuple(
            opinion if isinstance(table, SameTable) else standard_each(table.scores(items))
            for table, opinion in zip(worked.tables, worked.opinions, strict=True)
        )
        return level_each(opinions, self.blend.weights, len(candidates), 1 + len(items))

    def forget(self) -> None:
        """Nothing of a person stays in memory when the request is over."""
        self._memo.worked = None
        taste.forget()

    def _worked(self, query: Query, candidates: Candidates) -> Worked:
        known = self._memo.worked
        if known is not None and known.query is query and known.candidates.items is candidates.items:
            return known
        tables = tuple(table_of(model, query, candidates) for model in self.models)
        opinions = tuple(standard_each(table.scores()) for table in tables)
        self._memo.worked = made = Worked(query, candidates, tables, opinions)
        return made


def standard_each(scores: Floats) -> Floats:
    """``blend.standard`` of each row of (k, n) scores: mean 0, deviation 1 over those that are not NaN."""
    silent = np.isnan(scores)
    if not (silent == silent[:1]).all():
        return np.stack([standard(row) for row in scores])
    told = ~silent[0]
    every = bool(told.all())
    values = scores.astype(np.float64) if every else scores[:, told].astype(np.float64)
    if not values.shape[1]:
        return scores
    most = np.abs(values).max(axis=1)
    values -= values.mean(axis=1, keepdims=True)
    spread = np.sqrt(np.einsum("kn,kn->k", values, values) / values.shape[1])
    values /= np.where(spread <= 1e-6 * (1e-12 + most), np.inf, spread)[:, None]
    if every:
        return values.astype(np.float32)
    out = np.full(scores.shape, np.nan, np.float32)
    out[:, told] = values
    return out


def level_each(opinions: Sequence[Floats], weights: Floats, n: int, k: int = 1) -> Floats:
    """(k, n) ``blend.level`` of each trial. ``opinions``: by expert (k, n), or (1, n) where all trials are alike. When
    nobody is silent in one trial about what he speaks of in another, as mostly, all trials are one computation."""
    silent = [np.isnan(column) for column in opinions]
    if not opinions or not all((s == s[:1]).all() for s in silent):
        whole = [np.broadcast_to(column, (k, n)) for column in opinions]
        z = np.stack(whole, axis=2) if whole else np.empty((k, n, 0), np.float32)
        return np.stack([level(each, weights) for each in z])
    told = np.stack([~s[0] for s in silent], axis=1)
    voiced = (weights > 0) & told.any(axis=0) if n else weights > 0
    filled = [np.nan_to_num(column) for column, speaks in zip(opinions, voiced, strict=True) if speaks]
    told, weights = told[:, voiced], weights[voiced]
    score = _weighed(filled, shares(told, weights), k, n)
    score[:, ~told.any(axis=1)] = np.nan
    full = told.all(axis=1)
    if full.sum() < ENOUGH or full.all():
        return score
    known = [column[:, full] for column in filled]
    code = told @ (1 << np.arange(told.shape[1]))
    centre = score[:, full].mean(axis=1, keepdims=True)
    for pattern in np.unique(code[~full & (code > 0)]):
        here = np.flatnonzero(code == pattern)
        share = shares(told[here[:1]], weights)
        partial = _weighed(known, np.repeat(share, int(full.sum()), axis=0), k, int(full.sum()))
        mean = partial.mean(axis=1, keepdims=True)
        wide = partial - mean
        slope = np.einsum("kn,kn->k", wide, score[:, full]) / np.maximum(np.einsum("kn,kn->k", wide, wide), 1e-9)
        score[:, here] = centre + np.maximum(slope, 0)[:, None] * (score[:, here] - mean)
    return score


def _weighed(columns: Sequence[Floats], share: Floats, k: int, n: int) -> Floats:
    """(k, n) sums over the experts of opinion x share (n, experts)."""
    total = np.zeros((k, n), np.float32)
    for column, part in zip(columns, share.T, strict=True):
        total += column * part
    return total
