"""Each compiled loop says what NumPy says, whatever it is given, and leaves its scratch memory as it found it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from matinee import kernels
from matinee.errors import MatineeError
from matinee.index.exact import highest
from matinee.index.lists import Lists
from matinee.kernels.memory import LARGE, large
from matinee.pipeline.neighbours import Neighbours
from matinee.pipeline.places import MARKS, ZEROS
from matinee.pipeline.reasons import MOST, _heaviest
from matinee.pipeline.recommender import union
from matinee.pipeline.selectors import MMR
from matinee.pipeline.shelf import Shelf
from matinee.pipeline.taste import Told
from matinee.types import Candidates, Floats, History, Ints, Query, Space
from tests.contracts import stages
from tests.contracts.stages import NOW, unit

pytest.importorskip("numba", reason="the extra 'fast' is not installed")
N = 30
FEW = (-1.0, 0.0, 0.5, 1.0, 2.0)


@pytest.fixture(autouse=True, scope="module")
def compiled() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(kernels.OFF, "1")
        assert kernels.start()
        yield
        kernels.stop()


def both(work):
    """What the compiled form gives, and NumPy's."""
    loops = kernels.HELD.loops
    assert loops is not None
    compiled = work()
    kernels.HELD.loops = None
    try:
        return compiled, work()
    finally:
        kernels.HELD.loops = loops


numbers = st.floats(-1e3, 1e3, width=32) | st.sampled_from([0.0, -0.0, 1.0, 1e30, -1e30, float("inf"), float("nan")])


@settings(max_examples=300, deadline=None)
@given(arrays(np.float32, st.integers(0, 80), elements=numbers), st.integers(-1, 90), st.booleans(), st.data())
def test_the_best_are_those_of_a_sort(score: Floats, n: int, tied: bool, data: st.DataObject) -> None:
    ties = np.array(data.draw(st.permutations(range(len(score)))), np.int64) if tied else None
    fast, plain = both(lambda: highest(score, n, ties))
    known = [i for i in range(len(score)) if not np.isnan(score[i])]
    expected = sorted(known, key=lambda i: (-score[i], i if ties is None else ties[i]))[: max(n, 0)]
    assert fast.tolist() == plain.tolist() == expected


@pytest.mark.parametrize("spread", ["even", "steep", "far", "equal"])
def test_the_best_of_many(spread: str) -> None:
    """More than twice as many as are asked for, where a threshold is looked for first."""
    chance = np.random.default_rng(4)
    for n, k in ((500, 20), (3000, 200), (401, 200), (50, 0)):
        score = chance.standard_normal(n).astype(np.float32)
        score = {"even": score, "steep": np.exp(9 * score), "far": score + 1e6, "equal": score * 0 + 3}[spread]
        score = score.astype(np.float32)
        score[chance.random(n) < 0.1] = np.nan
        fast, plain = both(lambda score=score, k=k: highest(score, k))
        told = np.flatnonzero(~np.isnan(score))
        assert fast.tolist() == plain.tolist() == told[np.argsort(-score[told], kind="stable")][:k].tolist()


events = st.lists(st.tuples(st.integers(-1, 9), st.sampled_from([0.0, 0.3, 1.0, -1.0, -0.3])), max_size=40)


@settings(max_examples=200, deadline=None)
@given(events)
def test_a_past_is_told_the_same(given_: list[tuple[int, float]]) -> None:
    items = np.array([item for item, _ in given_], np.int64)
    strength = np.array([strength for _, strength in given_], np.float32)
    past = History(items, np.arange(len(items), dtype=np.float64), strength, np.zeros(len(items), np.int64))
    fast, plain = both(lambda: Told._of(past))
    assert fast.at.tolist() == plain.at.tolist()
    assert fast.items.tolist() == plain.items.tolist()
    assert fast.strength.dtype == np.float32
    np.testing.assert_array_equal(fast.strength, plain.strength)


