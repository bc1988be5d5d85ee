"""What every source, filter, scorer and selector promises, and that a stage which breaks its promise is named."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from matinee.errors import MatineeError
from matinee.pipeline import recommender as checks
from matinee.pipeline.adjust import Adjusted
from matinee.pipeline.dpp import DPP, greedy
from matinee.pipeline.explore import Explorer
from matinee.pipeline.filters import Hidden, InCategories, InCollection, Out, Seen
from matinee.pipeline.onward import Continue, Next
from matinee.pipeline.outcomes import Outcomes
from matinee.pipeline.recommender import Recommender
from matinee.pipeline.selectors import MMR, Capped, Top
from matinee.pipeline.sources import Nearest, Popular, Starter
from matinee.protocols import Log
from matinee.types import Candidates, Controls, History, Limits, Query
from tests.contracts import stages
from tests.contracts.stages import KIND, NOW

pytestmark = pytest.mark.usefixtures("either_form")

QUERIES = stages.queries()


def named(stage: Any) -> str:
    return f"{type(stage).__name__}"


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
@pytest.mark.parametrize("source", stages.all_sources(), ids=named)
def test_a_source_gives_allowed_items_once_best_first(source: Any, query: Query) -> None:
    for n in (0, 1, 7, 100):
        found = checks.checked_candidates(source.name, source.retrieve(query, n))
        assert len(found) <= n
        assert (np.diff(found.score[~np.isnan(found.score)]) <= 0).all()
        assert not np.isin(found.items, [5, 6, 7]).any()  # gone, not out yet, expired
    again = source.retrieve(query, 7)
    assert again.items.tolist() == source.retrieve(query, 7).items.tolist()
    longer = source.retrieve(query, 9).items[:7]
    assert again.items.tolist() == longer.tolist()[: len(again.items)]


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
@pytest.mark.parametrize("filter_", stages.all_filters(), ids=named)
def test_a_filter_is_a_mask_that_looks_at_items_alone(filter_: Any, query: Query) -> None:
    pool = stages.pool()
    keep = checks.checked_mask(filter_.name, filter_.keep(query, pool), len(pool))
    rescored = pool.with_score(np.zeros(len(pool), np.float32))
    assert (filter_.keep(query, rescored) == keep).all()
    backwards = pool.take(np.arange(len(pool))[::-1].astype(np.int64))
    assert (filter_.keep(query, backwards) == keep[::-1]).all()
    assert filter_.keep(query, stages.empty()).shape == (0,)
    kept = pool.take(keep)
    assert filter_.keep(query, kept).all()  # filtering twice is filtering once


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
@pytest.mark.parametrize("scorer", stages.all_scorers(), ids=named)
def test_a_scorer_scores_each_item_the_same_wherever_it_stands(scorer: Any, query: Query) -> None:
    pool = stages.pool()
    score = checks.checked_score(scorer.name, scorer.score(query, pool), len(pool))
    backwards = scorer.score(query, pool.take(np.arange(len(pool))[::-1].astype(np.int64)))
    np.testing.assert_allclose(score, backwards[::-1], rtol=1e-5, atol=1e-6)
    assert scorer.score(query, stages.empty()).shape == (0,)


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
@pytest.mark.parametrize("selector", stages.all_selectors(), ids=named)
def test_a_selector_picks_positions_once_and_unknown_scores_last(selector: Any, query: Query) -> None:
    pool = stages.pool()
    for n in (0, 1, 5, 24, 100):
        order = checks.checked_positions(selector.name, selector.select(query, pool, n), len(pool), n)
        assert len(order) == min(n, len(pool))
        silent = np.isnan(pool.score[order])
        assert (np.diff(silent.astype(int)) >= 0).all()
    assert len(selector.select(query, stages.empty(), 5)) == 0
    unscored = pool.with_score(np.full(len(pool), np.nan, np.float32))
    assert len(selector.select(query, unscored, 5)) == 5


def test_known_answers() -> None:
    c, p = stages.library(), stages.popularity()
    liked = QUERIES["one like"]
    text_only = replace(c, shelves={"text": c.shelves["text"]})
    near = Nearest(text_only).retrieve(liked, 7).items
    assert near[0] == 0  # itself; dropping what was seen is the filter's business
    assert (near[:6] % 3 == 0).all()
    popular = Popular(c, p).retrieve(QUERIES["nobody"], 5).items
    assert popular.tolist() == [0, 1, 2, 3, 4]
    start = Starter(c, p).retrieve(QUERIES["nobody"], 6).items
    assert sorted(start.tolist()) == [0, 1, 2, 3, 4, 11]  # one of each theme in each collection (5 is gone, 11 next)
    pool = stages.pool(*(r for r in range(9) if r != 5))
    assert Seen().keep(liked, pool).tolist() == [False] + [True] * 7
    assert Hidden().keep(liked, pool).all()
    assert not Hidden().keep(QUERIES["a dislike"], pool)[2]
    assert InCollection(c).keep(QUERIES["clips"], pool).tolist() == [bool(r % 2) for r in pool.items]
    assert InCategories(c).keep(QUERIES["jazz"], pool).tolist() == [r % 3 == 0 for r in pool.items]
    assert Out(c).keep(liked, pool).tolist() == [r not in (6, 7) for r in pool.items]


def test_nearest_explains_its_score() -> None:
    c = stages.library()
    nearest, query = Nearest(c), replace(QUERIES["several"], history=stages.history(0, 3, 1, 9))
    items = np.arange(20, dtype=np.int64)
    pool = stages.pool(*range(20))
    score = nearest.score(query, pool)
    known = ~np.isnan(score)
    terms = nearest.explain(query, items)
    np.testing.assert_allclose(terms.sum(axis=1)[known], score[known], rtol=1e-4, atol=1e-5)


@dataclass
class Broken:
    """A stage that does what it is told, whatever that is."""

    answer: Any
    name: str = "the broken one"

    def retrieve(self, query: Query, n: int) -> Any:
        return self.answer

    keep = score = retrieve

    def select(self, query: Query, candidates: Candidates, n: int) -> Any:
        return self.answer


def good() -> Recommender:
    c, p = stages.library(), stages.popularity()
    return Recommender((Popular(c, p),), (Seen(),), Popular(c, p), Top())


INT, F32 = np.int64, np.float32
BREACHES = [
    ("sources", Candidates(np.array([1, 1], INT), np.zeros(2, F32), np.zeros(2, INT))),
    ("sources", Candidates(np.array([1, -2], INT), np.zeros(2, F32), np.zeros(2, INT))),
    ("sources", Candidates(np.array([1, 2], INT), np.zeros(3, F32), np.zeros(2, INT))),
    ("sources", Candidates(np.array([1.0, 2.0]), np.zeros(2, F32), np.zeros(2, INT))),  # type: ignore[arg-type]
    ("sources", Candidates(np.array([1, 2], INT), np.array([1, np.inf], F32), np.zeros(2, INT))),
    ("filters", np.ones(3, np.bool_)),
    ("filters", np.ones(20, F32)),
    ("scorer", np.zeros(3, F32)),
    ("scorer", np.zeros(20, np.float64)),
    ("scorer", np.full(20, np.inf, F32)),
    ("selector", np.array([0, 0], INT)),
    ("selector", np.array([0, 99], INT)),
    ("selector", np.array([-1], INT)),
    ("selector", np.arange(20, dtype=INT)),
    ("selector", np.array([0.0])),
]


@pytest.mark.parametrize(("stage", "answer"), BREACHES)
def test_a_broken_stage_is_named(stage: str, answer: Any) -> None:
    broken = Broken(answer)
    one: Any = broken if stage in ("scorer", "selector") else (broken,)
    query = Query(stages.NOW, limit=5)
    with pytest.raises(MatineeError) as error:
        replace(good(), **{stage: one}).recommend(query)
    assert error.value.code == "stage.broken"
    assert "the broken one" in error.value.en
    assert len(good().recommend(query).items) == 5  # the control: whole stages pass


def test_filters_never_score_and_their_order_cannot_matter() -> None:
    query = replace(QUERIES["several"], limits=QUERIES["clips"].limits, limit=24)
    filters = tuple(stages.all_filters())
    there = replace(good(), filters=filters).recommend(query)
    back = replace(good(), filters=filters[::-1]).recommend(query)
    assert there.items.tolist() == back.items.tolist()
    assert sum(there.dropped.values()) == sum(back.dropped.values())


def test_what_goes_on_comes_next() -> None:
    c = stages.library()
    after_8 = Next(c).retrieve(QUERIES["series"], 5).items
    assert after_8.tolist() == [11]
    begun = Query(stages.NOW, history=stages.history(1, 4, kind="play", strength=0.2))
    assert Continue(c).retrieve(begun, 5).items.tolist() == [4, 1]
    assert not len(Continue(c).retrieve(QUERIES["series"], 5).items)


def test_caps() -> None:
    c = stages.library()
    pool = stages.pool(*(r for r in range(20) if r != 5)).with_score(np.linspace(1, 0, 19, dtype=np.float32))
    one = Capped(Top(), c, per_creator=1).select(QUERIES["nobody"], pool, 4)
    assert len({c.creator[pool.items[i]] for i in one}) == 4
    assert one[0] == 0
    plain = Top().select(QUERIES["nobody"], pool, 4)
    assert one.tolist() == plain.tolist()  # rows 0..3 are of four makers: nothing to cap
    two = Capped(Top(), c, per_category=1).select(QUERIES["nobody"], pool, 6)
    assert len({c.rarest[pool.items[i]] for i in two[:3]}) == 3
    assert len(two) == 6  # what is over the cap fills up, it is not lost


def test_dpp_picks_the_best_pair_of_three() -> None:
    """Two alike and one apart: the pair with the largest determinant, found by hand."""
    alike = np.array([[1, 0.95, 0.1], [0.95, 1, 0.1], [0.1, 0.1, 1]], np.float32)
    assert sorted(greedy(alike, np.array([1.0, 0.99, 0.8]), 2).tolist()) == [0, 2]
    assert greedy(alike, np.array([1.0, 0.99, 0.01]), 2).tolist() == [0, 1]  # relevance can outweigh it
    chance = np.random.default_rng(0)
    vectors = stages.unit(chance.standard_normal((12, 5)))
    kernel = (0.9 * vectors @ vectors.T).astype(np.float32)
    np.fill_diagonal(kernel, 1)
    quality = chance.random(12) + 0.5
    whole = quality[:, None] * kernel * quality[None]
    picked: list[int] = []
    for _ in range(5):  # the same greedy by determinants, without the incremental factor
        gains = [np.linalg.det(whole[np.ix_([*picked, j], [*picked, j])]) if j not in picked else -1 for j in range(12)]
        picked.append(int(np.argmax(gains)))
    assert greedy(kernel, quality, 5).tolist() == picked


def test_diversity_spreads_a_slate() -> None:
    c = stages.library()
    c = replace(c, shelves={"text": c.shelves["text"]})
    rows = [0, 3, 9, 12, 15, 18, 1, 2]
    pool = stages.pool(*rows).with_score(np.linspace(1, 0.8, 8, dtype=np.float32))
    for selector in (MMR(c, 0.7), DPP(c, 0.7)):
        themes = pool.items[selector.select(QUERIES["nobody"], pool, 3)] % 3
        assert len(set(themes.tolist())) >= 2, selector.name
    assert set((pool.items[Top().select(QUERIES["nobody"], pool, 3)] % 3).tolist()) == {0}


def test_controls_move_scores() -> None:
    pool, adjusted = stages.pool(*range(0, 20, 4)), stages.adjusted()
    plain = adjusted.scorer.score(QUERIES["nobody"], pool)
    assert (adjusted.score(QUERIES["nobody"], pool) == plain).all()
    boosted = adjusted.score(replace(QUERIES["nobody"], controls=Controls(boost=(("duration > 900", 3.0),))), pool)
    assert (boosted[pool.items > 15] > plain[pool.items > 15]).all()
    assert (boosted[pool.items < 15] == plain[pool.items < 15]).all()
    novel = adjusted.score(replace(QUERIES["nobody"], controls=Controls(novelty=1.0)), pool)
    assert (plain - novel)[0] > (plain - novel)[-1] > 0  # the most watched is held back most
    shown = adjusted.score(QUERIES["glances"], pool)
    assert shown[1] < plain[1]  # row 4 was shown thrice
    assert shown[2] == plain[2]


def test_exploration_knows_its_chances() -> None:
    """The told propensities are the frequencies that are drawn."""
    pool = stages.pool(*range(6)).with_score(np.linspace(1, 0.5, 6, dtype=np.float32))
    order = np.arange(3, dtype=np.int64)
    counts: dict[int, int] = {}
    told: dict[int, float] = {}
    rounds = 4000
    for seed in range(rounds):
        query = Query(stages.NOW, controls=Controls(exploration=0.4, seed=seed))
        placed, propensities = Explorer().explore(query, pool, order)
        assert placed[0] == 0
        assert propensities[0] == 1
        assert len(set(placed.tolist())) == 3
        second = int(placed[1])
        counts[second] = counts.get(second, 0) + 1
        told[second] = float(propensities[1])
    for item, count in counts.items():
        assert abs(count / rounds - told[item]) < 0.03
    assert abs(sum(told.values()) - 1) < 1e-6
    still, certain = Explorer().explore(Query(stages.NOW), pool, order)
    assert still.tolist() == order.tolist()
    assert (certain == 1).all()


def test_pages_never_repeat() -> None:
    query = Query(stages.NOW, history=stages.history(0), limit=5)
    recommender = replace(good(), filters=tuple(stages.all_filters()[:9]))
    shown: list[int] = []
    for _ in range(6):
        page = recommender.recommend(replace(query, limits=Limits(shown=tuple(shown)))).items.tolist()
        assert not set(page) & set(shown)
        shown += page
    assert len(shown) == len(set(shown)) > 5


def outcomes() -> Outcomes:
    """Rows 0 to 9 were started 40 times each: row r is finished r times in ten, and row 3 alone is watched for an
    hour, in seconds."""
    items = np.repeat(np.arange(10), 40)
    kinds = np.where(np.arange(400) % 10 < items, KIND["finish"], KIND["play"])
    value = np.where(kinds == KIND["finish"], np.nan, 0.2)
    value[items == 3], kinds[items == 3] = 3600.0, KIND["play"]
    at = np.full(400, NOW)
    log = Log(np.arange(1, 401), items, items, kinds, at, value)
    half = Log(*(getattr(log, name)[:200] for name in ("sequence", "users", "items", "kinds", "at", "value")))
    counted, twice = Outcomes.empty(24).with_log(log), Outcomes.empty(4).with_log(half).with_log(log).grown(24)
    for name in ("starts", "finishes", "shares", "seconds"):  # in two steps as in one
        np.testing.assert_allclose(getattr(counted, name), getattr(twice, name))
    return counted


def test_the_objective_of_a_scenario_moves_the_ranking() -> None:
    c, p = stages.library(), stages.popularity()
    pool, asked = stages.pool(*range(10)), QUERIES["one like"]
    flat = pool.with_score(np.zeros(10, np.float32))

    @dataclass
    class Given:
        name: str = "given"

        def score(self, query: Query, candidates: Candidates) -> Any:
            return flat.score

    def order(objective: str) -> list[int]:
        adjusted = Adjusted(Given(), c, p, objective=objective, outcomes=outcomes(), rotation=0.0)
        return [int(i) for i in np.argsort(-adjusted.score(asked, flat), kind="stable")]

    click, finish, watch = order("click"), order("finish"), order("watch time")
    assert click == list(range(10))  # moves nothing
    lift = outcomes().lift("finish", np.arange(10), np.full(10, np.nan))
    assert (np.diff(np.delete(lift, 3)) > 0).all()  # what is finished more often stands higher; row 3 never is
    assert finish[:7] == [9, 8, 7, 6, 5, 4, 2]
    assert watch[0] == 3
    assert outcomes().lift("watch time", np.array([3, 23, 99]), np.full(3, np.nan)).argmax() == 0
    assert not Outcomes.empty(5).lift("finish", np.arange(5), np.full(5, 60.0)).any()  # nothing known, nothing moved


def test_rotation_counts_visits_and_not_how_often_one_visit_shows_an_item() -> None:
    c, p = stages.library(), stages.popularity()
    flat = stages.pool(*range(4)).with_score(np.array([0.3, 0.2, 0.1, 0.0], np.float32))

    @dataclass
    class Given:
        name: str = "given"

        def score(self, query: Query, candidates: Candidates) -> Any:
            return flat.score

    def moved(*looks: tuple[int, float]) -> Any:
        """What the glances at rows so many seconds ago cost each, in deviations; oldest first."""
        rows, ago = np.array([row for row, _ in looks], np.int64), np.array([s for _, s in looks])
        n = len(looks)
        seen = History(rows, NOW - ago, np.zeros(n, np.float32), np.full(n, KIND["impression"], np.int64))
        moves = Adjusted(Given(), c, p, rotation=1.0).score(Query(NOW, history=seen), flat) - flat.score
        return (moves / flat.score.std()).tolist()

    assert moved() == [0, 0, 0, 0]
    once = moved((0, 60.0), (1, 50.0))
    assert once == pytest.approx([-1, -1, 0, 0], abs=1e-5)
    assert moved((0, 60.0), (1, 50.0), (0, 40.0), (0, 30.0), (0, 5.0)) == pytest.approx(once)  # loaded again and again
    long = [(row, 7200.0 - 1000.0 * k) for k, row in enumerate((0, 1, 0, 1, 0))]  # no pause within it
    assert moved(*long) == pytest.approx(once)
    assert moved((0, 9000.0), (1, 8990.0), (0, 60.0)) == pytest.approx([-np.log2(3), -1, 0, 0], abs=1e-5)
    assert moved((0, 90_000.0)) == [0, 0, 0, 0]  # of another day
