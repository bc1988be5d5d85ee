"""From a store with a log and vectors to a release in force: the same inputs give the same release and fit nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from matinee.errors import MatineeError
from matinee.release import load_release
from matinee.settings import Library, Training
from matinee.store.sqlite import SQLiteStore
from matinee.train import train
from matinee.types import Event, Item, Space
from tests.contracts.checkerboard import query

TEXT = Space("text", "1", 4)


def fill(store, events=True) -> None:
    """Twelve items in two colours, ten users who watch one colour each, one item nobody has watched."""
    store.put_items([Item(id=f"i{n}", title=f"Item {n}") for n in range(13)])
    rng = np.random.default_rng(0)
    vectors = 0.1 * rng.standard_normal((13, 4)).astype(np.float32)
    vectors[np.arange(13), np.arange(13) % 2] += 1
    hashes = [f"{n:064x}" for n in range(13)]
    store.put_vectors(TEXT, hashes, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    for n, content in enumerate(hashes):
        store.link_content(f"i{n}", TEXT, content)
    if events:
        log = [
            Event(id=f"e{u}-{k}", user=f"u{u}", item=f"i{i}", kind="finish", at=1.6e9 + 1000.0 * k + u)
            for u in range(10)
            for k, i in enumerate(rng.permutation(np.arange(u % 2, 12, 2))[:5])
        ]
        store.append(log)


@pytest.fixture
def place(tmp_path):
    library = Library.create(tmp_path / "library")
    store = SQLiteStore(library.database)
    yield library, store
    store.close()


class Stages(list):
    def __call__(self, stage, share) -> None:
        assert 0 <= share <= 1
        self.append((stage, share))


def test_train_puts_a_release_in_force_and_does_not_train_twice(place) -> None:
    library, store = place
    fill(store)
    heard = Stages()
    digest = train(library, store, progress=heard)
    assert store.release()[0] == digest
    assert [share for _, share in heard] == sorted(share for _, share in heard)
    assert "ease" in [stage for stage, _ in heard]
    release = load_release(library.releases / digest)
    assert set(release.models) == set(library.settings.training.recipes)
    assert sum(release.weights.values()) == pytest.approx(1)
    best = release.blend.retrieve(query([0, 4], now=1.7e9), 12).items
    assert all(i % 2 == 0 for i in [i for i in best if i not in (0, 4)][:3])
    assert np.isfinite(release.models["content"].score(query([0]), release.blend.retrieve(query([0]), 13))).any()

    heard.clear()
    before = {p.name: p.stat().st_mtime_ns for p in (library.releases / digest).iterdir()}
    assert train(library, store, progress=heard) == digest
    assert [stage for stage, _ in heard] == ["reading", "done"]
    assert before == {p.name: p.stat().st_mtime_ns for p in (library.releases / digest).iterdir()}


def test_default_stands_for_the_experts_that_the_data_calls_for(place) -> None:
    """Few events: neighbours and content. Enough of them: factors and EASE too, and MARec in content's place, which
    knows the item that nobody has watched."""
    library, store = place
    fill(store)
    settings = msgspec.structs.replace(library.settings, training=Training(recipes=("default", "popular")))
    library = replace(library, settings=settings)
    few = load_release(library.releases / train(library, store))
    assert list(few.models) == ["popular", "popular_recent", "item_knn", "transitions", "content"]
    more = [
        Event(id=f"m{u}-{k}", user=f"v{u}", item=f"i{i}", kind="finish", at=1.61e9 + 1000.0 * k + u)
        for u in range(40) for k, i in enumerate(range(u % 2, 12, 2))
    ]  # fmt: skip
    store.append(more)
    many = load_release(library.releases / train(library, store))
    assert {"ease", "ials", "marec"} <= set(many.models)
    assert "content" not in many.models
    assert sum(many.weights.values()) == pytest.approx(1)
    score = many.blend.score(query([0, 4]), many.blend.retrieve(query([0, 4]), 13))
    assert np.isfinite(score).any()
    assert 12 in many.blend.retrieve(query([0, 4]), 13).items


def test_one_more_event_makes_another_release_and_the_old_one_stays(place) -> None:
    library, store = place
    fill(store)
    first = train(library, store)
    store.append([Event(id="more", user="u1", item="i2", kind="like", at=1.7e9)])
    second = train(library, store)
    assert second != first
    assert store.release()[0] == second
    assert {digest for digest, _ in store.releases()} == {first, second}
    load_release(library.releases / first)


def test_two_stores_with_the_same_content_give_the_same_release(place, tmp_path) -> None:
    library, store = place
    fill(store)
    other = SQLiteStore(tmp_path / "other.db")
    fill(other)
    elsewhere = Library.create(tmp_path / "elsewhere")
    digest = train(library, store)
    assert digest == train(elsewhere, other)
    for file in (library.releases / digest).iterdir():
        assert file.read_bytes() == (elsewhere.releases / digest / file.name).read_bytes()
    other.close()


@pytest.mark.parametrize("items", [False, True])
def test_a_library_without_events_trains_too(place, items) -> None:
    library, store = place
    if items:
        fill(store, events=False)
    release = load_release(library.releases / train(library, store))
    found = release.blend.retrieve(query([0]), 5)
    assert len(found) == (5 if items else 0)


def test_a_damaged_release_is_made_again(place) -> None:
    library, store = place
    fill(store)
    digest = train(library, store)
    (library.releases / digest / "ease.safetensors").write_bytes(b"damaged")
    heard = Stages()
    assert train(library, store, progress=heard) == digest
    assert "ease" in [stage for stage, _ in heard]
    load_release(library.releases / digest)


@pytest.mark.parametrize("stage", ["trial ease", "weights", "content", "writing"])
def test_an_interrupt_leaves_the_former_release_in_force(place, stage) -> None:
    library, store = place
    fill(store)
    former = train(library, store)
    store.append([Event(id="more", user="u1", item="i2", kind="like", at=1.7e9)])

    def stop(now, share) -> None:
        if now == stage:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(library, store, progress=stop)
    assert store.release()[0] == former
    assert [p.name for p in library.releases.iterdir()] == [former]
    assert train(library, store) != former


CHILD = """
import os, signal, sys
from pathlib import Path
import matinee.release
from matinee.settings import Library, Training
from matinee.store.sqlite import SQLiteStore
from matinee.train import train
library = Library.open(Path(sys.argv[1]))
write, left = matinee.release._write, [int(sys.argv[2])]
def dying(path, data):
    left[0] -= 1
    if left[0] < 0:
        path.write_bytes(data[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
    write(path, data)
matinee.release._write = dying
train(library, SQLiteStore(library.database))
"""


@pytest.mark.parametrize("files", [0, 3, 6])
def test_killed_while_writing_nothing_half_is_ever_in_force(place, files) -> None:
    library, store = place
    fill(store)
    former = train(library, store)
    store.append([Event(id="more", user="u1", item="i2", kind="like", at=1.7e9)])
    child = subprocess.run([sys.executable, "-c", CHILD, str(library.path), str(files)], check=False)
    assert child.returncode == -signal.SIGKILL
    assert store.release()[0] == former
    assert any(p.name.endswith(".tmp") for p in library.releases.iterdir()), "it died while writing"
    digest = train(library, store)
    assert {p.name for p in library.releases.iterdir()} == {former, digest}
    load_release(library.releases / digest)


def test_a_model_that_is_not_finite_is_never_put_in_force(place, monkeypatch) -> None:
    library, store = place
    fill(store)
    former = train(library, store)

    def broken(self, data, *, seed):
        model = REAL(self, data, seed=seed)
        model.values[0, 1] = np.inf
        return model

    from matinee.models.ease import EASE

    REAL = EASE.fit
    monkeypatch.setattr(EASE, "fit", broken)
    store.append([Event(id="more", user="u1", item="i2", kind="like", at=1.7e9)])
    with pytest.raises(MatineeError) as caught:
        train(library, store)
    assert caught.value.code == "release.not_finite"
    assert store.release()[0] == former


def test_an_expert_that_refuses_is_left_out_and_named(place, monkeypatch) -> None:
    library, store = place
    (library.path / "matinee.toml").write_text('[training]\nrecipes = ["popular", "content", "marec"]\n')
    library = Library.open(library.path)
    fill(store)
    monkeypatch.setattr("matinee.models.ease.MOST_ITEMS", 5)
    heard = Stages()
    release = load_release(library.releases / train(library, store, progress=heard))
    assert set(release.models) == {"popular", "content"}
    assert "marec" in release.made["skipped"]
    assert any(stage.startswith("skipped marec") for stage, _ in heard)
