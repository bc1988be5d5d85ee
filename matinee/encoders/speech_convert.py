"""A Whisper checkpoint of the hub (safetensors) made into the form that CTranslate2 reads: once, kept in the cache."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

from matinee.encoders.hub.files import judge, read_json, refused
from matinee.errors import MatineeError
from matinee.settings import cache_folder

COPIED = ("tokenizer.json", "preprocessor_config.json")
MULTILINGUAL = 51865  # tokens of a Whisper that knows more than English


def converted(folder: Path) -> Path:
    """The folder with the same network, 8 bits a weight. Judged first: safetensors only, no code of its own. Raises
    ``hub.refused`` or ``speech.extra``. The first time about a minute a gigabyte; afterwards a second a gigabyte."""
    found = judge(folder)
    if not (folder / "tokenizer.json").is_file():
        raise refused(folder, "it has no tokenizer.json.", "缺少 tokenizer.json。")
    many = int(found.config.get("vocab_size") or 0) >= MULTILINGUAL
    tongues = read_json(folder, "generation_config.json").get("lang_to_id") if many else {}
    if many and not tongues:
        raise refused(folder, "its generation_config.json names no languages.", "generation_config.json 未列出语言。")
    target = cache_folder() / "speech" / found.digest
    if target.is_dir():
        return target
    try:
        import torch  # noqa: F401  # the converter needs it, and says so less clearly
        import transformers
        from ctranslate2.converters import TransformersConverter
    except ImportError as error:
        raise MatineeError(
            "speech.extra",
            f"Using {folder} needs {error.name}. Install it with: pip install 'matinee[speech,hub]'",
            f"使用 {folder} 需要 {error.name}。请安装：pip install 'matinee[speech,hub]'",
            exit_code=1,
        ) from error
    target.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=".part-", dir=target.parent))
    told = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        copies = [name for name in COPIED if (folder / name).is_file()]
        TransformersConverter(str(folder), copy_files=copies).convert(str(part / "made"), quantization="int8")
        name_languages(part / "made" / "config.json", tongues)
        os.replace(part / "made", target)
    except (RuntimeError, ValueError, KeyError, AttributeError, OSError) as error:
        if not target.is_dir():  # unless another process made it meanwhile
            raise refused(folder, f"it cannot be converted ({error}).", f"无法转换（{error}）。") from error
    finally:
        transformers.logging.set_verbosity(told)
        shutil.rmtree(part, ignore_errors=True)
    return target


def name_languages(file: Path, tongues: object) -> None:
    """Says in a converted checkpoint which tokens are languages; the converter does not always find them."""
    config = json.loads(file.read_text(encoding="utf-8"))
    if isinstance(tongues, dict) and not config.get("lang_ids"):
        config["lang_ids"] = sorted(number for number in tongues.values() if isinstance(number, int))
        file.write_text(json.dumps(config), encoding="utf-8")
