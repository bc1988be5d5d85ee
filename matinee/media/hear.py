"""Sound and subtitles inside the fenced child: windows of sound, and words that are written in the file."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from matinee.media.answers import Job
from matinee.media.packets import TRIES, Trouble, decoded, length
from matinee.media.tags import cleaned
from matinee.media.timed import DAYS, Line, joined
from matinee.types import Floats

RATE = 16_000
WINDOWS = 6
WRITTEN = ("subrip", "srt", "ass", "ssa", "mov_text", "webvtt", "text")  # subtitles that are text, not pictures
LONGEST_WORDS = 200_000


def listen(container: Any, stream: Any, job: Job, trouble: Trouble) -> tuple[Floats, list[tuple[float, int]]]:
    """Mono 16 kHz: the whole when short, else six windows spread over it, joined; and of each window the second at
    which it begins and its samples."""
    import av

    stream.codec_context.thread_count = 1
    duration = length(container, [stream])
    start = float((stream.start_time or 0) * stream.time_base)
    each = job.sound / WINDOWS
    if duration is None or duration <= job.sound:
        moments, each = [start], job.sound
    else:
        moments = [start + (k + 0.5) / WINDOWS * duration - each / 2 for k in range(WINDOWS)]
    parts: list[Floats] = []
    windows: list[tuple[float, int]] = []
    for moment in moments:
        if trouble.over:
            break
        try:
            container.seek(max(0, int(moment / stream.time_base)), stream=stream)
        except (av.FFmpegError, OverflowError):
            if moment > start:
                trouble.hurt()
                continue
        begins, part = window(container, stream, int(each * RATE), trouble)
        parts.append(part)
        windows.append((round((moment if begins is None else begins) - start, 3), len(part)))
    joined = np.concatenate([*parts, np.empty(0, np.float32)])
    return np.asarray(np.clip(np.nan_to_num(joined, nan=0.0, posinf=1.0, neginf=-1.0), -1, 1), np.float32), windows


def window(container: Any, stream: Any, samples: int, trouble: Trouble) -> tuple[float | None, Floats]:
    """The second of the first frame from here, and the next n samples."""
    import av

    begins: float | None = None
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
    parts: list[Floats] = []
    got = 0
    for frame in decoded(container, stream, trouble):
        begins = float(frame.time) if begins is None and frame.time is not None else begins
        try:
            frame.pts = None  # jumps of a damaged clock would make the resampler wait
            fresh = [np.asarray(out.to_ndarray()[0], np.float32) for out in resampler.resample(frame)]
        except (av.FFmpegError, ValueError):
            trouble.hurt()
            resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
            if trouble.broken > TRIES:
                break
            continue
        parts += fresh
        got += sum(len(p) for p in fresh)
        if got >= samples:
            break
    else:
        try:
            parts += [np.asarray(out.to_ndarray()[0], np.float32) for out in resampler.resample(None)]
        except (av.FFmpegError, ValueError):
            trouble.hurt()
    return begins, np.concatenate([*parts, np.empty(0, np.float32)])[:samples]


def read_subtitles(container: Any, trouble: Trouble) -> dict[str, Any]:
    """The lines of the first subtitle stream that is text, as an answer's fields; as far as time allows."""
    import av

    streams = [s for s in container.streams.subtitles if s.codec_context.name in WRITTEN]
    if not streams or trouble.over:
        return {}
    lines: list[Line] = []
    size = 0
    try:
        container.seek(0, stream=streams[0])  # of another stream, the first keyframe may lie after the first words
        for packet in container.demux(streams[0]):
            if trouble.over or size > LONGEST_WORDS:
                break
            start = min(max(float((packet.pts or 0) * packet.time_base), 0.0), DAYS) if packet.pts is not None else 0.0
            end = min(start + max(float((packet.duration or 0) * packet.time_base), 0.0), DAYS)
            for said in words_of(packet):
                if said:
                    lines.append((start, end, said))
                    size += len(said)
    except av.FFmpegError:
        trouble.hurt()
    return {"subtitles": list(joined(lines)), "spoken": str(streams[0].language or "")}


def words_of(packet: Any) -> list[str]:
    """The plain text of one subtitle packet: what follows the eighth comma of its ASS line, without marks."""
    import av

    out = []
    try:
        for part in packet.decode():
            for line in getattr(part, "rects", None) or [part]:
                ass = getattr(line, "ass", b"") or b""
                text = ass.decode("utf-8", "replace") if isinstance(ass, bytes) else str(ass)
                text = text.split(",", 8)[-1].replace("\\N", " ").replace("\\n", " ")
                out.append(cleaned(re.sub(r"\{[^}]{0,200}\}|<[^>]{0,100}>", "", text), 500))
    except (av.FFmpegError, ValueError):
        return out
    return out
