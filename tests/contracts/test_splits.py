"""Nothing of the test leaks into training, and every way to split does what it says."""

import numpy as np
import pytest

from matinee.data.datasets.frame import Dataset
from matinee.data.splits import SPLITS, make_split, time_fold
from matinee.errors import MatineeError
from matinee.protocols import Log
from matinee.types import EVENT_KINDS

PLAY, HIDE = EVENT_KINDS.index("play"), EVENT_KINDS.index("hide")


def dataset(rows, *, timed=True, ordered=True):
    """rows of (user, item, at[, kind]), any order"""
    rows = [(*r, PLAY)[:4] for r in rows]
    users, items, at, kinds = (np.array(c) for c in zip(*rows, strict=True))
    order = np.lexsort((at, users))
    columns = users[order], items[order], kinds[order], at[order].astype(float), np.full(len(rows), np.nan)
    log = Log(np.arange(len(rows)), *columns)
    ids = [tuple(map(str, range(c.max() + 1))) for c in (users, items)]
    return Dataset("toy", "toy", *ids, log, timed, ordered, {}, (), {})


def crowd(n_users=40, n_items=30, each=12, seed=0):
    rng = np.random.default_rng(seed)
    at = rng.integers(0, 900, (n_users, each))
    items = [rng.permutation(n_items)[:each] for _ in range(n_users)]
    return dataset([(u, items[u][j], at[u, j]) for u in range(n_users) for j in range(each)])


def triples(data):
    return set(zip(data.users.tolist(), data.items.tolist(), data.at.tolist(), strict=True))


@pytest.mark.parametrize("name", SPLITS)
def test_no_target_is_in_training_or_in_its_own_history(name):
    split = make_split(crowd(), name, seed=3)
    for fold in (split.tune, split.test):
        known = set(zip(fold.train.users.tolist(), fold.train.items.tolist(), strict=True))
        cases = fold.cases
        assert len(cases) > 0
        for c in range(len(cases)):
            history = cases.history_of(c)
            targets = set(cases.targets_of(c).tolist())
            assert targets
            assert not targets & set(history.items.tolist())
            assert cases.candidates[list(targets)].all()
            assert (history.at < cases.now[c]).all()
            assert (np.diff(history.at) >= 0).all()
            assert not {(int(cases.users[c]), t) for t in targets} & known


@pytest.mark.parametrize("name", SPLITS)
def test_tuning_sees_no_test_target(name):
    split = make_split(crowd(), name, seed=3)
    hidden = {
        (int(u), t) for c, u in enumerate(split.test.cases.users) for t in split.test.cases.targets_of(c).tolist()
    }
    seen = set(zip(split.tune.train.users.tolist(), split.tune.train.items.tolist(), strict=True))
    cases = split.tune.cases
    for c, user in enumerate(cases.users):
        seen |= {(int(user), i) for i in [*cases.targets_of(c).tolist(), *cases.history_of(c).items.tolist()]}
    assert not hidden & seen


@pytest.mark.parametrize("name", SPLITS)
def test_the_same_seed_gives_the_same_split(name):
    a, b = make_split(crowd(), name, seed=1), make_split(crowd(), name, seed=1)
    assert triples(a.test.train) == triples(b.test.train)
    assert a.test.cases.targets.tolist() == b.test.cases.targets.tolist()
    assert a.counts == b.counts


def test_time_trains_on_nothing_after_the_moment():
    data = crowd()
    split = make_split(data, "time")
    cut = np.quantile(data.log.at, 0.9, method="higher")
    assert split.test.train.at.max() < cut <= split.test.cases.now.min()
    assert len(split.test.train) == (data.log.at < cut).sum()
    assert len(set(split.test.cases.users.tolist())) == len(split.test.cases)
    assert split.tune.cases.now.max() < cut
    many = make_split(data, "time-successive")
    assert len(many.test.cases) == (data.log.at >= cut).sum()


