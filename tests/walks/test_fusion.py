"""One vector of text, pictures and sound: fitted at training, kept in the release, at work for new items at once."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from matinee.encoders.fuse import FUSIONS
from matinee.encoders.fusing import Fusing, takes_fused
from matinee.errors import MatineeError
from matinee.ingest.run import put_rows
from matinee.models import load_recipe
from matinee.release import MANIFEST, _seal, load_release
from matinee.serve import asking
from matinee.serve.service import Service
from matinee.settings import Fusing as Setting
from matinee.settings import Library
from matinee.store.sqlite import SQLiteStore
from matinee.train import gathered, train
from matinee.types import Event, Interactions, Item, Space

TEXT, FRAMES, SOUND = Space("text", "1", 12), Space("frames", "1", 16), Space("sound", "1", 8)
N, GENRES = 60, 3


def rows(rng, space, genre):
    vector = 0.5 * rng.standard_normal(space.dim)
    vector[genre] += 1.5
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def fill(store) -> None:
    """Sixty items of three genres, each with some of text, picture and sound; forty users who keep to a genre."""
    rng = np.random.default_rng(0)
    store.put_items([Item(id=f"i{n}", title=f"Item {n}") for n in range(N)])
    for n in range(N):
        for k, space in enumerate((TEXT, FRAMES, SOUND)):
            if n % 4 != k:  # every fourth lacks one; so many have all
                put_rows(store, space, [f"{space.name}{n:060x}"], rows(rng, space, n % GENRES)[None])
                store.link_content(f"i{n}", space, f"{space.name}{n:060x}")
    log = []
    for user in range(40):
        own = rng.permutation(np.arange(user % GENRES, N, GENRES))[:8]
        log += [
            Event(id=f"e{user}-{k}", user=f"u{user}", item=f"i{i}", kind="finish", at=1.6e9 + 1000.0 * k + user)
            for k, i in enumerate(own)
        ]
    store.append(log)


@pytest.fixture
def place(tmp_path):
    opened = []

    def make(settings=""):
        folder = tmp_path / f"library {len(opened)}"
        Library.create(folder)
        (folder / "matinee.toml").write_text(settings)
        library = Library.open(folder)
        store = SQLiteStore(library.database)
        opened.append(store)
        fill(store)
        return library, store

    yield make
    for store in opened:
        store.close()


def ids(service, query):
    return [service.state.catalogue.item(int(row)).id for row in query]


def test_the_release_keeps_what_was_fitted_and_serving_uses_it(place) -> None:
    library, store = place()
    before = Service(library, store)
    assert "fused" not in before.state.catalogue.shelves
    release = load_release(library.releases / train(library, store))
    assert release.fusion is not None
    assert release.fusion.fuser.name == "beside"
    assert release.fusion.spaces == {s.name: s.key for s in (TEXT, FRAMES, SOUND)}
    assert set(release.models["content"].modalities) == {"fused"}
    service = Service(library, store)
    shelf = service.state.catalogue.shelves["fused"]
    data, _ = gathered(store, service._table, library.settings.encoders)
    expected = release.fusion.fuser.fuse(data.features)
    assert np.allclose(shelf.take(np.arange(N)), expected, atol=1e-5)
    assert service.state.catalogue.compared() == (shelf,)
    for by in ("all", "picture"):
        found = asking.similar(service, "i0", by, 10, "en").items
        if by == "all":
            assert sum(int(hit.item[1:]) % GENRES == 0 for hit in found) >= 9
            assert {hit.by for hit in found} <= {"text", "picture", "sound", "behaviour"}


def test_a_new_item_is_fused_at_once_as_the_release_does(place) -> None:
    library, store = place()
    release = load_release(library.releases / train(library, store))
    service = Service(library, store)
    rng = np.random.default_rng(9)
    vectors = {TEXT: rows(rng, TEXT, 1), SOUND: rows(rng, SOUND, 1)}
    row = int(store.put_items([Item(id="new", title="New")])[0])
    fresh = service.state.catalogue.with_item(row, Item(id="new", title="New"), vectors)
    alone = {space.name: vector[None] for space, vector in vectors.items()}
    expected = release.fusion.fuser.fuse(alone)[0]
    assert np.allclose(fresh.shelves["fused"].take(np.array([row]))[0], expected, atol=1e-5)
    for space, vector in vectors.items():  # and so it is when another process put it there
        put_rows(store, space, [f"{space.name}new"], vector[None])
        store.link_content("new", space, f"{space.name}new")
    assert np.allclose(
        Service(library, store).state.catalogue.shelves["fused"].take(np.array([row]))[0], expected, atol=1e-5
    )
    found = asking.similar(Service(library, store), "new", "all", 10, "en").items
    assert sum(int(hit.item[1:]) % GENRES == 1 for hit in found) >= 8


def test_reasons_still_say_what_is_alike(place) -> None:
    library, store = place('[training]\nrecipes = ["content"]\n')
    train(library, store)
    service = Service(library, store)
    state = service.current()
    slate, _ = service.recommend("u0", 10, asking_nothing())
    assert len(slate.items)
    kinds = {reason.kind for reasons in slate.reasons for reason in reasons}
    assert kinds & {"looks", "sounds", "reads"}
    nearest = state.experts[0][0]
    query = service.query("u0", 10, asking_nothing(), state)
    items = slate.items
    terms = nearest.by_space(query, items)
    from matinee.types import Candidates

    score = nearest.score(query, Candidates(items, np.zeros(len(items), np.float32), np.zeros(len(items), np.int64)))
    assert np.allclose(sum(t.sum(axis=1) for t in terms.values()), score, atol=1e-4), "the terms are the score"


def asking_nothing():
    from matinee.serve.service import Ask

    return Ask()


def test_another_encoder_since_training_is_not_given_to_the_fusion(place) -> None:
    """The vectors of a space that the fusion was not fitted on mean something else: that modality counts as missing."""
    library, store = place()
    release = load_release(library.releases / train(library, store))
    other, rng = Space("frames", "2", 16), np.random.default_rng(3)
    for n in range(N):
        put_rows(store, other, [f"other{n:060x}"], rows(rng, other, (n + 1) % GENRES)[None])
        store.link_content(f"i{n}", other, f"other{n:060x}")
    service = Service(library, store)
    assert service.state.catalogue.shelves["frames"].space == other
    data, _ = gathered(store, service._table, library.settings.encoders)
    expected = release.fusion.fuser.fuse({m: data.features[m] for m in ("text", "sound")})
    shelf = service.state.catalogue.shelves["fused"]
    assert np.allclose(shelf.take(shelf.rows), expected[shelf.rows], atol=1e-5)


@pytest.mark.parametrize("method", ["none", "concat", "cca"])
def test_the_method_is_a_setting_and_another_makes_another_release(place, method) -> None:
    library, store = place(f'[training]\ngate = 1.0\n[fusion]\nmethod = "{method}"\n')
    digest = train(library, store)
    release = load_release(library.releases / digest)
    made = None if release.fusion is None else release.fusion.fuser.name
    assert made == (None if method == "none" else method)
    assert ("fused" in Service(library, store).state.catalogue.shelves) == (method != "none")
    assert set(release.models["content"].modalities) == ({"text", "frames", "sound"} if method == "none" else {"fused"})
    (library.path / "matinee.toml").write_text("[training]\ngate = 1.0\n")
    assert train(Library.open(library.path), store) != digest


def test_the_setting_knows_every_method_and_refuses_others(place) -> None:
    from typing import get_args, get_type_hints

    assert set(get_args(get_type_hints(Setting)["method"])) == {"none", *FUSIONS}
    library, _ = place()
    (library.path / "matinee.toml").write_text('[fusion]\nmethod = "magic"\n')
    with pytest.raises(MatineeError, match="magic"):
        Library.open(library.path)


def test_what_was_held_out_is_not_in_the_fusion_that_is_tried() -> None:
    """Each fit sees a fusion of its own rows alone; equal rows are fused once."""
    rng = np.random.default_rng(0)
    features = {"text": rng.standard_normal((40, 6)).astype(np.float32)}
    users, items = np.repeat(np.arange(20), 10), rng.integers(0, 40, 200)
    data = Interactions(users, items, np.arange(200.0), np.ones(200, np.float32), 20, 40, features)
    earlier = Interactions(users[:150], items[:150], np.arange(150.0), np.ones(150, np.float32), 20, 40, features)
    fusing = Fusing("ridge")
    whole, part = fusing.over(data).features["fused"], fusing.over(earlier).features["fused"]
    assert np.abs(whole - part).max() > 1e-3
    assert np.array_equal(part, Fusing("ridge").over(earlier).features["fused"])
    assert fusing.over(earlier) is fusing.over(earlier)
    assert takes_fused(load_recipe("content"))
    assert takes_fused(load_recipe("content_interests"))
    assert not takes_fused(load_recipe("ease"))


def test_a_release_of_before_the_fusion_is_refused_with_what_to_do(place) -> None:
    library, store = place()
    folder = library.releases / train(library, store)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest.pop("seal")
    manifest["format"] = 1
    manifest["seal"] = _seal(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(MatineeError, match="matinee train") as error:
        load_release(folder)
    assert error.value.code == "release.older"
    assert error.value.zh != error.value.en
    assert train(library, store) == folder.name, "training again mends it"
    assert load_release(folder).fusion is not None


def test_a_damaged_fusion_is_told(place) -> None:
    library, store = place()
    folder = library.releases / train(library, store)
    file = folder / "fusion.arrays.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(MatineeError) as error:
        load_release(folder)
    assert error.value.code == "release.corrupt"
    file.unlink()
    with pytest.raises(MatineeError) as error:
        load_release(folder)
    assert error.value.code == "release.missing"
    shutil.rmtree(folder)


def test_what_did_not_change_is_not_fused_again(place) -> None:
    """A refresh fuses the items whose vectors are new or other; the result is that of fusing all."""
    from matinee.pipeline.fused import Fusion

    library, store = place()
    train(library, store)
    state = Service(library, store).state
    catalogue, fusion, asked = state.catalogue, state.fusion, []

    class Counting:
        dim = fusion.fuser.dim

        def fuse(self, features):
            asked.append(max(len(x) for x in features.values()))
            return fusion.fuser.fuse(features)

    counted = Fusion(Counting(), fusion.spaces, fusion.made)
    rng = np.random.default_rng(5)
    bare = catalogue.fused_by(None)
    changed = bare.with_item(3, Item(id="i3", title="Item 3"), {TEXT: rows(rng, TEXT, 2)})
    again = changed.fused_by(counted, catalogue)
    assert asked == [1]
    whole = changed.fused_by(counted)
    assert asked == [1, N]
    assert np.allclose(again.shelves["fused"].vectors, whole.shelves["fused"].vectors, atol=1e-6)
    assert np.array_equal(again.shelves["fused"].rows, whole.shelves["fused"].rows)
    assert (
        np.abs(again.shelves["fused"].take(np.array([3])) - catalogue.shelves["fused"].take(np.array([3]))).max() > 0.01
    )
    other = Fusion(Counting(), fusion.spaces, "another release")
    changed.fused_by(other, catalogue)
    assert asked == [1, N, N], "another fusion takes nothing over"