def pools_of(given_: list[list[int]]) -> list[Candidates]:
    return [
        Candidates(np.array(rows, np.int64), np.full(len(rows), np.nan, np.float32), np.zeros(len(rows), np.int64))
        for rows in given_
    ]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.integers(0, N), max_size=12, unique=True), max_size=6))
def test_the_union_names_each_once_by_its_first_source(given_: list[list[int]]) -> None:
    fast, plain = both(lambda: union(pools_of(given_)))
    first: dict[int, int] = {}
    for source, rows in enumerate(given_):
        for row in rows:
            first.setdefault(row, source)
    assert fast.items.tolist() == plain.items.tolist() == list(first)
    assert fast.source.tolist() == plain.source.tolist() == list(first.values())


@pytest.mark.parametrize(
    ("broken", "said"),
    [([1, 4, 1], "twice"), ([1, -4], "negative"), ([1, 2], "infinite"), ([3], "differ in length"), ([5], "float64")],
)
def test_a_broken_source_is_named_in_either_form(broken: list[int], said: str) -> None:
    good, bad = pools_of([[1, 2, 3], broken])
    score = {"infinite": np.float32([0, np.inf]), "differ in length": np.empty(3, np.float32), "float64": np.ones(1)}
    bad = bad if said not in score else Candidates(bad.items, score[said], bad.source)

    def refusal() -> str:
        with pytest.raises(MatineeError, match="'bad'") as caught:
            union([good, bad], ["good", "bad"])
        return caught.value.en

    fast, plain = both(refusal)
    assert fast == plain
    assert said in fast


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(-1, N), max_size=20), st.lists(st.integers(0, N), max_size=20))
def test_marks_are_a_set_and_are_down_again(others: list[int], items: list[int]) -> None:
    for _ in range(2):
        found = MARKS.among(np.array(items, np.int64), np.array(others, np.int64))
        assert found.tolist() == [item in others for item in items]


def test_marks_take_no_memory_for_rows_that_no_candidate_has() -> None:
    """A page token may name any number below 2^32."""
    found = MARKS.among(np.array([3, 9], np.int64), np.array([2**32 - 1, 9, 2**40], np.int64))
    assert found.tolist() == [False, True]
    assert len(MARKS._held) < 2**20


