"""Pieces of a file for the long readings: a stretch of its sound, and large frames at given moments.

Inside the fenced child. A film is heard piece by piece, so that neither side ever holds more than one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from matinee.media.answers import Answer, Job
from matinee.media.packets import TRIES, Trouble, decoded, length
from matinee.media.pictures import packed
from matinee.types import Floats, Pixels

RATE = 16_000
WINDOW = 1 << 20  # samples that one entry of ``Answer.windows`` may count
LARGE = 1280  # longest side of a large frame
SHORT = 30.0  # seconds: in a video no longer than this, the frame at a moment is decoded to, however far the keyframe
NEAR, FAR = 24, 1000  # frames decoded after a keyframe on the way to a moment, in a long and in a short video


# --- sound -----------------------------------------------------------------------------------------------------------


def read_sound(file: IO[bytes], job: Job) -> Answer:
    """``job.sound`` seconds of mono sound at 16 kHz from the second ``job.start`` on; less at the end of the file, and
    nothing beyond it. ``note``: damaged or time where a part was left out before the end."""
    import av

    from matinee.media.decode import open_container

    container = open_container(file, job)
    if isinstance(container, Answer):
        return container
    streams = list(container.streams.audio)
    if not streams:
        return Answer(error="no_streams")
    stream = streams[0]
    stream.codec_context.thread_count = 1
    trouble = Trouble(time.process_time() + job.walls.soft)
    origin = float((stream.start_time or 0) * stream.time_base)
    if job.start > 0:
        try:
            container.seek(max(0, int((origin + job.start - 1) / stream.time_base)), stream=stream)
        except (av.FFmpegError, OverflowError):
            return Answer(kind="audio", duration=length(container, streams))  # there is nothing that far on
    samples = int(job.sound * RATE)
    heard = np.concatenate([*stretch(container, stream, job.start + origin, samples, trouble), np.empty(0, np.float32)])
    sound = np.clip(np.nan_to_num(heard[:samples], nan=0.0, posinf=1.0, neginf=-1.0), -1, 1).astype("<f4")
    note = ",".join(sorted(trouble.reasons))
    windows = [(job.start + at / RATE, min(WINDOW, len(sound) - at)) for at in range(0, len(sound), WINDOW)]
    seconds = length(container, streams)
    return Answer(kind="audio", sound=sound.tobytes(), windows=windows, duration=seconds, note=note)


def stretch(container: Any, stream: Any, start: float, samples: int, trouble: Trouble) -> Iterator[Floats]:
    """Resampled parts from the moment ``start`` of the stream's clock; silence stands for what is missing before the
    first frame."""
    import av

    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
    got, begun = 0, False
    for frame in decoded(container, stream, trouble):
        timed = not begun and frame.time is not None and frame.sample_rate
        if timed and frame.time + frame.samples / frame.sample_rate <= start:
            continue
        try:
            at = float(frame.time) if frame.time is not None else start
            frame.pts = None  # jumps of a damaged clock would make the resampler wait
            parts = [np.asarray(out.to_ndarray()[0], np.float32) for out in resampler.resample(frame)]
        except (av.FFmpegError, ValueError):
            trouble.hurt()
            resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
            if trouble.broken > TRIES:
                return
            continue
        if not begun and parts:
            begun = True
            shift = round((at - start) * RATE)
            if shift > 0:
                parts.insert(0, np.zeros(min(shift, samples), np.float32))
            else:
                parts[0] = parts[0][-shift:]
        yield from parts
        got += sum(len(p) for p in parts)
        if got >= samples:
            return
    try:
        yield from (np.asarray(out.to_ndarray()[0], np.float32) for out in resampler.resample(None))
    except (av.FFmpegError, ValueError):
        trouble.hurt()


# --- pictures --------------------------------------------------------------------------------------------------------


def read_large(file: IO[bytes], job: Job) -> Answer:
    """Frames of a video at the seconds ``job.moments``, their longer side at most 1280, each frame once."""
    from matinee.media.decode import open_video

    opened = open_video(file, job)
    if isinstance(opened, Answer):
        return opened
    container, streams = opened
    stream = streams[0]
    trouble = Trouble(time.process_time() + job.walls.soft)
    kept: list[tuple[float, Pixels]] = []
    for at, picture in frames_at(container, stream, job.moments[: job.frames], trouble):
        if not kept or (picture.shape == kept[0][1].shape and all(at != had for had, _ in kept)):
            kept.append((at, picture))
    fields = packed(np.stack([p for _, p in kept]), [at for at, _ in kept]) if kept else {}
    return Answer(kind="video", duration=length(container, streams), note=",".join(sorted(trouble.reasons)), **fields)


def frames_at(
    container: Any, stream: Any, moments: tuple[float, ...], trouble: Trouble
) -> Iterator[tuple[float, Pixels]]:
    import av

    duration = length(container, [stream])
    origin = float((stream.start_time or 0) * stream.time_base)
    most = FAR if duration is not None and duration <= SHORT else NEAR
    for moment in sorted(moments):
        if trouble.over:
            return
        try:
            container.seek(max(0, int((origin + moment) / stream.time_base)), stream=stream)
            found = None
            for n, frame in enumerate(decoded(container, stream, trouble)):
                found = frame
                if n >= most or (frame.time or 0.0) >= origin + moment - 0.02:
                    break
            if found is not None:
                yield max(0.0, round(float(found.time or 0.0) - origin, 3)), large(found)
        except (av.FFmpegError, OverflowError, ValueError, MemoryError):
            trouble.hurt()


def large(frame: Any) -> Pixels:
    """RGB, upright, square pixels, the longer side at most ``LARGE``."""
    ratio = float(frame.sample_aspect_ratio) if getattr(frame, "sample_aspect_ratio", None) else 1.0
    width, height = frame.width * (ratio if 0.1 < ratio < 10 else 1.0), float(frame.height)
    scale = min(1.0, LARGE / max(width, height))
    size = max(2, round(width * scale)), max(2, round(height * scale))
    rgb = frame.reformat(*size, format="rgb24", interpolation="BICUBIC", threads=1).to_ndarray()
    return np.ascontiguousarray(np.rot90(rgb, round(int(frame.rotation) % 360 / 90)))


def read_large_picture(file: IO[bytes], job: Job) -> Answer:
    """A picture, upright, its longer side at most 1280; of an animated one the first frame."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    from matinee.media.pictures import FORMATS

    try:
        image: Image.Image = Image.open(file, formats=FORMATS)
        if image.width * image.height > job.walls.pixels:
            return Answer(error="too_many_pixels")
        image.draft("RGB", (LARGE, LARGE))
        upright = ImageOps.exif_transpose(image).convert("RGB")
        upright.thumbnail((LARGE, LARGE), Image.Resampling.BICUBIC)
        return Answer(
            kind="image", container=str(image.format or "").lower(), **packed(np.asarray(upright)[None], [0.0])
        )
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError):
        return Answer(error="damaged")
