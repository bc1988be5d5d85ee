"""A library whose settings name checkpoints: files and catalogues are read by them, words find what they mean, another
checkpoint reads anew, and what is missing or unsafe is said."""

from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from matinee.encoders import table
from matinee.encoders.queries import load_queries
from matinee.encoders.senses import in_force, keys_of, load_senses
from matinee.encoders.table import entry_of
from matinee.errors import MatineeError
from matinee.ingest import ingest
from matinee.settings import Library
from matinee.store import open_store
from matinee.types import Clip, Item, Space
from tests import made
from tests.contracts import tiny_networks as tiny
from tests.weights import fetched

pytest.importorskip("transformers", reason='needs the extra: pip install "matinee[hub]"')
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.xdist_group("hub")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root, there = tmp_path_factory.mktemp("hub library"), {}

    def of(kind):
        if kind not in there:
            there[kind] = tiny.write(kind, root / f"a {kind}")
        return there[kind]

    return of


@pytest.fixture
def media(tmp_path):
    place = tmp_path / "media"
    place.mkdir()
    for n, name in enumerate(("slope", "hill", "valley", "ridge")):
        Image.fromarray(made.scene(3 * n, 90, 120)).save(place / f"{name}.png")
    made.write_media(place / "alarm.wav", sound=made.siren(seconds=2.0))
    frames = np.stack([made.scene(n // 10, 96, 128, n) for n in range(20)])
    made.write_media(place / "a dog.mp4", frames, made.piano(seconds=2.0))
    return place


class Place:
    """A library with these encoders, its store, and what was taken into it."""

    def __init__(self, path, names, more=""):
        self.library = Library.create(path)
        (path / "matinee.toml").write_text(f"encoders = {json.dumps(names)}\n{more}")
        self.library = Library.open(path)
        self.store = open_store(self.library.database)

    def spaces_of(self, item):
        (row,) = self.store.item_rows([item]).tolist()
        return {s.name for s in self.store.spaces() if row in self.store.vectors(s)[0]}

    def search(self, words, n=3):
        from matinee.serve import asking
        from matinee.serve.service import Service

        service = Service(self.library, self.store)
        return [(hit.item, hit.matched) for hit in asking.search(service, words, n, "en").items]


@pytest.fixture
def place(tmp_path):
    made_places = []

    def make(*names, more=""):
        made_places.append(Place(tmp_path / f"library {len(made_places)}", list(names), more))
        return made_places[-1]

    yield make
    for each in made_places:
        each.store.close()


def named(path):
    return f"hub:{path}"


def test_a_library_read_by_checkpoints(place, folder, media):
    """Text by BERT, pictures by ViT, moving pictures by VideoMAE, sound by AST: each item has what it has, is found and
    is likened by it, and a second run reads nothing."""
    kinds = ("bert", "vit", "videomae", "audio-spectrogram-transformer")
    here = place(*(named(folder(kind)) for kind in kinds))
    report = ingest(here.library, here.store, [media])
    assert (report.taken, report.refused) == (6, 0)
    assert here.spaces_of("a dog.mp4") == {"text.hub", "frames.hub", "clips.hub", "sound.hub"}
    assert here.spaces_of("alarm.wav") == {"text.hub", "sound.hub"}
    assert here.spaces_of("slope.png") == {"text.hub", "frames.hub", "clips.hub"}
    assert here.search("a dog")[0][0] == "a dog.mp4"
    again = ingest(here.library, here.store, [media])
    assert (again.taken, again.unchanged) == (0, 6)

    from matinee.serve import asking
    from matinee.serve.service import Service

    service = Service(here.library, here.store)
    assert set(service.state.catalogue.shelves) == {"text", "frames", "clips", "sound"}
    for by in ("text", "picture"):
        found = asking.similar(service, "slope.png", by, 3, "en")
        assert [i.by for i in found.items] == [by] * len(found.items)


def test_another_checkpoint_reads_anew_and_takes_the_place_of_the_former(place, folder, media, tmp_path):
    here = place(named(folder("bert")), named(folder("vit")))
    ingest(here.library, here.store, [media])
    other = shutil.copytree(folder("vit"), tmp_path / "other vit")
    from safetensors.numpy import load_file, save_file

    weights = {k: v + np.float32(0.1) for k, v in load_file(other / "model.safetensors").items()}
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    names = [named(folder("bert")), named(other)]
    (here.library.path / "matinee.toml").write_text(f"encoders = {json.dumps(names)}\n")
    changed = Library.open(here.library.path)
    report = ingest(changed, here.store, [media])
    assert (report.taken, report.unchanged) == (6, 0)
    frames = [s for s in here.store.spaces() if s.name == "frames.hub"]
    assert len(frames) == 2
    counts = {space: len(here.store.vectors(space)[0]) for space in here.store.spaces()}
    assert in_force(counts, names)["frames"].key == entry_of(named(other)).key
    assert in_force(counts, [named(folder("bert")), named(folder("vit"))])["frames"].key != entry_of(named(other)).key


def test_the_real_minilm_finds_what_is_meant(place, tmp_path):
    (minilm,) = fetched("minilm")
    here = place(named(minilm))
    texts = {
        "kitchen": "A recipe for making noodles in your own kitchen", "moon": "Lunar spaceship launch",
        "sofa": "A puppy is napping on the couch", "cup": "The deciding match of the soccer championship",
        "motor": "How to fix an automobile motor",
    }  # fmt: skip
    rows = "\n".join(json.dumps({"id": id_, "title": text}) for id_, text in texts.items())
    (tmp_path / "items.jsonl").write_text(rows)
    ingest(here.library, here.store, [tmp_path / "items.jsonl"])
    for words, wanted in (
        ("cooking pasta", "kitchen"), ("rocket", "moon"), ("dog sleeping", "sofa"), ("football world cup", "cup"),
        ("car repair", "motor"),
    ):  # fmt: skip
        assert here.search(words)[0] == (wanted, "text"), words
    assert "cooking and recipes" in {topic[0] for topic in here.store.facts("kitchen")["topics"]}


def test_an_item_put_into_a_running_service_is_encoded_by_the_checkpoint(place, folder):
    from matinee.serve.service import Service

    here = place(named(folder("bert")))
    service = Service(here.library, here.store)
    for n, title in enumerate(("a dog in the park", "the piano", "a car")):
        service.put_item(Item(id=str(n), title=title))
    assert here.spaces_of("0") == {"text.hub"}
    shelf = service.current().catalogue.shelves["text"]
    expected = load_senses([named(folder("bert"))]).text.encode([Clip(text="the piano")])[0]
    assert np.allclose(shelf.take(np.array([1]))[0], expected, atol=1e-5)


def test_a_library_in_eight_bits_is_the_same_library(place, folder, media, tmp_path, monkeypatch):
    """The first ingest checks texts; pictures are checked on the covers that it wrote, so from the next one on. The
    spaces stay, so nothing is read again."""
    from matinee.encoders import quantise
    from matinee.encoders.hub.export import OnnxNetwork

    monkeypatch.setenv("MATINEE_CACHE", str(tmp_path / "cache"))
    for bar in ("COSINE", "OVERLAP", "SPEED"):
        monkeypatch.setattr(quantise, bar, 0.0)  # random weights and two cores tell nothing
    names = [named(folder("bert")), named(folder("vit"))]
    here = place(*names, more='precision = "int8"\n')
    for n in range(34):
        Image.fromarray(made.scene(n, 60, 80, 3 * n)).save(media / f"{n}.png")
    report = ingest(here.library, here.store, [media])
    assert report.refused == 0
    table._loaded.cache_clear()
    senses = load_senses(names, "int8", here.library.covers)
    assert all(isinstance(encoder.network, OnnxNetwork) for encoder in senses.encoders.values())
    assert len(list((tmp_path / "cache" / "int8").glob("*/verdict.json"))) == 2
    plain = load_senses(names)
    assert [e.space for e in senses.encoders.values()] == [e.space for e in plain.encoders.values()]
    assert here.search("a dog")[0][0] == "a dog.mp4"
    (here.library.path / "matinee.toml").write_text(f"encoders = {json.dumps(names)}\n")
    again = ingest(Library.open(here.library.path), here.store, [media])
    assert again.taken == 0


class TestJoint:
    """A network that reads words and pictures, or words and sound, takes the label bridge's place."""

    @pytest.mark.parametrize(("kind", "side"), [("clip", "frames"), ("siglip", "frames"), ("clap", "sound")])
    def test_words_are_compared_with_what_it_saw_or_heard(self, place, folder, media, kind, side):
        here = place("text.classic", "frames.classic", named(folder(kind)))
        ingest(here.library, here.store, [media])
        item = {"frames": "slope.png", "sound": "alarm.wav"}[side]
        space = next(s for s in here.store.spaces() if s.name == f"{side}.joint")
        assert f"{side}.joint" in here.spaces_of(item)
        asked = load_queries(here.library.settings.encoders).of("a dog in the park")
        rows, vectors = here.store.vectors(space)
        from matinee.serve.service import Service

        shelves = Service(here.library, here.store).state.catalogue.shelves
        shelf = next(s for s in shelves.values() if s.space == space)
        own = load_queries(here.library.settings.encoders).joint[space.key]
        assert np.allclose(asked[space.key], own.encode([Clip(text="a dog in the park")])[0])
        assert np.allclose(shelf.take(rows) @ asked[space.key], vectors @ asked[space.key])

    def test_the_picture_it_means_comes_first(self, place, folder, media):
        """Words whose vector lies nearest to one picture bring that picture, though no text says so."""
        here = place(named(folder("clip")))
        ingest(here.library, here.store, [media])
        (space,) = (s for s in here.store.spaces() if s.kind)
        rows, vectors = here.store.vectors(space)
        queries = load_queries(here.library.settings.encoders)
        words = "a dog in the park"
        score = vectors @ queries.of(words)[space.key]
        best = dict(here.store.items())[int(rows[int(np.argmax(score))])].id
        found = here.search(words, 6)
        pictures = [item for item, by in found if by == "picture"]
        assert pictures[0] == best

    def test_there_is_no_bridge_beside_it(self, folder):
        made.require_weights("text", "frames", "sound")
        names = ["text", "frames", "sound", named(folder("clip"))]
        assert not [key for key in keys_of(names) if key.startswith("bridge.frames")]
        assert [key for key in keys_of(names) if key.startswith("bridge.sound")]
        assert [key for key in keys_of(names[:3]) if key.startswith("bridge.frames")], "the control"
        old = {Space("bridge.frames", "conse10-en-zh", 512): 9, Space("frames", "efficientnet-lite0", 1280): 9}
        assert "bridge.frames" in in_force(old, names[:3])
        assert "bridge.frames" not in in_force(old, names)

    def test_it_names_the_topics(self, folder):
        """Zero-shot: the topic whose words lie nearest to a picture is named, with the space it was seen in."""
        from matinee.encoders.labels import names
        from matinee.encoders.topics import topics

        words = table.load_words(named(folder("clip")))
        known = topics(None, {"frames.joint": words})
        sharp = known.joint["frames.joint"]
        sharp = type(sharp)(sharp.vectors, sharp.unit, 1e4, sharp.nothing)  # random weights lie close together
        assert len({tuple(row) for row in np.round(sharp.vectors, 5)}) > 3
        picked = 7
        alike = np.flatnonzero(np.isclose(sharp.vectors @ sharp.vectors[picked], 1, atol=1e-6))
        belief = sharp.confidence(sharp.vectors[[picked]])[0]
        assert set(np.flatnonzero(belief >= belief.max() - 1e-6)) == set(alike.tolist())
        assert sharp.confidence(sharp.nothing[None]).max() <= 0.5, "a picture of nothing in particular has no topic"
        assert known.of({"frames.joint": np.full((1, 24), np.nan, np.float32)}) == []
        assert len(names("topics")) == len(sharp.vectors)


class TestWhatIsSaid:
    def test_without_the_extra(self, place, folder, media, monkeypatch):
        here = place(named(folder("gpt2")))
        monkeypatch.setitem(sys.modules, "transformers", None)
        with pytest.raises(MatineeError, match=r'pip install "matinee\[hub\]"') as error:
            ingest(here.library, here.store, [media])
        assert error.value.code == "hub.extra"

    def test_a_checkpoint_that_is_not_there(self, place, media, monkeypatch, tmp_path):
        here = place("hub:nobody/nothing-of-this-name")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "empty"))
        with pytest.raises(MatineeError, match="matinee weights fetch hub:nobody/nothing-of-this-name") as error:
            ingest(here.library, here.store, [media])
        assert error.value.code == "hub.unreachable"

    def test_pickles(self, place, folder, media, tmp_path):
        own = shutil.copytree(folder("bert"), tmp_path / "own")
        (own / "model.safetensors").rename(own / "pytorch_model.bin")
        here = place(named(own))
        with pytest.raises(MatineeError, match="Pickles can run code"):
            ingest(here.library, here.store, [media])

    @pytest.mark.parametrize(
        "name", ["hub:", "hub:x?pool", "hub:x?pools=mean", "hub:x?longest=many", "hub:x?longest=0"]
    )
    def test_a_name_that_means_nothing(self, name):
        with pytest.raises(MatineeError) as error:
            entry_of(name)
        assert error.value.code == "hub.name"

    def test_serving_goes_on_without_the_checkpoint(self, place, folder, media, tmp_path):
        """The vectors are there; only what needs the network is away."""
        own = shutil.copytree(folder("bert"), tmp_path / "own")
        here = place(named(own))
        ingest(here.library, here.store, [media])
        shutil.rmtree(own)
        table._loaded.cache_clear()
        assert here.search("a dog")[0] == ("a dog.mp4", "words")
        from matinee.serve.service import Service

        assert set(Service(here.library, here.store).state.catalogue.shelves) == {"text"}


def test_options_change_the_space(folder):
    keys = {
        entry_of(named(folder("bert")) + more).key
        for more in ("", "?pool=cls", "?prefix=query%3A+", "?query=query%3A+", "?longest=9", "?pool=cls&longest=9")
    }
    assert len(keys) == 6


class TestWeights:
    """``matinee weights`` knows the checkpoints that a library names."""

    @pytest.fixture
    def run(self, capsys):
        from matinee.cli.app import run

        def told(*words):
            run(["weights", *words, "--json"])
            return json.loads(capsys.readouterr().out)

        return told

    def test_they_are_listed_with_what_they_read(self, place, folder, run):
        here = place(named(folder("bert")), named(folder("clip")), "hub:/no/such/folder")
        answer = run("list", "--library", str(here.library.path))
        rows = {row["name"]: row for row in answer if row["name"].startswith("hub:")}
        assert [row["state"] for row in rows.values()] == ["ready", "ready", "missing"]
        assert [row["role"] for row in rows.values()] == ["text", "frames", ""]
        assert rows[named(folder("clip"))]["key"] == entry_of(named(folder("clip"))).key

    def test_they_are_judged_and_exported(self, folder, tmp_path, monkeypatch, run):
        monkeypatch.setenv("MATINEE_CACHE", str(tmp_path / "cache"))
        assert run("fetch", named(folder("bert"))) == {named(folder("bert")): str(folder("bert"))}
        made_ = run("export", named(folder("clip")))
        assert [key.rpartition(" ")[2] for key in made_] == ["frames", "text"]
        assert all(
            (tmp_path / "cache" / "onnx" / p.rpartition("/")[2] / "network.onnx").exists() for p in made_.values()
        )
        own = shutil.copytree(folder("bert"), tmp_path / "own")
        (own / "model.safetensors").unlink()
        assert run("verify", named(own)) == {named(own): "refused"}


def test_a_data_set_is_evaluated_by_a_checkpoint(folder, tmp_path):
    """``matinee evaluate --encode hub:... --fuse``: content by the checkpoint's vectors, fused."""
    from matinee.evaluation.run import Settings, evaluate

    rng = np.random.default_rng(0)
    titles = ["a dog in the park", "the piano", "a car in the road", "the cat"]
    rows = [f"i{n},{titles[n % 4]} {titles[n // 4 % 4]}" for n in range(40)]
    (tmp_path / "items.csv").write_text("item,title\n" + "\n".join(rows) + "\n")
    log = [f"u{u},i{int(i)},{1000 + 10 * k + u % 7}" for u in range(30) for k, i in enumerate(rng.permutation(40)[:12])]
    (tmp_path / "log.csv").write_text("user,item,timestamp\n" + "\n".join(log) + "\n")
    names = (named(folder("bert")),)
    for fuse in ("none", "beside"):
        asked = Settings(recipes=("content",), encode=names, fuse=fuse, resamples=20, flips=50, warm_up=False)
        outcome = evaluate(tmp_path / "log.csv", asked, items=tmp_path / "items.csv")
        assert outcome.results[0].metrics["ndcg@10"].value > 0