def neighbours(chance: np.random.Generator, wide: bool) -> Neighbours:
    dense = chance.standard_normal((N, N)).astype(np.float32) * (chance.random((N, N)) < 0.3)
    columns = [np.flatnonzero(row) for row in dense]
    starts = np.concatenate([[0], np.cumsum([len(c) for c in columns])]).astype(np.int64)
    values = np.concatenate([dense[r, c] for r, c in enumerate(columns)]).astype(np.float32)
    kind = np.int64 if wide else np.int32
    return Neighbours("x", values, starts, np.concatenate(columns).astype(kind), chance.random(N) < 0.8, 0.7, 0.95)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_sums_cells_and_terms_are_the_same(seed: int, wide: bool) -> None:
    chance = np.random.default_rng(seed)
    model, m = neighbours(chance, wide), int(chance.integers(0, 12))
    past = chance.choice([1.0, 0.5, -1.0], m).astype(np.float32)
    history = History(chance.integers(0, N + 3, m), np.arange(m, dtype=np.float64), past, np.zeros(m, np.int64))
    asked, items = Query(NOW, history=history), chance.permutation(N + 4)[: int(chance.integers(0, 25))]
    picked = chance.permutation(len(items))[:6].astype(np.int64)
    causes = list(dict.fromkeys(history.items.tolist()))[:4]

    def work() -> list[Ints | Floats]:
        table, found = model.table(asked, items), model.retrieve(asked, 7)
        between = model.between(np.arange(0, N, 3), np.arange(1, N, 2))
        return [table.scores(), table.scores(causes), table.terms(picked)[""], found.items, found.score, between]

    for fast, plain in zip(*both(work), strict=True):
        assert fast.shape == plain.shape
        np.testing.assert_allclose(fast, plain, rtol=1e-4, atol=1e-5)
    assert not ZEROS.places(N + 4).any()
    assert not ZEROS.sums(N).any()


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 9))
def test_products_are_the_same(seed: int, k: int) -> None:
    chance = np.random.default_rng(seed)
    rows = np.flatnonzero(chance.random(N) < 0.7).astype(np.int64)
    vectors = unit(chance.standard_normal((max(len(rows), 1), 11)))[: len(rows)]
    if not len(rows):
        return
    shelf = Shelf.build(Space("text", "r", 11), rows, vectors.astype(np.float32), N)
    profiles = chance.standard_normal((k, 11)).astype(np.float32)
    places = shelf.places(chance.integers(-2, N + 3, 40))
    fast, plain = both(lambda: shelf.each(profiles, places))
    np.testing.assert_allclose(fast, plain, rtol=1e-4, atol=1e-5)
    assert not fast[:, places < 0].any()


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.05, 0.2, 0.7, 1.0]), st.sampled_from([0, 3, 9]))
def test_a_varied_slate_is_the_same(seed: int, diversity: float, lead: int) -> None:
    """By one space in which all have a vector, which is what the loop is for; scores may be missing or alike."""
    library, chance = stages.library(), np.random.default_rng(seed)
    catalogue = replace(library, shelves={"text": library.shelves["text"]})
    items = chance.permutation([row for row in range(20) if row != 5])[: int(chance.integers(1, 19))].astype(np.int64)
    score = np.round(chance.random(len(items)), 1).astype(np.float32)
    score[chance.random(len(items)) < 0.1] = np.nan
    pool = Candidates(items, score, np.zeros(len(items), np.int64))
    selector, n = MMR(catalogue, diversity, window=int(chance.integers(1, 30)), lead=lead), int(chance.integers(0, 24))
    fast, plain = both(lambda: selector.select(Query(NOW), pool, n))
    assert fast.tolist() == plain.tolist()


@settings(max_examples=100, deadline=None)
@given(arrays(np.float32, st.tuples(st.integers(0, 6), st.integers(1, 9)), elements=st.sampled_from(FEW)))
def test_the_heaviest_terms_are_the_same(term: Floats) -> None:
    liked = np.arange(term.shape[1]) % 3 > 0

    def work() -> tuple[Ints, Floats, Floats]:
        whole = np.full(len(term), 0.25)
        top, heavy = _heaviest(term, liked, whole)
        return np.where(heavy > 0, top, -1), heavy, whole  # of those that weigh nothing any may stand there

    (top, heavy, whole), plain = both(work)
    for fast, slow in zip((top, heavy, whole), plain, strict=True):
        np.testing.assert_allclose(fast, slow)
    assert top.shape == (len(term), min(MOST, term.shape[1]))


def test_lists_give_a_rows_last_vector_and_each_row_once() -> None:
    chance = np.random.default_rng(2)
    vectors = unit(chance.standard_normal((600, 16))).astype(np.float32)
    rows = np.arange(600, dtype=np.int64)
    for work in both(lambda: Lists.build(rows, vectors).with_row(3, -vectors[3]).with_row(700, vectors[3])):
        found, score = work.near(vectors[3], 40, np.ones(701, np.bool_))
        assert found[0] == 700
        assert 3 not in found  # it was nearest by the vector that it has no more
        assert len(set(found.tolist())) == len(found) == 40
        assert (np.diff(score) <= 0).all()


@pytest.mark.parametrize("shape", [(3, 5), (LARGE // 32, 9), (0, 4)])
def test_large_arrays_are_zeros_that_can_be_written(shape: tuple[int, ...]) -> None:
    array = large(shape, np.float32)
    assert array.shape == shape
    assert not array.any()
    array += 1
    assert array.sum() == array.size
