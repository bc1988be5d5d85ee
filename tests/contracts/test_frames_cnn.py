"""The network on pictures: preferences that can only be told by looking, on pictures that were made for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from matinee.models import load_model, load_recipe, tensors
from matinee.models.neural.seen import dense
from matinee.types import Candidates
from tests.contracts.checkerboard import START, log, query

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'matinee[neural]'")
from matinee.models.neural.checkpoint import Run  # noqa: E402

N, USERS, SIDE = 100, 80, 16
SMALL = {"epochs": 16, "batch": 32, "width": 16, "hidden": 32, "patience": 16, "unseen": 2, "rate": 0.005}


def stripes(rng, upright):
    """Upright or lying stripes of any two colours: means and colours say nothing, only the direction does."""
    one, other = rng.integers(20, 236, 3), rng.integers(20, 236, 3)
    wide = int(rng.integers(1, 4))
    line = ((np.arange(SIDE) + rng.integers(0, 6)) // wide % 2)[:, None]
    picture = np.where(line[None, :, :] if upright else line[:, None, :], one, other)
    return np.broadcast_to(picture, (SIDE, SIDE, 3)).astype(np.uint8)


def plain(rng, red):
    """Reddish or bluish noise: the colour says it."""
    picture = rng.integers(0, 90, (SIDE, SIDE, 3))
    picture[:, :, 0 if red else 2] += 130
    return picture.astype(np.uint8)


def liked_by_looks(make, seed=0):
    """Users like one kind and dislike the other at times. The last 12 items nobody watched; the one before has no
    picture."""
    rng = np.random.default_rng(seed)
    kind = np.arange(N) % 2
    pictures = np.stack([make(rng, bool(k)) for k in kind])
    pictures[N - 13] = 0
    rows = []
    for user in range(USERS):
        own = rng.permutation(np.flatnonzero(kind[: N - 12] == user % 2))[:10]
        other = rng.permutation(np.flatnonzero(kind[: N - 12] != user % 2))[:4]
        rows += [(user, int(i), START + t * 60.0, 1.0) for t, i in enumerate(own)]
        rows += [(user, int(i), START + 3000 + t * 60.0, -0.8) for t, i in enumerate(other)]
    return replace(log(rows, USERS, N), pictures=pictures), kind


def every(items):
    items = np.asarray(items, np.int64)
    return Candidates(items, np.full(len(items), np.nan, np.float32), np.zeros(len(items), np.int64))


@pytest.fixture(scope="module")
def striped():
    data, kind = liked_by_looks(stripes)
    return data, kind, load_recipe("frames_cnn", SMALL).fit(data, seed=0)


def right_order(model, kind, items):
    """The share of (own kind, other kind) pairs among the items that are ranked rightly, for both kinds of taste."""
    shares = []
    for own in (0, 1):
        history = [int(i) for i in np.flatnonzero(kind[: N - 13] == own)[:5]]
        score = model.score(query(history), every(items))
        mine, others = score[kind[items] == own], score[kind[items] != own]
        shares.append((mine[:, None] > others[None, :]).mean())
    return float(np.mean(shares))


def test_it_sees_the_direction_of_stripes_on_items_nobody_watched(striped) -> None:
    data, kind, model = striped
    assert right_order(model, kind, np.arange(N - 12, N)) > 0.9
    flat = data.pictures.mean((1, 2), keepdims=True)  # a control: the mean colour says nothing
    blind = replace(data, pictures=np.broadcast_to(flat, data.pictures.shape).astype(np.uint8))
    fields = {**SMALL, "epochs": 4}
    assert right_order(load_recipe("frames_cnn", fields).fit(blind, seed=0), kind, np.arange(N - 12, N)) < 0.8


def test_it_sees_colour() -> None:
    data, kind = liked_by_looks(plain)
    model = load_recipe("frames_cnn", {**SMALL, "epochs": 6}).fit(data, seed=0)
    assert right_order(model, kind, np.arange(N - 12, N)) > 0.95


def test_new_pictures_after_training(striped) -> None:
    data, _, model = striped
    rng = np.random.default_rng(9)
    more = np.stack([stripes(rng, bool(k)) for k in (0, 1, 0, 1, 0, 1)])
    grown = model.with_pictures(np.concatenate([data.pictures, more]))
    np.testing.assert_allclose(grown.vectors[:N], model.vectors, atol=1e-5)
    score = grown.score(query([1, 3, 5, 7]), every(range(N, N + 6)))
    assert score[1::2].min() > score[0::2].max()
    assert np.isnan(model.score(query([1, 3]), every([N, N + 3]))).all()


def test_silence_without_a_picture_and_without_a_history(striped) -> None:
    _, _, model = striped
    score = model.score(query([1, 3]), every([0, N - 13, N - 1, N]))
    assert np.isfinite(score[[0, 2]]).all()
    assert np.isnan(score[[1, 3]]).all()
    for nothing in ([], [N - 13], [N + 7]):
        assert np.isnan(model.score(query(nothing), every(range(N)))).all()
        assert len(model.retrieve(query(nothing), 5)) == 0
    assert np.isfinite(model.score(query([3]), every([0, 1]))).all(), "from the first event"


def test_a_dislike_turns_the_taste(striped) -> None:
    _, kind, model = striped
    cold = np.arange(N - 12, N)
    score = model.score(query([1, 2, 4, 6], [1, -1, -1, -1]), every(cold))
    assert score[kind[cold] == 1].mean() > score[kind[cold] == 0].mean()


def test_there_and_back_and_the_head_is_the_networks(striped) -> None:
    _, _, model = striped
    again = load_model("frames_cnn", tensors.unpack(tensors.pack(model.arrays())))
    for items in ([], [3], [1, 2, 9]):
        np.testing.assert_array_equal(
            again.score(query(items), every(range(N + 2))), model.score(query(items), every(range(N + 2)))
        )
    found = model.retrieve(query([1, 3]), 7)
    assert (np.diff(found.score) <= 0).all()
    assert model.explain(query([1]), np.arange(3)).shape == (3, 0)
    head = {key: torch.from_numpy(np.array(value)) for key, value in model.head.items()}
    taste_of, items = torch.from_numpy(model.vectors[3]), torch.from_numpy(model.vectors[:6])
    both = torch.cat([taste_of.expand_as(items), items, taste_of * items], 1)
    slow = torch.relu(both @ head["wide"].T + head["wide_bias"]) @ head["one"].T + head["one_bias"]
    slow[:, 0] += head["alike"] * (items @ taste_of)
    np.testing.assert_allclose(dense(model.head, model.vectors[3], model.vectors[:6]), slow[:, 0].numpy(), atol=1e-4)


def test_interrupted_and_resumed_is_as_if_never(tmp_path) -> None:
    data, _ = liked_by_looks(plain)
    recipe = load_recipe("frames_cnn", {**SMALL, "epochs": 4})
    whole, told = recipe.fit(data, seed=3), []

    def stop(stage, share):
        told.append(stage)
        if len(told) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recipe.fit(data, seed=3, run=Run(tmp_path, stop))
    assert list(tmp_path.glob("frames_cnn-*.safetensors"))
    resumed = recipe.fit(data, seed=3, run=Run(tmp_path, lambda stage, share: told.append(stage)))
    assert len(told) == 4, "two epochs before, two after"
    assert all(np.array_equal(a, resumed.arrays()[key]) for key, a in whole.arrays().items())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("pictures", [None, np.zeros((4, 8, 8, 3), np.uint8)])
def test_nothing_to_look_at(pictures) -> None:
    data = replace(log([(0, 1, START, 1.0), (0, 2, START + 1, 1.0)], 1, 4), pictures=pictures)
    model = load_recipe("frames_cnn", SMALL).fit(data, seed=0)
    assert np.isnan(model.score(query([1]), every(range(4)))).all()
    assert all(np.isfinite(array).all() for array in model.arrays().values())


def test_pictures_of_a_data_set_reach_the_recipe(tmp_path) -> None:
    """``evaluate``: posters beside the log; a broken one is one that is not there. No flag is needed."""
    from PIL import Image

    from matinee.evaluation.run import Settings, load

    rng = np.random.default_rng(0)
    (tmp_path / "posters").mkdir()
    for item in range(6):
        Image.fromarray(plain(rng, bool(item % 2))).save(tmp_path / "posters" / f"{item}.png")
    (tmp_path / "posters" / "6.png").write_bytes(b"\x89PNG broken")
    log_file = tmp_path / "ratings.dat"
    log_file.write_text("".join(f"{u}::{i}::4::{1000 + i}\n" for u in range(3) for i in range(8)))
    data, notes = load(log_file, Settings(recipes=("frames_cnn",)))
    assert data.pictures.shape == (8, 32, 32, 3)
    assert data.pictures.any(axis=(1, 2, 3)).tolist() == [True] * 6 + [False] * 2
    assert data.pictures[1, ..., 0].mean() > 130
    assert data.pictures[0, ..., 0].mean() < 90
    assert any(note.startswith("pictures: 7 of 8") for note in notes)
    assert data.interactions().pictures is data.pictures
    assert load(log_file, Settings(recipes=("popular",)))[0].pictures is None


def test_training_of_a_library_looks_at_its_covers(tmp_path) -> None:
    from PIL import Image

    from matinee.ingest import ingest
    from matinee.release import load_release
    from matinee.settings import SETTINGS, Library
    from matinee.store import open_store
    from matinee.train import train

    rng = np.random.default_rng(1)
    shipped = tmp_path / "shipped"
    (shipped / "posters").mkdir(parents=True)
    for item in range(12):
        Image.fromarray(plain(rng, bool(item % 2))).resize((64, 64)).save(shipped / "posters" / f"{item}.png")
    rows = [f"{u}::{i}::5::{1000 + 10 * u + i}\n" for u in range(20) for i in range(u % 2, 10, 2)]
    (shipped / "ratings.dat").write_text("".join(rows))
    (shipped / "movies.dat").write_text("".join(f"{i}::Film {i} (1990)::Drama\n" for i in range(12)))
    library = Library.create(tmp_path / "library")
    (library.path / SETTINGS).write_text('encoders = []\n[training]\nrecipes = ["popular", "frames_cnn"]\n')
    library = Library.open(library.path)
    with_store = open_store(library.database)
    ingest(library, with_store, [shipped])
    digest = train(library, with_store)
    model = load_release(library.releases / digest).models["frames_cnn"]
    assert model.has.sum() == 12
    assert train(library, with_store) == digest
    with_store.close()
