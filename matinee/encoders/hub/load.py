"""A checkpoint of the hub as an ``Encoder``. Needs the extra: ``pip install "matinee[hub]"``.

load_hub(Hub("/models/e5-small", prefix="query: ")).encode(clips)
text, frames = load_hub(Hub(clip, reads="text")), load_hub(Hub(clip, reads="frames"))  # of one space
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from matinee.encoders.hub.families import MAY_LACK, Family
from matinee.encoders.hub.files import Checkpoint, find, judge, read_json, refused
from matinee.errors import MatineeError
from matinee.protocols import Encoder
from matinee.types import Space

POOLS = ("mean", "cls", "last")


@dataclass(frozen=True, slots=True)
class Hub:
    """``model``: a folder, or a hub id ``owner/name`` with its ``revision``. ``reads``: which side of a joint network;
    "" where there is one. ``pool``: "mean", "cls", "last" or "" for what the checkpoint was trained with. ``prefix``:
    what stands before each text. ``longest``: tokens of a text. ``device``: "auto" takes a GPU where there is one."""

    model: str
    reads: str = ""
    pool: str = ""
    prefix: str = ""
    revision: str | None = None
    longest: int = 512
    device: str = "auto"


def load_hub(hub: Hub) -> Encoder:
    """The encoder, ready. Raises ``hub.extra``, ``hub.missing``, ``hub.unreachable``, ``hub.refused``, ``hub.reads``,
    ``hub.pool``.

    The space's revision is the digest of weights and config, so two checkpoints are never compared; both sides of a
    joint network have one space."""
    require_extra()
    checkpoint = judge(find(hub.model, hub.revision))
    family = checkpoint.family
    reads = hub.reads or family.reads[0]
    if reads not in family.reads or (not hub.reads and len(family.reads) > 1):
        sides = ", ".join(family.reads)
        raise MatineeError(
            "hub.reads",
            f"{hub.model} ({checkpoint.config['model_type']}) reads {sides}; say which of these with reads=.",
            f"{hub.model}（{checkpoint.config['model_type']}）读取 {sides}；请用 reads= 指定。",
        )
    if hub.pool and (hub.pool not in POOLS or family.pool == "pooled"):
        known = "none: it pools itself" if family.pool == "pooled" else ", ".join(POOLS)
        raise MatineeError(
            "hub.pool",
            f"{hub.model} cannot be pooled by {hub.pool!r}. Known: {known}.",
            f"{hub.model} 不支持池化方式 {hub.pool!r}。可用：{'、'.join(POOLS) if family.pool != 'pooled' else '无'}。",
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the library, to its own developers
        return _built(hub, checkpoint, reads)


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


def _built(hub: Hub, checkpoint: Checkpoint, reads: str) -> Encoder:
    from matinee.encoders.hub import networks
    from matinee.encoders.hub.prepare import look_of

    family, config, folder = checkpoint.family, checkpoint.config, checkpoint.folder
    model, device = open_model(checkpoint, hub.device)
    pool = hub.pool or trained_pool(folder, family)
    network = networks.Network(model, family, pool, device)
    joint = len(family.reads) > 1
    revision = f"{config['model_type']}-{checkpoint.digest}" + ("" if joint else f"-{pool}")
    space = Space("joint" if joint else f"{reads}.hub", revision, width_of(model, joint))
    if reads == "text":
        tokenizer = _tool("AutoTokenizer", folder)
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        tokenizer.padding_side = "right"
        longest = min(hub.longest, positions(model.config), tokenizer.model_max_length)
        if hub.prefix:
            space = Space(space.name, f"{space.revision}-{abs(stable(hub.prefix)):x}", space.dim)
        return networks.HubText(space, network, tokenizer, longest, hub.prefix)
    if reads == "frames":
        look = look_of(folder, config)
        if family.moving:
            return networks.HubClips(space, network, look, int(config.get("num_frames", 16)))
        return networks.HubFrames(space, network, look)
    extractor = _tool("AutoFeatureExtractor", folder)
    seconds = networks.WINDOW.get(str(config["model_type"]), 20.0)
    return networks.HubSound(space, network, extractor, int(extractor.sampling_rate), seconds, 1600)


def open_model(checkpoint: Checkpoint, device: str) -> tuple[Any, str]:
    """The network in float32, ready to answer, and where it is. Raises ``hub.refused`` for damaged weights and for a
    checkpoint that lacks some: those would be random."""
    import torch
    import transformers
    from safetensors import SafetensorError

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    family = checkpoint.family
    bare = {"add_pooling_layer": False} if family.bare else {}
    try:
        model, report = getattr(transformers, family.cls).from_pretrained(
            checkpoint.folder,
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
        raise refused(checkpoint.folder, f"the library says: {said}", f"加载库报告：{said}") from error
    lacks = sorted(k for k in report["missing_keys"] if not any(part in k for part in MAY_LACK))
    if lacks or report.get("mismatched_keys"):
        said = f"{', '.join(lacks[:3])}" or "shapes"
        raise refused(
            checkpoint.folder,
            f"its weights do not fill the network ({len(lacks)} missing: {said}).",
            f"权重不完整（缺少 {len(lacks)} 个：{said}）。",
        )
    if family.part:
        model = getattr(model, family.part)
    place = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    return model.eval().requires_grad_(False).to(place), place


def _tool(cls: str, folder: Path) -> Any:
    import transformers

    try:
        return getattr(transformers, cls).from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError, ImportError) as error:
        said = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise refused(folder, f"its {cls} cannot be read: {said}", f"无法读取其 {cls}：{said}") from error


def trained_pool(folder: Path, family: Family) -> str:
    """As ``1_Pooling/config.json`` of Sentence Transformers says, where there is one; else as the family does."""
    if family.pool != "mean" or not (folder / "1_Pooling" / "config.json").exists():
        return family.pool
    said = read_json(folder / "1_Pooling", "config.json")
    if said.get("pooling_mode_cls_token"):
        return "cls"
    return "last" if said.get("pooling_mode_lasttoken") else "mean"


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


def positions(config: Any) -> int:
    """The tokens that the network has places for; places before the padding's number are not used by RoBERTa."""
    text = getattr(config, "text_config", config)
    most = int(getattr(text, "max_position_embeddings", 0) or 1 << 20)
    return most - 2 if str(getattr(text, "model_type", "")).endswith("roberta") else most


def stable(text: str) -> int:
    from zlib import crc32

    return crc32(text.encode())


def load_minilm(folder: Path) -> Encoder:
    """all-MiniLM-L6-v2 of the table of weights: 384-d, English, mean over the tokens."""
    return load_hub(Hub(str(folder), pool="mean", longest=256))
