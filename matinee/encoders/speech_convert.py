"""A Whisper checkpoint of the hub (safetensors) made into the form that CTranslate2 reads: once, kept in the cache."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from matinee.encoders.hub.files import judge, refused
from matinee.errors import MatineeError
from matinee.settings import cache_folder

COPIED = ("tokenizer.json", "preprocessor_config.json")


def converted(folder: Path) -> Path:
    """The folder with the same network, 8 bits a weight. Judged first: safetensors only, no code of its own. Raises
    ``hub.refused`` or ``speech.extra``. The first time about a minute a gigabyte; afterwards a second a gigabyte."""
    found = judge(folder)
    if not (folder / "tokenizer.json").is_file():
        raise refused(folder, "it has no tokenizer.json.", "缺少 tokenizer.json。")
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
    try:
        copies = [name for name in COPIED if (folder / name).is_file()]
        TransformersConverter(str(folder), copy_files=copies).convert(str(part / "made"), quantization="int8")
        os.replace(part / "made", target)
    except (RuntimeError, ValueError, KeyError, AttributeError, OSError) as error:
        if not target.is_dir():  # unless another process made it meanwhile
            raise refused(folder, f"it cannot be converted ({error}).", f"无法转换（{error}）。") from error
    finally:
        transformers.logging.set_verbosity(told)
        shutil.rmtree(part, ignore_errors=True)
    return target
