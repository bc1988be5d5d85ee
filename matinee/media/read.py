"""One media file, read: ``read_clip(path, fence) -> Reading``."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from matinee.media.answers import MARK_HEIGHT, MARK_WIDTH, Answer, Job, Walls
from matinee.media.fence import Fence, failure, open_file
from matinee.media.timed import Line
from matinee.types import Clip, Pixels

SUFFIXES = {
    "video": ".mp4 .m4v .mkv .webm .mov .avi .mpg .mpeg .ts .m2ts .flv .wmv .3gp .ogv .vob .mxf .rm .rmvb .asf .divx",
    "audio": ".mp3 .flac .ogg .oga .opus .m4a .aac .wav .aif .aiff .wma .ape .wv .ac3 .eac3 .dts .amr .caf .mka .m4b",
    "image": ".jpg .jpeg .png .webp .gif .bmp .tif .tiff .avif",
}
MEDIA = {suffix: kind for kind, suffixes in SUFFIXES.items() for suffix in suffixes.split()}
ERRORS = {
    "unknown": ("it is none of the formats that are read", "不是可读取的格式"),
    "damaged": ("nothing in it could be read", "无法读取任何内容"),
    "no_streams": ("it holds neither pictures nor sound", "其中既没有画面也没有声音"),
    "too_many_pixels": ("its pictures are larger than is allowed", "画面尺寸超出限制"),
}


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of a file. ``hash``: SHA-256 of its bytes; ``kind``: video, audio or image; ``cover``: a JPEG file
    or nothing; ``note``: empty when all of it was read, else damaged and/or time (it took too long) with a comma;
    ``lines`` of embedded subtitles in ``language``. ``windows``: (start in seconds, samples) of each stretch of the
    clip's sound. ``scenes``: (start, end, JPEG or nothing) of at most 240 shots out of ``scene_count``, ``whole``
    unless time ran out; ``marks`` (n, 48, 64) grey pictures at ``mark_at`` seconds, for fingerprints."""

    hash: str
    kind: str
    clip: Clip
    duration: float | None = None
    width: int = 0
    height: int = 0
    container: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    chapters: tuple[tuple[float, float, str], ...] = ()
    cover: bytes = b""
    note: str = ""
    lines: tuple[Line, ...] = ()
    language: str = ""
    peak: int = 0
    windows: tuple[tuple[float, int], ...] = ()
    scenes: tuple[tuple[float, float, bytes], ...] = ()
    scene_count: int = 0
    whole: bool = True
    marks: Pixels | None = None
    mark_at: tuple[float, ...] = ()


def content_hash(fd: int) -> str:
    """SHA-256 of an open file from its start, in hexadecimal. About 1 GB/s; other threads go on meanwhile."""
    with os.fdopen(os.dup(fd), "rb") as file:
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_clip(path: Path, fence: Fence, walls: Walls | None = None) -> Reading:
    """Opens, hashes and reads a file behind the fence. Raises ``media.*`` when nothing can be had of it."""
    fd = open_file(path)
    try:
        return read_open(fd, content_hash(fd), fence, Job(walls=walls or Walls()))
    finally:
        os.close(fd)


LONG = Walls(seconds=3600.0, cpu=3000, soft=2900.0)  # for tasks that decode all of a film


def read_shots(path: Path, fence: Fence, walls: Walls = LONG) -> tuple[list[float], float | None]:
    """The seconds at which shots begin, and the duration. Decodes all of the video. Raises ``media.*``."""
    fd = open_file(path)
    try:
        answer, _ = fence.run(fd, Job(walls=walls, task="shots"))
    finally:
        os.close(fd)
    if answer.error:
        raise failure(answer.error, *ERRORS.get(answer.error, ERRORS["damaged"]))
    return list(answer.shots), answer.duration


def walls_for(size: int) -> Walls:
    """What a file of so many bytes may cost: a long film has more to decode. Up to 50 MB the plain walls hold; then a
    second of computing for each 50 MB more, at most a minute and a half in all."""
    more = min(84, size // (50 << 20))
    plain = Walls()
    return Walls(seconds=plain.seconds + 3 * more, cpu=plain.cpu + more, soft=plain.soft + more)


def read_open(fd: int, digest: str, fence: Fence, job: Job, tell: Callable[[float], None] | None = None) -> Reading:
    """Reads an open file behind the fence; ``tell`` hears how much of a long one was gone through, 0 to 1. Raises
    ``media.*``, ``media.changed`` when the file changed meanwhile."""
    before = os.fstat(fd)
    answer, ended = fence.run(fd, job, tell)
    after = os.fstat(fd)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise failure("changed", "it changed while it was read; run ingest again", "读取时文件发生了变化；请重新导入")
    if answer.error:
        en, zh = ERRORS.get(answer.error, ERRORS["damaged"])
        raise failure(answer.error, en, zh)
    return reading(answer, digest, ended.peak)


def reading(answer: Answer, digest: str, peak: int) -> Reading:
    frames = None
    if answer.frame_count:
        shape = (answer.frame_count, answer.frame_height, answer.frame_width, 3)
        frames = np.frombuffer(answer.frames, np.uint8).reshape(shape)
    sound = np.frombuffer(answer.sound, "<f4").astype(np.float32, copy=False) if answer.sound else None
    at = np.array(answer.frame_at) if frames is not None else None
    marks = np.frombuffer(answer.marks, np.uint8).reshape(-1, MARK_HEIGHT, MARK_WIDTH) if answer.marks else None
    return Reading(
        hash=digest, kind=answer.kind, clip=Clip(frames=frames, frame_at=at, sound=sound), duration=answer.duration,
        width=answer.width, height=answer.height, container=answer.container, tags=dict(answer.tags),
        chapters=tuple(answer.chapters), cover=answer.cover, note=answer.note, peak=peak,
        lines=tuple(answer.subtitles), language=answer.spoken, windows=tuple(answer.windows),
        scenes=tuple(answer.scenes), scene_count=answer.scene_count, whole=answer.scenes_whole, marks=marks,
        mark_at=tuple(answer.mark_at),
    )  # fmt: skip
