"""A checkpoint of the hub as an ``Encoder``. Needs the extra: ``pip install "matinee[hub]"``.

load_hub(Hub("/models/e5-small", prefix="query: ")).encode(clips)
text, frames = load_hub(Hub(clip, reads="text")), load_hub(Hub(clip, reads="frames"))  # of one space
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any

from matinee.encoders.device import on_torch
from matinee.encoders.hub import networks
from matinee.encoders.hub.families import FAMILIES, MAY_LACK
from matinee.encoders.hub.files import Checkpoint, read_json, refused
from matinee.encoders.hub.prepare import look_of
from matinee.encoders.hub.spec import Hub, Known, identify
from matinee.errors import MatineeError
from matinee.protocols import Encoder
from matinee.types import Space

LONGEST = 512


def load_hub(hub: Hub, precision: str = "float", pictures: Path | None = None) -> Encoder:
    """The encoder, ready. Raises ``hub.extra``, ``hub.missing``, ``hub.unreachable``, ``hub.refused``, ``hub.reads``,
    ``hub.pool``, ``hub.export``.

    The space's revision is the digest of weights and config, so two checkpoints are never compared; both sides of a
    joint network have one space. With ``precision`` "int8", and where PyTorch is missing, the network runs as ONNX if
    it can be or was exported (``hub.export``), which "export" does; ``pictures``: a folder of real ones to check the
    quantised network on.
    """
    from matinee.encoders.hub import export

    known = identify(hub)
    longest = longest_of(hub, known.checkpoint.folder) if known.reads == "text" else 0
    found = export.read(export.place(known, longest)) if export.exportable(known) else None
    if found is None or precision != "int8":
        try:
            require_extra()
        except MatineeError:
            if found is None:
                raise
            return export.encoder_of(known, found, tokens_of(known, longest), "float", None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the library, to its own developers
            encoder = _built(hub, known)
        if precision == "float" or (precision == "int8" and not export.exportable(known)):
            return encoder
        found = export.exported(hub, known, encoder, longest)
    return export.encoder_of(known, found, tokens_of(known, longest), precision, pictures)


def require_extra() -> None:
    """Raises ``hub.extra`` where a library is missing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name in ("torch", "transformers", "safetensors"):
                import_module(name)
    except ImportError as error:
        raise MatineeError(
            "hub.extra",
            f'Checkpoints of the hub need {error.name}. Install it with: pip install "matinee[hub]"',
            f'使用 hub 模型需要 {error.name}。请安装：pip install "matinee[hub]"',
            status=503,
            exit_code=1,
        ) from error


CALLS = {"text": "get_text_features", "frames": "get_image_features", "sound": "get_audio_features"}


def _built(hub: Hub, known: Known) -> Encoder:
    checkpoint = known.checkpoint
    model, device = open_model(checkpoint, hub.device)
    network = networks.TorchNetwork(model, known.pool, device, CALLS[known.reads] if known.joint else "")
    space = Space(known.name, known.revision, width_of(model, known.joint))
    encoder = wrapped(hub, known, space, network, model.config)
    if known.joint and isinstance(encoder, networks.HubText):
        return replace(encoder, heat=heat_of(model), language=checkpoint.family.language)
    return encoder


def heat_of(model: Any) -> float:
    """What a joint network multiplies its cosines by, learned in its training."""
    for name in ("logit_scale", "logit_scale_a"):
        if hasattr(model, name):
            return float(getattr(model, name).detach().exp())
    return 100.0


def wrapped(hub: Hub, known: Known, space: Space, network: networks.Network, config: Any) -> Encoder:
    """A network with what prepares its inputs, as the encoder of its kind. ``config``: the network's own."""
    checkpoint = known.checkpoint
    family, folder = checkpoint.family, checkpoint.folder
    if known.reads == "text":
        longest = longest_of(hub, folder)
        return networks.HubText(space, network, tokens_of(known, longest, positions(config)), *known.prompts)
    if known.reads == "frames":
        look = look_of(folder, checkpoint.config)
        if family.moving:
            return networks.HubClips(space, network, look, int(checkpoint.config.get("num_frames", 16)))
        return networks.HubFrames(space, network, look)
    extractor = _tool("AutoFeatureExtractor", folder)
    seconds = networks.WINDOW.get(str(checkpoint.config["model_type"]), 20.0)
    return networks.HubSound(space, network, extractor, int(extractor.sampling_rate), seconds, 1600)


