"""Each model against the plainest way to the same numbers, and what is special to one."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix, vstack

from matinee.errors import MatineeError
from matinee.models import RECIPES, ease, load_model, load_recipe, memories
from matinee.models.als import solve_rows
from matinee.models.blend import FLOOR, Blend, learn_weights, level, standard
from matinee.models.common import positives
from matinee.models.default import SPARE, experts
from matinee.models.holdout import latest_slice
from matinee.models.linear import item_weights
from matinee.models.marec import ridged
from matinee.models.ranked import RankedModel
from matinee.models.ridge import moments
from matinee.models.symmetric import few_people, half_hat, hat, inverted
from matinee.models.trees import from_dump
from matinee.types import Candidates, Interactions
from tests.contracts.checkerboard import ITEMS, START, checkerboard, colours, log, query

DAY = 86400.0


def every(items) -> Candidates:
    items = np.asarray(items, np.int64)
    return Candidates(items, np.full(len(items), np.nan, np.float32), np.zeros(len(items), np.int64))


def noise(seed=3, n_users=60, n_items=40, events=900):
    rng = np.random.default_rng(seed)
    users, items = rng.integers(0, n_users, events), rng.zipf(1.6, events) % n_items
    strength = rng.choice([1, 0.6, -1, 0], events)
    rows = [(int(users[t]), int(items[t]), START + t * 60.0, float(strength[t])) for t in range(events)]
    return log(rows, n_users, n_items)


def faded(data, fade):
    """(users, items) float64: each pair's newest positive row, root of strength x (1 + rank)^-fade, the slow way."""
    x = np.zeros((data.n_users, data.n_items))
    for user in range(data.n_users):
        latest, strength = {}, {}
        for place in np.flatnonzero(data.users == user):
            item = int(data.items[place])
            if data.strength[place] > 0:
                latest[item] = place
                strength[item] = max(strength.get(item, 0.0), float(data.strength[place]))
        for rank, item in enumerate(sorted(latest, key=latest.get, reverse=True)):
            x[user, item] = strength[item] ** 0.5 * (1 + rank) ** -fade
    return x


def test_ease_solves_each_columns_normal_equations() -> None:
    data = noise()
    x, n = faded(data, 0.5), data.n_items
    weights = load_recipe("ease", {"ridge": 3.0}).fit(data, seed=0).values
    for item in range(n):
        others = np.setdiff1d(np.arange(n), item)  # ridge regression of the item on all the others
        a = x[:, others]
        solved = np.linalg.solve(a.T @ a + 3.0 * np.eye(n - 1), a.T @ x[:, item])
        np.testing.assert_allclose(weights[others, item], solved, atol=2e-5)
    assert not np.diag(weights).any()


@pytest.mark.parametrize("n_items", [90, 4200])
def test_ease_of_few_people_is_the_same_by_their_square(n_items, monkeypatch) -> None:
    data = noise(n_users=30, n_items=n_items, events=3000)
    short = load_recipe("ease", {"ridge": 3.0}).fit(data, seed=0)
    monkeypatch.setattr(ease, "few_people", lambda x: False)
    long = load_recipe("ease", {"ridge": 3.0}).fit(data, seed=0)
    for asked in (query([1, 5, 7]), query([2])):
        expected = long.score(asked, every(range(n_items)))
        assert np.nanmax(np.abs(expected)) > 0.01
        np.testing.assert_allclose(short.score(asked, every(range(n_items))), expected, atol=2e-5)


def test_a_started_ials_is_in_one_round_where_chance_is_not_yet() -> None:
    data = checkerboard()
    x = faded(data, 0.0).astype(np.float32)
    left = {}
    for passes in (0, 2):
        model = load_recipe("ials", {"dims": 2, "rounds": 1, "passes": passes, "fade": 0.0}).fit(data, seed=0)
        basis = np.linalg.qr(model.items.astype(np.float64))[0]
        left[passes] = np.square(x - x @ basis @ basis.T).sum()
    singular = np.linalg.svd(x, compute_uv=False)
    best = np.square(singular[2:]).sum()
    assert best <= left[2] * (1 + 1e-6)
    assert left[2] - best < 0.5 * (left[0] - best)


def test_the_hat_is_the_same_by_people_as_by_items() -> None:
    rng = np.random.default_rng(0)
    dense = (rng.random((40, 100)) < 0.2).astype(np.float64)
    dense[3] = 0  # a person without rows
    x, right = csr_matrix(dense.astype(np.float32)), rng.standard_normal((100, 5)).astype(np.float32)
    for given in (x, vstack([x, x, x]).tocsr()):  # 39 people, then 117
        square = (given.T @ given).toarray().astype(np.float64)
        expected = np.linalg.solve(square + 2.0 * np.eye(100), square @ right)
        np.testing.assert_allclose(hat(given, right, 2.0), expected, atol=1e-4)
    assert few_people(x)
    assert not few_people(vstack([x, x, x]).tocsr())
    half = half_hat(x, 2.0)
    square = dense.T @ dense
    np.testing.assert_allclose(half.T @ half, np.linalg.solve(square + 2.0 * np.eye(100), square), atol=1e-4)
    none = csr_matrix((3, 8), dtype=np.float32)
    assert half_hat(none, 1.0).shape == (0, 8)
    assert not hat(none, np.ones((8, 2), np.float32), 1.0).any()


