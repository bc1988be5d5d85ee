"""Every fusion keeps its promises, and finds what is known: made items whose modalities show one hidden taste."""

from __future__ import annotations

import io

import numpy as np
import pytest

from matinee.encoders.fuse import CCA, FUSIONS, PLAIN, Concat, Fuser, centred, fit_fusion, load_fusion, mean_of, unit
from matinee.encoders.fuse_learned import FEWEST, Contrastive, foretelling, info_nce, pairs, teacher
from matinee.errors import MatineeError
from matinee.types import Interactions

GROUPS, EACH, USERS = 4, 40, 300
N = GROUPS * EACH
LEARNED = ("gated", "ridge", "beside", "contrastive")


def made(seed=0):
    """160 items of 4 groups. ``text`` and ``sound`` show the group through noise of many more columns; ``frames`` is
    noise alone. Users watch one group. Every fifth item lacks text, every seventh sound, item 3 everything; the last
    eight items of each group were never watched."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(GROUPS), EACH)
    taste = np.eye(GROUPS)[group]
    features = {
        "text": taste @ rng.normal(size=(GROUPS, 24)) + 1.3 * rng.normal(size=(N, 24)) + 3,
        "sound": taste @ rng.normal(size=(GROUPS, 16)) + 1.3 * rng.normal(size=(N, 16)),
        "frames": 6 * rng.normal(size=(N, 40)),
    }
    features = {m: unit(x.astype(np.float32)) for m, x in features.items()}
    features["text"][::5] = np.nan
    features["sound"][::7] = np.nan
    for x in features.values():
        x[3] = np.nan
    watched = [np.sort(rng.choice(np.flatnonzero(group == u % GROUPS)[:-8], 8, replace=False)) for u in range(USERS)]
    items = np.concatenate(watched).astype(np.int64)
    users = np.repeat(np.arange(USERS), 8).astype(np.int64)
    at, ones = np.arange(len(items), dtype=np.float64), np.ones(len(items), np.float32)
    return Interactions(users, items, at, ones, USERS, N, features), group


DATA, GROUP = made()


def purity(rows, of=None):
    """The share of same-group items among each item's five nearest."""
    asked = np.arange(N) if of is None else of
    there = np.isfinite(rows).all(1)
    cosine = np.nan_to_num(rows) @ np.nan_to_num(rows).T
    np.fill_diagonal(cosine, -2)
    cosine[:, ~there] = -2
    asked = asked[there[asked]]
    near = np.argsort(-cosine[asked], axis=1)[:, :5]
    return float((GROUP[near] == GROUP[asked, None]).mean())


@pytest.fixture(scope="module")
def fusers():
    return {name: load_fusion(name).fit(DATA) for name in FUSIONS}


