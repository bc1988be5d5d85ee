"""A release's blend as requests need it: the same scores as ``Blend``, worked out once a request and for all trials of
its reasons together."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import ModuleType

import numpy as np

from matinee.kernels import compiled
from matinee.models.blend import ENOUGH, FLAT, Blend, level, shares, standard
from matinee.models.content import ContentModel
from matinee.models.factors import Factors
from matinee.models.linear import ItemWeights
from matinee.models.marec import MARecModel
from matinee.models.popular import PopularModel
from matinee.pipeline import taste
from matinee.pipeline.catalogue import of_items
from matinee.pipeline.experts import Grown, Same, SameTable, Table, table_of
from matinee.pipeline.neighbours import Neighbours
from matinee.pipeline.sources import POWER, Nearest
from matinee.protocols import Model
from matinee.release import Release
from matinee.serve.arrivals import Arrived
from matinee.serve.factored import Factored
from matinee.types import Bools, Candidates, Doubles, Floats, Ints, Query


@dataclass(frozen=True, slots=True)
class Quick:
    """The models of one release in the form that answers fastest; made once and kept while catalogues change."""

    models: tuple[Model, ...]

    @staticmethod
    def of(release: Release) -> Quick:
        return Quick(tuple(map(_quick, release.models.values())))

    def over(self, nearest: Nearest) -> tuple[Model, ...]:
        """The experts over a catalogue: content looks at the vectors of today."""
        return tuple(self._over(model, nearest) for model in self.models)

    def _over(self, model: Model, nearest: Nearest) -> Model:
        if isinstance(model, Arrived):
            return replace(model, catalogue=nearest.catalogue)
        if isinstance(model, ContentModel):
            return Nearest(nearest.catalogue, model.name) if _plain(model) else Grown(model, nearest)
        return model


def _quick(model: Model) -> Model:
    if isinstance(model, ItemWeights):
        return _neighbours(model)
    if isinstance(model, MARecModel):
        return Arrived(model, _neighbours(model.ease), of_items(()))
    if isinstance(model, Factors):
        return Factored(model)
    return Same(model) if isinstance(model, PopularModel) else model


def _neighbours(model: ItemWeights) -> Neighbours:
    return Neighbours(model.name, model.values, model.starts, model.columns, model.known, model.power, model.decay)


def _plain(model: ContentModel) -> bool:
    """Whether ``Nearest`` is the same measure."""
    memory = model.memory
    return model.name == "content" and memory.power == POWER and memory.fused and not (memory.short or memory.only)


@dataclass(frozen=True, slots=True)
class Opinion:
    """``z`` (k, n): an expert's scores on the common scale, 0 where it is silent. ``told`` (n,): where it speaks; None
    where that differs from trial to trial, and then ``z`` is NaN where it is silent."""

    z: Floats
    told: Bools | None

    def with_silence(self) -> Floats:
        """(k, n), NaN where it is silent."""
        return self.z if self.told is None else np.where(self.told, self.z, np.float32(np.nan))


@dataclass(frozen=True)
class Worked:
    """What the last scoring of a thread left for the reasons of the same request: by expert its table and its scores
    (1, n)."""

    query: Query
    candidates: Candidates
    tables: tuple[Table, ...]
    scores: tuple[Floats, ...]

    @cached_property
    def opinions(self) -> tuple[Opinion, ...]:
        """The scores on the common scale, for NumPy."""
        return tuple(standard_each(scores) for scores in self.scores)

    @cached_property
    def raw(self) -> Floats:
        """(experts, n) the scores, for the compiled loops."""
        n = len(self.candidates)
        return np.concatenate([*self.scores, np.empty((0, n), np.float32)]).astype(np.float32, copy=False)

    def trials(self, items: Sequence[int]) -> tuple[Floats, ...]:
        """By expert (1 + len(items), n) scores by the whole history, then without each past item; (1, n) where all are
        alike."""
        return tuple(
            own if isinstance(table, SameTable) else table.scores(items)
            for table, own in zip(self.tables, self.scores, strict=True)
        )


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
        worked, n = self._worked(query, candidates), len(candidates)
        if (loops := compiled()) is not None:
            same = np.ones(len(worked.raw), np.bool_)
            one: Floats = blended_by(loops, worked.raw[None], same, self.blend.weights, np.arange(n))[0]
            return one
        score: Floats = level_each(worked.opinions, self.blend.weights, n)[0]
        return score

    def parts(self, query: Query, candidates: Candidates, picked: Ints) -> Floats:
        """(len(picked), len(models)) what each expert adds to the weighted mean; NaN = no opinion."""
        worked = self._worked(query, candidates)
        if (loops := compiled()) is not None:
            out = np.empty((len(picked), len(worked.raw)), np.float32)
            loops.parts(worked.raw, self.blend.weights, np.ascontiguousarray(picked), out)
            return out
        columns = [opinion.with_silence()[0] for opinion in worked.opinions]
        parts = np.stack(columns, 1) if columns else np.empty((len(candidates), 0), np.float32)
        voices = Voices.of([~np.isnan(column) for column in columns], self.blend.weights, len(candidates))
        share = np.zeros((len(voices.told), len(columns)), np.float32)
        share[:, list(voices.experts)] = voices.shares
        return np.asarray((parts * share[voices.pattern])[picked], np.float32)

    def terms(self, query: Query, candidates: Candidates, expert: int, picked: Ints) -> dict[str, Floats]:
        """By space what each past event adds to the expert's score of each picked candidate."""
        return self._worked(query, candidates).tables[expert].terms(picked)

    def score_without(self, query: Query, candidates: Candidates, items: Sequence[int], picked: Ints) -> Floats:
        """(1 + len(items), len(picked)) scores of some of the candidates by the whole history, then without each past
        item, by one product an expert."""
        worked, n = self._worked(query, candidates), len(candidates)
        trials = worked.trials(items)
        if (loops := compiled()) is not None:
            raw = np.empty((1 + len(items), len(trials), n), np.float32)
            same = np.array([len(scores) == 1 for scores in trials], np.bool_)
            for expert, scores in enumerate(trials):
                raw[: len(scores), expert] = scores
            return blended_by(loops, raw, same, self.blend.weights, picked)
        opinions = tuple(
            opinion if isinstance(table, SameTable) else standard_each(scores)
            for table, opinion, scores in zip(worked.tables, worked.opinions, trials, strict=True)
        )
        return level_each(opinions, self.blend.weights, n, 1 + len(items), picked)

    def forget(self) -> None:
        """Nothing of a person stays in memory when the request is over."""
        self._memo.worked = None
        taste.forget()

    def _worked(self, query: Query, candidates: Candidates) -> Worked:
        known = self._memo.worked
        if known is not None and known.query is query and known.candidates.items is candidates.items:
            return known
        tables = tuple(table_of(model, query, candidates) for model in self.models)
        scores = tuple(table.scores() for table in tables)
        self._memo.worked = made = Worked(query, candidates, tables, scores)
        return made