def test_inverse_by_blocks_is_the_inverse() -> None:
    a = np.random.default_rng(0).standard_normal((1500, 1100)).astype(np.float32)
    square = a.T @ a / 1500 + np.eye(1100, dtype=np.float32)
    np.testing.assert_allclose(inverted(square.copy()) @ square, np.eye(1100), atol=2e-4)


def test_a_matrix_without_an_inverse_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(MatineeError) as caught:
        inverted(-np.eye(3, dtype=np.float32))
    assert caught.value.code == "model.singular"
    assert "ridge" in caught.value.en
    assert "ridge" in caught.value.zh


def test_item_knn_is_brute_force_cosine() -> None:
    data = noise()
    x, n = faded(data, 0.0) > 0, data.n_items
    model = load_recipe("item_knn", {"neighbours": 5, "shrink": 2.0}).fit(data, seed=0)
    found = np.zeros((n, n))
    for row in range(n):
        part = slice(model.starts[row], model.starts[row + 1])
        found[row, model.columns[part]] = model.values[part]
    for item in range(n):
        cosine = np.zeros(n)
        for other in range(n):
            if other != item:
                length = np.sqrt(x[:, item].sum() * x[:, other].sum())
                cosine[other] = (x[:, item] & x[:, other]).sum() / (length + 2.0)
        fifth = np.sort(cosine)[-5]
        kept = np.where((cosine >= fifth) & (cosine > 0), cosine, 0)
        np.testing.assert_allclose(found[:, item], kept, rtol=1e-5)


def slow_transitions(data, recipe):
    counts = np.zeros((data.n_items, data.n_items))
    for user in range(data.n_users):
        rows = [r for r in np.flatnonzero(data.users == user) if data.strength[r] > 0]
        for b, after in enumerate(rows):
            for lag in range(1, min(b, recipe.lags) + 1):
                before = rows[b - lag]
                if data.items[before] != data.items[after]:
                    both = (data.strength[before] * data.strength[after]) ** 0.5
                    counts[data.items[before], data.items[after]] += both * lag**-recipe.fade
    out, into = counts.sum(1, keepdims=True) + recipe.shrink, counts.sum(0, keepdims=True) + recipe.shrink
    return counts / out**recipe.from_norm / into**recipe.to_norm


def test_ridge_moments_are_the_sums_over_every_moment_of_the_log() -> None:
    data, decay = noise(), 0.6
    inputs, targets = np.zeros((2, data.n_items, data.n_items))
    for user in range(data.n_users):
        z = np.zeros(data.n_items)
        for row in np.flatnonzero((data.users == user) & (data.strength > 0)):
            y = np.zeros(data.n_items)
            y[data.items[row]] = data.strength[row] ** 0.5
            inputs += np.outer(z, z)
            targets += np.outer(z, y)
            z = decay * z + y
    found = moments(positives(data, once=False), data, decay)
    np.testing.assert_allclose(found[1], targets, atol=1e-3)
    np.testing.assert_allclose(found[0], inputs, atol=1e-3)


def test_two_memories_moments_are_the_sums_too() -> None:
    data, decays, n = noise(), (0.5, 0.9), 40
    inputs, targets = np.zeros((2 * n, 2 * n)), np.zeros((2 * n, n))
    for user in range(data.n_users):
        z = np.zeros((2, n))
        for row in np.flatnonzero((data.users == user) & (data.strength > 0)):
            y = np.zeros(n)
            y[data.items[row]] = data.strength[row] ** 0.5
            inputs += np.outer(z.ravel(), z.ravel())
            targets += np.outer(z.ravel(), y)
            z = np.array(decays)[:, None] * z + y
    found = memories.moments(positives(data, once=False), data, decays)
    np.testing.assert_allclose(found[1], targets, atol=2e-3)
    np.testing.assert_allclose(np.triu(found[0]), np.triu(inputs), atol=2e-3 * inputs.max())


def test_ridge_transitions_solve_the_least_squares() -> None:
    data, recipe = noise(), load_recipe("transitions_ridge", {"to_norm": 0.0})
    inputs, targets = (part.astype(np.float64) for part in moments(positives(data, once=False), data, recipe.decay))
    ridge = recipe.ridge * np.trace(inputs) / (np.bincount(data.items[data.strength > 0], minlength=40) > 0).sum()
    weights = np.linalg.solve(inputs + (ridge + 1e-3) * np.eye(40), targets)
    np.fill_diagonal(weights, 0)
    np.testing.assert_allclose(recipe.fit(data, seed=0).values, weights, atol=1e-4)


