"""Checkpoints of the hub: every family is loaded from its files and answers like its own library; what could run code
or would be random is refused; the real MiniLM knows what means the same."""

from __future__ import annotations

import json
import pickle
import shutil
import sys

import numpy as np
import pytest

from matinee.encoders.hub.families import FAMILIES
from matinee.encoders.hub.files import find, judge
from matinee.encoders.hub.load import Hub, load_hub
from matinee.encoders.hub.prepare import at_rate, evenly, look_of, windows
from matinee.encoders.hub.spec import identify
from matinee.errors import MatineeError
from matinee.types import Clip
from tests import made
from tests.contracts import tiny_networks as tiny
from tests.weights import fetched

pytest.importorskip("transformers", reason='needs the extra: pip install "matinee[hub]"')
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.xdist_group("hub")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root, there = tmp_path_factory.mktemp("hub"), {}

    def of(kind):
        if kind not in there:
            there[kind] = tiny.write(kind, root / kind)
        return there[kind]

    return of


def clip(n=0):
    return Clip(
        text=["a dog in the park", "the piano", "a car", "the cat in a car"][n % 4],
        frames=np.stack([made.scene(n, 40, 60, 7 * k) for k in range(3)]),
        sound=[made.piano(seconds=2.5), made.siren(seconds=2.0), made.piano((40, 50), 2.0), made.siren(200, 300)][
            n % 4
        ],
    )


SIDES = [(kind, side) for kind in tiny.ALL for side in FAMILIES[kind].reads]


@pytest.mark.parametrize(("kind", "side"), SIDES, ids=lambda x: x)
class TestEveryFamily:
    def test_keeps_the_promises_of_an_encoder(self, folder, kind, side):
        encoder = load_hub(Hub(str(folder(kind)), reads=side))
        clips = [clip(0), Clip(), clip(1), clip(2)]
        rows = encoder.encode(clips)
        assert rows.shape == (4, encoder.space.dim)
        assert rows.dtype == np.float32
        assert np.isnan(rows[1]).all()
        assert np.allclose(np.linalg.norm(rows[[0, 2, 3]], axis=1), 1, atol=1e-5)
        assert np.abs(rows[0] - rows[2]).max() > 1e-4
        alone = np.concatenate([encoder.encode([c]) for c in clips])
        assert np.allclose(rows, alone, atol=2e-5, equal_nan=True)
        assert encoder.encode([]).shape == (0, encoder.space.dim)

    def test_loads_the_weights_that_are_in_the_file(self, folder, kind, side, tmp_path):
        """Another file of weights is another space and other vectors: nothing is left random or ignored."""
        from safetensors.numpy import load_file, save_file

        first = load_hub(Hub(str(folder(kind)), reads=side))
        again = load_hub(Hub(str(folder(kind)), reads=side))
        assert np.array_equal(first.encode([clip(0)]), again.encode([clip(0)]))
        assert first.space == again.space
        other = shutil.copytree(folder(kind), tmp_path / "other")
        weights = load_file(other / "model.safetensors")
        rng = np.random.default_rng(0)
        weights = {k: np.asarray(v + 0.3 * rng.normal(size=v.shape), v.dtype) if v.dtype.kind == "f" else v
                   for k, v in weights.items()}  # fmt: skip
        save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
        changed = load_hub(Hub(str(other), reads=side))
        assert changed.space != first.space
        assert changed.space.dim == first.space.dim
        assert np.abs(changed.encode([clip(0)]) - first.encode([clip(0)])).max() > 1e-3


def reference(kind, folder):
    """The states that the family's own class gives for a text."""
    import torch
    import transformers as t

    tokens = t.AutoTokenizer.from_pretrained(folder)(["a dog in the park"], return_tensors="pt")
    model = getattr(t, FAMILIES[kind].cls).from_pretrained(folder).eval()
    with torch.inference_mode():
        return model(**tokens).last_hidden_state[0].numpy()


