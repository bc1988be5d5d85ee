"""Speech to text: Whisper (Radford et al. 2022, arXiv 2212.04356), run by faster-whisper on CTranslate2 (extra
``speech``), on a CPU without PyTorch.

Whisper writes words for music and noise too: it was trained to always say something. So it is asked only where a voice
detector hears a voice, and what it says is kept only where YAMNet hears speech, too (see ``kept``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from matinee.encoders.sound import RATE, SoundEncoder, patches
from matinee.errors import MatineeError
from matinee.media.tags import cleaned
from matinee.media.timed import LONGEST, Line
from matinee.types import Floats

BASE = "whisper-base"
FILES = ("config.json", "model.bin", "tokenizer.json")  # with one of VOCABULARIES: what a CTranslate2 folder holds
VOCABULARIES = ("vocabulary.json", "vocabulary.txt")
PIECE = 300.0  # seconds that are asked for at a time: 19 MB
MARGIN = 2.0  # seconds before the end of a piece in which a line may have been cut: it is heard again
SPEECH = ("Speech", "Child speech, kid speaking", "Conversation", "Narration, monologue", "Whispering", "Rapping")
SURE = 0.3  # of YAMNet that a stretch is speech
UNSURE = 0.5  # probability of a language below which the next piece is asked again
REPEATS = 2  # times that a line may follow itself: Whisper in a loop repeats it for ever

Sound = Callable[[float, float], Floats]
"""(start, seconds) -> (n,) mono 16 kHz; shorter at the end."""


@dataclass(frozen=True, slots=True)
class Heard:
    """``until``: all before this second was heard; ``over``: there is nothing after it."""

    lines: tuple[Line, ...] = ()
    language: str = ""
    until: float = 0.0
    over: bool = False


NOTHING = Heard()


@dataclass(frozen=True, slots=True)
class Transcriber:
    """``key`` names the checkpoint and its content; ``model`` is a ``faster_whisper.WhisperModel``; ``listener`` tells
    speech from other sound. Thread-safe. About 300 MB with the base model, whatever the length of the sound."""

    name: str
    key: str
    model: Any
    listener: SoundEncoder

    def hear(self, sound: Floats, language: str = "", stop: Event | None = None) -> tuple[tuple[Line, ...], str, float]:
        """Lines of mono 16 kHz sound (n,), the language ("en"), and how sure it is of that in [0, 1]. The same sound
        gives the same lines. On one core about ten times as fast as speech plays, a hundred times as fast where nobody
        speaks. Leaves off within half a minute of sound when ``stop`` is set."""
        from faster_whisper.vad import get_speech_timestamps

        if len(sound) < RATE // 10 or not get_speech_timestamps(sound):
            return (), language, 0.0
        found, about = self.model.transcribe(
            sound, language=language or None, vad_filter=True, condition_on_previous_text=False, temperature=0.0
        )
        lines: list[Line] = []
        for s in found:
            if stop is not None and stop.is_set():
                break
            if not (s.no_speech_prob > 0.6 and s.avg_logprob < -1.0):  # Whisper's own rule for silence
                lines.append((float(s.start), min(float(s.end), len(sound) / RATE), cleaned(s.text, LONGEST)))
        return self.kept(lines, sound), str(about.language), float(about.language_probability)

    def kept(self, lines: Sequence[Line], sound: Floats) -> tuple[Line, ...]:
        """The lines that are speech: YAMNet hears it there, and the line does not repeat itself on and on."""
        good: list[Line] = []
        for start, end, text in lines:
            loop = len(good) >= REPEATS and all(before[2] == text for before in good[-REPEATS:])
            if text and end > start and not loop and self.speech(sound[int(start * RATE) : int(end * RATE)]) >= SURE:
                good.append((round(start, 2), round(end, 2), text))
        return tuple(good)

    def speech(self, sound: Floats) -> float:
        """How likely sound (n,) is speech, in [0, 1]: the mean over its patches."""
        named = [i for i, label in enumerate(self.listener.labels) if label in SPEECH]
        cut = patches(sound)
        if not len(cut):
            return 0.0
        return float(self.listener.encode_patches(cut)[1][:, named].max(axis=1).mean())

    def listen(
        self, sound: Sound, length: float | None, language: str = "", heard: Heard = NOTHING, stop: Event | None = None
    ) -> Iterator[Heard]:
        """A long sound piece by piece, each time all that was heard so far; goes on from ``heard``. A line that may
        have been cut at the end of a piece is heard again with the next. ``length`` in seconds, None where unknown.
        When ``stop`` is set it ends without what was last begun.

        Memory: one piece of 300 s (19 MB), whatever the length."""
        lines, at, spoken = list(heard.lines), heard.until, heard.language or language
        while True:
            piece = sound(at, PIECE)
            took = len(piece) / RATE
            over = took < PIECE - 1.0 or (length is not None and at + took >= length - 0.5)
            found, told, sure = self.hear(piece, spoken, stop)
            if stop is not None and stop.is_set():
                return
            if found and not spoken and (sure >= UNSURE or over):
                spoken = told
            cut = [start for start, end, _ in found if not over and end > took - MARGIN and start > took / 2]
            following = cut[0] if cut else took
            lines += [(round(at + a, 2), round(at + b, 2), text) for a, b, text in found if a < following]
            at += following
            yield Heard(tuple(lines), spoken, at, over)
            if over:
                return


def load_transcriber(name: str = BASE, threads: int = 1, workers: int = 1) -> Transcriber:
    """The registry's Whisper base, or the checkpoint ``name``: a folder of CTranslate2, or one of the hub (safetensors;
    converted once, with the extra ``hub``), or "hub:OWNER/NAME". ``workers`` sounds may be heard at once, with so many
    threads each.

    Raises ``speech.extra``, ``speech.model`` or ``weights.missing``. About a second.
    """
    from matinee.encoders import weights
    from matinee.encoders.sound import load

    model = load_whisper()
    folder = weights.require("speech") if name == BASE else checkpoint(place(name))
    listener = load(weights.require("sound"))
    try:
        loaded = model(
            str(folder), device="cpu", compute_type="int8", cpu_threads=threads, num_workers=workers,
            local_files_only=True,
        )  # fmt: skip
    except (RuntimeError, ValueError) as error:
        raise refused(folder, str(error)) from error
    return Transcriber(BASE if name == BASE else place(name).name, key_of(name), loaded, listener)


def key_of(name: str) -> str:
    """What names a checkpoint: sound that was heard with the same key is not heard again. Loads nothing."""
    if name == BASE:
        return BASE
    if name.startswith("hub:"):
        return name
    folder, digest = place(name), hashlib.sha256(name.encode())
    for file in ("config.json", "model.bin", "model.safetensors"):
        path = folder / file
        if path.is_file():
            digest.update(f"{file}:{path.stat().st_size}:{path.stat().st_mtime_ns}".encode())
    return f"{folder.name}@{digest.hexdigest()[:12]}"


def place(name: str) -> Path:
    """The folder of a checkpoint; one of the hub is fetched into the hub's own cache."""
    if name.startswith("hub:"):
        from matinee.encoders.hub.files import find

        return find(name.removeprefix("hub:"))
    return Path(name).expanduser()


