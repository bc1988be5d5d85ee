"""Pictures to a 1280-d vector and ImageNet labels: EfficientNet-Lite0, run by ONNX Runtime.

Tan and Le 2019, "EfficientNet" (arXiv 1905.11946), the Lite variant: ReLU6, no squeeze-and-excite. Batch normalisation
is folded into the convolutions when the network is built, at each start: 0.2 s, so no second copy is kept on the disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matinee.encoders import labels
from matinee.encoders.onnx import Graph, Node, open_session, write_onnx
from matinee.encoders.pool import POOLS
from matinee.encoders.tensors import read_tensors
from matinee.types import Clip, Floats, Pixels, Space

FRAMES_SPACE = Space("frames", "efficientnet-lite0", 1280)
CHECKPOINT = "efficientnet-lite0-57934424.pth"
STAGES = ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1))  # blocks in the stage, stride of its first
EPSILON = 1e-3  # of batch normalisation, as in the TensorFlow original
SIDE, CROP = 256, 224
BATCH = 8


@dataclass(frozen=True, slots=True)
class FrameEncoder:
    """Reads ``Clip.frames``: one vector made of the frames' own (``matinee.encoders.pool``), and the mean of their
    label probabilities. About 100 frames a second and thread."""

    space: Space
    labels: tuple[str, ...]
    session: Any
    pooling: str = "mean"

    def encode(self, clips: Sequence[Clip]) -> Floats:
        return self.encode_and_label(clips)[0]

    def encode_and_label(self, clips: Sequence[Clip]) -> tuple[Floats, Floats]:
        return self.gathered(self.each(clips))

    def each(self, clips: Sequence[Clip]) -> list[tuple[Floats, Floats]]:
        """Of each clip (k, 1280) features and (k, 1000) probabilities of its k frames, 0 where it has none."""
        features, probabilities = self.encode_frames(prepared(clips))
        edges = np.cumsum([0, *(0 if clip.frames is None else len(clip.frames) for clip in clips)])
        return [(features[a:b], probabilities[a:b]) for a, b in pairwise(edges.tolist())]

    def gathered(self, frames: Sequence[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
        """What ``encode_and_label`` answers, of the frames of each clip: pooled as ``pooling`` says."""
        vectors = np.full((len(frames), self.space.dim), np.nan, np.float32)
        named = np.full((len(frames), len(self.labels)), np.nan, np.float32)
        for i, (features, probabilities) in enumerate(frames):
            if len(features):
                vectors[i] = POOLS[self.pooling](features)
                named[i] = probabilities.mean(axis=0)
        return vectors, named

    def encode_frames(self, pictures: Iterator[Floats]) -> tuple[Floats, Floats]:
        """(n, 1280) features and (n, 1000) probabilities of n prepared pictures, a batch at a time."""
        out: list[tuple[Floats, Floats]] = [
            (np.empty((0, self.space.dim), np.float32), np.empty((0, len(self.labels)), np.float32))
        ]
        batch: list[Floats] = []
        for picture in pictures:
            batch.append(picture)
            if len(batch) == BATCH:
                out.append(self._run(batch))
                batch = []
        if batch:
            out.append(self._run(batch))
        return np.concatenate([f for f, _ in out]), np.concatenate([p for _, p in out])

    def _run(self, batch: list[Floats]) -> tuple[Floats, Floats]:
        features, probabilities = self.session.run(["features", "probabilities"], {"pictures": np.stack(batch)})
        return features, probabilities


def prepared(clips: Sequence[Clip]) -> Iterator[Floats]:
    """Each frame as (3, 224, 224) float32, RGB, (x - 127) / 128: shorter side to 256, the middle cut out."""
    for clip in clips:
        for frame in clip.frames if clip.frames is not None else ():
            cut = centre(frame)
            yield ((cut.astype(np.float32) - np.float32(127)) / np.float32(128)).transpose(2, 0, 1).astype(np.float32)


def centre(frame: Pixels) -> Pixels:
    height, width = frame.shape[:2]
    if min(height, width) != SIDE:
        from PIL import Image

        scale = SIDE / min(height, width)
        size = (max(SIDE, round(width * scale)), max(SIDE, round(height * scale)))
        frame = np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC))
        height, width = frame.shape[:2]
    top, left = (height - CROP) // 2, (width - CROP) // 2
    return frame[top : top + CROP, left : left + CROP]


class Builder:
    """Collects nodes and constants; each method adds a layer after ``tip`` and returns the new one."""

    def __init__(self, weights: Mapping[str, NDArray[Any]]) -> None:
        self.weights = weights
        self.nodes: list[Node] = []
        self.constants: dict[str, NDArray[Any]] = {"six": np.array(6, np.float32), "zero": np.array(0, np.float32)}

    def add(self, op: str, *inputs: str, **attributes: int | list[int]) -> str:
        out = f"t{len(self.nodes)}"
        self.nodes.append(Node(op, inputs, (out,), attributes))
        return out

    def conv(self, tip: str, conv: str, norm: str, size: int, stride: int) -> tuple[str, int]:
        """Convolution with folded batch normalisation, padded as TensorFlow does ("same": more below and right)."""
        w = self.weights
        kernel = w[f"{conv}.weight"]
        scale = w[f"{norm}.weight"] / np.sqrt(w[f"{norm}.running_var"] + EPSILON)
        self.constants[f"{conv}.w"] = (kernel * scale[:, None, None, None]).astype(np.float32)
        self.constants[f"{conv}.b"] = (w[f"{norm}.bias"] - w[f"{norm}.running_mean"] * scale).astype(np.float32)
        k, out = kernel.shape[2], -(-size // stride)
        pad = max((out - 1) * stride + k - size, 0)
        before, after = pad // 2, pad - pad // 2
        group = kernel.shape[0] if kernel.shape[1] == 1 and "depthwise" in conv else 1
        tip = self.add(
            "Conv", tip, f"{conv}.w", f"{conv}.b",
            kernel_shape=[k, k], strides=[stride, stride], pads=[before, before, after, after], group=group,
        )  # fmt: skip
        return tip, out

    def relu6(self, tip: str) -> str:
        return self.add("Clip", tip, "zero", "six")

    def block(self, tip: str, index: int, size: int, stride: int) -> tuple[str, int]:
        """An inverted residual: widen, convolve each channel, narrow; added to its input where shapes allow."""
        name, entry = f"_blocks.{index}", tip
        if f"{name}._expand_conv.weight" in self.weights:
            tip, size = self.conv(tip, f"{name}._expand_conv", f"{name}._bn0", size, 1)
            tip = self.relu6(tip)
            channels = self.weights[f"{name}._expand_conv.weight"].shape[1]
        else:
            channels = self.weights[f"{name}._depthwise_conv.weight"].shape[0]
        tip, size = self.conv(tip, f"{name}._depthwise_conv", f"{name}._bn1", size, stride)
        tip, size = self.conv(self.relu6(tip), f"{name}._project_conv", f"{name}._bn2", size, 1)
        if stride == 1 and channels == self.weights[f"{name}._project_conv.weight"].shape[0]:
            tip = self.add("Add", entry, tip)
        return tip, size


def build(weights: Mapping[str, NDArray[Any]]) -> Graph:
    """The network: ``pictures`` (n, 3, 224, 224) to ``features`` (n, 1280) and ``probabilities`` (n, 1000)."""
    b = Builder(weights)
    tip, size = b.conv("pictures", "_conv_stem", "_bn0", CROP, 2)
    tip = b.relu6(tip)
    index = 0
    for repeats, stride in STAGES:
        for k in range(repeats):
            tip, size = b.block(tip, index, size, stride if k == 0 else 1)
            index += 1
    tip, size = b.conv(tip, "_conv_head", "_bn1", size, 1)
    pooled = b.add("GlobalAveragePool", b.relu6(tip))
    b.nodes.append(Node("Flatten", (pooled,), ("features",), {"axis": 1}))
    b.constants |= {"fc.w": weights["_fc.weight"].astype(np.float32), "fc.b": weights["_fc.bias"].astype(np.float32)}
    logits = b.add("Gemm", "features", "fc.w", "fc.b", transB=1)
    b.nodes.append(Node("Softmax", (logits,), ("probabilities",), {"axis": 1}))
    ends = {"features": (0, 1280), "probabilities": (0, 1000)}
    return Graph(tuple(b.nodes), b.constants, {"pictures": (0, 3, CROP, CROP)}, ends)


def load(folder: Path) -> FrameEncoder:
    """From the published PyTorch checkpoint. Raises ``weights.refused``."""
    return FrameEncoder(FRAMES_SPACE, labels.imagenet(), open_session(network(folder)))


def load_quick(folder: Path, pictures: Path | None) -> FrameEncoder:
    """The same in 8-bit integers, where those pass their check on the JPEG files below ``pictures``."""
    return FrameEncoder(FRAMES_SPACE, labels.imagenet(), checked(network(folder), pictures))


def network(folder: Path) -> bytes:
    return write_onnx(build(read_tensors(folder / CHECKPOINT)))


def checked(graph: bytes, folder: Path | None) -> Any:
    from matinee.encoders import quantise, samples

    def real() -> list[dict[str, Floats]]:
        seen = list(prepared(samples.clips(folder)))
        return [{"pictures": np.stack(seen[i : i + BATCH])} for i in range(0, len(seen), BATCH)]

    return quantise.session(graph, "static", real, "features")
