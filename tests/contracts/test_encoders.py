"""Every encoder keeps its promises, and understands: translations, cats and cars, sirens and pianos."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from matinee.encoders.bridge import bridge, top_labels
from matinee.encoders.labels import label_zh, names
from matinee.encoders.table import ENCODERS, load_bridge, load_encoder
from matinee.errors import MatineeError
from matinee.types import Clip
from tests import made


@pytest.fixture(autouse=True)
def checkpoints():
    made.require_weights("text", "frames", "sound")


def clip_for(name, n=0):
    rng = np.random.default_rng(n)
    frames = np.stack([made.scene(n, 256, 300, 5 * k) for k in range(3)])
    sound = made.piano((60 + n, 64, 67)) + rng.normal(0, 0.001, 64_000).astype(np.float32)
    full = {"text": f"A film about {['dogs', 'trains', 'the sea', 'war'][n % 4]}", "frames": frames, "sound": sound}
    return Clip(**{ENCODERS[name].reads: full[ENCODERS[name].reads]})


@pytest.mark.parametrize("name", list(ENCODERS))
class TestEveryEncoder:
    def test_gives_unit_rows_of_its_space(self, name):
        encoder = load_encoder(name)
        rows = encoder.encode([clip_for(name, n) for n in range(4)])
        assert rows.shape == (4, encoder.space.dim)
        assert rows.dtype == np.float32
        assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)

    def test_is_in_the_space_that_the_table_says(self, name):
        assert load_encoder(name).space.key == ENCODERS[name].key

    def test_says_nothing_of_what_is_missing(self, name):
        rows = load_encoder(name).encode([Clip(), clip_for(name), Clip(text="  ")])
        assert np.isnan(rows[[0, 2]]).all()
        assert np.isfinite(rows[1]).all()
        assert load_encoder(name).encode([]).shape == (0, load_encoder(name).space.dim)

    def test_is_the_same_alone_and_in_company(self, name):
        encoder = load_encoder(name)
        clips = [clip_for(name, n) for n in range(4)]
        together = encoder.encode(clips)
        assert np.array_equal(together, encoder.encode(clips))
        alone = np.concatenate([encoder.encode([c]) for c in clips])
        assert np.abs(together - alone).max() < 1e-4
        assert np.abs(together - encoder.encode(clips[::-1])[::-1]).max() < 1e-4

    def test_tells_different_things_apart(self, name):
        rows = load_encoder(name).encode([clip_for(name, n) for n in (0, 1)])
        assert rows[0] @ rows[1] < 0.999

    def test_labels_are_probabilities(self, name):
        encoder = load_encoder(name)
        if not ENCODERS[name].names:
            assert not hasattr(encoder, "labels")
            return
        rows, probabilities = encoder.encode_and_label([clip_for(name), Clip()])
        assert np.array_equal(rows, encoder.encode([clip_for(name), Clip()]), equal_nan=True)
        assert probabilities.shape == (2, len(encoder.labels))
        assert (probabilities[0] >= 0).all()
        assert (probabilities[0] <= 1).all()
        assert np.isnan(probabilities[1]).all()


PAIRS = [
    ("How to cook noodles at home", "在家怎样煮面条"), ("The dog sleeps on the sofa", "狗在沙发上睡觉"),
    ("Rocket launch into space", "火箭发射进入太空"), ("Learn to play the guitar", "学习弹吉他"),
    ("News about the economy", "经济新闻"), ("Relaxing music for sleep", "助眠的轻松音乐"),
    ("Football world cup final", "足球世界杯决赛"), ("A ghost haunts an old house", "老房子里闹鬼"),
    ("Two people fall in love in Paris", "两个人在巴黎相爱"), ("How the heart works", "心脏是如何工作的"),
    ("A trip by train through the mountains", "坐火车穿越群山的旅行"), ("Repairing a car engine", "修理汽车发动机"),
]  # fmt: skip


def test_translations_find_each_other():
    encoder = load_encoder("text")
    rows = encoder.encode([Clip(text=t) for pair in PAIRS for t in pair])
    cosine = rows @ rows.T
    np.fill_diagonal(cosine, -1)
    partner = np.arange(len(rows)) ^ 1
    assert (cosine.argmax(axis=1) == partner).mean() >= 0.95


@pytest.mark.parametrize("text", ["a" * 100_000, "\ud800 half a sign", "\u200b", "🎬🎵", "\x00null", "字" * 50_000])
def test_any_text_is_taken(text):
    row = load_encoder("text").encode([Clip(text=text)])[0]
    assert np.isnan(row).all() or abs(np.linalg.norm(row) - 1) < 1e-5


def photo(id):
    return Clip(frames=np.asarray(Image.open(made.sample(id)).convert("RGB"))[None])


def frames_of(name):
    import av

    with av.open(str(made.shared_video(name))) as file:
        return Clip(
            frames=np.stack(
                [f.to_ndarray(format="rgb24") for f, _ in zip(file.decode(video=0), range(3), strict=False)]
            )
        )


def test_cats_are_nearer_to_cats_than_to_cars():
    encoder = load_encoder("frames")
    cheetah, running, lion = encoder.encode([photo(i) for i in ("cheetah-portrait", "cheetah-running", "lion")])
    car, road = encoder.encode([frames_of("car-detection.mp4"), photo("eiffel-tower")])
    for cat, other in ((cheetah, running), (cheetah, lion), (running, lion)):
        assert cat @ other > max(cat @ car, cat @ road, other @ car, other @ road)


def test_a_cheetah_is_named():
    encoder = load_encoder("frames")
    _, probabilities = encoder.encode_and_label([photo("cheetah-portrait"), photo("lion")])
    assert [encoder.labels[i] for i in probabilities.argmax(axis=1)] == ["cheetah", "lion"]
    assert label_zh("cheetah") == "猎豹"


def test_a_siren_is_not_a_piano():
    encoder = load_encoder("sound")
    clips = [made.siren(), made.siren(500, 1200, 3), made.piano(), made.piano((57, 60, 64, 69, 72, 69, 64))]
    rows, probabilities = encoder.encode_and_label([Clip(sound=s) for s in clips])
    cosine = rows @ rows.T
    assert cosine[0, 1] > cosine[:2, 2:].max()
    assert cosine[2, 3] > cosine[:2, 2:].max()
    at = {name: encoder.labels.index(name) for name in ("Siren", "Piano")}
    assert probabilities[:2, at["Siren"]].min() > probabilities[2:, at["Siren"]].max()
    assert probabilities[2:, at["Piano"]].min() > probabilities[:2, at["Piano"]].max()


def test_real_sounds_are_named():
    import av

    encoder = load_encoder("sound")
    heard = []
    for name in ("saxophone", "game-explosion1"):
        with av.open(str(made.sample(name))) as file:
            to = av.AudioResampler("flt", "mono", 16_000)
            heard.append(np.concatenate([o.to_ndarray()[0] for f in file.decode(audio=0) for o in to.resample(f)]))
    _, probabilities = encoder.encode_and_label([Clip(sound=s) for s in heard])
    first = [[name for name, _ in top_labels(encoder.labels, p, 5)] for p in probabilities]
    assert "Music" in first[0]
    assert first[1][0] == "Explosion"


def test_the_bridge_lets_words_find_pictures_and_sounds():
    text, frames, sound = load_encoder("text"), load_encoder("frames"), load_encoder("sound")
    _, seen = frames.encode_and_label([photo("cheetah-portrait"), photo("lion"), photo("eiffel-tower")])
    _, heard = sound.encode_and_label([Clip(sound=made.siren(500, 1200, 3)), Clip(sound=made.piano())])
    pictures, sounds = load_bridge("frames", "text").cross(seen), load_bridge("sound", "text").cross(heard)

    def first(query, rows):
        return int((rows @ text.encode([Clip(text=query)])[0]).argmax())

    assert [first(q, pictures) for q in ("a cheetah", "猎豹", "a lion", "狮子", "a tower", "塔")] == [0, 0, 1, 1, 2, 2]
    assert [first(q, sounds) for q in ("alarm siren", "警报声", "piano music", "钢琴曲")] == [0, 0, 1, 1]
    assert np.isnan(load_bridge("frames", "text").cross(np.full((1, 1000), np.nan, np.float32))).all()


def test_libraries_share_one_network(tmp_path):
    first = load_encoder("frames", "float", tmp_path / "one")
    assert first is load_encoder("frames", "float", tmp_path / "two")
    assert first is load_encoder("frames")


def test_names_of_a_bridge_are_encoded_once(tmp_path):
    class Counted:
        space = load_encoder("text").space
        asked = 0

        def encode(self, clips):
            self.asked += len(clips)
            return load_encoder("text").encode(clips)

    names_, text = ("lion", "church", "piano"), Counted()
    made_, again = (bridge("frames", names_, text, tmp_path) for _ in range(2))
    assert text.asked == 6
    assert np.array_equal(made_.classes, again.classes)
    (file,) = tmp_path.iterdir()
    for damaged in (b"", file.read_bytes()[:-40], file.read_bytes()[:-4] + b"\xff\xff\xff\xff"):
        file.write_bytes(damaged)
        assert np.allclose(bridge("frames", names_, text, tmp_path).classes, made_.classes)
    bridge("frames", (*names_[:2], "violin"), text, tmp_path)
    assert text.asked == 6 * 5, "other names are other vectors"
    (tmp_path / "file").write_bytes(b"")
    assert bridge("frames", names_, text, tmp_path / "file" / "below").classes.shape == (3, 512)


def test_every_class_has_a_name_in_both_languages():
    for table, count in (("imagenet", 1000), ("audioset", 521)):
        pairs = names(table)
        assert len(pairs) == count
        assert len({en for en, _ in pairs}) == count
        assert all((en and zh and not zh.isascii()) or zh == "iPod" for en, zh in pairs)


def test_the_sound_labels_are_those_of_the_checkpoint():
    import csv

    from matinee.encoders import weights

    with (weights.require("sound") / "yamnet_class_map.csv").open(encoding="utf-8") as file:
        published = [row["display_name"] for row in csv.DictReader(file)]
    assert list(load_encoder("sound").labels) == published


def test_the_keys_of_a_set_are_known_without_loading_it():
    from matinee.encoders.senses import keys_of, load_senses

    senses = load_senses(["text", "frames", "sound"])
    loaded = [e.space.key for e in senses.encoders.values()] + [b.space.key for b in senses.bridges.values()]
    assert keys_of(["text", "frames", "sound"]) == sorted(loaded)


def test_an_unknown_encoder_names_those_there_are():
    with pytest.raises(MatineeError, match="text, frames, sound") as error:
        load_encoder("smell")
    assert error.value.code == "encoder.unknown"
