"""Deep sequence models: what is served is what was trained, the losses are what they say, training goes on where it was
interrupted, and a ring whose next item is known is learnt by all."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from matinee.errors import MatineeError
from matinee.models import RECIPES, load_model, load_recipe, tensors
from matinee.models.neural import sequences as seq
from matinee.models.neural.semantic import codebooks, dims_of, side_by_side, words
from matinee.models.neural.vectors import contents, counted
from matinee.types import Candidates
from tests.contracts.checkerboard import ITEMS, START, checkerboard, log, query

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'matinee[neural]'")
from matinee.models.neural import checkpoint, losses, training  # noqa: E402
from matinee.models.neural.items import Drops, ItemEncoder  # noqa: E402
from matinee.models.neural.served import sequence_model  # noqa: E402

NAMES = sorted(name for name in RECIPES if "SequenceModel" in RECIPES[name].model)
RING = 12
SMALL = {"width": 16, "length": 8, "epochs": 12, "batch": 8, "rate": 0.01, "dropout": 0.0}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def ring(users=60, steps=9):
    """User u walks the ring from item u % 12, one step at a time: what follows an item is known."""
    return log([(u, (u + s) % RING, START + s, 1.0) for u in range(users) for s in range(steps)], users, RING)


def every(n) -> Candidates:
    return Candidates(np.arange(n), np.full(n, np.nan, np.float32), np.zeros(n, np.int64))


@pytest.mark.parametrize("name", NAMES)
def test_the_next_of_a_ring_comes_first(name) -> None:
    more = {"epochs": 60} if name == "bert4rec" else {}
    model = load_recipe(name, SMALL | more).fit(ring(), seed=3)
    for start in range(RING):
        watched = [(start + s) % RING for s in range(5)]
        assert model.retrieve(query(watched), 1).items.tolist() == [(start + 5) % RING]


@pytest.mark.parametrize("fields", [{"time": True}, {"sampled": True, "negatives": 16}, {"blocks": 1, "heads": 4}])
def test_a_transformer_of_any_kind_learns_the_ring(fields) -> None:
    model = load_recipe("sasrec", SMALL | fields).fit(ring(), seed=3)
    right = [model.retrieve(query([s, (s + 1) % RING]), 1).items[0] == (s + 2) % RING for s in range(RING)]
    assert all(right)


def network(name, width=16, dislikes=False):
    """A network with weights of chance, and its item encoder over two modalities with holes."""
    board = checkerboard()
    features = {key: value.copy() for key, value in board.features.items()}
    features["text"][::3] = np.nan
    features["frames"][1] = 0
    content, body = contents(features), []

    def caught(recipe, data, make, plan, seed, run):
        body.append(make())

    module = sys.modules[type(load_recipe(name)).__module__]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "fit", caught)
        load_recipe(name, {"width": width, "length": 10}).fit(board, seed=0)
    torch.manual_seed(5)
    rows, has = side_by_side(content, dims_of(content), ITEMS)
    books = codebooks(rows[has], 2, 4, 0)
    items = ItemEncoder(counted(board.items, ITEMS), content, width, Drops(), 5.0, books)
    net = training.Net(items, body[0], training.Turned(width) if dislikes else None)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return net.eval(), content


@pytest.mark.parametrize("dislikes", [False, True], ids=["likes", "and dislikes"])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_served_is_what_was_trained(name, dislikes) -> None:
    net, content = network(name, dislikes=dislikes)
    model = sequence_model(name, training.export(net, 16), net.items.weights(), content, 10)
    model = load_model(name, tensors.unpack(tensors.pack(model.arrays())))
    assert ("liked" in [entry.name for entry in model.session.get_inputs()]) == dislikes
    with torch.no_grad():
        table = net.items()
        np.testing.assert_allclose(model.table, table.numpy(), rtol=1e-4, atol=1e-5)
        for items in ([3], [1, 2], list(range(7)), list(range(20))):
            asked = query(items, [1 if i % 3 or not dislikes else -1 for i in items])
            rows, at, liked = (a[-10:] for a in (asked.history.items, asked.history.at, asked.history.strength > 0))
            x = net.read(table[rows][None], torch.from_numpy(liked)[None])
            state = net.body.last(x, torch.from_numpy(at)[None])[0] * 16**-0.5
            np.testing.assert_allclose(model.score(asked, every(ITEMS)), (table @ state).numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"bert4rec"}))
def test_no_place_sees_what_is_to_come(name) -> None:
    net, _ = network(name)
    x, at = torch.randn(2, 9, 16), torch.arange(9.0, dtype=torch.float64).expand(2, 9)
    changed = x.clone()
    changed[:, 6:] = 7
    valid = torch.ones(2, 9, dtype=torch.bool)
    before, after = net.body(x, at, valid), net.body(changed, at, valid)
    torch.testing.assert_close(before[:, :6], after[:, :6])
    assert not torch.allclose(before[:, 6:], after[:, 6:])


def test_padding_says_nothing_to_the_cloze() -> None:
    net, _ = network("bert4rec")
    x, at = torch.randn(1, 6, 16), torch.arange(6.0, dtype=torch.float64)[None]
    valid = torch.arange(6)[None] < 4
    alone = net.body(x[:, :4], at[:, :4], valid[:, :4])
    torch.testing.assert_close(net.body(x, at, valid)[:, :4], alone, rtol=1e-4, atol=1e-5)


def test_full_softmax_is_cross_entropy_with_its_gradients(monkeypatch) -> None:
    monkeypatch.setattr(losses, "CHUNK", 7)
    torch.manual_seed(0)
    states, items = torch.randn(23, 5, requires_grad=True), torch.randn(11, 5, requires_grad=True)
    targets = torch.randint(11, (23,))
    ours = losses.full_softmax(states, items, targets)
    got = torch.autograd.grad(3 * ours, (states, items))
    plain = torch.nn.functional.cross_entropy(states @ items.T, targets)
    wanted = torch.autograd.grad(3 * plain, (states, items))
    torch.testing.assert_close(ours, plain)
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_what_was_disliked_is_learnt_not_to_be_shown(monkeypatch) -> None:
    monkeypatch.setattr(losses, "CHUNK", 7)
    torch.manual_seed(0)
    states, items = torch.randn(23, 5, requires_grad=True), torch.randn(11, 5, requires_grad=True)
    targets, liked = torch.randint(11, (23,)), torch.rand(23) < 0.6
    p = (states @ items.T).softmax(1).gather(1, targets[:, None])[:, 0]
    plain = -torch.where(liked, p, 1 - p).log().mean()
    wanted = torch.autograd.grad(plain, (states, items))
    full = losses.full_softmax(states, items, targets, liked)
    same = targets[:, None] == torch.arange(11)[None, :]
    sampled = losses.sampled_softmax(states, items[targets], items, torch.zeros(11), same, liked)
    for ours in (full, sampled):
        torch.testing.assert_close(ours, plain)
        for a, b in zip(torch.autograd.grad(ours, (states, items)), wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_sampled_softmax_nears_the_full_one_only_with_its_correction() -> None:
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    m, k = 50, 40_000
    states, items = torch.randn(64, 4), torch.randn(m, 4)
    targets = torch.randint(m, (64,))
    chance = rng.dirichlet(np.full(m, 0.5))
    drawn = torch.from_numpy(rng.choice(m, k, p=chance))
    full = float(torch.nn.functional.cross_entropy(states @ items.T, targets))
    log_q = torch.from_numpy(np.log(chance * k)).float()

    def ours(log_draws):
        same = targets[:, None] == drawn[None, :]
        return float(losses.sampled_softmax(states, items[targets], items[drawn], log_draws, same))

    assert abs(ours(log_q[drawn]) - full) < 0.1
    assert abs(ours(torch.full((k,), float(np.log(k / m)))) - full) > 0.3


def test_windows_cover_every_transition_once() -> None:
    rng = np.random.default_rng(1)
    lengths = [2, 3, 10, 11, 12, 31, 100]
    n = sum(lengths)
    data = seq.Sequences(np.arange(n), np.arange(n, dtype=float), np.r_[0, np.cumsum(lengths)], np.ones(n, bool))
    for _ in range(20):
        spans = seq.windows(data, 10, rng)
        assert (spans[:, 1] - spans[:, 0]).max() <= 11
        steps = np.concatenate([np.arange(a, b - 1) for a, b in spans])
        wanted = np.setdiff1d(np.arange(sum(lengths)), data.starts[1:] - 1)
        np.testing.assert_array_equal(np.sort(steps), wanted)
    groups = seq.batches(data, 10, 3, rng)
    given = [seq.batch(data, spans) for spans in groups]
    assert sum(int((b.length - 1).sum()) for b in given) == len(wanted)
    assert all((b.items[b.valid][1:] >= 0).all() for b in given)


def test_one_item_several_times_in_a_row_counts_once() -> None:
    rows = [(0, i, START + t, s) for t, (i, s) in enumerate([(3, 1), (3, 1), (5, 0), (3, 1), (4, -1), (6, 1), (3, 1)])]
    found = seq.sequences(log([*rows, (1, 2, START, 1.0)], 2, 9))
    assert found.items.tolist() == [3, 6, 3]
    assert found.starts.tolist() == [0, 3], "who watched one thing teaches nothing"
    past = query([3, 3, 5, 3, 4, 6, 3, 8], [1, 1, 0, 1, -1, 1, 1, 1]).history
    known = np.arange(9) != 8
    assert seq.last_of(past, known, 10)[0].tolist() == [3, 6, 3]
    assert seq.last_of(past, known, 2)[0].tolist() == [6, 3]


def test_what_is_disliked_in_the_end_was_not_liked() -> None:
    """3 played, then disliked; 5 disliked, then liked; 6 loved, and once skipped; 7 disliked and no more."""
    said = [(3, 0.5), (4, 1), (5, -1), (6, 1), (3, -1), (7, -1), (6, -0.3), (5, 1), (8, 1)]
    data = log([(0, i, START + t, s) for t, (i, s) in enumerate(said)], 1, 9)
    past, known = query(*zip(*said, strict=True)).history, np.ones(9, bool)
    for dislikes, items, liked in [(False, [4, 6, 5, 8], [1] * 4), (True, [4, 6, 3, 7, 5, 8], [1, 1, 0, 0, 1, 1])]:
        found = seq.sequences(data, dislikes=dislikes)
        assert found.items.tolist() == items
        assert found.liked.tolist() == liked
        asked, _, are = seq.last_of(past, known, 10, dislikes=dislikes)
        assert asked.tolist() == items
        assert are.tolist() == liked
    ended = log([*((0, i, START + i, 1.0) for i in range(5)), (0, 6, START + 9, -1.0)], 1, 9)
    learn, held = seq.hold_out(seq.sequences(ended, dislikes=True), 1.0, 9, seed=0)
    assert learn.items.tolist() == [0, 1, 2, 3]
    assert held.items.tolist() == [0, 1, 2, 3, 4], "the last that was liked is what is validated on"


def test_windows_that_end_in_dislikes_alone_teach_nothing() -> None:
    rows = [(u, i, START + i, 1.0 if i < 4 else -1.0) for u in range(2) for i in range(12)]
    data = seq.sequences(log(rows, 2, 12), dislikes=True)
    spans = seq.windows(data, 3, np.random.default_rng(0))
    assert 2 <= len(spans) < 8
    assert all(data.liked[a + 1 : b].any() for a, b in spans)
    for given in (seq.batch(data, group) for group in seq.batches(data, 3, 2, np.random.default_rng(1))):
        hidden = training._hidden(given, 0.3, np.random.default_rng(2))
        assert hidden.any(1).all()
        assert not (hidden & ~(given.liked & given.valid)).any()


NEUTRAL, COLOUR = 4, 10  # items 0 to 3 are for all, then ten of each of two colours


def averse(users=100):
    """All watch two neutral items, dislike one of a colour, and then watch one to four of the other colour. The last
    item of each colour is never disliked here, but watched."""
    rng = np.random.default_rng(0)
    rows = []
    for u in range(users):
        bad, good = (NEUTRAL + COLOUR * c for c in (u % 2, 1 - u % 2))
        line = [(int(i), 1.0) for i in rng.permutation(NEUTRAL)[:2]]
        line += [(bad + int(rng.integers(COLOUR - 1)), -1.0)]
        line += [(good + int(i), 1.0) for i in rng.permutation(COLOUR)[: 1 + u // 2 % 4]]
        rows += [(u, i, START + 3600.0 * t, s) for t, (i, s) in enumerate(line)]
    return log(rows, users, NEUTRAL + 2 * COLOUR)


def averted(name, dislikes) -> float:
    """The share of the first five that is of the other colour than the one item disliked."""
    epochs = {"bert4rec": 60, "two_tower": 40}.get(name, 15)
    fields = SMALL | {"epochs": epochs, "patience": epochs, "batch": 4, "dislikes": dislikes}
    model = load_recipe(name, fields).fit(averse(), seed=1)
    model = load_model(name, tensors.unpack(tensors.pack(model.arrays())))
    right = []
    for item in range(NEUTRAL, NEUTRAL + 2 * COLOUR):
        shown = model.retrieve(query([0, 1, item], [1, 1, -1]), 5).items
        other = NEUTRAL + COLOUR * (1 - (item - NEUTRAL) // COLOUR)
        right.append(((shown >= other) & (shown < other + COLOUR)).mean())
    return float(np.mean(right))


@pytest.mark.parametrize("name", NAMES)
def test_who_dislikes_one_wants_none_of_its_neighbours(name) -> None:
    assert averted(name, dislikes=True) > 0.85


def test_nobody_can_tell_who_does_not_read_dislikes() -> None:
    assert averted("gru4rec", dislikes=False) < 0.65


def test_held_out_items_are_not_learnt() -> None:
    data = seq.sequences(ring())
    learn, held = seq.hold_out(data, 0.25, 100, seed=1)
    assert len(held) == 15
    assert len(learn.items) == len(data.items) - 15
    assert np.diff(held.starts).tolist() == [9] * 15
    assert sorted(np.diff(learn.starts).tolist()) == [8] * 15 + [9] * 45


def interrupted(after, told):
    """A run whose progress raises Ctrl-C once ``after`` epochs are done."""

    def hear(stage, share):
        told.append(stage)
        if len(told) == after:
            raise KeyboardInterrupt

    return hear


@pytest.mark.parametrize("damage", [False, True], ids=["whole checkpoint", "damaged checkpoint"])
def test_interrupted_training_goes_on_to_the_same_model(tmp_path, damage) -> None:
    recipe = load_recipe("sasrec", SMALL | {"epochs": 5, "dropout": 0.2})
    straight = recipe.fit(ring(), seed=4).arrays()
    told: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        recipe.fit(ring(), seed=4, run=checkpoint.Run(tmp_path, interrupted(3, told)))
    (file,) = tmp_path.iterdir()
    assert file.suffix == ".safetensors"
    assert tensors.unpack(file.read_bytes())["progress"][0] == 3
    if damage:
        file.write_bytes(file.read_bytes()[:-100])
    again: list[str] = []
    resumed = recipe.fit(ring(), seed=4, run=checkpoint.Run(tmp_path, interrupted(0, again))).arrays()
    assert len(again) == (5 if damage else 2)
    assert all(np.array_equal(straight[key], resumed[key]) for key in straight)
    assert not list(tmp_path.iterdir()), "a finished training leaves no checkpoint"


def test_a_checkpoint_of_something_else_is_not_taken(tmp_path) -> None:
    def stopped(fields, seed, data):
        recipe, run = load_recipe("gru4rec", SMALL | fields), checkpoint.Run(tmp_path, interrupted(1, []))
        with pytest.raises(KeyboardInterrupt):
            recipe.fit(data, seed=seed, run=run)

    for fields, seed, data in [({}, 1, ring()), ({}, 2, ring()), ({"hidden": 8}, 1, ring()), ({}, 1, ring(59))]:
        stopped(fields, seed, data)
    assert len(list(tmp_path.iterdir())) == 4


def test_a_full_disk_is_told_in_words(tmp_path) -> None:
    place = tmp_path / "a file"
    place.write_text("not a folder")
    with pytest.raises(MatineeError) as error:
        load_recipe("gru4rec", SMALL).fit(ring(), seed=1, run=checkpoint.Run(place / "checkpoints"))
    assert error.value.code == "neural.checkpoint"
    assert "检查点" in error.value.zh


def test_it_stops_when_validation_does_not_improve() -> None:
    noise = np.random.default_rng(0)
    rows = [(u, int(noise.integers(40)), START + s, 1.0) for u in range(60) for s in range(8)]
    told: list[str] = []
    fields = SMALL | {"epochs": 60, "patience": 3}
    load_recipe("two_tower", fields).fit(log(rows, 60, 40), seed=0, run=checkpoint.Run(None, interrupted(0, told)))
    assert 4 <= len(told) < 60
    assert "validation" in told[0]


def test_training_leaves_the_callers_chance_alone() -> None:
    torch.manual_seed(11)
    wanted = torch.rand(3)
    torch.manual_seed(11)
    load_recipe("gru4rec", SMALL | {"epochs": 1}).fit(ring(), seed=1)
    assert torch.equal(torch.rand(3), wanted)


def test_items_that_come_later_are_known_by_their_content() -> None:
    board = checkerboard()
    model = load_recipe("sasrec", SMALL | {"epochs": 20}).fit(board, seed=1)
    more = {}
    for name, rows in board.features.items():
        odd, even = rows[1::2].mean(0), rows[0::2].mean(0)
        nothing = np.full_like(odd, np.nan)
        more[name] = np.vstack([rows, even / np.linalg.norm(even), odd / np.linalg.norm(odd), nothing])
    grown = model.with_features(more)
    np.testing.assert_allclose(grown.table[:ITEMS], model.table, rtol=1e-4, atol=1e-5)
    score = grown.score(query([1, 5, 9]), every(ITEMS + 3))
    assert score[ITEMS + 1] > score[ITEMS]
    assert np.isnan(score[ITEMS + 2])
    assert model.with_features({"smell": np.ones((40, 3), np.float32)}) is model


@pytest.mark.parametrize(
    ("name", "fields", "said"),
    [
        ("gru4rec", {"cell": "transformer"}, "gru or lstm"),
        ("sasrec", {"width": 10, "heads": 3}, "multiple of heads"),
        ("bert4rec", {"width": 10, "heads": 4}, "multiple of heads"),
    ],
)
def test_settings_that_cannot_be_are_refused(name, fields, said) -> None:
    with pytest.raises(MatineeError, match=said):
        load_recipe(name, fields).fit(ring(), seed=0)


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
import numpy as np
from matinee.errors import MatineeError
from matinee.models import load_model, load_recipe, tensors
from tests.contracts.checkerboard import query
model = load_model("sasrec", tensors.unpack(open(sys.argv[1], "rb").read()))
print(model.retrieve(query([2, 3, 4]), 1).items[0])
try:
    load_recipe("sasrec")
except MatineeError as error:
    print(error.code, error.en, error.zh)
"""


