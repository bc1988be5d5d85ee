"""The request path's forms of models say what the models say: item-to-item weights, the blend, its trials, lists. All
of it by NumPy, and by the compiled loops where Numba is installed."""

from __future__ import annotations

import numpy as np
import pytest

from matinee import kernels
from matinee.index.lists import Lists
from matinee.models import load_recipe
from matinee.models.blend import Blend, level, standard
from matinee.models.factors import Factors
from matinee.models.linear import ItemWeights, item_weights
from matinee.models.popular import Popular
from matinee.pipeline import neighbours
from matinee.pipeline.experts import Same, table_of
from matinee.pipeline.neighbours import Neighbours
from matinee.pipeline.selectors import MMR, Similarity, by_score, stretched
from matinee.pipeline.sources import Nearest
from matinee.pipeline.taste import without
from matinee.protocols import Model
from matinee.serve.factored import Factored
from matinee.serve.quick import QuickBlend, blended_by, level_each, standard_each
from matinee.types import Candidates, History, Interactions, Query
from tests.contracts import stages
from tests.contracts.checkerboard import checkerboard
from tests.contracts.checkerboard import query as board_query
from tests.contracts.stages import NOW, unit

N = 60


pytestmark = pytest.mark.usefixtures("either_form")


def weights(seed: int, keep: int = 0) -> ItemWeights:
    chance = np.random.default_rng(seed)
    matrix = chance.standard_normal((N, N)).astype(np.float32)
    np.fill_diagonal(matrix, 0)
    return item_weights("item_knn", matrix, chance.random(N) < 0.9, 0.7, keep)


def quick(model: ItemWeights) -> Neighbours:
    return Neighbours(model.name, model.values, model.starts, model.columns, model.known, model.power, model.decay)


def query(seed: int, n: int = 25) -> Query:
    """Repeats, dislikes, glances that say nothing and rows that no model knows."""
    chance = np.random.default_rng(seed)
    strength = chance.choice([1.0, 0.5, -1.0, 0.0], n).astype(np.float32)
    items = chance.integers(0, N + 5, n)
    return Query(NOW, history=History(items, NOW - np.arange(n, 0, -1.0), strength, np.zeros(n, np.int64)))


def pool(seed: int, n: int = 40) -> Candidates:
    items = np.random.default_rng(seed).permutation(N + 5)[:n].astype(np.int64)
    return Candidates(items, np.full(n, np.nan, np.float32), np.zeros(n, np.int64))


@pytest.mark.parametrize("keep", [0, 12])
@pytest.mark.parametrize("seed", range(8))
def test_neighbours_are_the_item_weights(seed: int, keep: int) -> None:
    model, asked, candidates = weights(seed, keep), query(seed), pool(seed)
    fast = quick(model)
    np.testing.assert_allclose(fast.score(asked, candidates), model.score(asked, candidates), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        fast.explain(asked, candidates.items), model.explain(asked, candidates.items), rtol=1e-4, atol=1e-5
    )
    table, causes = fast.table(asked, candidates.items), [int(i) for i in dict.fromkeys(asked.history.items[-6:])]
    trials = table.scores(causes)
    for k, cause in enumerate(causes, 1):
        told = model.score(without(asked, cause), candidates)
        np.testing.assert_allclose(trials[k], told, rtol=1e-4, atol=1e-5)
    found, exact = fast.retrieve(asked, 10), model.retrieve(asked, 10)
    if not keep:
        assert found.items.tolist() == exact.items.tolist()
    else:  # what no neighbour of the history reaches is not found, what is found is scored the same
        known = dict(zip(exact.items.tolist(), exact.score.tolist(), strict=True))
        assert all(known.get(i, s) == pytest.approx(s, rel=1e-4, abs=1e-5) for i, s in zip(found.items, found.score))  # noqa: B905
        assert found.items.tolist()[:3] == exact.items.tolist()[:3]


