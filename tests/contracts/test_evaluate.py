"""The whole evaluation on a log whose answer is known, and what its settings refuse."""

import json

import numpy as np
import pytest

from matinee.data.datasets.table import read_dataset
from matinee.errors import MatineeError
from matinee.evaluation.page import as_html
from matinee.evaluation.report import as_json
from matinee.evaluation.run import Settings, evaluate
from matinee.evaluation.tune import search_space
from matinee.evaluation.words import word_features

RECIPES = ("popular", "random", "item_knn", "transitions", "content")


@pytest.fixture(scope="module")
def camps(tmp_path_factory):
    """Two camps of 30 users, each watching its own 12 films in a circle, and an item table that says which is which."""
    folder = tmp_path_factory.mktemp("camps")
    rng = np.random.default_rng(0)
    lines = ["user,item,timestamp"]
    for user in range(60):
        start = int(rng.integers(12))
        own = [f"{'ab'[user % 2]}{(start + step) % 12}" for step in range(8)]
        begin = 1_600_000_000 + int(rng.integers(5_000_000))
        lines += [f"u{user},{item},{begin + 3600 * at}" for at, item in enumerate(own)]
    (folder / "log.csv").write_text("\n".join(lines))
    items = ["id,title,genres"]
    items += [f"{c}{n},{word} number {n},{word}" for c, word in (("a", "Horror"), ("b", "Comedy")) for n in range(12)]
    (folder / "items.csv").write_text("\n".join(items))
    return folder / "log.csv"


@pytest.fixture(scope="module")
def outcome(camps):
    return evaluate(camps, Settings(split="leave-one-out", recipes=RECIPES, at=(5, 10), resamples=200, flips=500))


def test_those_who_can_know_the_answer_win(outcome):
    value = {r.recipe: r.metrics["ndcg@5"].value for r in outcome.results}
    # of a camp's 12 films 7 are seen, so 5 are left: whoever knows the camps has the target among the first 5
    hr = {r.recipe: r.metrics["hr@5"].value for r in outcome.results}
    assert hr["item_knn"] > 0.9
    assert hr["content"] > 0.9
    assert hr["transitions"] > 0.9
    assert value["transitions"] > 0.9  # and only the order tells which of the five
    assert value["content"] < 0.85 < value["transitions"]
    assert value["random"] < 0.3


def test_a_clear_winner_is_proved_and_chance_is_not(outcome):
    p = {(c.a, c.b): c.p_holm for c in outcome.comparisons}
    assert p[("transitions", "random")] < 0.05
    assert len(p) == 10
    assert all(c.difference.value >= 0 for c in outcome.comparisons)


def test_every_estimate_lies_in_its_interval(outcome):
    for result in outcome.results:
        for name, e in result.metrics.items():
            if e.low is not None and np.isfinite(e.value):
                assert e.low - 1e-9 <= e.value <= e.high + 1e-9, name


def test_content_and_popularity_answer_from_nothing_or_say_nothing(outcome):
    warm = {r.recipe: r.warm_up for r in outcome.results}
    assert list(warm["popular"]) == [0, 1, 3, 5, 10]
    assert warm["content"][0].value == 0
    assert warm["content"][1].value > warm["random"][1].value


def test_the_same_settings_give_the_same_figures(camps, outcome):
    again = evaluate(camps, outcome.settings)
    for a, b in zip(outcome.results, again.results, strict=True):
        assert a.metrics == b.metrics
    assert [c.p for c in outcome.comparisons] == [c.p for c in again.comparisons]


def test_the_json_says_all_that_made_it(camps, outcome):
    form = json.loads(as_json(outcome))
    assert [r["recipe"] for r in form["results"]] == list(RECIPES)
    ndcg = form["results"][0]["metrics"]["ndcg@10"]
    assert set(ndcg) == {"value", "low", "high"}
    assert set(form["results"][0]["seconds"]) >= {"fit", "score"}
    assert form["settings"]["seed"] == 0
    assert {f["file"] for f in form["data"]["files"]} == {"log.csv", "items.csv"}
    assert all(len(f["sha256"]) == 64 for f in form["data"]["files"])
    people = form["results"][3]["people"]["ndcg@5"]
    assert len(people) == len(form["users"]) == 60
    assert np.mean(people) == pytest.approx(form["results"][3]["metrics"]["ndcg@5"]["value"], abs=1e-5)
    assert str(camps.parent) not in json.dumps(form)  # no path of this machine
    assert "NaN," not in as_json(outcome).decode()


def test_the_page_asks_for_nothing_and_runs_nothing(outcome):
    page = as_html(outcome)
    assert page.count("<svg") >= 4
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
    for word in ("<script", "src=", "@import", "url(", "href"):
        assert word not in page
    assert all(name in page for name in RECIPES)