@pytest.mark.parametrize(
    ("kind", "pool"), [("bert", "mean"), ("bert", "cls"), ("t5", "mean"), ("gpt2", "last"), ("llama", "last")]
)
def test_texts_are_pooled_as_said_beside_longer_ones(folder, kind, pool):
    states = reference(kind, folder(kind))
    expected = {"mean": states.mean(0), "cls": states[0], "last": states[-1]}[pool]
    encoder = load_hub(Hub(str(folder(kind)), pool=pool))
    longer = "the cat in a car in the park in the road " * 4
    row = encoder.encode([Clip(text=longer), Clip(text="a dog in the park")])[1]
    assert np.allclose(row, expected / np.linalg.norm(expected), atol=1e-4)


def test_the_pooling_file_of_sentence_transformers_is_heeded(folder, tmp_path):
    own = shutil.copytree(folder("bert"), tmp_path / "bge")
    mean = load_hub(Hub(str(own))).encode([clip()])
    (own / "1_Pooling").mkdir()
    (own / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    encoder = load_hub(Hub(str(own)))
    assert np.allclose(encoder.encode([clip()]), load_hub(Hub(str(folder("bert")), pool="cls")).encode([clip()]))
    assert np.abs(encoder.encode([clip()]) - mean).max() > 1e-3


E5, BGE_EN = ("passage: ", "query: "), "Represent this sentence for searching relevant passages: "


@pytest.mark.parametrize(
    ("name", "pool", "prompts"),
    [
        ("multilingual-e5-small", "mean", E5), ("e5-base-v2", "mean", E5), ("bge-small-en-v1.5", "cls", ("", BGE_EN)),
        ("bge-large-zh", "cls", ("", "为这个句子生成表示以用于检索相关文章：")), ("bge-m3", "cls", ("", "")),
        ("all-MiniLM-L6-v2", "mean", ("", "")), ("made5", "mean", ("", "")),
    ],
)  # fmt: skip
def test_what_e5_and_bge_were_trained_with_is_known_by_their_names(folder, tmp_path, name, pool, prompts):
    own = shutil.copytree(folder("bert"), tmp_path / name)
    known = identify(Hub(str(own)))
    assert (known.pool, known.prompts) == (pool, prompts)
    plain = load_hub(Hub(str(folder("bert")), pool=pool, prefix=""))
    encoder = load_hub(Hub(str(own)))
    assert np.allclose(encoder.encode([clip()]), plain.encode([Clip(text=prompts[0] + clip().text)]), atol=1e-6)
    assert np.allclose(encoder.encode_queries(["a car"]), plain.encode([Clip(text=prompts[1] + "a car")]), atol=1e-6)
    said = identify(Hub(str(own), pool="mean", prefix="", query=""))
    assert (said.pool, said.prompts) == ("mean", ("", "")), "the name of the settings has the last word"


def test_a_snapshot_of_the_hub_is_known_by_its_id(folder, tmp_path):
    own = shutil.copytree(folder("bert"), tmp_path / "models--intfloat--e5-small" / "snapshots" / "0a1b2c")
    assert identify(Hub(str(own))).prompts == E5


def test_the_prompts_of_sentence_transformers_are_heeded(folder, tmp_path):
    own = shutil.copytree(folder("bert"), tmp_path / "gte")
    told = {"prompts": {"query": "find: ", "document": "text: "}}
    (own / "config_sentence_transformers.json").write_text(json.dumps(told))
    assert identify(Hub(str(own))).prompts == ("text: ", "find: ")
    (own / "config_sentence_transformers.json").write_text('{"prompts": {}}')
    assert identify(Hub(str(own))).prompts == ("", "")


def test_texts_are_as_long_as_it_was_trained(folder, tmp_path):
    own = shutil.copytree(folder("bert"), tmp_path / "own")
    (own / "sentence_bert_config.json").write_text('{"max_seq_length": 5}')
    encoder = load_hub(Hub(str(own)))
    assert np.allclose(*encoder.encode([Clip(text="a dog in the park"), Clip(text="a dog in a car")]), atol=1e-6)
    assert not np.allclose(
        *load_hub(Hub(str(own), longest=60)).encode([Clip(text="a dog in the park"), Clip(text="a dog in a car")])
    )


@pytest.mark.parametrize("pooling", ["attention", "shots"])
def test_frames_are_pooled_as_the_library_says(folder, pooling):
    from dataclasses import replace

    from matinee.encoders.pool import POOLS

    plain = load_hub(Hub(str(folder("vit"))))
    each = np.concatenate([plain.encode([Clip(frames=clip(1).frames[k : k + 1])]) for k in range(3)])
    rows = replace(plain, pooling=pooling).encode([Clip(), clip(1)])
    assert np.isnan(rows[0]).all()
    assert np.allclose(rows[1], POOLS[pooling](each), atol=1e-5)


def test_requests_at_once_get_the_answers_they_get_alone(folder):
    from concurrent.futures import ThreadPoolExecutor

    encoder = load_hub(Hub(str(folder("bert"))))
    texts = [" ".join(tiny.WORDS[5 + (n + k) % 10] for k in range(1 + n % 9)) for n in range(64)]
    alone = encoder.encode_texts(texts)
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(lambda text: encoder.encode_queries([text])[0], texts * 4))
    assert np.allclose(np.stack(rows), np.tile(alone, (4, 1)), atol=2e-5)