@pytest.mark.parametrize("rows", [(0, 3, 1, 9), (2, 7, 8, 11, 14, 0), (5,)])
@pytest.mark.parametrize("name", ["ials", "bpr"])
def test_factors_and_their_trials_are_the_model(name: str, rows: tuple[int, ...]) -> None:
    model = load_recipe(name).fit(checkerboard(), seed=0)
    assert isinstance(model, Factors)
    fast, asked, items = Factored(model), board_query(list(rows)), np.array([9, 3, 22, 1, 30, 0])
    candidates = Candidates(items, np.full(len(items), np.nan, np.float32), np.zeros(len(items), np.int64))
    table = table_of(fast, asked, candidates)
    np.testing.assert_allclose(table.scores()[0], model.score(asked, candidates), rtol=1e-3, atol=1e-5)
    for k, cause in enumerate(rows, 1):
        told = model.score(without(asked, cause), candidates)
        np.testing.assert_allclose(table.scores(rows)[k], told, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(
        table.terms(np.array([0, 3]))[""].sum(1), model.score(asked, candidates)[[0, 3]], rtol=1e-3, atol=1e-5
    )


def test_a_large_matrix_is_retrieved_by_its_strongest_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    model, asked = weights(3), query(3)
    monkeypatch.setattr(neighbours, "WHOLE", 10)
    monkeypatch.setattr(neighbours, "NEAR", 30)
    found, exact = quick(model).retrieve(asked, 10).items, model.retrieve(asked, 10).items
    assert len(np.intersect1d(found, exact)) >= 5
    assert len(set(found.tolist())) == 10


def blend() -> Blend:
    n = 24
    chance = np.random.default_rng(5)
    catalogue = stages.library()
    users, items = chance.integers(0, 9, 200), chance.integers(0, 20, 200)
    order = np.argsort(users, kind="stable")
    data = Interactions(
        users[order], items[order], NOW - chance.random(200) * 1e6, np.ones(200, np.float32), 9, n
    )  # fmt: skip
    matrix = chance.random((n, n)).astype(np.float32)
    np.fill_diagonal(matrix, 0)
    known = np.zeros(n, np.bool_)
    known[:18] = True
    model = item_weights("ease", matrix, known, 1.0)
    experts: tuple[Model, ...] = (quick(model), Nearest(catalogue), Same(Popular().fit(data)))
    return Blend(experts, np.array([0.5, 0.3, 0.2], np.float32))


@pytest.mark.parametrize("rows", [(0, 3, 1, 9), (2, 7, 8, 11, 14, 0), (21,), (22, 1)])
def test_the_quick_blend_and_its_trials_are_the_blend(rows: tuple[int, ...]) -> None:
    slow, asked = blend(), Query(NOW, history=stages.history(*rows))
    fast = QuickBlend(slow)
    items = np.array([r for r in range(24) if r != 5], np.int64)
    candidates = Candidates(items, np.full(len(items), np.nan, np.float32), np.zeros(len(items), np.int64))
    np.testing.assert_allclose(fast.score(asked, candidates), slow.score(asked, candidates), rtol=1e-4, atol=1e-5)
    some = np.array([21, 3, 0])
    np.testing.assert_allclose(
        fast.parts(asked, candidates, some), slow.parts(asked, candidates)[some], rtol=1e-4, atol=1e-5
    )
    trials = fast.score_without(asked, candidates, rows, np.arange(len(items)))
    assert trials.shape == (1 + len(rows), len(items))
    for k, cause in enumerate(rows, 1):
        told = slow.score(without(asked, cause), candidates)
        np.testing.assert_allclose(trials[k], told, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(fast.score_without(asked, candidates, rows, some), trials[:, some], rtol=1e-5, atol=1e-6)
    fast.forget()
    assert fast._memo.worked is None


def clustered(n: int, dim: int = 16) -> np.ndarray:
    chance = np.random.default_rng(0)
    centres = chance.standard_normal((40, dim))
    return unit(centres[chance.integers(0, 40, n)] + 0.6 * chance.standard_normal((n, dim)))


def test_lists_find_what_an_exact_look_finds() -> None:
    vectors, rows = clustered(20_000), np.arange(0, 40_000, 2, dtype=np.int64)
    lists = Lists.build(rows, vectors)
    assert sorted(lists.rows.tolist()) == rows.tolist()
    queries = clustered(40)
    recall = []
    for asked in queries:
        exact = rows[np.argsort(-(vectors @ asked))[:100]]
        recall.append(len(np.intersect1d(lists.near(asked, 100)[0], exact)) / 100)
    assert np.mean(recall) > 0.95
    allowed = np.zeros(40_000, np.bool_)
    allowed[:60] = True
    few = np.sort(lists.near(queries[0], 100, allowed)[0])
    assert few.tolist() == list(range(0, 60, 2))  # a narrow limit is searched to the end
    late = lists.with_row(1, queries[0]).with_row(1, queries[1])
    assert 1 in late.near(queries[1], 5)[0]
    assert len(late.late_rows) == 1


@pytest.mark.parametrize("seed", range(6))
def test_trials_are_levelled_as_each_by_itself(seed: int) -> None:
    """Any pattern of who is silent about what, and experts that weigh nothing."""
    chance = np.random.default_rng(seed)
    k, n, weights = 4, 80, chance.random(4).astype(np.float32) * (chance.random(4) < 0.8)
    told = chance.random((4, n)) < chance.choice([0.3, 0.8, 1.0], 4)[:, None]
    raw = [np.where(told[e], chance.standard_normal((k, n)), np.nan).astype(np.float32) for e in range(4)]
    opinions = [standard_each(scores) for scores in raw]
    each = np.stack([level(np.stack([standard(scores[t]) for scores in raw], 1), weights) for t in range(k)])
    np.testing.assert_allclose(level_each(opinions, weights, n, k), each, rtol=1e-3, atol=1e-4)
    some = chance.permutation(n)[:9]
    np.testing.assert_allclose(level_each(opinions, weights, n, k, some), each[:, some], rtol=1e-3, atol=1e-4)
    if (loops := kernels.compiled()) is not None:
        own = blended_by(loops, np.stack(raw, 1), np.zeros(len(raw), np.bool_), weights, some)
        alike = np.stack([raw[0], *([np.repeat(scores[:1], k, axis=0) for scores in raw[1:]])], 1)
        same = np.arange(len(raw)) > 0  # the first scores of these hold for all
        np.testing.assert_array_equal(
            blended_by(loops, alike, same, weights, some),
            blended_by(loops, alike, np.zeros(len(raw), np.bool_), weights, some),
        )
        np.testing.assert_allclose(own, each[:, some], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lead", [0, 3, 8])
def test_a_stretch_by_score_alone_is_picked_as_one_after_the_other(lead: int) -> None:
    catalogue = stages.library()
    items = np.array([r for r in range(24) if r != 5], np.int64)
    score = np.random.default_rng(lead).choice([0.1, 0.4, 0.5, 0.9], len(items)).astype(np.float32)
    found = MMR(catalogue, 0.6, lead=lead).select(Query(NOW), Candidates(items, score, np.zeros_like(items)), 17)
    order = by_score(score)
    relevance, likeness = stretched(score[order]), Similarity.of(catalogue, items[order])
    picked: list[int] = []
    for place in range(17):
        diversity = 0.0 if place % 10 < lead else 0.6
        near = [likeness.to(np.array([p])) for p in picked]
        gain = (1 - diversity) * relevance - diversity * np.max([np.zeros(len(items)), *near], axis=0)
        gain[picked] = -np.inf
        picked.append(int(np.argmax(gain)))
    assert found.tolist() == order[picked].tolist()