def load_whisper() -> Any:
    """The class that runs it. Raises ``speech.extra``."""
    try:
        from faster_whisper import WhisperModel
    except ImportError as error:
        raise MatineeError(
            "speech.extra",
            "Speech to text needs the extra packages of Matinee: pip install 'matinee[speech]'. "
            "Or set [reading] speech = false in matinee.toml.",
            "语音识别需要额外的软件包：pip install 'matinee[speech]'。"
            "也可以在 matinee.toml 中设置 [reading] speech = false。",
            exit_code=1,
        ) from error
    return WhisperModel


def checkpoint(folder: Path) -> Path:
    """A folder that CTranslate2 reads: the one given, or one made of it. Raises ``speech.model``."""
    if not folder.is_dir():
        raise refused(folder, "there is no such folder")
    if all((folder / name).is_file() for name in FILES) and any((folder / v).is_file() for v in VOCABULARIES):
        return folder
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError):
        kind = None
    if kind != "whisper":
        raise refused(folder, "it holds no Whisper checkpoint")
    from matinee.encoders.speech_convert import converted

    return converted(folder)


def refused(folder: Path, why: str) -> MatineeError:
    return MatineeError(
        "speech.model",
        f"{folder} cannot be used to hear speech: {why}. Name a folder with {', '.join(FILES)} and a vocabulary "
        f'(CTranslate2), or with config.json and model.safetensors (Whisper); or set speech_model = "{BASE}".',
        f"{folder} 不能用于语音识别：{why}。请指定含有 {'、'.join(FILES)} 和词表的文件夹（CTranslate2），"
        f'或含有 config.json 和 model.safetensors 的文件夹（Whisper）；或设置 speech_model = "{BASE}"。',
    )