@pytest.mark.parametrize("name", list(FUSIONS))
class TestEveryFusion:
    def test_gives_unit_rows_and_nan_where_nothing_is_known(self, fusers, name):
        rows = fusers[name].fuse(DATA.features)
        assert rows.shape == (N, fusers[name].dim)
        assert rows.dtype == np.float32
        assert np.isnan(rows[3]).all()
        rest = np.delete(rows, 3, axis=0)
        assert np.allclose(np.linalg.norm(rest, axis=1), 1, atol=1e-4)

    def test_takes_items_that_lack_modalities_and_features_that_are_not_there(self, fusers, name):
        for kept in (["text"], ["sound", "frames"], ["text", "sound"]):
            some = {m: DATA.features[m] for m in kept}
            rows = fusers[name].fuse({**some, "smell": np.zeros((N, 2), np.float32)})
            there = np.any([np.isfinite(x).all(1) for x in some.values()], axis=0)
            assert np.array_equal(np.isfinite(rows).all(1), there)
        assert fusers[name].fuse({}).shape == (0, fusers[name].dim)

    def test_a_row_is_the_same_alone_and_in_company(self, fusers, name):
        together = fusers[name].fuse(DATA.features)
        order = np.random.default_rng(1).permutation(N)
        mixed = fusers[name].fuse({m: x[order] for m, x in DATA.features.items()})
        assert np.allclose(mixed, together[order], atol=1e-5, equal_nan=True)
        one = fusers[name].fuse({m: x[7:8] for m, x in DATA.features.items()})
        assert np.allclose(one[0], together[7], atol=1e-5, equal_nan=True)

    def test_is_restored_from_its_arrays(self, fusers, name):
        buffer = io.BytesIO()
        np.savez(buffer, **fusers[name].arrays())
        buffer.seek(0)
        with np.load(buffer, allow_pickle=False) as arrays:
            again = Fuser.from_arrays(name, dict(arrays))
        assert np.array_equal(again.fuse(DATA.features), fusers[name].fuse(DATA.features), equal_nan=True)

    def test_is_fitted_the_same_twice(self, fusers, name):
        again = load_fusion(name).fit(DATA).fuse(DATA.features)
        assert np.array_equal(again, fusers[name].fuse(DATA.features), equal_nan=True)

    def test_does_not_depend_on_how_items_are_numbered(self, fusers, name):
        order = np.random.default_rng(2).permutation(N)  # the new row of old item order[k] is k
        place = np.argsort(order)
        moved = Interactions(
            DATA.users, place[DATA.items].astype(np.int64), DATA.at, DATA.strength, USERS, N,
            {m: x[order] for m, x in DATA.features.items()},
        )  # fmt: skip
        a = fusers[name].fuse(DATA.features)[order]
        b = load_fusion(name).fit(moved).fuse(moved.features)
        rows = np.flatnonzero(np.isfinite(a).all(1))
        loose = 0.3 if name == "gated" else 0.05  # the halves that gates are checked on are drawn by row
        assert np.abs(a[rows] @ a[rows].T - b[rows] @ b[rows].T).max() < loose

    def test_two_modalities_together_beat_either(self, fusers, name):
        """``frames`` is noise: ways that learn must hear it out, ways that do not are told nothing of it."""
        data = DATA if name in LEARNED else Interactions(
            DATA.users, DATA.items, DATA.at, DATA.strength, USERS, N,
            {m: DATA.features[m] for m in ("text", "sound")},
        )  # fmt: skip
        way = CCA(power=4) if name == "cca" else load_fusion(name)  # two modalities, more axes than they have columns
        fused = purity(way.fit(data).fuse(data.features))
        assert fused > max(purity(DATA.features[m]) for m in ("text", "sound")), fused

    def test_refuses_another_width_and_nothing_at_all(self, fusers, name):
        with pytest.raises(MatineeError) as error:
            fusers[name].fuse({**DATA.features, "text": DATA.features["text"][:, :5]})
        assert error.value.code == "fusion.shape"
        empty = Interactions(DATA.users, DATA.items, DATA.at, DATA.strength, USERS, N, {})
        with pytest.raises(MatineeError) as error:
            load_fusion(name).fit(empty)
        assert error.value.code == "fusion.no_features"


@pytest.mark.parametrize("name", LEARNED)
def test_what_was_learned_reaches_items_never_watched(fusers, name):
    cold = np.flatnonzero(np.bincount(DATA.items, minlength=N) == 0)
    assert len(cold) >= GROUPS
    plain = purity(load_fusion(PLAIN).fit(DATA).fuse(DATA.features), cold)
    few = Contrastive(decay=3).fit(DATA)  # 128 items to learn from: held harder than the default, tuned on 3,416
    fuser = few if name == "contrastive" else fusers[name]
    assert purity(fuser.fuse(DATA.features), cold) > plain


@pytest.mark.parametrize("name", LEARNED)
def test_too_little_watched_is_said_and_the_plain_way_stands_in(name):
    few = DATA.items < FEWEST - 4
    data = Interactions(
        DATA.users[few], DATA.items[few], DATA.at[few], DATA.strength[few], USERS, N, DATA.features
    )  # fmt: skip
    with pytest.raises(MatineeError) as error:
        load_fusion(name).fit(data)
    assert error.value.code == "fusion.few_watches"
    assert fit_fusion(data, name).name == PLAIN
    assert fit_fusion(DATA, name).name == name


def test_concat_is_the_weighted_mean_of_cosines():
    rng = np.random.default_rng(5)
    a, b = (unit(rng.normal(size=(30, d)).astype(np.float32)) for d in (6, 9))
    none = np.empty(0, np.int64)
    data = Interactions(none, none, np.empty(0), np.empty(0, np.float32), 0, 30, {"a": a, "b": b})
    rows = Concat({"a": 2.0}).fit(data).fuse(data.features)
    x, y = (unit(v - v.mean(0)) for v in (a, b))
    assert np.allclose(rows @ rows.T, (4 * x @ x.T + y @ y.T) / 5, atol=1e-5)


