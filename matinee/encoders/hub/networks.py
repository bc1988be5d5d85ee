"""Encoders made of checkpoints of the Hugging Face hub: text, pictures, moving pictures, sound, and joint spaces.

Devlin et al. 2019 (BERT), Wang et al. 2022 (E5), Xiao et al. 2023 (BGE), Raffel et al. 2020 (T5), Dosovitskiy et al.
2021 (ViT), Oquab et al. 2023 (DINOv2), Radford et al. 2021 (CLIP), Zhai et al. 2023 (SigLIP), Liu et al. 2022
(ConvNeXt), Tong et al. 2022 (VideoMAE), Bertasius et al. 2021 (TimeSformer), Arnab et al. 2021 (ViViT), Gong et al.
2021 (AST), Baevski et al. 2020 (wav2vec 2.0), Radford et al. 2022 (Whisper), Wu et al. 2023 (CLAP).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from matinee.encoders.hub.prepare import Look, at_rate, evenly, windows
from matinee.encoders.pool import POOLS
from matinee.types import Clip, Floats, Space

BATCH = 16
WINDOW = {"audio-spectrogram-transformer": 10.24, "whisper": 30.0, "clap": 10.0}  # seconds; of any other 20
INPUTS = ("input_values", "input_features", "is_longer")  # what a sound network takes of its extractor's answer
MOST_CHARACTERS = 20_000  # more than any of these networks reads


class Network(Protocol):
    """A loaded network, wherever it runs."""

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Floats:
        """(n, dim) float32, not yet of unit length, of n prepared inputs."""
        ...


@dataclass(frozen=True, slots=True)
class TorchNetwork:
    """A network on its device, and how its outputs become a vector. ``call``: a method of the model instead of its
    forward pass."""

    model: Any
    pool: str
    device: str
    call: str = ""

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Floats:
        import torch

        given = {k: torch.from_numpy(np.ascontiguousarray(v)).to(self.device) for k, v in inputs.items()}
        with torch.inference_mode():
            out = getattr(self.model, self.call)(**given) if self.call else self.model(**given)
            return np.asarray(pooled(out, self.pool, given.get("attention_mask")).float().cpu().numpy(), np.float32)


def pooled(out: Any, pool: str, mask: Any) -> Any:
    """(n, dim) tensor of what a network gave."""
    if not hasattr(out, "keys"):
        return out  # already a vector
    if pool == "pooled":
        return out["pooler_output"]
    states = out["last_hidden_state"]
    if pool == "cls":
        return states[:, 0]
    if mask is None or mask.shape[1] != states.shape[1]:  # sound and pictures: every position speaks
        return states.mean(dim=1)
    weight = mask[..., None].to(states.dtype)
    if pool == "last":  # padded on the right: where the mask ends
        return (states * weight * (weight.cumsum(dim=1) == weight.sum(dim=1, keepdim=True))).sum(dim=1)
    return (states * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)


@dataclass(frozen=True, slots=True)
class HubText:
    """Reads ``Clip.text``. ``prefix`` stands before every text and ``query`` before every query, as E5 and BGE were
    trained. ``tokens``: texts to arrays of the network's inputs. Of a joint network ``heat`` is what it multiplies its
    cosines by, and ``language`` what it was trained to read."""

    space: Space
    network: Network
    tokens: Callable[[list[str]], Mapping[str, NDArray[Any]]]
    prefix: str = ""
    query: str = ""
    heat: float = 0.0
    language: str = "en"

    def encode(self, clips: Sequence[Clip]) -> Floats:
        return self.encode_texts([clip.text for clip in clips])

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        """(n, dim) float32 unit rows, NaN for a blank text."""
        return self._encoded(texts, self.prefix)

    def encode_queries(self, texts: Sequence[str]) -> Floats:
        """The same for what is asked: comparable with ``encode``."""
        return self._encoded(texts, self.query)

    def _encoded(self, texts: Sequence[str], prefix: str) -> Floats:
        clean = [t[:MOST_CHARACTERS].encode("utf-8", "replace").decode("utf-8").strip() for t in texts]
        filled = sorted((i for i, t in enumerate(clean) if t), key=lambda i: len(clean[i]))

        def run(part: list[int]) -> Floats:
            return self.network.run(self.tokens([prefix + clean[i] for i in part]))

        return batched(run, filled, len(texts), self.space.dim)


@dataclass(frozen=True, slots=True)
class HubFrames:
    """Reads ``Clip.frames``: each frame alone; ``pooling`` of their unit vectors over a clip (``encoders.pool``)."""

    space: Space
    network: Network
    look: Look
    pooling: str = "mean"

    def encode(self, clips: Sequence[Clip]) -> Floats:
        """(n, dim) float32 unit rows, NaN where there is no frame."""
        owner = [i for i, c in enumerate(clips) for _ in (c.frames if c.frames is not None else ())]
        frames = [f for c in clips if c.frames is not None for f in c.frames]

        def run(part: list[int]) -> Floats:
            return self.network.run({"pixel_values": np.stack([self.look(frames[i]) for i in part])})

        rows = batched(run, range(len(frames)), len(frames), self.space.dim)
        if self.pooling == "mean":
            return gathered(rows, owner, len(clips))
        out, whose = np.full((len(clips), self.space.dim), np.nan, np.float32), np.asarray(owner)
        for i in sorted(set(owner)):
            out[i] = POOLS[self.pooling](rows[whose == i])
        return unit(out)


@dataclass(frozen=True, slots=True)
class HubClips:
    """Reads ``Clip.frames`` as one moving picture: ``count`` frames spread evenly, repeated where there are fewer."""

    space: Space
    network: Network
    look: Look
    count: int

    def encode(self, clips: Sequence[Clip]) -> Floats:
        """(n, dim) float32 unit rows, NaN where there is no frame."""
        filled = [i for i, c in enumerate(clips) if c.frames is not None and len(c.frames)]

        def run(part: list[int]) -> Floats:
            rows = []
            for i in part:
                frames = clips[i].frames
                assert frames is not None  # noqa: S101  (filled holds none such)
                rows.append(np.stack([self.look(frames[k]) for k in evenly(len(frames), self.count)]))
            return self.network.run({"pixel_values": np.stack(rows)})

        return batched(run, filled, len(clips), self.space.dim, 4)


@dataclass(frozen=True, slots=True)
class HubSound:
    """Reads ``Clip.sound``: windows as long as the network takes, at most six, the mean of their unit vectors.
    ``rate``: what it was trained at; ``seconds``: of a window; ``shortest``: samples it needs at least."""

    space: Space
    network: Network
    extractor: Any
    rate: int
    seconds: float
    shortest: int

    def encode(self, clips: Sequence[Clip]) -> Floats:
        """(n, dim) float32 unit rows, NaN where there is no sound."""
        owner: list[int] = []
        cut: list[Floats] = []
        for i, clip in enumerate(clips):
            for window in windows(clip.sound, self.seconds) if clip.sound is not None and len(clip.sound) else ():
                owner.append(i)
                cut.append(at_rate(np.pad(window, (0, max(0, self.shortest - len(window)))), self.rate))
        out = np.full((len(cut), self.space.dim), np.nan, np.float32)
        for length in sorted({len(window) for window in cut}):  # windows of one length go together, whosever they are
            alike = [i for i, window in enumerate(cut) if len(window) == length]

            def run(part: list[int], alike: list[int] = alike) -> Floats:
                sounds = [cut[alike[i]] for i in part]
                made = self.extractor(sounds, sampling_rate=self.rate, return_tensors="np")
                return self.network.run({k: np.asarray(v) for k, v in made.items() if k in INPUTS})

            out[alike] = batched(run, range(len(alike)), len(alike), self.space.dim, 4)
        return gathered(out, owner, len(clips))


Run = Callable[[list[int]], Floats]


def batched(run: Run, filled: Sequence[int], n: int, dim: int, size: int = BATCH) -> Floats:
    """(n, dim) float32: ``run`` over parts of ``filled``, unit rows; the others NaN."""
    out = np.full((n, dim), np.nan, np.float32)
    for at in range(0, len(filled), size):
        part = list(filled[at : at + size])
        out[part] = run(part)
    return unit(out)


def gathered(rows: Floats, owner: Sequence[int], n: int) -> Floats:
    """(n, dim): the mean of the unit rows of each owner, of unit length; NaN for an owner without any."""
    total, good = np.zeros((n, rows.shape[1]), np.float32), np.isfinite(rows).all(axis=1)
    np.add.at(total, np.asarray(owner, np.int64)[good], rows[good])
    return unit(total)


def unit(rows: Floats) -> Floats:
    length = np.linalg.norm(rows, axis=1)
    short = ~(length > 1e-12)
    out = rows / np.where(short, 1, length).astype(np.float32)[:, None]
    out[short] = np.nan
    return np.asarray(out, np.float32)
