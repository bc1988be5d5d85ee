"""What stands written in the pictures of files: read, kept as the fact ``seen_text``.

``seen_text`` is ``[[text, confidence, seconds], ...]``, in the order in which it is seen. The fact ``written`` says
what was gone through: ``{"hash", "by", "frames", "lines"}``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.ingest.again import WORKERS, Found, Opened, Pass, go_through, targets
from matinee.ingest.run import Run
from matinee.media.answers import Job, Walls
from matinee.media.fence import failure
from matinee.media.read import ERRORS
from matinee.pipeline.tokens import folded
from matinee.types import Pixels

if TYPE_CHECKING:
    from matinee.encoders.ocr import Reader, Written

KEY = "pp-ocrv4@1"
WALLS = Walls(seconds=90.0, cpu=60, soft=40.0)
FRAMES = 24  # of a video, at most
EVERY = 2.0  # seconds: a shorter video has fewer frames
AT_ONCE = 8  # frames asked of the fence: 22 MB
SURE = 0.75  # of a line; of one with fewer than four signs
SURER = 0.9
ALIKE = 0.8  # share of signs in common from which two lines are one, read twice
MOST = 300  # lines of an item
STILL = 2.0  # mean difference of grey levels below which a frame shows what the one before it showed


def read_written(run: Run, roots: Sequence[Path]) -> None:
    """Reads the pictures under these roots that are still unread, where ``[reading] ocr`` asks for it. Raises
    ``weights.missing`` before any is begun."""
    if not run.library.settings.reading.ocr:
        return
    todo = targets(run, roots, unread)
    if not todo:
        return
    from matinee.encoders.ocr import load_reader

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    reader = load_reader(max(1, min(4, cores // min(WORKERS, cores, len(todo)))))
    troubled = "the text in its pictures could not be read", "无法识别其画面文字"
    go_through(run, todo, Pass("text in pictures", "written", lambda o: written(o, reader), troubled))


def unread(facts: Mapping[str, Any]) -> bool:
    media, mark = facts.get("media") or {}, facts.get("written") or {}
    if media.get("kind") not in ("video", "image") or mark.get("hash") != media.get("hash"):
        return media.get("kind") in ("video", "image")
    return "failed" not in mark and mark.get("by") != KEY


def written(opened: Opened, reader: Reader) -> Found:
    """The facts of one file: the lines in its pictures, and that they were read."""
    facts, digest = opened.target.facts, opened.target.record.hash
    wanted = moments(facts)
    lines: list[tuple[str, float, float]] = []
    frames, before = 0, None
    for start in range(0, len(wanted), AT_ONCE):
        job = Job(walls=WALLS, task="large", frames=AT_ONCE, moments=tuple(wanted[start : start + AT_ONCE]))
        answer, _ = opened.fence.run(opened.fd, job)
        if answer.error:
            raise failure(answer.error, *ERRORS.get(answer.error, ERRORS["damaged"]))
        shape = (answer.frame_count, answer.frame_height, answer.frame_width, 3)
        for at, picture in zip(answer.frame_at, np.frombuffer(answer.frames, np.uint8).reshape(shape), strict=True):
            if opened.stop.is_set():
                return {}
            grey = thumbnail(picture)
            if before is not None and float(np.abs(grey - before).mean()) < STILL:
                continue
            before, frames = grey, frames + 1
            lines += sensible(reader.read(picture), at)
        opened.tell(min(1.0, (start + AT_ONCE) / len(wanted)))
    seen = [list(line) for line in once(lines)]
    mark = {"hash": digest, "by": KEY, "frames": frames, "lines": len(seen)}
    return {"seen_text": seen or None, "written": mark}


def moments(facts: Mapping[str, Any]) -> list[float]:
    """The seconds to look at: one of each shot where these are known, thinned to ``FRAMES``, and evenly spread between
    them. Text that is faded in or typed stands whole only after a while, so of a shot its later part is taken."""
    duration = (facts.get("media") or {}).get("duration")
    if not duration:
        return [0.0]
    shots = [s for s in facts.get("shots") or [] if isinstance(s, dict)]
    middles = [s["start"] + 0.7 * (s["end"] - s["start"]) for s in shots if s.get("end", 0) > s.get("start", 0)]
    count = max(1, min(FRAMES, round(duration / EVERY)))
    even = [(k + 0.5) / count * duration for k in range(count)]
    if len(middles) > FRAMES:
        middles = [middles[int(i)] for i in np.linspace(0, len(middles) - 1, FRAMES).round()]
    spare = [at for at in even if all(abs(at - m) > EVERY / 2 for m in middles)]
    return sorted(float(at) for at in [*middles, *spare[: max(0, FRAMES - len(middles))]])


def thumbnail(picture: Pixels) -> Any:
    """A few thousand grey levels of a picture, float32."""
    step = max(1, min(picture.shape[:2]) // 48)
    return picture[::step, ::step].mean(axis=2, dtype=np.float32)


def sensible(read: Sequence[Written], at: float) -> list[tuple[str, float, float]]:
    """Lines that are text rather than a pattern that looked like it: sure enough, surer when short, with letters."""
    kept = []
    for line in read:
        signs = [c for c in line.text if c.isalnum()]
        han = any(c > "\u2e80" for c in signs)
        short = len(signs) < (2 if han else 4)
        if signs and len(set(signs)) > (0 if han else 1) and line.confidence >= (SURER if short else SURE):
            kept.append((line.text, round(line.confidence, 3), round(at, 2)))
    return kept


def once(lines: Sequence[tuple[str, float, float]]) -> list[tuple[str, float, float]]:
    """Each line once, as it was read best, at the moment it was first seen."""
    kept: list[tuple[str, float, float]] = []
    plain: list[str] = []
    for text, sure, at in lines:
        key = "".join(folded(text).split())
        same = next((i for i in range(len(kept) - 1, -1, -1) if alike(key, plain[i])), None)
        if same is None:
            if len(kept) < MOST:
                kept.append((text, sure, at))
                plain.append(key)
        elif sure > kept[same][1]:
            kept[same] = text, sure, kept[same][2]
            plain[same] = key
    return kept


def alike(a: str, b: str) -> bool:
    if a == b:
        return True
    if min(len(a), len(b)) < 4 or 2 * min(len(a), len(b)) < ALIKE * (len(a) + len(b)):
        return False
    return SequenceMatcher(None, a, b, autojunk=False).ratio() >= ALIKE