def tokens_of(known: Known, longest: int, places: int = 0) -> Any:
    """Texts to arrays of the network's inputs; None for what reads no texts. ``places``: tokens that the network has
    places for; 0 reads that from the config."""
    if known.reads != "text":
        return None
    checkpoint = known.checkpoint
    tokenizer = _tool("AutoTokenizer", checkpoint.folder)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    places = places or positions(_Told(checkpoint.config))
    most = min(longest, places, tokenizer.model_max_length)
    padding = "max_length" if checkpoint.family.pad else True
    alone = Lock()  # a tokenizer writes its padding down in itself, and two threads at once are an error

    def tokens(texts: list[str]) -> Mapping[str, Any]:
        with alone:
            return dict(tokenizer(texts, padding=padding, truncation=True, max_length=most, return_tensors="np"))

    return tokens


def longest_of(hub: Hub, folder: Path) -> int:
    """Tokens of a text: as the name says, else as it was trained (``sentence_bert_config.json``), else 512."""
    if hub.longest:
        return hub.longest
    if (folder / "sentence_bert_config.json").exists():
        told = read_json(folder, "sentence_bert_config.json").get("max_seq_length")
        return told if isinstance(told, int) and told > 0 else LONGEST
    return LONGEST


def open_model(checkpoint: Checkpoint, device: str) -> tuple[Any, str]:
    """As ``_opened``; both sides of a joint network are one copy in memory."""
    return _opened(checkpoint.folder, str(checkpoint.config["model_type"]), checkpoint.digest, device)


@lru_cache(maxsize=8)
def _opened(folder: Path, kind: str, digest: str, device: str) -> tuple[Any, str]:
    """The network in float32, ready to answer, and where it is. Raises ``hub.refused`` for damaged weights and for a
    checkpoint that lacks some: those would be random."""
    import torch
    import transformers
    from safetensors import SafetensorError

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    family = FAMILIES[kind]
    bare = {"add_pooling_layer": False} if family.bare else {}
    try:
        model, report = getattr(transformers, family.cls).from_pretrained(
            folder,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            attn_implementation="eager",
            dtype=torch.float32,
            output_loading_info=True,
            **bare,
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError, SafetensorError) as error:
        said = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise refused(folder, f"the library says: {said}", f"加载库报告：{said}") from error
    lacks = sorted(k for k in report["missing_keys"] if not any(part in k for part in MAY_LACK))
    if lacks or report.get("mismatched_keys"):
        said = f"{', '.join(lacks[:3])}" or "shapes"
        raise refused(
            folder,
            f"its weights do not fill the network ({len(lacks)} missing: {said}).",
            f"权重不完整（缺少 {len(lacks)} 个：{said}）。",
        )
    if family.part:
        model = getattr(model, family.part)
    model = model.eval().requires_grad_(False)
    return on_torch(model.to, device)


def _tool(cls: str, folder: Path) -> Any:
    import transformers

    try:
        return getattr(transformers, cls).from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError, ImportError) as error:
        said = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise refused(folder, f"its {cls} cannot be read: {said}", f"无法读取其 {cls}：{said}") from error


def width_of(model: Any, joint: bool) -> int:
    config = model.config
    for name in ("projection_dim",) if joint else ():
        if hasattr(config, name):
            return int(getattr(config, name))
    for owner in (getattr(config, "text_config", None), config):
        for name in ("hidden_size", "d_model", "n_embd"):
            if owner is not None and hasattr(owner, name):
                return int(getattr(owner, name))
    return int(config.hidden_sizes[-1])  # ConvNeXt


class _Told:
    """A config.json read by attribute, as the library's own configs are."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        for key, value in told.items():
            setattr(self, key, _Told(value) if isinstance(value, dict) else value)


def positions(config: Any) -> int:
    """The tokens that the network has places for; places before the padding's number are not used by RoBERTa."""
    text = getattr(config, "text_config", config)
    most = int(getattr(text, "max_position_embeddings", 0) or 1 << 20)
    return most - 2 if str(getattr(text, "model_type", "")).endswith("roberta") else most