def blended_by(loops: ModuleType, raw: Floats, same: Bools, weights: Floats, at: Ints) -> Floats:
    """(k, len(at)) ``blend.level`` of the standardised scores (k, experts, n), of the candidates at some places.
    ``same`` (experts,): whose first scores hold for all k."""
    out = np.empty((len(raw), len(at)), np.float32)
    loops.blended(raw, same, weights, ENOUGH, FLAT, np.ascontiguousarray(at), out)
    return out


def standard_each(scores: Floats) -> Opinion:
    """``blend.standard`` of each row of (k, n) scores: mean 0, deviation 1 over those that are not NaN."""
    told = ~np.isnan(scores[0])
    every = bool(told.all())
    values = scores.astype(np.float64) if every else scores[:, told].astype(np.float64)
    mean = values.mean(axis=1, keepdims=True) if values.shape[1] else np.zeros((len(scores), 1))
    if np.isnan(mean).any() or (not every and len(scores) > 1 and not np.isnan(scores[:, ~told]).all()):
        return Opinion(np.stack([standard(row) for row in scores]), None)
    values -= mean
    spread = np.sqrt(np.einsum("kn,kn->k", values, values) / max(values.shape[1], 1))
    if (spread <= 1e-5 * (1e-12 + np.abs(mean[:, 0]))).any():  # perhaps all alike, or but for rounding
        most = np.abs(values + mean).max(axis=1, initial=0.0)
        spread[spread <= 1e-6 * (1e-12 + most)] = np.inf
    values /= spread[:, None]
    if every:
        return Opinion(values.astype(np.float32), told)
    out = np.zeros(scores.shape, np.float32)
    out[:, told] = values
    return Opinion(out, told)