def test_the_gate_believes_the_modality_that_tells(fusers):
    fuser = fusers["gated"]
    rows = [fuser._rows(m, DATA.features, N) for m in fuser.parts]
    gates = fuser._gates([x for x, _ in rows], np.stack([there for _, there in rows], axis=1))
    full = np.all([np.isfinite(x).all(1) for x in DATA.features.values()], axis=0)
    share = dict(zip(fuser.parts, gates[full].mean(0), strict=True))
    assert share["frames"] < min(share["text"], share["sound"])
    known = np.delete(np.arange(N), 3)
    assert np.allclose(gates[known].sum(1), 1, atol=1e-5)
    assert (gates[3] == 0).all()


def test_the_teacher_is_correspondence_analysis():
    """Against the definition: the singular vectors of (P - r c') / sqrt(r c'), over the root of the column mass."""
    rows, goal, count = teacher(DATA, 3, np.ones(N, bool))
    table = np.zeros((USERS, N))
    table[DATA.users, DATA.items] = 1
    table = table[:, rows]
    share = table / table.sum()
    r, c = share.sum(1), share.sum(0)
    residual = (share - np.outer(r, c)) / np.sqrt(np.outer(r, c))
    _, s, v = np.linalg.svd(residual, full_matrices=False)
    expected = v[:3].T * s[:3] / np.sqrt(c)[:, None]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.array_equal(count, table.sum(0))
    assert np.abs(goal @ goal.T - expected @ expected.T).max() < 1e-3


def test_the_sparse_and_the_dense_teacher_agree():
    data, _ = made(4)
    three = Interactions(
        np.concatenate([data.users, data.users + USERS]), np.concatenate([data.items, data.items + N]),
        np.concatenate([data.at, data.at]), np.concatenate([data.strength] * 2), 2 * USERS, 2 * N, {},
    )  # fmt: skip
    rows, goal, _ = teacher(three, 7, np.ones(2 * N, bool))  # 316 items: the sparse way; 8 groups: 7 singular values 1
    group = np.tile(GROUP, 2) + GROUPS * (np.arange(2 * N) >= N)
    same = group[rows][:, None] == group[rows][None, :]
    cosine = goal @ goal.T
    assert cosine[same].min() > 0.9
    assert cosine[~same].max() < 0.1


def test_the_slope_of_info_nce_is_its_slope():
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(12, 5)), rng.normal(size=(5, 3))
    together = rng.random((12, 12))
    np.fill_diagonal(together, 0)
    together /= together.sum(1, keepdims=True)
    logits = np.log(rng.random(12))[None, :]
    _, slope = info_nce(x, w, together, logits, 0.5)
    for k in range(15):
        step = np.zeros(15)
        step[k] = 1e-5
        up, down = (info_nce(x, w + s * step.reshape(5, 3), together, logits, 0.5)[0] for s in (1, -1))
        assert abs((up - down) / 2e-5 - slope.ravel()[k]) < 1e-4


def test_pairs_share_out_a_watch_among_the_rest_of_the_shelf():
    data = Interactions(
        np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 0, 1]), np.arange(5.0), np.ones(5, np.float32), 2, 4, {}
    )
    together, share = pairs(data, np.arange(4))
    assert np.allclose(together[0], [0, 0.75, 0.25, 0])  # 1/2 + 1 against 1/2
    assert together[3].sum() == 0
    assert np.isclose(share.sum(), 1)


def test_an_unknown_fusion_names_those_there_are():
    with pytest.raises(MatineeError, match="concat, additive"):
        load_fusion("blender")


def test_telling_modalities_weigh_more_than_noise():
    rows, goal, _ = teacher(DATA, 16, np.isfinite(DATA.features["text"]).all(1))
    x = {m: centred(v, mean_of(v))[0][rows] for m, v in DATA.features.items()}
    weights = dict(zip(x, foretelling(list(x.values()), goal), strict=True))
    assert np.isclose(sum(weights.values()), 1)
    assert weights["frames"] < 0.1 < min(weights["text"], weights["sound"])
