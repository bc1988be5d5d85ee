"""What travels between a reader of files and its fenced child: numbers and bytes, checked against these shapes."""

from __future__ import annotations

from typing import Annotated

import msgspec

Size = Annotated[int, msgspec.Meta(ge=0, le=1 << 20)]
Word = Annotated[str, msgspec.Meta(max_length=20_000)]
Picture = Annotated[bytes, msgspec.Meta(max_length=1 << 16)]
SCENES, MARKS = 240, 2400  # at most so many shots with a picture, and pictures for fingerprints
MARK_HEIGHT, MARK_WIDTH = 48, 64
SHARE, ANSWER = b"\x01", b"\x00"  # a child's pipe: SHARE and a byte while it works, then ANSWER and all the rest


class Walls(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one file may cost. ``cpu`` and ``seconds`` (wall clock) kill; after ``soft`` seconds of computing the child
    answers with what it has. ``memory`` comes on top of what the empty child takes; ``pixels`` is the largest picture
    that is decoded; ``answer`` the most bytes that may come back. ``locked``: no system calls but those of decoding."""

    seconds: float = 30.0
    cpu: int = 10
    soft: float = 6.0
    memory: int = 900 << 20
    pixels: int = 40_000_000
    answer: int = 64 << 20
    locked: bool = True


class Job(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``task`` names a function of the child; ``frames`` at most so many pictures, ``sound`` seconds of it; ``shots``
    looks for where shots begin and keeps a small picture of each. ``start``: the second from which the task "sound"
    takes it; ``moments``: the seconds at which the task "large" takes frames."""

    walls: Walls
    task: str = "clip"
    frames: int = 12
    sound: float = 60.0
    start: float = 0.0
    moments: tuple[float, ...] = ()
    shots: bool = False


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the child read. ``frames``: raw RGB (``frame_count``, ``frame_height``, ``frame_width``, 3); ``sound``: raw
    little-endian float32, mono, 16 kHz; ``cover``: a JPEG file. ``error`` is a code when nothing could be read;
    ``subtitles``: (start, end, text) in seconds; ``spoken`` their language."""

    kind: str = ""
    error: str = ""
    note: Word = ""
    container: Word = ""
    duration: float | None = None
    width: Size = 0
    height: Size = 0
    frame_count: Size = 0
    frame_height: Size = 0
    frame_width: Size = 0
    frames: bytes = b""
    frame_at: list[float] = []
    sound: bytes = b""
    cover: bytes = b""
    tags: dict[str, Word] = {}
    chapters: list[tuple[float, float, Word]] = []
    subtitles: Annotated[list[tuple[float, float, Word]], msgspec.Meta(max_length=20_000)] = []
    spoken: Word = ""
    shots: list[float] = []
    windows: Annotated[list[tuple[float, Size]], msgspec.Meta(max_length=64)] = []
    scenes: Annotated[list[tuple[float, float, Picture]], msgspec.Meta(max_length=SCENES)] = []
    scene_count: Size = 0
    scenes_whole: bool = True
    marks: bytes = b""
    mark_at: Annotated[list[float], msgspec.Meta(max_length=MARKS)] = []


class Ended(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the child of one file ended: ``code`` is its exit status, negative for a signal; ``late``: killed at the
    clock; ``peak`` bytes of memory."""

    code: int
    late: bool
    peak: int