def test_without_pytorch_it_is_served_and_training_says_what_to_install(tmp_path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(tensors.pack(load_recipe("sasrec", SMALL).fit(ring(), seed=3).arrays()))
    command = [sys.executable, "-c", WITHOUT_TORCH, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONUTF8": "1"})
    first, second = done.stdout.splitlines()
    assert first == "5"
    assert second.startswith("recipe.extra_missing")
    assert second.count("pip install 'matinee[neural]'") == 2


def test_the_table_of_recipes_does_not_import_pytorch() -> None:
    code = "import sys, matinee.models, matinee.models.neural.served; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


SMALL_NET = {"width": 16, "length": 10, "epochs": 20, "batch": 4, "rate": 0.01}


def test_semantic_ids_are_the_nearest_means_level_by_level() -> None:
    rng = np.random.default_rng(0)
    centres = 10 * rng.standard_normal((4, 6))
    rows = (centres[np.repeat(np.arange(4), 50)] + rng.standard_normal((200, 6))).astype(np.float32)
    books = codebooks(rows, 2, 8, 0)
    found = words(rows, books)
    assert books.shape == (2, 8, 6)
    assert found.shape == (200, 2)
    assert set(found[:, 1].tolist()) <= set(range(8, 16))
    of_cluster = [set(found[k * 50 : (k + 1) * 50, 0].tolist()) for k in range(4)]
    assert not any(a & b for n, a in enumerate(of_cluster) for b in of_cluster[n + 1 :]), "no word for two clusters"
    left = rows.copy()
    for level, means in enumerate(books):
        distance = ((left[:, None] - means[None]) ** 2).sum(2)
        np.testing.assert_array_equal(found[:, level] - 8 * level, distance.argmin(1))
        left = left - means[distance.argmin(1)]
    assert (left**2).mean() < 0.5 * ((rows - books[0][found[:, 0]]) ** 2).mean() + 0.5 * (rows**2).mean()
    assert (left**2).sum() < ((rows - books[0][found[:, 0]]) ** 2).sum()
    np.testing.assert_array_equal(codebooks(rows, 2, 8, 0), books)
    assert codebooks(rows[:5], 2, 8, 0).shape == (0, 0, 6)
    assert words(rows, codebooks(rows, 0, 8, 0)).shape == (200, 0)


def test_words_alone_tell_a_new_item_apart() -> None:
    """Projections switched off: what is left of an item nobody has watched are its semantic ids."""
    board = checkerboard()
    model = load_recipe("gru4rec", {**SMALL_NET, "semantic_words": 4}).fit(board, seed=0)
    assert "semantic" in model.weights
    blind = {k: np.zeros_like(v) if k.startswith("project.") else v for k, v in model.weights.items()}
    features = {k: np.concatenate([v, v[:2]]) for k, v in board.features.items()}
    grown = replace(model, weights=blind).with_features(features)
    score = grown.score(query([1, 5, 9]), every(ITEMS + 2))
    assert score[ITEMS + 1] > score[ITEMS], "the odd newcomer shares words with the odd"
    without = load_recipe("gru4rec", {**SMALL_NET, "semantic_levels": 0}).fit(board, seed=0)
    assert "semantic" not in without.weights
