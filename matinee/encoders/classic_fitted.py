"""Classic descriptors that need a look at the collection first: TF-IDF of its words, and a bag of its visual words.

Nothing is fetched; what was counted is a few arrays. Frames: SIFT's descriptor (Lowe 2004, section 6: 4 x 4 cells of 8
directions, cut at 0.2), on a dense grid at two scales or at keypoints (``classic_sift``); its root (Arandjelovic and
Zisserman, CVPR 2012); k-means words (Csurka et al. 2004).
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from matinee.encoders.classic import words
from matinee.encoders.classic_sift import keypoints
from matinee.types import Clip, Doubles, Floats, Pixels, Space

PATCH, STEP, CELL, ANGLES = 16, 8, 4, 8
SIDES = (128, 64)  # a picture is looked at in these sizes
FLAT = 8.0  # a patch with less edge than this, of 255 levels, is no word


@dataclass(frozen=True, slots=True)
class TfIdf:
    """Reads ``Clip.text``: words and pairs of Chinese signs in signed hashed places (Weinberger et al. 2009), each
    (1 + log count) x idf. ``idf`` (dim,) float64 by place: log((1 + n) / (1 + texts with it)) + 1."""

    space: Space
    idf: Doubles

    def encode(self, clips: Sequence[Clip]) -> Floats:
        """(n, dim) float32 unit rows, NaN for a text without words."""
        out = np.full((len(clips), self.space.dim), np.nan, np.float32)
        for i, clip in enumerate(clips):
            row = np.zeros(self.space.dim)
            for word, count in Counter(words(clip.text)).items():
                at, sign = place(word, self.space.dim)
                row[at] += sign * (1 + math.log(count)) * self.idf[at]
            if norm := float(np.linalg.norm(row)):
                out[i] = row / norm
        return out

    def arrays(self) -> dict[str, Any]:
        return {"idf": self.idf}

    @staticmethod
    def from_arrays(arrays: Mapping[str, Any]) -> TfIdf:
        idf = np.asarray(arrays["idf"], np.float64)
        return TfIdf(Space("text.tfidf", digest(idf), len(idf)), idf)


def fit_tfidf(clips: Sequence[Clip], dim: int = 4096) -> TfIdf:
    """Counts in how many texts each place occurs."""
    seen = np.zeros(dim)
    for clip in clips:
        seen[sorted({place(word, dim)[0] for word in words(clip.text)})] += 1
    return TfIdf.from_arrays({"idf": np.log((1 + len(clips)) / (1 + seen)) + 1})


def place(word: str, dim: int) -> tuple[int, int]:
    """The place of a word and its sign; the same on every machine."""
    raw = int.from_bytes(hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=8).digest(), "little")
    return raw % dim, 1 if raw >> 63 else -1


@dataclass(frozen=True, slots=True)
class VisualWords:
    """Reads ``Clip.frames``: the root of how often each word of the codebook (k, 128) occurs, over all frames;
    ``sparse``: looked for at keypoints, else on a grid."""

    space: Space
    codebook: Floats
    sparse: bool = False

    def encode(self, clips: Sequence[Clip]) -> Floats:
        """(n, k) float32 unit rows; NaN without frames, or where all is flat."""
        out = np.full((len(clips), self.space.dim), np.nan, np.float32)
        half = np.square(self.codebook).sum(axis=1) / 2
        for i, clip in enumerate(clips):
            count = np.zeros(self.space.dim)
            for frame in clip.frames if clip.frames is not None else ():
                nearest = (described(frame, sparse=self.sparse) @ self.codebook.T - half).argmax(axis=1)
                count += np.bincount(nearest, minlength=self.space.dim)
            if total := count.sum():
                out[i] = np.sqrt(count / total)
        return out

    def arrays(self) -> dict[str, Any]:
        return {"codebook": self.codebook, "sparse": np.array(self.sparse)}

    @staticmethod
    def from_arrays(arrays: Mapping[str, Any]) -> VisualWords:
        codebook = np.asarray(arrays["codebook"], np.float32)
        sparse = bool(arrays.get("sparse", False))
        return VisualWords(
            Space("frames.sift" if sparse else "frames.words", digest(codebook), len(codebook)), codebook, sparse
        )


def fit_visual_words(
    clips: Sequence[Clip], k: int = 256, most: int = 20_000, seed: int = 0, *, sparse: bool = False
) -> VisualWords:
    """A codebook of at most k words by k-means over at most ``most`` patches, drawn by ``seed``. Some seconds. Raises
    ValueError where no picture has an edge."""
    from scipy.cluster.vq import kmeans2

    found = [described(f, sparse=sparse) for clip in clips if clip.frames is not None for f in clip.frames]
    joined = np.concatenate([*found, np.empty((0, CELL * CELL * ANGLES), np.float32)])
    if not len(joined):
        raise ValueError("no picture has an edge to make words of")
    rng = np.random.default_rng(seed)
    joined = joined[np.sort(rng.permutation(len(joined))[:most])]
    codebook, own = kmeans2(joined, min(k, len(joined)), iter=12, minit="points", rng=rng)
    return VisualWords.from_arrays(
        {"codebook": codebook[np.bincount(own, minlength=len(codebook)) > 0], "sparse": np.array(sparse)}
    )


def described(frame: Pixels, *, sparse: bool) -> Floats:
    """(n, 128) float32 rows whose squares sum to one: the roots of SIFT's descriptors at keypoints or on a grid."""
    if not sparse:
        return descriptors(frame)
    found = keypoints(frame).descriptors
    return np.asarray(np.sqrt(found / np.maximum(found.sum(axis=1, keepdims=True), 1e-9)), np.float32)


def descriptors(frame: Pixels) -> Floats:
    """(patches, 128) float32 unit rows of the patches that are not flat."""
    from PIL import Image

    rows = [np.empty((0, CELL * CELL * ANGLES), np.float32)]
    for side in SIDES:
        grey = Image.fromarray(frame).convert("L").resize((side, side), Image.Resampling.BOX)
        down, right = np.gradient(np.asarray(grey, np.float32))
        size, angle = np.hypot(down, right), (np.arctan2(down, right) / (2 * np.pi) % 1 * ANGLES).astype(int) % ANGLES
        planes = np.where(angle[..., None] == np.arange(ANGLES), size[..., None], 0).astype(np.float32)
        cells = planes.reshape(side // CELL, CELL, side // CELL, CELL, ANGLES).sum(axis=(1, 3))
        wide = PATCH // CELL
        views = np.lib.stride_tricks.sliding_window_view(cells, (wide, wide), axis=(0, 1))
        every = STEP // CELL
        found = views[::every, ::every].transpose(0, 1, 3, 4, 2).reshape(-1, wide * wide * ANGLES)
        length = np.linalg.norm(found, axis=1, keepdims=True)
        found, length = found[length[:, 0] > FLAT], length[length[:, 0] > FLAT]
        cut = np.minimum(found / length, 0.2)
        rows.append(np.sqrt(cut / cut.sum(axis=1, keepdims=True)).astype(np.float32))
    return np.concatenate(rows)


def digest(array: Floats | Doubles) -> str:
    """What names the fitted space: vectors of two codebooks are never compared."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:12]
