"""From a catalogue, counts and a release to recommenders: one a scenario, with a release or before any training."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from matinee.data.strength import DEFAULT, StrengthTable
from matinee.models.blend import Blend
from matinee.pipeline import filters as f
from matinee.pipeline.adjust import Adjusted
from matinee.pipeline.catalogue import Catalogue
from matinee.pipeline.dpp import DPP
from matinee.pipeline.experts import Grown, Same
from matinee.pipeline.explore import Explorer
from matinee.pipeline.fused import Fusion
from matinee.pipeline.onward import Again, Continue, Next, OnAir, OnwardFirst, OnwardReasons
from matinee.pipeline.outcomes import Outcomes
from matinee.pipeline.popularity import Popularity
from matinee.pipeline.reasons import FromExperts
from matinee.pipeline.recommender import Reasoner, Recommender
from matinee.pipeline.scenarios import SCENARIOS, Scenario, scenario
from matinee.pipeline.scorers import ByHistory
from matinee.pipeline.selectors import LEAD, MMR, Capped
from matinee.pipeline.sources import Everything, Nearest, New, Popular, Starter
from matinee.protocols import Filter, Log, Model, Scorer, Selector, Source
from matinee.release import Release
from matinee.serve.find import Words
from matinee.serve.quick import Quick, QuickBlend
from matinee.settings import Serving
from matinee.types import Query

log = logging.getLogger("matinee.serve")
STEADY = 100  # an order for strangers stays for so many times as long as it took to make, while only counts change
TOGETHER = ("item_knn", "ease", "transitions")  # experts that say what is watched by the same people

Trends = Mapping[float, Popularity]  # what is watched, by half-life in seconds


def no_trends(table: StrengthTable = DEFAULT) -> Trends:
    return {s.trend: Popularity(np.zeros(0), np.zeros(0), half_life=s.trend, table=table) for s in SCENARIOS.values()}


def counted(trends: Trends, log_: Log, size: int) -> Trends:
    return {half: popularity.with_log(log_).grown(size) for half, popularity in trends.items()}


@dataclass(frozen=True, eq=False)
class State:
    """All that a request reads, swapped whole: its recommenders are made of exactly this catalogue and this release."""

    catalogue: Catalogue
    trends: Trends
    serving: Serving
    trained: Release | None = None
    quick: Quick = Quick(())
    fusion: Fusion | None = None
    outcomes: Outcomes = field(default_factory=Outcomes.empty)

    @staticmethod
    def of(catalogue: Catalogue, trends: Trends, serving: Serving, trained: Release | None) -> State:
        if trained is None:
            return State(catalogue.fused_by(None), trends, serving)
        told = trained.fusion
        fusion = Fusion(told.fuser, told.spaces, trained.digest) if told else None
        return State(catalogue.fused_by(fusion), trends, serving, trained, Quick.of(trained), fusion)

    def with_release(self, trained: Release | None) -> State:
        if trained is self.trained:
            return self
        return replace(State.of(self.catalogue, self.trends, self.serving, trained), outcomes=self.outcomes)

    @property
    def release(self) -> str:
        return self.trained.digest if self.trained else ""

    @property
    def popularity(self) -> Popularity:
        return self.trends[SCENARIOS["home"].trend]

    @property
    def recommender(self) -> Recommender:
        return self.recommender_for("home")

    def recommender_for(self, name: str, *, repeat: bool = False) -> Recommender:
        """The recommender of a scenario, made when it is first asked for; with ``repeat`` what was seen may come again.
        Raises ``scenario.unknown``."""
        if (made := self._recommenders.get((name, repeat))) is None:
            made = self._recommenders[name, repeat] = build(self, scenario(name), repeat)
        return made

    @cached_property
    def _recommenders(self) -> dict[tuple[str, bool], Recommender]:
        return {}

    def starter(self, trend: float) -> Starter:
        """The order for strangers by one of the trends, made when it is first asked for."""
        if (known := self._starters.get(trend)) is None:
            known = self._starters[trend] = Begun.by(Starter(self.catalogue, self.trends[trend]))
        return known.starter

    @cached_property
    def _starters(self) -> dict[float, Begun]:
        return {}

    @cached_property
    def answered(self) -> set[tuple[str, bool]]:
        """Of which scenarios, for strangers and for those who are known, all that is made at a first slate is there."""
        return set()

    @cached_property
    def experts(self) -> tuple[tuple[Model, ...], tuple[float, ...]]:
        """The experts and their weights: those of the release, or content and popularity, taste going first."""
        nearest = Nearest(self.catalogue)
        if self.trained is None:
            return (nearest, Same(Popular(self.catalogue, self.popularity))), (0.7, 0.3)
        weights = tuple(float(self.trained.weights[name]) for name in self.trained.models)
        return self.quick.over(nearest), weights

    @property
    def voiced(self) -> tuple[Model, ...]:
        """The experts that weigh anything."""
        return tuple(e for e, w in zip(*self.experts, strict=True) if w > 0)

    @cached_property
    def behaviour(self) -> tuple[Model, ...]:
        """The experts with a voice that learnt from what people did together."""
        return tuple(e for e in self.voiced if e.name in TOGETHER)

    @property
    def words(self) -> Words:
        return Words.of(self.catalogue)

    def over(self, catalogue: Catalogue) -> State:
        """The same release over a changed catalogue."""
        trends = {half: popularity.grown(catalogue.size) for half, popularity in self.trends.items()}
        return replace(self, catalogue=catalogue.fused_by(self.fusion, self.catalogue), trends=trends)

    def recounted(self, log_: Log) -> State:
        """The same with newer counts; what was made for the older ones is made for these before it returns, so that no
        request waits for the orders of a large catalogue."""
        outcomes = self.outcomes.with_log(log_).grown(self.catalogue.size)
        return self._like(trends=counted(self.trends, log_, self.catalogue.size), outcomes=outcomes)

    def with_quick(self, quick: Quick) -> State:
        """The same with newer forms of the release's experts, made ready likewise."""
        return self._like(quick=quick)

    def _like(self, **changes: Any) -> State:
        """The same catalogue otherwise. The orders for strangers stay until their time is over: one more event among
        many changes little in them, and to make them anew each second would take most of what a count takes. The
        experts of a release stay where they are the same, with what they have worked out of this catalogue."""
        state = replace(self, **changes)
        state._starters.update({trend: begun for trend, begun in tuple(self._starters.items()) if begun.lasts()})
        if state.trained is not None and state.quick is self.quick:
            state.__dict__["experts"] = self.experts
            state.answered.update(tuple(self.answered))
        for name, repeat in tuple(self._recommenders):
            for source in state.recommender_for(name, repeat=repeat).sources:
                if isinstance(source, Popular):
                    source.retrieve(Query(time.time()), 1)
        return state