def level_each(
    opinions: Sequence[Opinion], weights: Floats, n: int, k: int = 1, at: Ints | None = None
) -> Floats:  # fmt: skip
    """(k, n) ``blend.level`` of each trial, or (k, len(at)) of the candidates at some places alone. ``opinions``: by
    expert of (k, n), or of (1, n) where all trials are alike. When nobody is silent in one trial about what he speaks
    of in another, as mostly, all trials are one computation."""
    spoken = [opinion.told for opinion in opinions if opinion.told is not None]
    if not opinions or len(spoken) < len(opinions):
        z = np.stack([np.broadcast_to(o.with_silence(), (k, n)) for o in opinions], 2) if opinions else None
        whole = np.stack([level(each, weights) for each in (np.empty((k, n, 0), np.float32) if z is None else z)])
        return whole if at is None else whole[:, at]
    voices = Voices.of(spoken, weights, n)
    z = np.empty((len(voices.experts), k, n), np.float32)
    for place, expert in enumerate(voices.experts):
        z[place] = opinions[expert].z
    asked, pattern = (z, voices.pattern) if at is None else (z[:, :, at], voices.pattern[at])
    score = np.zeros((k, len(pattern)), np.float32)
    for own, share in zip(asked, voices.shares.T, strict=True):
        score += own * share[pattern]
    spoke, full = voices.spoke, voices.full
    score[:, ~spoke[pattern]] = np.nan
    lacking = np.flatnonzero((spoke & ~full)[pattern])
    if len(lacking):
        known = full[voices.pattern]
        if known.sum() >= ENOUGH:
            _level(score, lacking, pattern[lacking], z[:, :, known].astype(np.float64), voices)
    return score


@dataclass(frozen=True, slots=True)
class Voices:
    """Who speaks of what. ``experts``: places of those with a weight and an opinion on anything; ``told`` (patterns,
    experts): the patterns of speech and silence there are, and ``shares`` (patterns, experts) of the weight in each;
    ``pattern`` (n,): which one each candidate has."""

    experts: tuple[int, ...]
    told: Bools
    shares: Floats
    pattern: Ints

    @staticmethod
    def of(told: Sequence[Bools], weights: Floats, n: int) -> Voices:
        """``told``: by expert (n,) where it speaks."""
        experts = tuple(e for e, own in enumerate(told) if weights[e] > 0 and (not n or own.any()))
        code = np.zeros(n, np.int64)
        for place, expert in enumerate(experts):
            code += told[expert].astype(np.int64) << place
        codes, pattern = np.unique(code, return_inverse=True)
        patterns = (codes[:, None] >> np.arange(len(experts))) & 1 > 0
        return Voices(experts, patterns, shares(patterns, weights[list(experts)]), pattern)

    @property
    def spoke(self) -> Bools:
        return np.asarray(self.told.any(axis=1), np.bool_)

    @property
    def full(self) -> Bools:
        return np.asarray(self.told.all(axis=1), np.bool_)


def _level(score: Floats, lacking: Ints, pattern: Ints, known: Doubles, voices: Voices) -> None:
    """Puts the scores (k, n) at the places ``lacking``, whose ``pattern`` (len(lacking),) lacks an expert, on the scale
    of the ``known`` (experts, k, full). A weighted mean is linear in the opinions, so the lines of all patterns come of
    the experts' means and covariances."""
    mean = known.mean(axis=2)
    wide = (known - mean[:, :, None]).transpose(1, 0, 2)
    together = wide @ wide.transpose(0, 2, 1)
    part = voices.shares.astype(np.float64)
    whole = part[voices.full][0]
    reach = part @ together  # (k, patterns, experts)
    spread = (reach * part).sum(axis=2)
    told = spread > FLAT * known.shape[2]
    slope = np.maximum(np.divide(reach @ whole, spread, out=np.zeros_like(spread), where=told), 0)
    own = score[:, lacking] - (part @ mean).T[:, pattern]
    score[:, lacking] = (whole @ mean)[:, None] + slope[:, pattern] * own
