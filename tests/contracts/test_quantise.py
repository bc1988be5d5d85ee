"""Networks as ONNX and in 8-bit integers: exported once, checked before they are used, run without PyTorch; and where
networks run."""

from __future__ import annotations

import logging
import subprocess
import sys

import numpy as np
import pytest

from matinee.encoders import device, quantise
from matinee.encoders.onnx import Graph, Node, open_session, write_onnx
from matinee.errors import MatineeError
from tests.contracts import tiny_networks as tiny

pytest.importorskip("onnx", reason='needs the extra: pip install "matinee[int8]"')
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.xdist_group("hub")]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MATINEE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def products(rng, spread=1.0):
    """A network of two matrix products, large enough that 8 bits are faster."""
    w1, w2 = (rng.standard_normal(shape).astype(np.float32) / 30 for shape in ((256, 1024), (1024, 64)))
    w1[0] *= spread
    nodes = (
        Node("MatMul", ("x", "w1"), ("a",)),
        Node("Relu", ("a",), ("b",)),
        Node("MatMul", ("b", "w2"), ("vector",)),
    )
    return write_onnx(Graph(nodes, {"w1": w1, "w2": w2}, {"x": (0, 256)}, {"vector": (0, 64)}))


def inputs(rng, n=128):
    x = rng.standard_normal((n, 256)).astype(np.float32)
    return [{"x": x[i : i + 16]} for i in range(0, n, 16)]


def is_quantised(session, feeds, graph):
    exact = open_session(graph).run(["vector"], feeds)[0]
    return not np.array_equal(session.run(["vector"], feeds)[0], exact)


def test_a_good_one_is_made_once_checked_and_used(cache, monkeypatch):
    monkeypatch.setattr(quantise, "SPEED", 0.0)  # how fast is not for a test on a busy machine to say
    monkeypatch.setattr(quantise, "OVERLAP", 0.5)  # neighbours of noise are close calls
    rng = np.random.default_rng(0)
    graph, feeds = products(rng), inputs(rng)
    session = quantise.session(graph, "dynamic", lambda: feeds, "vector")
    assert is_quantised(session, feeds[0], graph)
    verdict = quantise.kept(quantise.place(graph))
    assert verdict.good
    assert verdict.inputs == 64, "half of the inputs are for the check"
    assert 0.99 < verdict.cosine <= 1
    made = list(cache.rglob("int8.onnx"))
    assert len(made) == 1
    when = made[0].stat().st_mtime_ns
    again = quantise.session(graph, "dynamic", lambda: pytest.fail("it was checked before"), "vector")
    assert is_quantised(again, feeds[0], graph)
    assert made[0].stat().st_mtime_ns == when


@pytest.mark.parametrize("bar", ["COSINE", "OVERLAP", "SPEED"])
def test_one_that_fails_a_bar_is_not_used_and_that_is_said(monkeypatch, caplog, bar):
    """The control of each bar: the same network passes where it is low."""
    rng = np.random.default_rng(0)
    graph, feeds = products(rng), inputs(rng)
    for name, value in {"COSINE": 0.5, "OVERLAP": 0.1, "SPEED": 0.0}.items():
        monkeypatch.setattr(quantise, name, value)
    assert is_quantised(quantise.session(graph, "dynamic", lambda: feeds, "vector"), feeds[0], graph)
    monkeypatch.setattr(quantise, bar, 1e9)
    with caplog.at_level(logging.WARNING, "matinee.encoders"):
        session = quantise.session(graph, "dynamic", lambda: feeds, "vector")
    assert not is_quantised(session, feeds[0], graph)
    assert "float is used" in caplog.text


def test_one_that_quantising_spoils_fails_the_check(monkeypatch):
    """One input a hundred thousand times as large as the rest takes the whole range of 8 bits."""
    monkeypatch.setattr(quantise, "SPEED", 0.0)
    rng = np.random.default_rng(0)
    feeds = inputs(rng)
    for part in feeds:
        part["x"][:, 0] = 1e5 * np.sign(part["x"][:, 0])
    graph = products(rng, spread=1e-6)
    assert not is_quantised(quantise.session(graph, "dynamic", lambda: feeds, "vector"), feeds[0], graph)
    assert quantise.kept(quantise.place(graph)).cosine < quantise.COSINE


def test_without_enough_real_inputs_nothing_is_claimed(cache, caplog):
    rng = np.random.default_rng(0)
    graph = products(rng)
    session = quantise.session(graph, "dynamic", lambda: inputs(rng, 16), "vector")
    assert not is_quantised(session, inputs(rng)[0], graph)
    assert "no 32 real inputs" in caplog.text
    assert not list(cache.rglob("int8.onnx"))


def test_what_was_changed_on_the_disk_is_made_again(cache, monkeypatch):
    monkeypatch.setattr(quantise, "SPEED", 0.0)
    rng = np.random.default_rng(0)
    graph, feeds = products(rng), inputs(rng)
    quantise.session(graph, "dynamic", lambda: feeds, "vector")
    (file,) = cache.rglob("int8.onnx")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + b"\0\0")
    assert quantise.kept(file.parent) is None
    quantise.session(graph, "dynamic", lambda: feeds, "vector")
    assert quantise.kept(file.parent) is not None


