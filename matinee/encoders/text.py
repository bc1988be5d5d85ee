"""Text to a 512-d vector in 16 languages: Universal Sentence Encoder multilingual v3, in NumPy.

Yang et al. 2020, "Multilingual Universal Sentence Encoder for Semantic Retrieval" (arXiv 1907.04307), the convolutional
variant: word pieces, three n-gram convolution branches, a sum over the pieces divided by the square root of their
number, and a small residual network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from matinee.types import Clip, Floats, Ints, Pixels, Space

TEXT_SPACE = Space("text", "use-multilingual-v3", 512)
CHUNKS = 17  # the table of word pieces is stored in 17 parts: piece i is row i // 17 of part i % 17
BRANCHES = ((2, 0), (3, 1), (5, 2))  # width of the window, and how many of its pieces lie to the left
GAP = 2  # rows of zeros between two texts: as many as the widest window reaches to either side
BATCH_PIECES = 512  # enough texts in one product to fill it; more only leaves the processor's cache
MAX_PIECES = 512  # a longer text is cut: the sum over its pieces would drown what it is about


@dataclass(frozen=True, slots=True)
class Branch:
    """Two n-gram convolutions with residuals; weights (width, 256, 256)."""

    left: int
    first: Floats
    first_bias: Floats
    second: Floats
    second_bias: Floats


@dataclass(frozen=True, slots=True)
class TextEncoder:
    """Reads ``Clip.text``. About 1,000 titles a second on one thread."""

    space: Space
    pieces: Any
    table: Pixels
    weights: dict[str, Floats]
    branches: tuple[Branch, ...]

    def encode(self, clips: Sequence[Clip]) -> Floats:
        return self.encode_texts([clip.text for clip in clips])

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        """(n, 512) float32 unit rows, NaN for a text without any letter or sign. Equal whatever it is batched with,
        up to rounding."""
        out = np.full((len(texts), self.space.dim), np.nan, np.float32)
        clean = [t.encode("utf-8", "replace").decode("utf-8").strip() for t in texts]
        filled = [i for i, t in enumerate(clean) if t]
        # 8,000 characters hold more than MAX_PIECES pieces in any language: what follows would be cut anyway
        tokens = self.pieces.encode([clean[i][:8000] for i in filled])
        rows = [[1, *t[: MAX_PIECES - 2], 2] for t in tokens]  # 1 and 2 mark the beginning and the end
        batch: list[int] = []
        size = 0
        for i in sorted(range(len(rows)), key=lambda i: len(rows[i])):
            if batch and size + len(rows[i]) > BATCH_PIECES:
                self._encode_into(out, filled, rows, batch)
                batch, size = [], 0
            batch.append(i)
            size += len(rows[i])
        if batch:
            self._encode_into(out, filled, rows, batch)
        return out

    def _encode_into(self, out: Floats, filled: list[int], rows: list[list[int]], batch: list[int]) -> None:
        out[[filled[i] for i in batch]] = self._forward([np.array(rows[i], np.int64) for i in batch])

    def _forward(self, texts: list[Ints]) -> Floats:
        """(n, 512). The texts lie one after the other with zeros between, so a window never sees its neighbour."""
        w = self.weights
        lengths = np.array([len(t) for t in texts])
        starts = GAP + np.concatenate([[0], np.cumsum(lengths + GAP)[:-1]])
        filled = np.concatenate([np.arange(s, s + n) for s, n in zip(starts, lengths, strict=True)])
        ids = np.concatenate(texts)
        part = ids % CHUNKS
        words: Floats = self.table[ids].astype(np.float32) * w["scale"][part, None] + w["lo"][part, None]
        x = normalised(np.asarray(words @ w["proj"] + w["proj_b"], np.float32), w["ln_in_g"], w["ln_in_b"])
        features = np.empty((len(ids), 512 + 256 * len(self.branches)), np.float32)
        features[:, :512] = words
        padded = np.zeros((int(starts[-1] + lengths[-1]) + GAP, 256), np.float32)
        for b, branch in enumerate(self.branches):
            own = x[:, 256 * b : 256 * (b + 1)]
            padded[filled] = own
            hidden = convolved(padded, filled, branch.first, branch.first_bias, branch.left) + own
            padded[filled] = hidden
            out = convolved(padded, filled, branch.second, branch.second_bias, branch.left) + hidden
            features[:, 512 + 256 * b : 512 + 256 * (b + 1)] = out
        features = normalised(features, w["ln_g"], w["ln_b"])
        n = lengths.astype(np.float32)[:, None]
        sums = np.add.reduceat(features, np.concatenate([[0], np.cumsum(lengths)[:-1]]), axis=0)
        pooled = (sums @ w["cnn_W"] + n * w["cnn_b"]) / np.sqrt(n)
        first = np.maximum(pooled @ w["d0"], 0)
        second = np.maximum(pooled @ w["p1"] + first @ w["d1"], 0)
        last = np.tanh(second @ w["p3"] + np.maximum(second @ w["d2"], 0) @ w["d3"])
        return np.asarray(last / np.linalg.norm(last, axis=1, keepdims=True), np.float32)


def normalised(x: Floats, gain: Floats, bias: Floats) -> Floats:
    """Layer normalisation over the last axis."""
    x = x - x.mean(axis=1, keepdims=True)
    x /= np.sqrt(np.einsum("ij,ij->i", x, x) / x.shape[1] + 1e-12)[:, None]
    return np.asarray(x * gain + bias, np.float32)


def convolved(padded: Floats, at: Ints, kernel: Floats, bias: Floats, left: int) -> Floats:
    """ReLU of a convolution over rows, at the given rows: one product for each position in the window."""
    length = len(padded) - 2 * GAP
    out = np.zeros((length, kernel.shape[2]), np.float32)
    for k in range(kernel.shape[0]):
        start = GAP + k - left
        out += padded[start : start + length] @ kernel[k]
    return np.asarray(np.maximum(out[at - GAP] + bias, 0), np.float32)


def load(folder: Path) -> TextEncoder:
    """From ``weights.npz`` and ``sp.model``. About 0.6 s; 65 MB of table."""
    import sentencepiece

    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "sp.model"))
    with np.load(folder / "weights.npz", allow_pickle=False) as file:
        parts = [file[f"q{i + 1}"] for i in range(CHUNKS)]
        arrays = {key: file[key] for key in file.files if not key.startswith("q")}
    table = np.stack(parts, axis=1).reshape(-1, parts[0].shape[1])
    joined = {"proj": "proj{}", "proj_b": "proj_b{}", "ln_in_g": "ln_g{}", "ln_in_b": "ln_b{}"}
    weights = {
        name: np.concatenate([arrays[key.format(n)] for n, _ in BRANCHES], axis=-1) for name, key in joined.items()
    }
    weights |= {
        k: arrays[k] for k in ("scale", "lo", "ln_g", "ln_b", "cnn_W", "cnn_b", "d0", "d1", "d2", "d3", "p1", "p3")
    }
    branches = tuple(
        Branch(
            left,
            arrays[f"w1_{n}"].reshape(n, 256, 256),
            arrays[f"b1_{n}"],
            arrays[f"w2_{n}"].reshape(n, 256, 256),
            arrays[f"b2_{n}"],
        )
        for n, left in BRANCHES
    )
    return TextEncoder(TEXT_SPACE, pieces, table, weights, branches)
