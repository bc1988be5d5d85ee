"""Encoders made of checkpoints of the Hugging Face hub: text, pictures, moving pictures, sound, and joint spaces.

Devlin et al. 2019 (BERT), Wang et al. 2022 (E5), Xiao et al. 2023 (BGE), Raffel et al. 2020 (T5), Dosovitskiy et al.
2021 (ViT), Oquab et al. 2023 (DINOv2), Radford et al. 2021 (CLIP), Zhai et al. 2023 (SigLIP), Liu et al. 2022
(ConvNeXt), Tong et al. 2022 (VideoMAE), Bertasius et al. 2021 (TimeSformer), Arnab et al. 2021 (ViViT), Gong et al.
2021 (AST), Baevski et al. 2020 (wav2vec 2.0), Radford et al. 2022 (Whisper), Wu et al. 2023 (CLAP).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from matinee.encoders.hub.families import Family
from matinee.encoders.hub.prepare import Look, at_rate, evenly, windows
from matinee.types import Clip, Floats, Space

BATCH = 16
WINDOW = {"audio-spectrogram-transformer": 10.24, "whisper": 30.0, "clap": 10.0}  # seconds; of any other 20
MOST_CHARACTERS = 20_000  # more than any of these networks reads


@dataclass(frozen=True, slots=True)
class Network:
    """A loaded network on its device, and how its outputs become a vector."""

    model: Any
    family: Family
    pool: str
    device: str

    def run(self, inputs: dict[str, Any], call: str = "") -> Floats:
        """(n, dim) float32, not yet of unit length. ``call``: a method of the model instead of its forward pass."""
        import torch

        on_device = {k: v.to(self.device) for k, v in inputs.items()}
        with torch.inference_mode():
            out = getattr(self.model, call)(**on_device) if call else self.model(**on_device)
            return np.asarray(self._one(out, on_device.get("attention_mask")).float().cpu().numpy(), np.float32)

    def _one(self, out: Any, mask: Any) -> Any:
        if not hasattr(out, "keys"):
            return out  # already a vector
        if self.pool == "pooled":
            return out["pooler_output"]
        states = out["last_hidden_state"]
        if self.pool == "cls":
            return states[:, 0]
        if mask is None or mask.shape[1] != states.shape[1]:  # sound and pictures: every position speaks
            return states.mean(dim=1)
        if self.pool == "last":
            last = mask.sum(dim=1) - 1  # padded on the right
            return states[range(len(states)), last]
        weight = mask[..., None].to(states.dtype)
        return (states * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)


@dataclass(frozen=True, slots=True)
class HubText:
    """Reads ``Clip.text``. ``prefix`` stands before every text, as E5 and BGE were trained ("query: ")."""

    space: Space
    network: Network
    tokenizer: Any
    longest: int
    prefix: str = ""

    def encode(self, clips: Sequence[Clip]) -> Floats:
        return self.encode_texts([clip.text for clip in clips])

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        """(n, dim) float32 unit rows, NaN for a blank text."""
        clean = [t[:MOST_CHARACTERS].encode("utf-8", "replace").decode("utf-8").strip() for t in texts]
        filled = sorted((i for i, t in enumerate(clean) if t), key=lambda i: len(clean[i]))
        call = "get_text_features" if len(self.network.family.reads) > 1 else ""

        def run(part: list[int]) -> Floats:
            tokens = self.tokenizer(
                [self.prefix + clean[i] for i in part],
                padding="max_length" if self.network.family.pad else True,
                truncation=True,
                max_length=self.longest,
                return_tensors="pt",
            )
            return self.network.run(dict(tokens), call)

        return batched(run, filled, len(texts), self.space.dim)


@dataclass(frozen=True, slots=True)
class HubFrames:
    """Reads ``Clip.frames``: each frame alone, the mean of unit vectors over a clip."""

    space: Space
    network: Network
    look: Look

    def encode(self, clips: Sequence[Clip]) -> Floats:
        """(n, dim) float32 unit rows, NaN where there is no frame."""
        import torch

        owner = [i for i, c in enumerate(clips) for _ in (c.frames if c.frames is not None else ())]
        frames = [f for c in clips if c.frames is not None for f in c.frames]
        call = "get_image_features" if len(self.network.family.reads) > 1 else ""

        def run(part: list[int]) -> Floats:
            pixels = np.stack([self.look(frames[i]) for i in part])
            return self.network.run({"pixel_values": torch.from_numpy(pixels)}, call)

        return gathered(batched(run, range(len(frames)), len(frames), self.space.dim), owner, len(clips))


@dataclass(frozen=True, slots=True)
class HubClips:
    """Reads ``Clip.frames`` as one moving picture: ``count`` frames spread evenly, repeated where there are fewer."""

    space: Space
    network: Network
    look: Look
    count: int

    def encode(self, clips: Sequence[Clip]) -> Floats:
        """(n, dim) float32 unit rows, NaN where there is no frame."""
        import torch

        filled = [i for i, c in enumerate(clips) if c.frames is not None and len(c.frames)]

        def run(part: list[int]) -> Floats:
            rows = []
            for i in part:
                frames = clips[i].frames
                assert frames is not None  # noqa: S101  (filled holds none such)
                rows.append(np.stack([self.look(frames[k]) for k in evenly(len(frames), self.count)]))
            return self.network.run({"pixel_values": torch.from_numpy(np.stack(rows))})

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
        call = "get_audio_features" if len(self.network.family.reads) > 1 else ""

        def run(part: list[int]) -> Floats:
            made = self.extractor(cut[part[0]], sampling_rate=self.rate, return_tensors="pt")
            inputs = {k: v for k, v in made.items() if k in ("input_values", "input_features", "is_longer")}
            return self.network.run(inputs, call)

        rows = batched(run, range(len(cut)), len(cut), self.space.dim, 1)  # lengths differ: one window at a time
        return gathered(rows, owner, len(clips))


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