@pytest.mark.parametrize("dense", [True, False])
def test_transitions_are_counted_pair_by_pair(dense, monkeypatch) -> None:
    data, recipe = noise(), load_recipe("transitions", {"lags": 4})
    if not dense:
        monkeypatch.setattr("matinee.models.transitions.DENSE_ITEMS", 0)
    model = recipe.fit(data, seed=0)
    assert bool(len(model.starts)) is not dense
    found = np.array([model._row(row) for row in range(data.n_items)])
    np.testing.assert_allclose(found, slow_transitions(data, recipe), rtol=1e-4, atol=1e-6)


def test_ials_half_step_solves_the_weighted_least_squares() -> None:
    rng = np.random.default_rng(0)
    x = csr_matrix((rng.random((6, 15)) * (rng.random((6, 15)) < 0.4)).astype(np.float32))
    other = rng.standard_normal((15, 4)).astype(np.float32)
    found = solve_rows(x, other, (0.3, 0.05, 0.8))
    for row in range(6):
        confidence = x[row].toarray().ravel() + 0.3
        target = (x[row].toarray().ravel() > 0) * x[row].toarray().ravel() / confidence
        ridge = 0.05 * (x[row].nnz + 0.3 * 15) ** 0.8
        left = (other * confidence[:, None]).T @ other + ridge * np.eye(4)
        best = np.linalg.solve(left, other.T @ (confidence * target))
        np.testing.assert_allclose(found[row], best if x[row].nnz else 0, atol=1e-4)


def test_folding_in_gives_a_stranger_what_training_gives_a_user() -> None:
    data = checkerboard()
    recipe = load_recipe("ials", {"fade": 0.0, "power": 0.0, "dims": 8})
    model = recipe.fit(data, seed=0)
    watched = data.items[data.users == 4]
    x = csr_matrix(np.isin(np.arange(ITEMS), watched).astype(np.float32)[None])
    trained = model.items @ solve_rows(x, model.items, (recipe.unobserved, recipe.ridge, recipe.scaling))[0]
    stranger = model.score(query(watched), every(range(ITEMS - 2)))
    np.testing.assert_allclose(stranger, trained[: ITEMS - 2], rtol=1e-3, atol=1e-4)


def test_ratings_with_biases_predict_held_out_stars() -> None:
    rng = np.random.default_rng(1)
    taste, kind = rng.standard_normal((80, 2)), rng.standard_normal((50, 2))
    truth = np.clip(0.2 + 0.3 * rng.standard_normal(50)[None] + 0.35 * taste @ kind.T, -1, 1)
    shown = rng.random((80, 50)) < 0.5
    rows = [(u, i, START + i, float(truth[u, i])) for u in range(80) for i in range(50) if shown[u, i]]
    data = log(rows, 80, 50)
    model = load_recipe("explicit_mf").fit(data, seed=0)
    mean_only, ours = [], []
    for user in range(0, 80, 4):
        own = np.flatnonzero(shown[user])
        hidden = np.flatnonzero(~shown[user])
        score = model.score(query(own, truth[user, own]), every(hidden))
        ours.append(((score - truth[user, hidden]) ** 2).mean())
        mean_only.append(((truth[shown].mean() - truth[user, hidden]) ** 2).mean())
    assert np.mean(ours) < 0.25 * np.mean(mean_only)


def test_marec_is_the_two_sided_ridge_regression() -> None:
    """Against the plain formula over kernels written out; what is foretold of watches is off, and the scale is free."""
    data = checkerboard()
    recipe = load_recipe(
        "marec", {"draw": 0.0, "shade": 0.5, "weights": (("space.text", 2.0), ("space.sound", 0.0), ("together", 3.0))}
    )
    model = recipe.fit(data, seed=0)
    x = faded(data, 0.0)
    warm = np.flatnonzero((x > 0).any(0))
    kernel = np.zeros((ITEMS, ITEMS))
    for name, weight in (("text", 2.0), ("frames", 0.3)):
        centred = data.features[name] - data.features[name].mean(0)
        unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
        kernel += weight * np.exp(unit @ unit.T - 1) + (3 * np.exp(unit @ unit.T - 1) if name == "text" else 0)
    np.testing.assert_allclose(model.content, kernel[:, warm], atol=1e-5)
    own = x[:, warm]
    g = own.T @ own
    ridge = recipe.behaviour * np.trace(g) / len(warm) + 1e-3
    inner = np.linalg.inv(kernel[np.ix_(warm, warm)] + recipe.content * np.eye(len(warm)))
    plain = np.linalg.solve(g + ridge * np.eye(len(warm)), g @ ((own > 0).sum(0)[:, None] ** -0.5 * inner))
    scale = (plain * model.carried[warm]).sum() / (plain**2).sum()
    assert scale > 0
    np.testing.assert_allclose(model.carried[warm], scale * plain, atol=2e-3 * np.abs(scale * plain).max())


