"""The pictures and words of a data set's items, found and encoded."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from matinee.data.datasets.table import read_dataset
from matinee.errors import MatineeError
from matinee.evaluation.encode import _kept, encoded_features, pictures_of, words
from matinee.types import Item, Space


@pytest.fixture
def folder(tmp_path):
    inside = tmp_path / "set"
    (inside / "posters").mkdir(parents=True)
    inside.joinpath("log.csv").write_text("user,item\nu,a\nu,b\nu,c\nu,d\n")
    inside.joinpath("items.csv").write_text("id,title,cover\na,A,art/a.png\nb,B,\nc,C,../outside.png\nd,D,gone.png\n")
    (inside / "art").mkdir()
    for place in (inside / "art" / "a.png", inside / "posters" / "b.jpg", tmp_path / "outside.png"):
        Image.new("RGB", (32, 32), (200, 30, 30)).save(place)
    return inside


def test_pictures_are_found_by_cover_or_by_id_and_only_inside_the_folder(folder):
    data = read_dataset(folder / "log.csv")
    found = {data.items[row]: path.name for row, path in pictures_of(data).items()}
    assert found == {"a": "a.png", "b": "b.jpg"}


def test_tags_of_users_are_not_among_the_words():
    item = Item(id="1", title="A", description="B.", tags=("seen it twice",), categories=("Drama",), creators=("C",))
    assert words(item) == "A. B.. Drama. C"


def test_an_unknown_encoder_is_refused_with_the_nearest(folder):
    with pytest.raises(MatineeError, match="'frames'"):
        encoded_features(read_dataset(folder / "log.csv"), ["frame"], lambda *_: None)


@dataclasses.dataclass(frozen=True)
class Counting:
    space: Space
    seen: list

    def encode(self, clips):
        self.seen.extend(clip.text for clip in clips)
        return np.tile(np.array([[0.6, 0.8]], np.float32), (len(clips), 1))


def test_vectors_are_kept_until_what_was_read_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("MATINEE_CACHE", str(tmp_path))
    one = Counting(Space("text", "r1", 2), [])
    first = _kept(one, {0: "a", 2: "b"}, {}, 3, lambda *_: None)
    assert np.isnan(first[1]).all()
    assert first[2].tolist() == pytest.approx([0.6, 0.8])
    again = _kept(one, {0: "a", 2: "b"}, {}, 3, lambda *_: None)
    assert np.array_equal(first, again, equal_nan=True)
    assert one.seen == ["a", "b"]
    _kept(one, {0: "a", 2: "changed"}, {}, 3, lambda *_: None)
    assert one.seen == ["a", "b", "a", "changed"]
    _kept(Counting(Space("text", "r2", 2), one.seen), {0: "a", 2: "b"}, {}, 3, lambda *_: None)
    assert len(one.seen) == 6
    (kept, *_) = sorted((tmp_path / "features").glob("*.npy"))
    kept.write_bytes(b"broken")
    assert _kept(one, {0: "a", 2: "b"}, {}, 3, lambda *_: None).shape == (3, 2)
