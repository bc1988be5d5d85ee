"""Sound to a 1024-d vector and AudioSet labels: YAMNet (a MobileNet v1 on log-mel patches), run by ONNX Runtime.

Hershey et al. 2017, "CNN Architectures for Large-Scale Audio Classification" (arXiv 1609.09430), for the patches;
Howard et al. 2017, "MobileNets" (arXiv 1704.04861), for the network. The published file simulates 8 bits and still
holds float weights: its rounding steps are taken out, and the average before the classifier is given as the vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from matinee.encoders import labels
from matinee.encoders.onnx import Graph, Node, broken, open_session, read_onnx, write_onnx
from matinee.types import Clip, Floats, Space

SOUND_SPACE = Space("sound", "yamnet", 1024)
RATE = 16_000
WINDOW, HOP, FFT = 400, 160, 512  # 25 ms, 10 ms
BANDS, LOWEST, HIGHEST = 64, 125.0, 7500.0
PATCH, PATCH_HOP = 96, 48  # frames: 0.96 s every 0.48 s
BATCH = 32


@dataclass(frozen=True, slots=True)
class SoundEncoder:
    """Reads ``Clip.sound``: the mean over its patches, and the mean of their label probabilities. About 100 times as
    fast as the sound plays, on one thread."""

    space: Space
    labels: tuple[str, ...]
    session: Any

    def encode(self, clips: Sequence[Clip]) -> Floats:
        return self.encode_and_label(clips)[0]

    def encode_and_label(self, clips: Sequence[Clip]) -> tuple[Floats, Floats]:
        vectors = np.full((len(clips), self.space.dim), np.nan, np.float32)
        named = np.full((len(clips), len(self.labels)), np.nan, np.float32)
        cut = [patches(clip.sound) for clip in clips]
        joined = np.concatenate([*cut, np.empty((0, PATCH, BANDS), np.float32)])
        features, probabilities = self.encode_patches(joined)
        at = 0
        for i, own in enumerate(cut):
            if n := len(own):
                mean = features[at : at + n].mean(axis=0)
                norm = float(np.linalg.norm(mean))
                if norm > 0:  # a network that answers nothing at all says nothing
                    vectors[i] = mean / norm
                    named[i] = probabilities[at : at + n].mean(axis=0)
            at += n
        return vectors, named

    def encode_patches(self, joined: Floats) -> tuple[Floats, Floats]:
        """(n, 1024) features and (n, 521) probabilities of (n, 96, 64) log-mel patches."""
        features = np.empty((len(joined), self.space.dim), np.float32)
        probabilities = np.empty((len(joined), len(self.labels)), np.float32)
        for at in range(0, len(joined), BATCH):
            part = joined[at : at + BATCH, None]
            features[at : at + BATCH], probabilities[at : at + BATCH] = self.session.run(
                ["features", "probabilities"], {"patches": part}
            )
        return features, probabilities


@lru_cache(maxsize=1)
def filters() -> Floats:
    """(257, 64) triangles, evenly spaced on the HTK mel scale 1127 ln(1 + f / 700), of height 1."""
    top = 1127 * np.log1p(np.linspace(0, RATE / 2, FFT // 2 + 1) / 700)
    edges = np.linspace(1127 * np.log1p(LOWEST / 700), 1127 * np.log1p(HIGHEST / 700), BANDS + 2)
    low, mid, high = edges[:-2], edges[1:-1], edges[2:]
    rising = (top[:, None] - low) / (mid - low)
    falling = (high - top[:, None]) / (high - mid)
    weights = np.maximum(0, np.minimum(rising, falling))
    weights[0] = 0  # no constant component
    return np.asarray(weights, np.float32)


def log_mel(sound: Floats) -> Floats:
    """(frames, 64) float32: log(mel magnitudes + 0.001) of mono 16 kHz sound, frames of 25 ms every 10 ms."""
    count = 1 + (len(sound) - WINDOW) // HOP if len(sound) >= WINDOW else 0
    if not count:
        return np.empty((0, BANDS), np.float32)
    hann = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(sound, WINDOW)[::HOP][:count]
    out = np.empty((count, BANDS), np.float32)
    for at in range(0, count, 2048):  # a long sound in bounded memory
        spectrum = np.abs(np.fft.rfft(frames[at : at + 2048] * hann, FFT, axis=1))
        out[at : at + 2048] = np.log(spectrum @ filters() + np.float32(0.001))
    return out


def patches(sound: Floats | None) -> Floats:
    """(n, 96, 64): windows of 0.96 s every 0.48 s. A shorter sound is followed by silence up to one window."""
    if sound is None or not len(sound):
        return np.empty((0, PATCH, BANDS), np.float32)
    least = WINDOW + (PATCH - 1) * HOP
    spectrum = log_mel(np.pad(sound, (0, max(least - len(sound), 0))).astype(np.float32, copy=False))
    return np.ascontiguousarray(
        np.lib.stride_tricks.sliding_window_view(spectrum, PATCH, axis=0)[::PATCH_HOP].swapaxes(1, 2)
    )


def unrounded(graph: Graph) -> Graph:
    """The network without its 8-bit simulation: every rounded value is read where it was still exact."""
    exact: dict[str, str] = {}
    kept: list[Node] = []
    for node in graph.nodes:
        source = node.inputs[0] if node.inputs else ""
        if node.op in ("QuantizeLinear", "DequantizeLinear"):
            exact[node.outputs[0]] = exact.get(source, source)
        else:
            kept.append(Node(node.op, tuple(exact.get(i, i) for i in node.inputs), node.outputs, node.attributes))
    pool = [n for n in kept if n.op == "GlobalAveragePool"]
    scores = [n for n in kept if n.op == "Gemm"]
    if len(pool) != 1 or len(scores) != 1 or len(graph.inputs) != 1:
        raise broken("it is another network than YAMNet")
    body = [n for n in kept if n.op in ("Conv", "Relu")]
    entry = next(iter(graph.inputs))
    body = [
        Node(n.op, tuple("patches" if exact.get(i, i) == entry else i for i in n.inputs), n.outputs, n.attributes)
        for n in body
    ]
    used = {i for n in body for i in n.inputs} | set(scores[0].inputs[1:])
    tail = [
        Node("GlobalAveragePool", pool[0].inputs, ("pooled",)),
        Node("Flatten", ("pooled",), ("features",), {"axis": 1}),
        Node("Gemm", ("features", *scores[0].inputs[1:]), ("scores",), scores[0].attributes),
        Node("Sigmoid", ("scores",), ("probabilities",)),
    ]
    constants = {k: v.astype(np.float32) for k, v in graph.constants.items() if k in used}
    ends = {"features": (0, 1024), "probabilities": (0, 521)}
    return Graph((*body, *tail), constants, {"patches": (0, 1, PATCH, BANDS)}, ends)


def load(folder: Path) -> SoundEncoder:
    """From ``model.onnx`` and ``model.data``. Raises ``weights.refused``."""
    return SoundEncoder(SOUND_SPACE, labels.audioset(), open_session(network(folder)))


def load_quick(folder: Path, pictures: Path | None) -> SoundEncoder:
    """The same in 8-bit integers, where those pass their check on made sounds."""
    del pictures
    return SoundEncoder(SOUND_SPACE, labels.audioset(), checked(network(folder)))


def network(folder: Path) -> bytes:
    return write_onnx(unrounded(read_onnx(folder / "model.onnx")))


def checked(graph: bytes) -> Any:
    from matinee.encoders import quantise, samples

    def real() -> list[dict[str, Floats]]:
        heard = np.concatenate([patches(sound) for sound in samples.sounds()])[:, None]
        return [{"patches": heard[i : i + BATCH]} for i in range(0, len(heard), BATCH)]

    return quantise.session(graph, "static", real, "features")