def test_few_landmarks_come_near_to_all() -> None:
    data = checkerboard()
    near, exact = (load_recipe("marec", {"landmarks": n}).fit(data, seed=0) for n in (10, 2048))
    assert near.content.shape[1] == 10 < exact.content.shape[1]
    a, b = (m.score(query([1, 5, 9, 13]), every([ITEMS - 1, ITEMS - 2])) for m in (near, exact))
    assert a[0] > a[1]
    assert b[0] > b[1]


def test_landmarks_hold_where_single_precision_does_not() -> None:
    """Items of few dimensions, many more than landmarks: in float32 their square has roots below zero."""
    rng = np.random.default_rng(0)
    n, m = 900, 300
    users = np.repeat(np.arange(n // 3), 6)
    items = np.concatenate([rng.permutation(n), rng.permutation(n)])
    at = np.arange(len(items), dtype=np.float64)
    features = {"text": rng.normal(size=(n, 3)).astype(np.float32)}
    data = Interactions(users, items, at, np.ones(len(items), np.float32), n // 3, n, features=features)
    model = load_recipe("marec", {"landmarks": m}).fit(data, seed=0)
    assert model.content.shape == (n, m)
    assert np.isfinite(model.carried).all()
    rows = 3 * features["text"] @ features["text"][:m].T
    marks = rows[:m]
    with pytest.raises(MatineeError):  # what it would be in float32
        inverted((rows.T @ rows + 2 * marks + 2e-3 * np.eye(m)).astype(np.float32))
    wide = rows.astype(np.float64)
    square = wide.T @ wide + 2.0 * marks + 2e-3 * np.eye(m)
    plain = np.linalg.solve(square, wide.T).T
    np.testing.assert_allclose(ridged(rows, marks, 2.0) @ rows.T, plain @ rows.T, atol=1e-6)
    assert (plain @ rows.T).max() > 0.01


def test_features_and_facts_may_reach_differently_far() -> None:
    data = checkerboard()
    data = replace(data, facts={"kinds": np.eye(2, 4, dtype=np.float32)[np.arange(ITEMS) % 2]})
    model = load_recipe("marec").fit(data, seed=0)
    short = {name: matrix[: ITEMS - 1] for name, matrix in data.features.items()}
    grown = model.with_features(short, {"kinds": np.vstack([data.facts["kinds"], data.facts["kinds"][:2]])})
    assert len(grown.content) == ITEMS + 2
    np.testing.assert_allclose(grown.content[: ITEMS - 1], model.content[: ITEMS - 1], atol=1e-5)
    score = grown.score(query([0, 4, 8]), every([ITEMS, ITEMS + 1]))
    assert score[0] > score[1]


def test_fame_is_foretold_from_content() -> None:
    """Of two new items alike to everybody's taste, the one like the much watched comes first."""
    rng = np.random.default_rng(0)
    famous = rng.random(60) < 0.5
    rows = [(u, i, START + i, 1.0) for u in range(80) for i in range(60) if rng.random() < (0.5 if famous[i] else 0.05)]
    features = rng.standard_normal((62, 8)).astype(np.float32)
    features[:60, 0], features[60, 0], features[61, 0] = np.where(famous, 4, -4), 4, -4
    features[60, 1:] = features[61, 1:]
    data = log(rows, 80, 62, {"text": features / np.linalg.norm(features, axis=1, keepdims=True)})
    with_fame, without = (load_recipe("marec", {"draw": d}).fit(data, seed=0) for d in (0.6, 0.0))
    asked = query(list(range(10)))
    more, plain = (m.score(asked, every([60, 61])) for m in (with_fame, without))
    assert more[0] > more[1]
    assert more[0] / more[1] > plain[0] / plain[1] > 0


def test_marec_knows_which_part_of_content_matters() -> None:
    """Content is mostly noise that behaviour ignores; the plain cosine drowns in it, the learnt map does not."""
    rng = np.random.default_rng(0)
    data = checkerboard()
    noise_dims = 3 * rng.standard_normal((ITEMS, 12)).astype(np.float32)
    noise_dims[:, 0] = np.where(np.arange(ITEMS) % 2, 1, -1)
    features = {"text": noise_dims / np.linalg.norm(noise_dims, axis=1, keepdims=True)}
    data = replace(data, features=features)
    margins = []
    for name in ("marec", "content"):
        score = load_recipe(name, {"content": 0.1} if name == "marec" else {}).fit(data, seed=0)
        odd, even = (score.score(query(w), every([ITEMS - 1, ITEMS - 2])) for w in ([1, 5, 9, 13], [0, 4, 8, 12]))
        margins.append(bool(odd[0] > odd[1]) + bool(even[1] > even[0]))
    assert margins[0] == 2


def test_trees_walk_as_lightgbm_walks_them() -> None:
    lightgbm = pytest.importorskip("lightgbm", reason="LightGBM is not installed: pip install 'matinee[ranker]'")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((600, 5)).astype(np.float32)
    x[rng.random(600) < 0.3, 1] = np.nan
    y = np.nan_to_num(x[:, 1], nan=2) + x[:, 0] * (x[:, 2] > 0)
    grown = lightgbm.train({"verbosity": -1, "num_threads": 1}, lightgbm.Dataset(x, y), num_boost_round=25)
    asked = rng.standard_normal((300, 5)).astype(np.float32)
    asked[rng.random((300, 5)) < 0.2] = np.nan  # also where training saw none
    np.testing.assert_allclose(from_dump(grown.dump_model()).predict(asked), grown.predict(asked), atol=1e-6)
    assert from_dump({"tree_info": []}).predict(asked).tolist() == [0.0] * 300


def test_lambdarank_learns_what_a_weighted_mean_cannot() -> None:
    """Half of the people follow one expert and half the other; the third feature tells which, the mean cannot."""
    pytest.importorskip("lightgbm", reason="LightGBM is not installed: pip install 'matinee[ranker]'")
    recipe = load_recipe("lambdarank", {"rounds": 30})
    rng = np.random.default_rng(0)
    sets = []
    for _ in range(400):
        x = rng.standard_normal((20, 3)).astype(np.float32)
        x[:, 2] = rng.integers(2)
        best = np.argmax(x[:, 0] if x[0, 2] else x[:, 1])
        order = np.r_[best, np.delete(np.arange(20), best)]
        sets.append((x[order], x[order, :2].sum(1)))
    trees = recipe._grow(sets[:300], 0)
    first = [(np.argmax(trees.predict(x)) == 0, np.argmax(mean) == 0) for x, mean in sets[300:]]
    ours, theirs = np.mean(first, axis=0)
    assert ours > 0.75 > theirs


def test_lambdarank_teaches_and_orders_only_what_is_near() -> None:
    """A watched item far down, taught among the near ones alone, made "far down" look good: ml-100k fell to .003."""
    data = checkerboard()
    models = tuple(load_recipe(name).fit(data, seed=0) for name in ("item_knn", "transitions"))
    blend = Blend(models, np.array([0.5, 0.5], np.float32))
    grown = from_dump({"tree_info": [{"tree_structure": {"leaf_value": 1.0}}]})
    model = RankedModel("lambdarank", blend, np.full(ITEMS, START), np.ones(ITEMS, np.int64), grown, 3)
    asked = query([0, 4])
    plain = [i for i in blend.retrieve(asked, ITEMS).items if i not in (0, 4)]
    assert set(model.retrieve(asked, ITEMS).items.tolist()[:3]) == set(plain[:3])
    recipe = load_recipe("lambdarank", {"near": 3})
    assert recipe._case(model, asked, int(plain[-1])) is None
    features, mean = recipe._case(model, asked, int(plain[2]))
    assert len(features) == len(mean) == 3
    assert mean[0] == mean.min(), "the watched one comes first, here the lowest of the three"


def test_without_lightgbm_it_says_how_to_install_it(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(MatineeError, match=r"matinee\[ranker\]") as caught:
        load_recipe("lambdarank").fit(checkerboard(), seed=0)
    assert caught.value.code == "recipe.extra_missing"


def test_a_sparse_matrix_answers_as_a_dense_one() -> None:
    matrix = np.random.default_rng(1).standard_normal((30, 30)).astype(np.float32)
    known = np.ones(30, bool)
    dense, sparse = item_weights("a", matrix, known, 1.0), item_weights("a", matrix, known, 1.0, keep=30)
    asked = query([3, 8, 3, 21], [1, -0.5, 0.3, 1])
    np.testing.assert_allclose(dense.score(asked, every(range(30))), sparse.score(asked, every(range(30))), atol=1e-5)
    np.testing.assert_allclose(dense.explain(asked, np.arange(30)), sparse.explain(asked, np.arange(30)), atol=1e-6)
    few = item_weights("a", matrix, known, 1.0, keep=4)
    assert len(few.values) == 120


def test_popular_in_replay_knows_nothing_of_the_future() -> None:
    rows = [(u, 0, START + u * DAY, 1.0) for u in range(10)] + [(u, 1, START + (30 + u) * DAY, 1.0) for u in range(20)]
    data = log(rows, 20, 3)
    whole, recent = (load_recipe(name).fit(data, seed=0) for name in ("popular", "popular_recent"))
    both = every([0, 1, 2])
    assert whole.score(query([], now=START + 100 * DAY), both)[:2].tolist() == pytest.approx(np.log1p([10, 20]))
    past = whole.score(query([], now=START + 20 * DAY), both)
    assert past[0] == pytest.approx(np.log1p(10))
    assert np.isnan(past[1]), "nobody had watched it yet"
    early = recent.score(query([], now=START + 5 * DAY), both)
    assert 0 < early[0] <= np.log1p(5) + 1e-6
    late = recent.score(query([], now=START + 60 * DAY), both)
    assert late[0] == 0
    assert late[1] == pytest.approx(np.log1p(7), abs=0.15), "the last week of the log, though it ended long ago"
    assert np.isnan(late[2]), "never watched: no opinion"


@pytest.mark.parametrize("moment", [-1.0, 0.0, 3.3, 12.0, 29.9, 48.0])
def test_a_past_now_counts_the_whole_hours_before_it(moment) -> None:
    data = noise(events=3000)
    now = float(data.at.min()) + moment * 3600
    score = load_recipe("popular", {"days": 28 / 24}).fit(data, seed=0).score(query([], now=now), every(range(40)))
    hour = data.at // 3600
    past = (data.strength > 0) & (hour < now // 3600)
    window = past & (hour > (now - 28 * 3600) // 3600)
    for item in range(40):
        if not (past & (data.items == item)).any():
            assert np.isnan(score[item])
        else:
            assert score[item] == pytest.approx(np.log1p((window & (data.items == item)).sum()))


@pytest.mark.parametrize("name", ["popular_recent", "popular_fading"])
def test_an_old_collection_keeps_its_last_days_beside_one_watched_today(name) -> None:
    """Items 0 and 1 are of a collection whose log ended years ago: 1 was watched often, but not in its last week. One
    watch of item 2, of another collection, today must not make all of the old past look alike."""
    rows = [(u, 1, START + u, 1.0) for u in range(12)] + [(u, 0, START + 300 * DAY + u, 1.0) for u in range(8)]
    data = log([*rows, (20, 2, START + 9000 * DAY, 1.0)], 21, 3)
    apart = replace(data, groups=np.array([0, 0, 1]))
    score = load_recipe(name).fit(apart, seed=0).score(query([], now=START + 9001 * DAY), every([0, 1, 2]))
    assert score[0] > score[1]
    assert score[0] > score[2] > 0
    one = load_recipe(name).fit(data, seed=0).score(query([], now=START + 9001 * DAY), every([0, 1, 2]))
    assert one[0] < one[2]  # of one collection the clock is one
    before = load_recipe(name).fit(apart, seed=0).score(query([], now=START + 301 * DAY), every([0, 1, 2]))
    np.testing.assert_allclose(before[:2], score[:2], rtol=0.05)
    assert np.isnan(before[2])


def test_popular_fades_by_half() -> None:
    data = log([(0, 0, START, 1.0), (1, 1, START + 30 * DAY, 1.0)], 2, 2)
    score = np.expm1(
        load_recipe("popular_fading").fit(data, seed=0).score(query([], now=START + 31 * DAY), every([0, 1]))
    )
    assert score[0] / score[1] == pytest.approx(0.5, rel=0.02)


def test_content_is_the_cosine_around_the_mean() -> None:
    rng = np.random.default_rng(5)
    vectors = rng.standard_normal((30, 8)).astype(np.float32) + 2  # all lean one way: the mean hides what differs
    data = log([], 0, 30, {"text": vectors / np.linalg.norm(vectors, axis=1, keepdims=True)})
    model = load_recipe("content", {"power": 0.0}).fit(data, seed=0)
    v = data.features["text"].astype(np.float64)
    v = v - v.mean(0)
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    profile = v[3] - 0.5**0.5 * v[9]
    cosine = v @ profile / np.linalg.norm(profile)
    spread = np.sqrt((v @ v.T)[np.triu_indices(30, 1)] ** 2).mean()
    assert spread > 0
    score = model.score(query([3, 9], [1, -0.5]), every(range(30)))
    np.testing.assert_allclose(score / score[3], cosine / cosine[3], rtol=1e-3, atol=1e-4)
    assert np.argmax(score) == 3
    assert score[9] < 0


def test_content_averages_over_the_modalities_that_are_there() -> None:
    rng = np.random.default_rng(2)
    text, sound = colours(rng, 6), colours(rng, 4)
    text[5] = np.nan
    sound[[7, 9]] = np.nan
    text[9] = np.nan
    model = load_recipe("content").fit(log([], 0, ITEMS, {"text": text, "sound": sound}), seed=0)
    score = model.score(query([1, 3]), every(range(ITEMS)))
    assert np.isnan(score[9]), "neither heard nor read"
    assert np.isfinite(np.delete(score, 9)).all()
    others = [i for i in range(ITEMS) if i not in (1, 3, 9)]
    assert min(score[i] for i in others if i % 2) > max(score[i] for i in others if not i % 2)
    parts = model.explain_by_modality(query([1, 3]), np.arange(ITEMS))
    assert not parts["text"][5].any()
    assert not parts["sound"][7].any()
    np.testing.assert_allclose(np.nansum([p.sum(1) for p in parts.values()], 0)[others], score[others], rtol=1e-4)


@pytest.mark.parametrize("name", [n for n in RECIPES if n.startswith("content")])
def test_content_reaches_an_item_added_after_training(name) -> None:
    data = checkerboard()
    model = load_recipe(name).fit(data, seed=0)
    model = load_model(name, model.arrays())
    assert np.isnan(model.score(query([1, 5]), every([ITEMS]))[0])
    grown = {key: np.concatenate([matrix, matrix[[1]]]) for key, matrix in data.features.items()}
    fresh = model.with_features(grown)
    score = fresh.score(query([5, 1]), every(range(ITEMS + 1)))
    assert score[ITEMS] == pytest.approx(score[1], rel=1e-4), "the new item equals item 1"
    assert ITEMS in fresh.retrieve(query([5, 1]), 9).items
    if name == "content_text":
        np.testing.assert_array_equal(
            model.with_features(data.features)._everything(query([5])), model._everything(query([5]))
        )


def test_a_small_interest_is_served_too() -> None:
    """Nine items one way and three another: to the profile's mean, what leans half to the nine is nearer than the
    three's own kind; the interests know better."""
    rng = np.random.default_rng(0)
    ways = np.eye(4, 12, dtype=np.float32)
    ways[3] = (ways[0] + ways[2]) / 2**0.5
    ways = np.concatenate([ways, -ways])  # their opposites too, so that the mean is nowhere
    vectors = ways[np.arange(160) % 8] + 0.05 * rng.standard_normal((160, 12)).astype(np.float32)
    data = log([], 0, 160, {"text": vectors / np.linalg.norm(vectors, axis=1, keepdims=True)})
    asked = query([0, 8, 16, 24, 32, 1, 40, 9, 48, 17, 56, 64])
    many, one = (
        load_recipe(name, {"power": 0.0}).fit(data, seed=0).score(asked, every(range(160))).reshape(-1, 8).mean(0)
        for name in ("content_interests", "content")
    )
    assert many[1] > many[3], "its own kind first"
    assert one[3] > one[1], "the control: one mean profile has it the other way round"


def test_euclid_is_the_mean_squared_distance_on_standard_scales() -> None:
    rng = np.random.default_rng(4)
    v = rng.standard_normal((30, 5)).astype(np.float32) * [1, 5, 0.2, 1, 1]
    v = (v / np.linalg.norm(v, axis=1, keepdims=True)).astype(np.float32)
    model = load_recipe("content_euclid", {"power": 0.0}).fit(log([], 0, 30, {"text": v}), seed=0)
    s = (v - v.mean(0)) / v.std(0)
    apart = ((s[:, None] - s[None]) ** 2).sum(2) / 10
    score = model.score(query([3, 9], [1, -1]), every(range(30)))
    np.testing.assert_allclose(score, ((1 - apart[3]) - (1 - apart[9])) / 2, rtol=1e-3, atol=1e-4)


def test_a_short_memory_follows_the_last_items() -> None:
    data = checkerboard()
    turned = query([0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5])
    long, both = (
        load_recipe(name, {"power": 0.0}).fit(data, seed=0).score(turned, every([7, 16]))
        for name in ("content", "content_memories")
    )
    assert both[0] - both[1] > long[0] - long[1]


def test_blend_averages_those_with_an_opinion() -> None:
    z = np.array([[1.0, 3.0], [np.nan, 2.0], [0.5, np.nan], [np.nan, np.nan]], np.float32)
    score = level(z, np.array([0.75, 0.25], np.float32))
    assert score[:3] == pytest.approx([1.5, 2.0, 0.5])
    assert np.isnan(score[3])
    assert level(z, np.array([1.0, 0.0], np.float32))[:1] == pytest.approx([1.0])


def test_cold_scores_go_on_the_warm_scale() -> None:
    rng = np.random.default_rng(0)
    behaviour = rng.standard_normal(400).astype(np.float32)
    content = (0.3 * behaviour + 0.95 * rng.standard_normal(400)).astype(np.float32)
    z = np.stack([behaviour, content], 1)
    cold = np.zeros(400, bool)
    cold[rng.choice(400, 200, replace=False)] = True
    z[cold, 0] = np.nan
    weights = np.array([0.8, 0.2], np.float32)
    score = level(z, weights)
    naive = z[cold, 1]
    true = 0.8 * behaviour[cold] + 0.2 * content[cold]
    best = np.polyval(np.polyfit(naive, true, 1), naive)  # what a line fitted on the hidden truth would reach
    assert ((score[cold] - true) ** 2).mean() < 1.05 * ((best - true) ** 2).mean()
    assert ((naive - true) ** 2).mean() > 1.3 * ((best - true) ** 2).mean(), "the control: as they stand they are off"
    assert np.corrcoef(score[cold], content[cold])[0, 1] > 0.999, "the order among cold items is content's"
    assert score[cold].std() < naive.std() / 1.5, "a guess stands nearer to the middle than a well-founded score"


def test_switching_follows_how_much_is_known() -> None:
    data = checkerboard()
    model = load_recipe("switching").fit(data, seed=0)
    parts = {name: load_recipe(name).fit(data, seed=0) for name in ("popular", "content", "item_knn", "transitions")}
    for items, answers in (
        ([], "popular"),
        ([1], "content"),
        ([1, 5, 9], "item_knn"),
        ([1, 5, 9, 3, 7], "transitions"),
    ):
        found = model.retrieve(query(items), 6)
        assert found.items.tolist() == parts[answers].retrieve(query(items), 6).items.tolist()
    bare = load_recipe("switching").fit(replace(data, features={}), seed=0)
    assert bare.retrieve(query([1]), 3).items.tolist() == parts["popular"].retrieve(query([1]), 3).items.tolist()


def test_the_default_orders_what_nobody_has_watched_as_marec_does() -> None:
    """No other expert of it speaks of such items, and the scale of a blend keeps their order."""
    rng = np.random.default_rng(0)
    n = 40
    rows = [(u, i, START + 60.0 * u + i, 1.0) for u in range(40) for i in range(n - 12) if rng.random() < 0.4]
    features = rng.standard_normal((n, 6)).astype(np.float32)
    data = log(rows, 40, n, {"text": features / np.linalg.norm(features, axis=1, keepdims=True)})
    model = load_recipe("default").fit(data, seed=0)
    marec = load_recipe("marec").fit(data, seed=0)
    cold, asked = np.arange(n - 12, n), query([1, 5, 9, 13])
    ours, theirs = model.score(asked, every(range(n)))[cold], marec.score(asked, every(range(n)))[cold]
    assert np.argsort(-ours).tolist() == np.argsort(-theirs).tolist()
    assert len(set(np.round(ours, 6).tolist())) > 6


def test_the_default_keeps_no_expert_that_is_of_no_use() -> None:
    data = checkerboard()
    model = load_recipe("default").fit(data, seed=0)
    for expert, weight in zip(model.models, model.weights, strict=True):
        assert weight > 1.4 * FLOOR or expert.name not in SPARE
    assert model.weights.sum() == pytest.approx(1, abs=1e-5)
    kept = load_recipe("blend", {"recipes": ("popular", "ease", "item_knn")}).fit(data, seed=0)
    assert len(kept.models) == 3


def test_weighted_blend_takes_the_weights_given_and_refuses_others() -> None:
    data = checkerboard()
    given = load_recipe("blend", {"recipes": ("ease", "content"), "weights": (3.0, 1.0)}).fit(data, seed=0)
    assert given.weights.tolist() == [0.75, 0.25]
    for wrong in ((1.0,), (0.0, 0.0), (-1.0, 2.0)):
        with pytest.raises(MatineeError) as caught:
            load_recipe("blend", {"recipes": ("ease", "content"), "weights": wrong}).fit(data, seed=0)
        assert caught.value.code == "recipe.weights"


def test_default_stays_within_what_the_size_allows() -> None:
    rows = [(u, i, START + u + 50 * i, 1.0) for u in range(30) for i in range(12)]
    assert "transitions_ridge" in experts(log(rows, 30, 12))
    assert {"ease", "ials"} <= set(experts(log(rows, 30, 40_000)))
    assert "transitions_ridge" not in experts(log(rows, 30, 40_000))
    assert experts(log([], 0, 5)) == ("popular", "popular_recent")
    assert experts(log(rows[:50], 30, 12, {"text": np.eye(12, dtype=np.float32)}))[-1] == "content"


def test_standard_scores() -> None:
    z = standard(np.array([1, 2, 3, np.nan], np.float32))
    assert np.isnan(z[3])
    assert z[:3].mean() == pytest.approx(0, abs=1e-6)
    assert z[:3].std() == pytest.approx(1, abs=1e-6)
    assert standard(np.full(3, 5, np.float32)).tolist() == [0, 0, 0]
    assert np.isnan(standard(np.full(2, np.nan, np.float32))).all()


def test_learnt_weights_prefer_the_expert_that_knows() -> None:
    data = checkerboard()
    held = latest_slice(data, share=0.2, seed=0)
    experts = [load_recipe(name).fit(held.earlier, seed=0) for name in ("random", "item_knn")]
    weights = learn_weights(experts, held.cases, data.n_items)
    assert weights.sum() == pytest.approx(1)
    assert weights[1] > 0.6
    blend = Blend(tuple(experts), weights)
    best = blend.retrieve(query([0, 4, 8]), ITEMS).items
    assert all(i % 2 == 0 for i in best[:5])


def test_the_latest_slice_is_later_and_its_histories_end_before() -> None:
    data = noise(events=2000)
    held = latest_slice(data, share=0.1, most=50, seed=0)
    assert len(held.cases) == 50
    moment = min(q.now for q, _ in held.cases)
    assert held.earlier.at.max() < moment
    for asked, _ in held.cases:
        assert (asked.history.at < asked.now).all()
    assert len(held.earlier) > 0.85 * len(data)


def test_orders_without_clocks_set_aside_each_users_last() -> None:
    rows = [(u, (u + k) % 9, float(k), 1.0) for u in range(5) for k in range(4 + u)]
    held = latest_slice(log(rows, 5, 9), seed=0)
    assert [(int(q.user), item) for q, item in held.cases] == [(u, (u + 3 + u) % 9) for u in range(5)]
    assert len(held.earlier) == len(rows) - 5


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(MatineeError, match="Did you mean transitions") as caught:
        load_recipe("transition")
    assert caught.value.code == "recipe.unknown"
    with pytest.raises(MatineeError, match="Did you mean ridge") as caught:
        load_recipe("ease", {"rigde": 3})
    assert caught.value.code == "recipe.setting"
