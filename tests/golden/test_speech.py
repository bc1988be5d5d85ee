"""Whisper base on real speech: the words that were said, when, and none where nobody speaks."""

from __future__ import annotations

import json
import re
import shutil
import sys
import threading

import numpy as np
import pytest

from matinee import registry
from matinee.encoders import weights
from matinee.encoders.speech import BASE, MARGIN, PIECE, RATE, Heard, Transcriber, key_of, load_transcriber
from matinee.errors import MatineeError
from matinee.registry import Datum, Part, Wheel
from matinee.settings import cache_folder
from tests import made

pytest.importorskip("faster_whisper", reason="the extra speech is not installed")

WHEEL = Wheel(
    "useful-moonshine-onnx", "20251121", "b4189b0d7dc8064d567fd0b5d5ce78634be290b0a3a3274ab80ad11c46d531a2", 729_305
)
BECKETT = Datum(
    "beckett.wav", "e5a26b3d29e5b0bc8dbd72c11d16a3808a4ec0ac45b21f12a27d2a2fe5c5ae61", 318_978,
    (Part(WHEEL, "moonshine_onnx/assets/beckett.wav"),),
)  # fmt: skip
SAID = ["ever", "tried", "ever", "failed", "no", "matter", "try", "again", "fail", "again", "fail", "better"]


def words(lines) -> list[str]:
    return re.findall(r"[a-z']+", " ".join(line[2] for line in lines).lower())


@pytest.fixture(scope="module")
def beckett():
    """Ten seconds of a man who reads six short sentences of Samuel Beckett, mono 16 kHz."""
    import wave

    try:
        path = registry.fetch([BECKETT], cache_folder() / "samples" / "tests")[0]
    except MatineeError as error:
        pytest.skip(f"the sample of speech cannot be had: {error.en}")
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768


@pytest.fixture(scope="module")
def ear() -> Transcriber:
    made.require_weights("speech", "sound")
    return load_transcriber()


def test_every_word_is_heard_at_its_time(ear, beckett):
    lines, language, sure = ear.hear(beckett)
    assert words(lines) == SAID
    assert language == "en"
    assert sure > 0.9
    assert all(0 <= a < b <= len(beckett) / RATE + 0.01 for a, b, _ in lines)


def test_nothing_is_heard_where_nobody_speaks(ear):
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, 10 * RATE).astype(np.float32)
    for sound in (np.zeros(10 * RATE, np.float32), noise, made.piano(seconds=10.0), made.siren(seconds=10.0),
                  np.empty(0, np.float32)):  # fmt: skip
        assert ear.hear(sound)[0] == ()


def test_words_that_whisper_makes_up_are_dropped(ear, beckett):
    music = made.piano(seconds=10.0)
    invented = [(0.0, 4.0, "Thanks for watching!"), (4.0, 8.0, "I love you")]
    assert ear.kept(invented, music) == ()
    loop = [(float(n), n + 1.0, "I love you") for n in range(8)]
    assert len(ear.kept(loop, beckett)) == 2  # the control: real speech is there, so the first ones stay
    assert ear.speech(beckett) > 0.6 > 0.2 > ear.speech(music)


def test_a_long_sound_is_heard_piece_by_piece(ear, beckett):
    """Speech lies across the end of the first piece: no word of it is lost or heard twice."""
    before = np.zeros(int((PIECE - 4.0) * RATE), np.float32)
    whole = np.concatenate([before, beckett, np.zeros(RATE, np.float32)])
    asked = []

    def sound(at, seconds):
        asked.append((at, seconds))
        return whole[int(at * RATE) : int((at + seconds) * RATE)]

    states = list(ear.listen(sound, len(whole) / RATE, "en"))
    assert [s.over for s in states] == [False, True]
    assert states[-1].until == pytest.approx(len(whole) / RATE, abs=0.1)
    assert words(states[-1].lines) == SAID
    assert all(seconds == PIECE for _, seconds in asked)
    assert PIECE / 2 < states[0].until <= PIECE + MARGIN
    begun = Heard(((1.0, 2.0, "heard before"),), "en", states[0].until)
    (rest,) = ear.listen(sound, len(whole) / RATE, "en", begun)
    assert rest.lines[0] == (1.0, 2.0, "heard before")
    later = [line for line in states[-1].lines if line[0] >= states[0].until - 0.01]
    assert list(rest.lines[1:]) == later  # the same sound, the same words
    stop = threading.Event()
    stop.set()
    assert list(ear.listen(sound, len(whole) / RATE, "en", stop=stop)) == []


def test_a_folder_is_named_by_what_is_in_it_and_refused_when_it_is_nothing(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    assert key_of(BASE) == BASE
    first = key_of(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "bertie"}')
    assert first.startswith(tmp_path.name)
    assert key_of(str(tmp_path)) != first
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(MatineeError) as refused:
            load_transcriber(str(folder))
        assert refused.value.code == "speech.model"
        assert str(folder) in refused.value.en
        assert str(folder) in refused.value.zh


def test_a_folder_of_ctranslate2_is_loaded_as_it_is(tmp_path, beckett):
    made.require_weights("speech", "sound")
    folder = tmp_path / "my-whisper"
    folder.mkdir()
    for file in weights.require("speech").iterdir():
        (folder / file.name).symlink_to(file)
    ear = load_transcriber(str(folder))
    assert ear.name == "my-whisper"
    (folder / "model.bin").unlink()
    (folder / "model.bin").write_bytes(b"\x00" * 1000)
    with pytest.raises(MatineeError) as refused:
        load_transcriber(str(folder))
    assert refused.value.code == "speech.model"


def test_without_the_extra_the_way_out_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    with pytest.raises(MatineeError) as missing:
        load_transcriber()
    assert missing.value.code == "speech.extra"
    assert "pip install 'matinee[speech]'" in missing.value.en


def test_a_checkpoint_of_the_hub_is_judged_and_made_over_once(tmp_path, monkeypatch, beckett):
    made.require_weights("speech", "sound")
    torch = pytest.importorskip("torch", reason="the extra hub is not installed")
    transformers = pytest.importorskip("transformers", reason="the extra hub is not installed")
    sizes = {f"{side}_{name}": n for side in ("encoder", "decoder")
             for name, n in (("layers", 1), ("attention_heads", 2), ("ffn_dim", 32))}  # fmt: skip
    torch.manual_seed(0)
    tiny = transformers.WhisperForConditionalGeneration(transformers.WhisperConfig(d_model=32, **sizes))
    folder = tmp_path / "tiny"
    tiny.save_pretrained(folder)
    kept = cache_folder()
    monkeypatch.setenv("MATINEE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "weights").symlink_to(kept / "weights")

    def refused() -> str:
        with pytest.raises(MatineeError) as error:
            load_transcriber(str(folder))
        return error.value.en

    assert "tokenizer.json" in refused()
    shutil.copy(weights.require("speech") / "tokenizer.json", folder)
    assert "names no languages" in refused()
    (folder / "generation_config.json").write_text(json.dumps({"lang_to_id": {"<|en|>": 50259, "<|zh|>": 50260}}))
    ear = load_transcriber(str(folder))
    assert ear.name == "tiny"
    assert ear.hear(beckett)[1] in ("en", "zh")  # random weights say nothing, but it runs
    (converted,) = (tmp_path / "cache" / "speech").iterdir()
    before = converted.stat().st_mtime_ns
    assert load_transcriber(str(folder)).key == ear.key
    assert converted.stat().st_mtime_ns == before
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "evil.Model"}}))
    assert "run code" in refused()
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "safetensors" in refused()