def test_names_from_files_cannot_command_the_page(tmp_path):
    path = tmp_path / "<script>alert(1)<script>.csv"
    path.write_text("\n".join(["user,item", *[f"u{u},<b>{i}</b>" for u in range(6) for i in range(4)]]))
    page = as_html(evaluate(path, Settings(split="leave-one-out", recipes=("popular",), resamples=10)))
    assert "<script" not in page
    assert "<b>" not in page


def test_several_seeds_are_averaged_user_by_user(camps):
    one = evaluate(camps, Settings(split="leave-one-out", recipes=("random",), at=(5,), seeds=4, warm_up=False))
    (result,) = one.results
    assert result.seed_spread is not None
    assert result.seed_spread >= 0
    assert set(np.round(result.people["hr@5"] * 4, 6)) <= {0, 1, 2, 3, 4}


def test_tuning_never_gets_worse_on_validation_and_says_its_budget(camps):
    pytest.importorskip("optuna", reason="the extra evaluate is not installed")
    settings = Settings(split="leave-one-out", recipes=("item_knn", "popular"), at=(5,), tune=4, warm_up=False)
    knn, popular = evaluate(camps, settings).results
    assert knn.tuned.trials == 4
    assert knn.tuned.value >= knn.tuned.default
    assert set(knn.fields) <= set(search_space("item_knn", {}))
    assert popular.tuned.fields == {}
    assert evaluate(camps, settings).results[0].fields == knn.fields


def test_the_words_of_items_tell_camps_apart(camps):
    data = read_dataset(camps)
    vectors = word_features(data)
    camp = np.array([item[0] == "a" for item in data.items])
    cosines = vectors @ vectors.T
    assert cosines[np.ix_(camp, camp)].mean() > cosines[np.ix_(camp, ~camp)].mean() + 0.3
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_features_and_items_can_be_given(camps, tmp_path):
    log = tmp_path / "alone.csv"
    log.write_bytes(camps.read_bytes())
    ids = [f"{c}{n}" for c in "ab" for n in range(12)]
    np.savez(tmp_path / "f.npz", ids=np.array(ids), text=np.array([[i[0] == "a", i[0] == "b"] for i in ids], float))
    settings = Settings(split="leave-one-out", recipes=("content",), at=(5,), resamples=50, warm_up=False)
    found = evaluate(log, settings, features=[tmp_path / "f.npz"], items=camps.parent / "items.csv")
    assert "text, 2 dimensions, 24 of 24" in found.notes[1]
    assert found.results[0].metrics["hr@5"].value > 0.9
    assert "diversity@5" in found.results[0].metrics
    with pytest.raises(KeyError):  # without words or vectors content has nothing to go by, and diversity no measure
        evaluate(log, settings).results[0].metrics["diversity@5"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"recipes": ("eese",)}, "ease"), ({"split": "leave-one-in"}, "leave-one-out"),
        ({"recipes": ("ease",), "fields": {"ease": {"rigde": 1}}}, "ridge"), ({"recipes": ()}, "at least one"),
        ({"fields": {"ease": {}}}, "not evaluated"), ({"at": (0,)}, "cuts"), ({"seeds": 0}, "seeds"),
        ({"recipes": ("popular", "popular")}, "each once"), ({"against": "populra"}, "'popular'"),
    ],
)  # fmt: skip
def test_what_is_unknown_is_refused_with_the_nearest(camps, change, says):
    settings = Settings(**({"split": "leave-one-out", "recipes": ("popular",)} | change))
    with pytest.raises(MatineeError, match=says):
        evaluate(camps, settings)


def test_stars_are_predicted_from_what_is_known(tmp_path):
    """Generous users give 5 and strict ones 1, but for films that all find bad: the mean explains most of it."""
    rng = np.random.default_rng(4)
    rows = ["user,item,rating,timestamp"]
    for user in range(40):
        for at, item in enumerate(rng.permutation(15)[:10]):
            rows.append(f"u{user},i{item},{5 if user % 2 else 1},{1_600_000_000 + at * 99 + int(rng.integers(50))}")
    path = tmp_path / "stars.csv"
    path.write_text("\n".join(rows))
    settings = Settings(split="random", recipes=("random",), ratings=True, resamples=100, warm_up=False)
    metrics = evaluate(path, settings).results[0].metrics
    assert metrics["rmse"].value < 0.5  # the general mean alone would be off by 2
    assert metrics["accuracy"].value > 0.9
    assert metrics["rmse"].low <= metrics["rmse"].value <= metrics["rmse"].high


def test_fewer_tests_where_one_recipe_is_set_against_the_others(camps):
    settings = Settings(
        split="leave-one-out", recipes=("popular", "item_knn", "transitions"), against="item_knn", warm_up=False
    )
    pairs = [{c.a, c.b} for c in evaluate(camps, settings).comparisons]
    assert sorted(map(sorted, pairs)) == [["item_knn", "popular"], ["item_knn", "transitions"]]
