"""What people of the same group watch: counted, smoothed, joined, and silent where a group is small."""

from __future__ import annotations

import numpy as np
import pytest

from matinee.pipeline import groups
from matinee.pipeline.groups import GroupCounts, groups_in

SIZE = 40


def people(n: int = 200) -> tuple[np.ndarray, np.ndarray, list[tuple[int, dict]]]:
    """Half of them are young; the young watch even items, the others odd ones, all of them item 0. One in ten lives in
    AQ and watches item 38 too; four are painters and watch nothing but item 39."""
    users, items, profiles = [], [], []
    chance = np.random.default_rng(3)
    for user in range(n):
        young, far, painter = user % 2 == 0, user % 10 == 4, user % 50 == 7
        own = [39] if painter else [0, *chance.choice(np.arange(1 if young else 2, 37, 2) + 1, 8, replace=False)]
        own += [38] if far else []
        users += [user] * len(own)
        items += own
        profile = {"age": 20 if young else 41.5, "country": "aq" if far else "CN"}
        profiles.append((user, profile | ({"occupation": "painter"} if painter else {})))
    return np.array(users), np.array(items), profiles


@pytest.fixture(scope="module")
def counts() -> GroupCounts:
    return GroupCounts.of(*people()[:2], SIZE, people()[2])


def test_groups_of_a_profile() -> None:
    told = {
        "age": 24.9,
        "country": " CN ",
        "vip": True,
        "kids": 2,
        "tags": ["a"],
        "name": "",
        "x": None,
        "y": "z" * 101,
    }
    assert groups_in(told) == (("age", "18-24"), ("country", "cn"), ("vip", "true"), ("kids", "2"))
    bands = {0: "0-17", 17.99: "0-17", 18: "18-24", 25: "25-34", 64: "55-64", 65: "65+", 149: "65+"}
    assert {age: dict(groups_in({"age": age}))["age"] for age in bands} == bands
    assert groups_in({"age": -1}) == groups_in({"age": 200}) == groups_in({"age": float("nan")}) == ()
    assert groups_in({"age": "Adult"}) == (("age", "adult"),)


def test_what_a_group_watches_comes_first(counts: GroupCounts) -> None:
    for age, parity in ((20, 0), (40, 1)):
        lift = counts.lift({"age": age})
        best = np.argsort(-np.nan_to_num(lift.score, nan=-1))[:12]
        assert 0 in best[:1]  # what everybody watches stays first
        assert (best[1:] % 2 == parity).all()
        assert {lift.reason(int(row)) for row in best[1:]} == {"age"}
        assert lift.reason(0) == ""  # which the group does no more than others
    assert np.isnan(counts.lift({"age": 20}).scores(np.array([1, -1, 10**9]))).all()  # nobody, nothing, out of reach


def test_several_groups_speak_together(counts: GroupCounts) -> None:
    young, far, both = (counts.lift(p) for p in ({"age": 20}, {"country": "AQ"}, {"age": 20, "country": "AQ"}))
    assert both.reason(38) == "country"
    assert both.reason(2) == "age"
    assert far.scores(np.array([38]))[0] > young.scores(np.array([38]))[0]
    plain = counts.everybody
    known = plain > 0
    expected = np.log(young.score[known] / plain[known]) + np.log(far.score[known] / plain[known])
    assert np.allclose(np.log(both.score[known] / plain[known]), expected, atol=1e-4)


def test_a_small_group_is_never_used_or_told(counts: GroupCounts) -> None:
    assert counts.lift({"occupation": "painter"}) is None  # four people
    assert counts.lift({"occupation": "nobody's", "age": -3}) is None
    beside, alone = counts.lift({"age": 20, "occupation": "painter"}), counts.lift({"age": 20})
    assert np.array_equal(beside.score, alone.score, equal_nan=True)
    users, items, profiles = people()
    loose = GroupCounts.of(users, items, SIZE, profiles, least=4)  # the control
    assert loose.lift({"occupation": "painter"}).reason(39) == "occupation"
    crowd = [(row, profile | {"town": "x"} if row < 12 else profile) for row, profile in profiles]
    town = GroupCounts.of(users, items, SIZE, crowd).lift({"town": "x"})
    told = [row for row in range(SIZE) if town.reason(row)]
    watchers = [len(set(users[(items == row) & (users < 12)].tolist())) for row in told]
    assert all(n >= 10 for n in watchers)  # twelve people are a group, but what three of them watch is not told
    assert any(town.score[row] > counts.everybody[row] * 1.1 for row in range(1, SIZE) if row not in told)


def test_small_groups_do_not_decide(counts: GroupCounts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten people who by chance watched one odd thing do not put it before what everybody watches; unsmoothed it is
    level with it."""
    users, items, _ = people()
    odd = [(row, {"club": "x"}) for row in range(0, 20, 2)]
    users, items = np.append(users, [row for row, _ in odd]), np.append(items, [37] * 10)
    smooth = GroupCounts.of(users, items, SIZE, odd).lift({"club": "x"})
    assert smooth.score[37] < smooth.score[0]
    monkeypatch.setattr(groups, "SMOOTH", 0.001)
    monkeypatch.setattr(groups, "HOLD", 1.0)
    rash = GroupCounts.of(users, items, SIZE, odd).lift({"club": "x"})
    assert rash.score[37] > 0.9 * rash.score[0]
    assert rash.score[37] > 2 * smooth.score[37]


def test_a_person_counts_once_however_often_they_watch() -> None:
    users, items, profiles = people()
    again = GroupCounts.of(np.tile(users, 5), np.tile(items, 5), SIZE, profiles)
    once = GroupCounts.of(users, items, SIZE, profiles)
    assert np.array_equal(again.lift({"age": 20}).score, once.lift({"age": 20}).score, equal_nan=True)
    assert again.everybody.tolist() == once.everybody.tolist()


def test_nothing_at_all() -> None:
    none = np.empty(0, np.int64)
    assert GroupCounts.of(none, none, 0, []).lift({"age": 20}) is None
    alone = GroupCounts.of(none, none, 5, [(row, {"age": 20}) for row in range(50)])
    assert alone.lift({"age": 20}) is None  # a group that watched nothing says nothing
    strangers = GroupCounts.of(np.zeros(3, np.int64), np.arange(3), 5, [(row, {"age": 20}) for row in range(7, 50)])
    lift = strangers.lift({"age": 20})
    assert np.allclose(lift.score[:3], 1.0)