def test_time_does_not_know_what_happened_at_the_targets_own_second():
    rows = [(0, i, i) for i in range(18)] + [(1, 0, 5), (1, 1, 100), (1, 2, 100)]
    cases = make_split(dataset(rows), "time").test.cases
    one = cases.users.tolist().index(1)
    assert cases.history_of(one).items.tolist() == [0]
    assert cases.targets_of(one).tolist() == [2]


def test_a_rolling_moment_trains_on_what_lies_before_it_and_asks_the_share_after():
    data = crowd()
    at = data.log.at
    fold = time_fold(data, 0.5, 0.6)
    cut, until = np.quantile(at, [0.5, 0.6], method="higher")
    assert fold.train.at.max() < cut
    assert len(fold.train) == (at < cut).sum()
    assert (fold.cases.now >= cut).all()
    assert (fold.cases.now < until).all()
    last = time_fold(data, 0.9, 1.0)
    assert last.cases.now.max() == at.max()
    few = time_fold(data, 0.5, 0.6, most=5)
    assert 0 < len(few.cases) <= 5


def test_leave_one_out_by_hand():
    rows = [(0, 3, 1), (0, 1, 2), (0, 2, 3), (0, 4, 3), (1, 0, 1), (1, 2, 2)]
    rows += [(2, 0, 9, HIDE), (2, 1, 10), (2, 3, 11), (2, 4, 12)]
    split = make_split(dataset(rows), "leave-one-out")
    test, valid = split.test.cases, split.tune.cases
    assert split.counts["users_with_under_3_events"] == 1
    assert test.users.tolist() == valid.users.tolist() == [0, 2]
    assert test.targets.tolist() == [4, 4]
    assert valid.targets.tolist() == [2, 3]
    assert test.history_of(0).items.tolist() == [3, 1, 2]  # a tie with the target: the file's order decides
    assert test.now[0] > 3
    assert test.history_of(0, last=1).items.tolist() == [2]
    assert test.history_of(1).strength.tolist() == [-1, 0.5, 0.5]
    assert triples(split.test.train) == {(0, 3, 1), (0, 1, 2), (1, 0, 1), (1, 2, 2), (2, 0, 9), (2, 1, 10)}


def test_cold_items_are_unseen_and_alone():
    split = make_split(crowd(), "cold-items", seed=2)
    cold = set(np.flatnonzero(split.test.cases.candidates).tolist())
    assert len(cold) == 6
    assert not cold & set(split.test.train.items.tolist())
    assert set(split.test.cases.targets.tolist()) <= cold
    assert make_split(crowd(), "cold-items-all", seed=2).test.cases.candidates.all()


def test_cold_users_are_unseen_and_show_four_fifths():
    split = make_split(crowd(), "cold-users", seed=2)
    users = set(split.test.cases.users.tolist())
    assert len(users) == 8
    assert not users & set(split.test.train.users.tolist())
    assert all(len(split.test.cases.history_of(c)) == 10 for c in range(8))
    assert np.diff(split.test.cases.bounds).tolist() == [2] * 8


def test_repeats_are_not_asked_and_counted():
    rows = [(0, i, i) for i in range(19)] + [(0, 3, 30)]
    with pytest.raises(MatineeError, match="nothing to ask"):
        make_split(dataset(rows), "leave-one-out")
    split = make_split(dataset([*rows, (1, 0, 1), (1, 1, 2), (1, 2, 3)]), "leave-one-out")
    assert split.counts["repeated_targets"] == 1
    assert split.test.cases.users.tolist() == [1]


def test_what_a_split_needs_and_the_nearest_name():
    untimed = dataset([(0, i, i) for i in range(9)], timed=False)
    with pytest.raises(MatineeError, match="needs time") as error:
        make_split(untimed, "time")
    assert error.value.code == "split.needs"
    with pytest.raises(MatineeError, match="needs order"):
        make_split(dataset([(0, i, 0) for i in range(9)], timed=False, ordered=False), "leave-one-out")
    with pytest.raises(MatineeError, match="'leave-one-out'"):
        make_split(untimed, "leave_one_out")