def test_a_prefix_is_put_before_each_text_and_is_another_space(folder):
    plain, led = (load_hub(Hub(str(folder("bert")), prefix=p)) for p in ("", "query: "))
    assert np.allclose(led.encode([Clip(text="a dog")]), plain.encode([Clip(text="query: a dog")]), atol=1e-6)
    assert led.space != plain.space


def test_pictures_are_prepared_as_the_reference_does(folder):
    """Against the library's own processor on Pillow, where that can be had."""
    import transformers as t

    frame = made.scene(3, 40, 60)
    try:
        processor = t.CLIPImageProcessorPil(**tiny.LOOKS)
    except (AttributeError, ImportError) as error:
        pytest.skip(f"no processor without torchvision here: {error}")
    expected = np.asarray(processor(frame, return_tensors="np")["pixel_values"][0])
    own = look_of(folder("clip"), json.loads((folder("clip") / "config.json").read_text()))(frame)
    assert own.shape == expected.shape == (3, 32, 32)
    assert np.abs(own - expected).max() < 0.05


@pytest.mark.parametrize("kind", tiny.JOINT)
def test_both_sides_of_a_joint_network_share_a_space(folder, kind):
    sides = [load_hub(Hub(str(folder(kind)), reads=side)) for side in FAMILIES[kind].reads]
    assert sides[0].space == sides[1].space
    rows = [s.encode([clip(0)]) for s in sides]
    assert np.isfinite(rows[0] @ rows[1].T).all()
    assert type(load_hub(Hub(str(folder(kind))))) is type(sides[1]), "its words are there to search the others"
    wrong = {"text": "", "frames": "sound", "sound": "frames"}[FAMILIES[kind].reads[1]]
    with pytest.raises(MatineeError) as error:
        load_hub(Hub(str(folder(kind)), reads=wrong))
    assert error.value.code == "hub.reads"


