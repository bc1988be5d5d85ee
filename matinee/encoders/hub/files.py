"""A checkpoint's files, judged before any library opens them: safetensors and JSON are read, nothing is executed.

Refused unread: weights as pickles (``.bin``, ``.pt``, ``.ckpt`` ...), code that a config asks to run (``auto_map``),
adapters and quantised weights (they load further things), and shards that point out of the folder.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matinee.encoders.hub.families import FAMILIES, Family
from matinee.errors import MatineeError

READ = ("*.safetensors", "*.json", "*.model", "*.txt", "1_Pooling/config.json")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack", ".joblib")
LARGEST_JSON = 64 << 20  # tokenizer.json of large vocabularies is 17 MB


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder that was judged. ``digest``: 12 hex digits of what the network computes: weights and config."""

    folder: Path
    config: dict[str, Any]
    family: Family
    digest: str


def refused(folder: Path, en: str, zh: str) -> MatineeError:
    return MatineeError("hub.refused", f"{folder} was not loaded: {en}", f"未加载 {folder}：{zh}")


def find(model: str, revision: str | None = None) -> Path:
    """The folder ``model`` names, or that of a hub id ``owner/name``, fetched into the hub's own cache: safetensors,
    JSON and vocabularies only. Raises ``hub.missing`` or ``hub.unreachable``."""
    if Path(model).is_dir():
        return Path(model)
    parts = model.split("/")
    if len(parts) != 2 or not all(p and p[0].isalnum() and all(c.isalnum() or c in "-_." for c in p) for p in parts):
        raise MatineeError(
            "hub.missing",
            f"There is no folder {model!r}, and it is no hub id either: those are owner/name.",
            f"没有名为 {model!r} 的文件夹，它也不是 owner/name 形式的模型编号。",
        )
    if (kept := _fetched(model, revision)) is not None:
        return kept
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError as error:
        raise MatineeError(
            "hub.extra",
            f'Fetching {model!r} needs {error.name}. Install it with: pip install "matinee[hub]"',
            f'下载 {model!r} 需要 {error.name}。请安装：pip install "matinee[hub]"',
            status=503,
            exit_code=1,
        ) from error
    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=list(READ)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise MatineeError(
            "hub.unreachable",
            f"The checkpoint {model!r} is not on this machine and could not be fetched ({type(error).__name__}). Check "
            f"the name and the network, then run: matinee weights fetch hub:{model}. Or download it elsewhere and give "
            "its folder.",
            f"本机没有模型 {model!r}，且无法下载（{type(error).__name__}）。请检查名称和网络后运行："
            f"matinee weights fetch hub:{model}；或在别处下载后指定文件夹。",
            status=503,
            exit_code=1,
        ) from error


def _fetched(model: str, revision: str | None) -> Path | None:
    """The snapshot that is here already, so that nothing is asked of the network at each start."""
    try:
        from huggingface_hub import snapshot_download

        folder = Path(snapshot_download(model, revision=revision, local_files_only=True))
    except Exception:  # noqa: BLE001  (whatever it is, the next thing is to fetch, which says what is wrong)
        return None
    return folder if (folder / "config.json").exists() and any(folder.glob("*.safetensors")) else None


def judge(folder: Path) -> Checkpoint:
    """Reads the configs and hashes the weights; about a second a gigabyte. Raises ``hub.refused``."""
    config = read_json(folder, "config.json")
    kind = config.get("model_type")
    if kind not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise refused(
            folder, f"its family {kind!r} is not known. Known: {known}.", f"未知的模型类型 {kind!r}。可用：{known}。"
        )
    for file in sorted(folder.glob("*.json")):
        if file.name.endswith("config.json"):
            no_code(folder, file.name, read_json(folder, file.name))
    if "quantization_config" in config or (folder / "adapter_config.json").exists():
        raise refused(folder, "adapters and quantised weights are not read.", "不支持适配器和量化权重。")
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        pickles = sorted(p.name for p in folder.iterdir() if p.suffix in PICKLES)
        said = ", ".join(pickles) or "none"
        raise refused(
            folder,
            f"it has no .safetensors weights (there are: {said}). Pickles can run code when opened, so they are not. "
            "Look for a safetensors version of the same model.",
            f"没有 .safetensors 权重（现有：{said}）。pickle 文件打开时可能执行代码，因此不读取。"
            "请寻找同一模型的 safetensors 版本。",
        )
    index = folder / "model.safetensors.index.json"
    if index.exists():
        shards = read_json(folder, index.name).get("weight_map", {})
        names = set(shards.values()) if isinstance(shards, dict) else {None}
        if not names <= {w.name for w in weights}:
            raise refused(
                folder, "its index names shards that are not in the folder.", "索引指向文件夹之外或不存在的分片。"
            )
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for file in weights:
        with file.open("rb") as handle:
            digest.update(hashlib.file_digest(handle, "sha256").digest())
    return Checkpoint(folder, config, FAMILIES[str(kind)], digest.hexdigest()[:12])


def no_code(folder: Path, name: str, config: Any) -> None:
    """Raises ``hub.refused`` where a config, at any depth, asks to run code that came with the checkpoint."""
    if isinstance(config, dict):
        for key, value in config.items():
            if key in ("auto_map", "custom_pipelines", "trust_remote_code") and value:
                raise refused(
                    folder,
                    f"{name} asks to run code that came with it ({key}). Matinee never does.",
                    f"{name} 要求执行随模型附带的代码（{key}）。Matinee 不会执行。",
                )
            no_code(folder, name, value)
    elif isinstance(config, list):
        for value in config:
            no_code(folder, name, value)


def read_json(folder: Path, name: str) -> dict[str, Any]:
    try:
        if (folder / name).stat().st_size > LARGEST_JSON:
            raise ValueError("too large")
        value = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise refused(folder, f"{name} cannot be read ({error}).", f"无法读取 {name}（{error}）。") from error
    if not isinstance(value, dict):
        raise refused(folder, f"{name} is no JSON object.", f"{name} 不是 JSON 对象。")
    return value
