"""Checkpoints of the hub as ONNX files: made once where PyTorch is, then run without it, in float or 8-bit integers.

What is made lies in the cache folder under the digest of the checkpoint and of how it is used: ``network.onnx`` from
prepared inputs to the pooled vector, ``tokenizer.json`` for texts, ``about.json``. Texts and single pictures only.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matinee.encoders import quantise, samples
from matinee.encoders.hub.networks import HubFrames, HubText, TorchNetwork, pooled
from matinee.encoders.hub.prepare import look_of
from matinee.encoders.hub.spec import Hub, Known
from matinee.encoders.onnx import open_session
from matinee.errors import MatineeError
from matinee.protocols import Encoder
from matinee.settings import cache_folder
from matinee.types import Floats, Space

OUTPUT, VERSION = "vector", "1"
STATIC = ("convnext", "convnextv2")  # networks of convolutions


@dataclass(frozen=True, slots=True)
class OnnxNetwork:
    """A network that ONNX Runtime runs. ``inputs``: the names it takes."""

    session: Any
    inputs: tuple[str, ...]

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Floats:
        out = self.session.run([OUTPUT], {name: inputs[name] for name in self.inputs})[0]
        return np.asarray(out, np.float32)


def exportable(known: Known) -> bool:
    return known.reads == "text" or (known.reads == "frames" and known.kind == "frames")


def place(known: Known, longest: int) -> Path:
    digest = hashlib.sha256(f"{VERSION} {known.key} {known.reads} {longest}".encode()).hexdigest()
    return cache_folder() / "onnx" / digest[:32]


def export(known: Known, encoder: HubText | HubFrames, folder: Path) -> None:
    """Writes the network of a loaded encoder into ``folder``, whole or not at all. Raises ``hub.export``."""
    import torch

    network = encoder.network
    if not isinstance(network, TorchNetwork):
        raise _failed(known, "it is not loaded")
    text, model, call, pool = isinstance(encoder, HubText), network.model, network.call, network.pool
    given = encoder.tokens(["a first text", "and another"]) if isinstance(encoder, HubText) else _picture(encoder)
    names = [name for name in ("input_ids", "attention_mask", "token_type_ids", "pixel_values") if name in given]

    class Whole(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *arrays: Any) -> Any:
            inputs = dict(zip(names, arrays, strict=True))
            made = getattr(self.model, call)(**inputs) if call else self.model(**inputs)
            return pooled(made, pool, inputs.get("attention_mask"))

    out: Any = io.BytesIO()
    free = {name: {0: "n", 1: "length"} if text else {0: "n"} for name in names} | {OUTPUT: {0: "n"}}
    arrays = tuple(torch.from_numpy(np.ascontiguousarray(given[name])).to(network.device) for name in names)
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                Whole().eval(), arrays, out, dynamo=False, opset_version=17, input_names=names, output_names=[OUTPUT],
                dynamic_axes=free,
            )  # fmt: skip
    except (RuntimeError, ValueError, TypeError, ImportError, AttributeError) as error:
        raise _failed(known, str(error).strip().splitlines()[0][:200] if str(error).strip() else "") from error
    about = {"inputs": names, "dim": encoder.space.dim}
    if isinstance(encoder, HubText):
        about |= {"heat": encoder.heat, "language": encoder.language}
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        part.mkdir(parents=True, exist_ok=True)
        (part / "network.onnx").write_bytes(out.getvalue())
        (part / "about.json").write_text(json.dumps(about), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    except OSError as error:
        raise _failed(known, error.strerror or "the disk refuses") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _picture(encoder: HubFrames) -> Mapping[str, Any]:
    return {"pixel_values": np.stack([encoder.look(np.zeros((64, 64, 3), np.uint8))] * 2)}


def _failed(known: Known, why: str) -> MatineeError:
    kind = known.checkpoint.config.get("model_type")
    return MatineeError(
        "hub.export",
        f"The checkpoint {known.checkpoint.folder} ({kind}) cannot be written as ONNX: {why}. Use precision = "
        '"float" with the extra: pip install "matinee[hub]"',
        f'无法将模型 {known.checkpoint.folder}（{kind}）导出为 ONNX：{why}。请使用 precision = "float" '
        '并安装：pip install "matinee[hub]"',
        exit_code=1,
    )


def read(folder: Path) -> tuple[bytes, dict[str, Any]] | None:
    """What was exported, or None."""
    try:
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        return (folder / "network.onnx").read_bytes(), about
    except (OSError, ValueError):
        return None


def encoder_of(
    known: Known, found: tuple[bytes, dict[str, Any]], tokens: Any, precision: str, pictures: Path | None
) -> Encoder:  # fmt: skip
    """The exported network as an encoder. ``tokens``: of a text network, texts to arrays."""
    graph, about = found
    kind = str(known.checkpoint.config["model_type"])
    look = None if known.reads == "text" else look_of(known.checkpoint.folder, known.checkpoint.config)

    def real() -> Sequence[Mapping[str, Any]]:
        if look is None:
            said = samples.texts("zh" if about.get("language") == "zh" else "")
            before = [known.prompts[0] + text for text in said]
            made = [tokens(before[i : i + samples.BATCH]) for i in range(0, len(before), samples.BATCH)]
            return [{name: feeds[name] for name in about["inputs"]} for feeds in made]
        seen = [look(picture) for picture in samples.pictures(pictures)]
        parts = [seen[i : i + samples.BATCH] for i in range(0, len(seen), samples.BATCH)]
        return [{"pixel_values": np.stack(part)} for part in parts]

    how: quantise.How = "static" if kind in STATIC else "dynamic"
    session = quantise.session(graph, how, real, OUTPUT) if precision == "int8" else open_session(graph)
    network = OnnxNetwork(session, tuple(about["inputs"]))
    space = Space(known.name, known.revision, int(about["dim"]))
    if look is not None:
        return HubFrames(space, network, look)
    heat, language = float(about.get("heat", 0.0)), str(about.get("language", "en"))
    return HubText(space, network, tokens, *known.prompts, heat, language)


def exported(hub: Hub, known: Known, encoder: Encoder, longest: int) -> tuple[bytes, dict[str, Any]]:
    """What was exported before, or is now. ``encoder``: the loaded float one."""
    folder = place(known, longest)
    if (found := read(folder)) is None:
        if not isinstance(encoder, HubText | HubFrames):
            raise _failed(known, "only texts and single pictures are")
        export(known, encoder, folder)
        found = read(folder)
    if found is None:
        raise _failed(known, "it cannot be read back")
    return found