@dataclass(frozen=True, slots=True)
class Begun:
    """What strangers begin with: when it was made, and how many seconds that took."""

    starter: Starter
    made: float
    took: float

    @staticmethod
    def by(starter: Starter) -> Begun:
        started = time.monotonic()
        starter.score(Query(time.time()), starter.retrieve(Query(time.time()), 1))  # both orders are there now
        ended = time.monotonic()
        return Begun(starter, ended, ended - started)

    def lasts(self) -> bool:
        return time.monotonic() - self.made < STEADY * self.took


def build(state: State, plan: Scenario, repeat: bool = False) -> Recommender:
    """The recommender of a row of the scenario table."""
    catalogue, serving, popularity = state.catalogue, state.serving, state.trends[plan.trend]
    experts, weights = state.experts
    blend = QuickBlend(Blend(experts, np.asarray(weights, np.float32)))
    starter = state.starter(plan.trend)
    goes_on: dict[str, Continue | Next] = {"continue": Continue(catalogue), "next": Next(catalogue)}
    onward = tuple(source for name, source in goes_on.items() if name in plan.sources)
    scorer: Scorer = ByHistory(blend, starter)
    reasoner: Reasoner = FromExperts(catalogue, popularity, blend)
    if onward:
        scorer, reasoner = OnwardFirst(scorer, onward), OnwardReasons(reasoner, catalogue, onward)
    return Recommender(
        sources=sources(state, plan, popularity),
        filters=filters(catalogue, plan, repeat),
        scorer=Adjusted(scorer, catalogue, popularity, plan.novelty, objective=plan.objective, outcomes=state.outcomes),
        selector=selector(catalogue, plan, serving),
        reasoner=reasoner,
        explorer=Explorer(plan.exploration),
        release=state.release,
        pool=serving.pool,
    )


def sources(state: State, plan: Scenario, popularity: Popularity) -> tuple[Source, ...]:
    """The experts that have a voice, content, and what the scenario names beside them."""
    catalogue = state.catalogue
    named: dict[str, Source] = {
        "popular": Popular(catalogue, popularity),
        "starter": state.starter(plan.trend),
        "new": New(catalogue),
        "continue": Continue(catalogue),
        "next": Next(catalogue),
        "again": Again(catalogue),
        "on_air": OnAir(catalogue),
    }
    voiced = [e for e in state.voiced if not e.name.startswith("popular")]
    nearest = () if any(isinstance(e, Grown | Nearest) for e in voiced) else (Nearest(catalogue),)
    return (*voiced, *nearest, *(named[name] for name in plan.sources), Everything(catalogue))


def filters(catalogue: Catalogue, plan: Scenario, repeat: bool) -> tuple[Filter, ...]:
    seen: dict[str, tuple[Filter, ...]] = {
        "watched": (f.Seen(),), "finished": (f.Unfinished(),), "lately": (f.Rested(),), "nothing": (),
    }  # fmt: skip
    return (
        f.Alive(catalogue),
        f.Out(catalogue),
        *(() if repeat else seen[plan.seen]),
        f.Hidden(),
        f.InCollection(catalogue),
        f.InCategories(catalogue),
        f.Where(catalogue),
        f.Excluded(),
        f.Shown(),
        *((f.LiveNow(catalogue),) if plan.live else ()),
    )


def selector(catalogue: Catalogue, plan: Scenario, serving: Serving) -> Selector:
    diversity = serving.diversity if plan.diversity is None else plan.diversity
    lead = LEAD if plan.diversity is None else 0
    inner: Selector = DPP(catalogue, diversity) if plan.selector == "dpp" else MMR(catalogue, diversity, lead=lead)
    if not (plan.per_creator or plan.per_category):
        return inner
    return Capped(inner, catalogue, plan.per_creator, plan.per_category)
