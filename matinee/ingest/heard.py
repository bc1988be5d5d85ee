"""What is said in files whose subtitles do not tell: heard, kept as the fact ``transcript``.

The fact ``heard`` says what was gone through: ``{"hash", "by", "lines", "language"}``; of a long file that was
interrupted also ``"until"`` and ``"segments"`` so far, and the next ingest goes on from there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.errors import MatineeError
from matinee.ingest.again import WORKERS, Found, Opened, Pass, go_through, targets
from matinee.ingest.run import Run
from matinee.ingest.words import TOLD
from matinee.media.answers import Job, Walls
from matinee.media.fence import failure
from matinee.media.read import ERRORS
from matinee.media.timed import Transcript
from matinee.types import Floats

if TYPE_CHECKING:
    from matinee.encoders.speech import Transcriber

RATE = 16_000
WALLS = Walls(seconds=60.0, cpu=40, soft=30.0)  # of decoding five minutes of sound


def hear(run: Run, roots: Sequence[Path]) -> None:
    """Hears the files under these roots that are still unheard, where ``[reading] speech`` asks for it. Raises
    ``speech.extra``, ``speech.model``, ``speech.language`` or ``weights.missing`` before any is begun."""
    reading = run.library.settings.reading
    if not reading.speech:
        return
    from matinee.encoders.speech import key_of, load_transcriber

    key = key_of(reading.speech_model)
    todo = targets(run, roots, lambda facts: unheard(facts, key))
    if not todo:
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(WORKERS, cores, len(todo))
    ear = load_transcriber(reading.speech_model, max(1, min(4, cores // workers)), workers)
    known = ear.model.supported_languages
    if reading.language and reading.language not in known:
        raise MatineeError(
            "speech.language",
            f"[reading] language = {reading.language!r} is none that {ear.name} knows. Leave it empty, and that of "
            f"each file is detected; or name one of: {', '.join(known)}.",
            f"{ear.name} 不支持 [reading] language = {reading.language!r}。留空可自动检测每个文件的语言，"
            f"或从以下选择：{'、'.join(known)}。",
        )
    troubled = "its speech could not be heard", "无法识别其语音"
    go_through(run, todo, Pass("speech", "heard", lambda o: heard(o, key, ear, reading.language), troubled))


def unheard(facts: Mapping[str, Any], key: str) -> bool:
    """Whether the sound of an item is still to be heard with this checkpoint."""
    media, mark = facts.get("media") or {}, facts.get("heard") or {}
    transcript = Transcript.of(facts.get("transcript"))
    if media.get("kind") not in ("video", "audio") or not media.get("sound"):
        return False
    if transcript is not None and transcript.origin in TOLD:
        return False
    if mark.get("hash") != media.get("hash") or "until" in mark:
        return True
    if "failed" in mark:
        return False
    return mark.get("by") != key or (bool(mark.get("lines")) and transcript is None)


def heard(opened: Opened, key: str, ear: Transcriber, language: str) -> Found:
    """The facts of one file: its transcript, and that it was heard."""
    from matinee.encoders.speech import Heard

    record, told = opened.target.record, opened.target.facts
    duration = (told.get("media") or {}).get("duration")
    before = told.get("heard") or {}
    start = so_far = Heard()
    if before.get("hash") == record.hash and before.get("by") == key and "until" in before:
        lines = Transcript.of({"segments": before.get("segments")})
        start = Heard(lines.lines if lines else (), str(before.get("language", "")), float(before["until"]))
    mark: dict[str, Any] = {"hash": record.hash, "by": key}
    for so_far in ear.listen(lambda at, n: piece(opened, at, n, duration), duration, language, start, opened.stop):
        if duration:
            opened.tell(min(so_far.until / duration, 1.0))
        if not so_far.over:
            parts = [list(line) for line in so_far.lines]
            opened.save(mark | {"until": so_far.until, "language": so_far.language, "segments": parts})
    if not so_far.over:
        return {}  # stopped
    transcript = Transcript(so_far.lines, ear.name, so_far.language)
    mark |= {"lines": len(so_far.lines), "language": so_far.language if so_far.lines else ""}
    return {"transcript": transcript.fact() if so_far.lines else None, "heard": mark}


def piece(opened: Opened, at: float, seconds: float, duration: float | None) -> Floats:
    """Sound of a file from a second on, decoded behind the fence. Where a part of it is damaged, silence stands for
    what is left of the piece, so that the next one begins where it should. Raises ``media.*`` for the first piece."""
    answer, _ = opened.fence.run(opened.fd, Job(walls=WALLS, task="sound", start=at, sound=seconds))
    if answer.error:
        raise failure(answer.error, *ERRORS.get(answer.error, ERRORS["damaged"]))
    sound = np.frombuffer(answer.sound, "<f4").astype(np.float32, copy=False)
    whole = int(seconds * RATE)
    left = (duration or answer.duration or 0.0) - at - seconds
    if answer.note and len(sound) < whole and left > 0 and len(sound):
        return np.concatenate([sound, np.zeros(whole - len(sound), np.float32)])
    return sound
