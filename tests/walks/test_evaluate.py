"""``matinee evaluate`` as a real process: the table, the JSON, the page, the exit codes, both languages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest


def matinee(*arguments: str | Path, lang: str = "en"):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MATINEE_", "LC_")) and k != "LANG"}
    env |= {"OMP_NUM_THREADS": "1", "MATINEE_LANG": lang, "PYTHONUTF8": "1"}
    command = [sys.executable, "-m", "matinee", "evaluate", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=env, check=False, encoding="utf-8")


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    path = tmp_path_factory.mktemp("walk") / "log.csv"
    rng = np.random.default_rng(5)
    rows = ["user,item,rating,timestamp"]
    for user in range(30):
        for at, item in enumerate(rng.permutation(20)[:8]):
            rows.append(f"u{user},i{item},{rng.integers(1, 6)},{1_600_000_000 + int(rng.integers(10**6)) + at}")
    path.write_text("\n".join([*rows, "u0,,5,1600000000", "u0,i1,5,never"]))
    return path


def test_a_whole_evaluation(log, tmp_path):
    out, page = tmp_path / "out.json", tmp_path / "out.html"
    run = matinee(log, "--split", "time", "--recipes", "popular,item_knn", "--at", "3,5", "--seed", "7",
                  "--json", out, "--html", page)  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert "item_knn" in run.stdout
    assert "±" in run.stdout
    assert "missing 2" in run.stdout
    assert "popular: ndcg@3" in run.stderr
    form = json.loads(out.read_text(encoding="utf-8"))
    assert [r["recipe"] for r in form["results"]] == ["popular", "item_knn"]
    assert form["settings"]["seed"] == 7
    assert form["settings"]["at"] == [3, 5]
    assert form["data"]["repairs"]["missing"] == 2
    assert {"value", "low", "high"} == set(form["results"][0]["metrics"]["ndcg@3"])
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.html", "out.json"]


def test_json_on_stdout_is_nothing_but_json(log):
    run = matinee(log, "--recipes", "popular", "--json", "-", "--split", "leave-one-out")
    assert json.loads(run.stdout)["results"][0]["recipe"] == "popular"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--recipes", "populra"], "popular"), (["--split", "tmie"], "time"), (["--at", "ten"], "--at"),
        (["--recipes", "ease", "--set", "ease.rige=1"], "ridge"), (["--set", "ease"], "RECIPE.FIELD=VALUE"),
        (["--feedback", "likd"], "did you mean 'liked'"), (["--fuse", "concta"], "did you mean 'concat'"),
        (["--json", "/no/such/folder/x.json"], "no folder"),
        (["--format", "movielense"], "movielens"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_the_nearest_name(log, arguments, says):
    run = matinee(log, *arguments)
    assert run.returncode == 2
    assert says in run.stderr
    assert "Traceback" not in run.stderr


def test_a_file_that_is_no_data_set_is_refused_in_chinese(tmp_path):
    path = tmp_path / "poem.txt"
    path.write_text("Shall I compare thee to a summer's day?\n", encoding="utf-8")
    run = matinee(path, lang="zh")
    assert run.returncode == 2
    assert "无法识别的数据集" in run.stderr
    assert matinee(tmp_path / "none", lang="zh").returncode == 2