def test_a_clip_network_answers_as_its_library_does(folder):
    import torch
    import transformers as t

    model = t.CLIPModel.from_pretrained(folder("clip")).eval()
    look = look_of(folder("clip"), {})
    pixels = torch.from_numpy(look(clip(1).frames[0])[None])
    tokens = t.AutoTokenizer.from_pretrained(folder("clip"))([clip(1).text], return_tensors="pt")
    with torch.inference_mode():
        out = model(pixel_values=pixels, input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
    text, frames = (load_hub(Hub(str(folder("clip")), reads=side)) for side in ("text", "frames"))
    one = Clip(text=clip(1).text, frames=clip(1).frames[:1])
    assert np.allclose(text.encode([one]), out.text_embeds.numpy(), atol=1e-5)
    assert np.allclose(frames.encode([one]), out.image_embeds.numpy(), atol=1e-5)


class Trap:
    """Unpickling it writes a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.ckpt", "model.pkl"])
def test_pickles_are_refused_unread(folder, tmp_path, name):
    own, sprung = shutil.copytree(folder("bert"), tmp_path / "own"), tmp_path / "sprung"
    (own / "model.safetensors").unlink()
    (own / name).write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(MatineeError, match="Pickles can run code") as error:
        load_hub(Hub(str(own)))
    assert error.value.code == "hub.refused"
    assert not sprung.exists()
    pickle.loads((own / name).read_bytes()).close()  # noqa: S301  (the control: the trap does work)
    assert sprung.exists()


def test_a_pickle_beside_safetensors_is_not_touched(folder, tmp_path):
    own, sprung = shutil.copytree(folder("bert"), tmp_path / "own"), tmp_path / "sprung"
    (own / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(sprung)))
    assert np.isfinite(load_hub(Hub(str(own))).encode([clip()])).all()
    assert not sprung.exists()


@pytest.mark.parametrize("where", ["config.json", "tokenizer_config.json", "nested"])
def test_code_that_comes_with_a_checkpoint_is_never_run(folder, tmp_path, where, monkeypatch):
    own, sprung = shutil.copytree(folder("bert"), tmp_path / "own"), tmp_path / "sprung"
    (own / "modeling_trap.py").write_text(f"open({str(sprung)!r}, 'w').close()\n")
    name = "config.json" if where == "nested" else where
    config = json.loads((own / name).read_text())
    asks = {"auto_map": {"AutoModel": "modeling_trap.Trap", "AutoTokenizer": ["modeling_trap.Trap", None]}}
    config |= {"text_config": asks} if where == "nested" else asks
    (own / name).write_text(json.dumps(config))
    with pytest.raises(MatineeError, match="asks to run code") as error:
        load_hub(Hub(str(own)))
    assert error.value.code == "hub.refused"
    assert not sprung.exists()
    monkeypatch.syspath_prepend(str(own))  # the control: the code does what it says
    __import__("modeling_trap")
    sys.modules.pop("modeling_trap")
    assert sprung.exists()


def change(own, what):
    weights, config = own / "model.safetensors", json.loads((own / "config.json").read_text())
    if what == "cut":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif what == "noise":
        weights.write_bytes(b"\xff" * 1000)
    elif what == "lacks":
        from safetensors.numpy import load_file, save_file

        held = {k: v for k, v in load_file(weights).items() if "layer.1." not in k}
        save_file(held, weights, metadata={"format": "pt"})
    elif what == "shape":
        (own / "config.json").write_text(json.dumps({**config, "hidden_size": 64}))
    elif what == "family":
        (own / "config.json").write_text(json.dumps({**config, "model_type": "unheard_of"}))
    elif what == "json":
        (own / "config.json").write_text("{" * 100_000)
    elif what == "quantised":
        (own / "config.json").write_text(json.dumps({**config, "quantization_config": {"quant_method": "gptq"}}))
    elif what == "adapter":
        (own / "adapter_config.json").write_text('{"base_model_name_or_path": "somebody/else"}')
    elif what == "shards":
        held = {"weight_map": {"x": "../../elsewhere.safetensors"}}
        (own / "model.safetensors.index.json").write_text(json.dumps(held))
    elif what == "nothing":
        (own / "config.json").unlink()


WRONG = ["cut", "noise", "lacks", "shape", "family", "json", "quantised", "adapter", "shards", "nothing"]


@pytest.mark.parametrize("what", WRONG)
def test_damaged_and_odd_checkpoints_are_refused(folder, tmp_path, what):
    own = shutil.copytree(folder("bert"), tmp_path / "own")
    change(own, what)
    with pytest.raises(MatineeError) as error:
        load_hub(Hub(str(own)))
    assert error.value.code == "hub.refused"
    assert error.value.zh != error.value.en


@pytest.mark.parametrize("name", ["no such folder", "../up", "a/b/c", "https://example.org/x", "-o/x"])
def test_what_is_neither_folder_nor_id_is_said(name):
    with pytest.raises(MatineeError) as error:
        find(name)
    assert error.value.code == "hub.missing"


@pytest.mark.parametrize(("kind", "pool"), [("bert", "max"), ("convnext", "cls")])
def test_a_pooling_that_cannot_be_is_said(folder, kind, pool):
    with pytest.raises(MatineeError) as error:
        load_hub(Hub(str(folder(kind)), pool=pool))
    assert error.value.code == "hub.pool"


def test_a_part_that_is_used_must_not_be_missing(folder, tmp_path):
    """CLAP's text side goes through a pooling layer; that of BERT is not built at all."""
    from safetensors.numpy import load_file, save_file

    own = shutil.copytree(folder("clap"), tmp_path / "own")
    held = {k: np.asarray(v) for k, v in load_file(own / "model.safetensors").items() if "pooler" not in k}
    save_file(held, own / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(MatineeError, match="do not fill the network"):
        load_hub(Hub(str(own), reads="text"))


def test_a_hub_that_does_not_answer_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MatineeError) as error:
        find("owner/name")
    assert error.value.code == "hub.unreachable"


def test_without_the_extra_the_answer_is_the_install_line(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MatineeError, match=r"matinee\[hub\]") as error:
        load_hub(Hub(str(folder("bert"))))
    assert error.value.code == "hub.extra"


def test_every_family_has_a_class():
    import transformers

    assert all(hasattr(transformers, family.cls) for family in FAMILIES.values())
    assert set(tiny.ALL) == set(FAMILIES)


def test_small_tools():
    assert evenly(3, 4).tolist() == [0, 1, 1, 2]
    assert evenly(30, 3).tolist() == [5, 15, 25]
    sound = np.arange(16_000 * 10, dtype=np.float32)
    assert [len(w) for w in windows(sound, 1.0)] == [16_000] * 6
    assert [len(w) for w in windows(sound[:5], 1.0)] == [5]
    tone = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000).astype(np.float32)
    raised = at_rate(tone, 48_000)
    assert len(raised) == 48_000
    assert np.abs(np.fft.rfft(raised)).argmax() == 440


def test_minilm_knows_what_means_the_same(monkeypatch):
    (place,) = fetched("minilm")
    encoder = load_hub(Hub(str(place)))
    assert encoder.space.dim == 384
    pairs = [
        ("How do I cook pasta at home?", "A recipe for making noodles in your own kitchen"),
        ("The dog sleeps on the sofa", "A puppy is napping on the couch"),
        ("A rocket flies to the moon", "Lunar spaceship launch"),
        ("Learn to play the guitar", "Guitar lessons for beginners"),
        ("A ghost haunts an old house", "A spirit in the haunted mansion"),
        ("Two people fall in love in Paris", "A romance between a couple in the French capital"),
        ("Repairing a car engine", "How to fix an automobile motor"),
        ("The football world cup final", "The deciding match of the soccer championship"),
    ]
    rows = encoder.encode([Clip(text=t) for pair in pairs for t in pair])
    cosine = rows @ rows.T
    np.fill_diagonal(cosine, -1)
    assert (cosine.argmax(axis=1) == (np.arange(len(rows)) ^ 1)).mean() >= 0.9
    assert judge(place).family is FAMILIES["bert"]