def test_without_the_package_the_answer_is_the_install_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime.quantization", None)
    rng = np.random.default_rng(0)
    feeds = inputs(rng)
    with pytest.raises(MatineeError, match=r'pip install "matinee\[int8\]"') as error:
        quantise.session(products(rng), "dynamic", lambda: feeds, "vector")
    assert error.value.code == "int8.extra"


def test_overlap():
    rows = quantise.unit(np.random.default_rng(0).standard_normal((50, 8)).astype(np.float32))
    assert quantise.overlap(rows, rows) == 1
    other = quantise.unit(np.random.default_rng(1).standard_normal((50, 8)).astype(np.float32))
    assert quantise.overlap(rows, other) < 0.5


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
import numpy as np
from matinee.encoders.hub.load import load_hub
from matinee.encoders.hub.spec import Hub
from matinee.types import Clip
from tests import made
clip = Clip(text="a dog in the park", frames=np.stack([made.scene(k, 40, 60) for k in range(2)]))
np.save(sys.argv[2], load_hub(Hub(sys.argv[1], reads=sys.argv[3])).encode([clip, Clip(), clip]))
"""


@pytest.mark.parametrize(
    ("kind", "side"),
    [("bert", "text"), ("t5", "text"), ("gpt2", "text"), ("vit", "frames"), ("convnext", "frames"), ("clip", "text"),
     ("clip", "frames")],
)  # fmt: skip
def test_an_exported_checkpoint_answers_alike_without_pytorch(tmp_path, cache, kind, side):
    pytest.importorskip("transformers", reason='needs the extra: pip install "matinee[hub]"')
    from matinee.encoders.hub import export
    from matinee.encoders.hub.load import load_hub, longest_of
    from matinee.encoders.hub.spec import Hub, identify
    from matinee.types import Clip
    from tests import made

    folder = tiny.write(kind, tmp_path / kind)
    hub = Hub(str(folder), reads=side)
    encoder, known = load_hub(hub), identify(hub)
    longest = longest_of(hub, folder) if side == "text" else 0
    export.exported(hub, known, encoder, longest)
    clip = Clip(text="a dog in the park", frames=np.stack([made.scene(k, 40, 60) for k in range(2)]))
    there = export.encoder_of(
        known, export.read(export.place(known, longest)), getattr(encoder, "tokens", None), "float", None
    )
    assert there.space == encoder.space
    expected = encoder.encode([clip, Clip(), clip])
    assert np.allclose(there.encode([clip, Clip(), clip]), expected, atol=1e-4, equal_nan=True)
    more = [Clip(text="the cat in a car in the park"), clip]  # another length and another number than were traced
    if side == "text":
        assert np.allclose(there.encode(more), encoder.encode(more), atol=1e-4)
    if (kind, side) in (("bert", "text"), ("clip", "frames")):
        command = [sys.executable, "-c", WITHOUT_TORCH, str(folder), str(tmp_path / "rows.npy"), side]
        subprocess.run(command, check=True)
        assert np.allclose(np.load(tmp_path / "rows.npy"), expected, atol=1e-4, equal_nan=True)


class Session:
    def __init__(self, providers):
        self.providers = providers

    def get_providers(self):
        return self.providers


class TestDevice:
    @pytest.fixture(autouse=True)
    def planted(self, monkeypatch):
        """A machine that says it has a GPU."""
        import onnxruntime

        there = ["CUDAExecutionProvider", "CPUExecutionProvider"]
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: there)
        monkeypatch.delenv("MATINEE_DEVICE", raising=False)
        device.fell_back.cache_clear()

    def test_a_gpu_that_works_is_used(self, caplog):
        assert device.on_device(Session).get_providers()[0] == "CUDAExecutionProvider"
        assert not caplog.text

    def test_one_that_fails_is_said_once_and_the_processor_is_used(self, caplog):
        def make(providers):
            if "CUDAExecutionProvider" in providers:
                raise RuntimeError("CUDA failure 999: unknown error\nand more")
            return Session(providers)

        for _ in range(3):
            assert device.on_device(make).get_providers() == ["CPUExecutionProvider"]
        assert caplog.text.count("CUDA failure 999") == 1
        assert "and more" not in caplog.text

    def test_one_that_falls_back_quietly_is_said(self, caplog):
        device.on_device(lambda providers: Session(["CPUExecutionProvider"]))
        assert "did not start" in caplog.text

    def test_the_processor_can_be_asked_for(self, monkeypatch):
        monkeypatch.setenv("MATINEE_DEVICE", "cpu")
        assert device.on_device(Session).get_providers() == ["CPUExecutionProvider"]

    def test_real_networks_run_where_the_gpu_does_not(self, caplog):
        """This machine has none: the planted provider cannot start, and the answer is that of the processor."""
        rng = np.random.default_rng(0)
        graph, feeds = products(rng), inputs(rng)[0]
        assert open_session(graph).run(["vector"], feeds)[0].shape == (16, 64)

    def test_pytorch_falls_back_too(self, monkeypatch, caplog):
        torch = pytest.importorskip("torch")
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)

        def place(where):
            if where == "cuda":
                raise RuntimeError("CUDA driver initialization failed")
            return where

        assert device.on_torch(place, "auto") == ("cpu", "cpu")
        assert "initialization failed" in caplog.text
        assert device.on_torch(lambda where: where, "auto") == ("cuda", "cuda")
        assert device.on_torch(lambda where: where, "cpu") == ("cpu", "cpu")
