"""From the vectors of a video's frames to one of the video: nothing trained, each a function of its own frames.

``mean``: every frame counts the same. ``gem``: the generalised mean with exponent 3, between mean and maximum
(Radenovic, Tolias and Chum 2019, "Fine-tuning CNN image retrieval with no human annotation", IEEE PAMI 41/7, section
3.2), of vectors that are not negative. ``attention``: each frame is asked how much it is like all others, as in
self-attention without weights (Vaswani et al. 2017, section 3.2.1, queries, keys and values the frames themselves), and
counts accordingly: a title card or a black frame hardly counts. ``shots``: each shot counts the same, however long.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from matinee.types import Doubles, Floats, Ints

SHARPNESS = 10.0  # of attention, on cosines
EXPONENT = 3.0
SAME_SHOT = 0.6  # cosine of two neighbouring frames below which another shot begins, where shots are not known


def unit(rows: Floats) -> Floats:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12), np.float32)


def mean(frames: Floats) -> Floats:
    return unit(frames.mean(axis=0))


def gem(frames: Floats) -> Floats:
    return unit(np.power(np.power(np.maximum(frames, 0), EXPONENT).mean(axis=0), 1 / EXPONENT))


def attention(frames: Floats) -> Floats:
    rows = unit(frames)
    likeness = SHARPNESS * (rows @ rows.T)
    share = np.exp(likeness - likeness.max())
    share = share / share.sum(axis=1, keepdims=True)
    centred = unit(share @ rows)
    weight = np.exp(SHARPNESS * (centred @ centred.mean(axis=0)))
    return unit((weight / weight.sum()) @ frames)


def shots(frames: Floats) -> Floats:
    rows = unit(frames)
    alike = (rows[1:] * rows[:-1]).sum(axis=1) >= SAME_SHOT
    return unit(shot_means(frames, np.concatenate([[0], np.cumsum(~alike)]).astype(np.int64)).mean(axis=0))


POOLS: dict[str, Callable[[Floats], Floats]] = {"mean": mean, "gem": gem, "attention": attention, "shots": shots}


def shot_means(frames: Floats, numbers: Ints) -> Floats:
    """(shots with a frame, d) unit rows: the mean of the frames of each shot, in order. ``numbers``: (k,) the shot of
    each frame."""
    return unit(np.stack([unit(frames[numbers == n]).mean(axis=0) for n in np.unique(numbers)]))


def sequence(frames: Floats, at: Doubles, starts: Sequence[float]) -> dict[str, Any]:
    """The vectors of the shots as a fact, for models that read a film in order: ``at`` when each of these shots begins,
    ``shape`` and base64 of the unit rows as float16. About 2.5 KB a shot of 1280 numbers."""
    begins = np.array(starts or [0.0])
    numbers = np.maximum(np.searchsorted(begins, at + 1e-3, side="right") - 1, 0)
    rows = shot_means(frames, numbers)
    packed = base64.b64encode(rows.astype("<f2").tobytes()).decode()
    return {"at": [round(float(begins[n]), 3) for n in np.unique(numbers)], "shape": list(rows.shape), "f16": packed}


def read_sequence(fact: Mapping[str, Any]) -> tuple[Doubles, Floats]:
    """(n,) seconds and (n, d) float32 rows of a fact that ``sequence`` made. Raises ValueError for anything else."""
    n, d = (int(v) for v in fact["shape"])
    rows = np.frombuffer(base64.b64decode(fact["f16"]), "<f2").reshape(n, d).astype(np.float32)
    return np.array(fact["at"], np.float64), rows
