"""Video and sound inside the fenced child: PyAV, by index entry to a keyframe, decoding no more than what is kept.

Each packet is tried alone, so a damaged file gives what can still be read of it, and says so.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from matinee.media.answers import Answer, Job
from matinee.media.framing import Frames, displayed
from matinee.media.hear import listen, read_subtitles
from matinee.media.packets import TRIES, Trouble, attached, decoded, length
from matinee.media.pictures import cover_of, packed
from matinee.media.shots import ShotFinder, in_chunks
from matinee.media.survey import Tell, Way, pass_through, survey, tiny
from matinee.media.tags import read_chapters, read_tags
from matinee.media.tasks import quiet
from matinee.types import Pixels

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mp3,wav,flac,ogg,aac,mpeg,mpegts,mpegvideo,flv,asf,aiff,w64,caf,amr,ac3,"
    "eac3,dts,ape,wv,tta,au,m4v,ivf,dv,mxf,rm,h264,hevc,nut,obu"
)
SILENCE = np.empty(0, np.float32)
SHORT = 30.0  # seconds: a video with fewer keyframes than wanted is decoded through when no longer than this
SMALL, SMALL_PIXELS = 90.0, 6e8  # and for its shots one of so many seconds and pixels in all its frames


def open_container(file: IO[bytes], job: Job) -> Any:
    """The container, or an answer that says why there is none."""
    import av

    options = {
        "format_whitelist": FORMATS,
        "protocol_whitelist": "",
        "max_pixels": str(job.walls.pixels),
        "max_streams": "64",
    }
    try:
        return av.open(file, options=options, metadata_errors="replace", buffer_size=1 << 16)
    except (av.FFmpegError, ValueError, OverflowError) as error:
        return Answer(error="damaged" if isinstance(error, av.error.InvalidDataError) else "unknown")


def read_av(file: IO[bytes], job: Job, tell: Tell = quiet) -> Answer:
    """A video or a sound. ``error``: unknown (no such format), too_many_pixels, no_streams. ``tell`` hears how much of
    a long file was gone through, 0 to 1."""
    container = open_container(file, job)
    if isinstance(container, Answer):
        return container
    trouble = Trouble(time.process_time() + job.walls.soft)
    video = [s for s in container.streams.video if not attached(s)]
    sound = list(container.streams.audio)
    if not video and not sound:
        return Answer(error="no_streams")
    about: dict[str, Any] = {
        "container": container.format.name,
        "tags": read_tags(container),
        "chapters": read_chapters(container),
    }
    about["duration"] = length(container, [*video, *sound])
    seen: dict[str, Any] = {}
    if video:
        context = video[0].codec_context
        if context.width * context.height > job.walls.pixels:
            return Answer(
                error="too_many_pixels", width=min(context.width, 1 << 20), height=min(context.height, 1 << 20)
            )
        seen = look(Way(container, video[0], job, trouble, tell))
    if art := [s for s in container.streams.video if attached(s)]:
        seen["cover"] = embedded_cover(container, art[0], job) or seen.get("cover", b"")
    heard, windows = listen(container, sound[0], job, trouble) if sound and job.sound else (SILENCE, [])
    if not seen.get("frame_count") and not len(heard):
        return Answer(error="damaged")
    about |= read_subtitles(container, trouble)
    note = ",".join(sorted(trouble.reasons))
    if job.shots and seen.get("frame_count") and not seen.get("scenes"):
        seen |= survey(Way(container, video[0], job, Trouble(trouble.until), tell))
    kind = "video" if seen.get("frame_count") else "audio"
    return Answer(kind=kind, note=note, sound=heard.tobytes(), windows=windows, **about, **seen)


# --- pictures --------------------------------------------------------------------------------------------------------


def look(way: Way) -> dict[str, Any]:
    """Frames spread over the video, a cover and, where asked for, its shots, as fields of an answer."""
    container, stream, job, trouble = way.container, way.stream, way.job, way.trouble
    stream.codec_context.thread_count = 1
    duration = length(container, [stream])
    frames, found = Frames(), {}
    short = duration is not None and duration <= SHORT
    rate = float(stream.average_rate or 25)
    area = stream.codec_context.width * stream.codec_context.height
    small = duration is not None and duration <= SMALL and duration * rate * area <= SMALL_PIXELS
    if duration is not None and (short or small) and job.shots:
        found = pass_through(way, duration, frames)
    elif duration is None and job.shots:
        found = survey(way, frames)
    else:
        for frame in through(way) if duration is None else keyframes(container, stream, job, trouble):
            frames.add(frame)
        if duration is not None and short and len(frames.kept) < job.frames * 2 // 3 and not trouble.over:
            frames = Frames()
            for frame in evenly(way, duration):
                frames.add(frame)
    shots = thinned(frames.kept, job.frames)
    if not shots:
        return {}
    width, height = displayed(stream.codec_context, stream)
    size = (width, height) if (frames.angle or 0) % 180 == 0 else (height, width)
    fields = packed(np.stack([s for _, s in shots]), [at for at, _ in shots])
    fields |= {"width": min(size[0], 1 << 20), "height": min(size[1], 1 << 20), "cover": frames.cover()}
    return fields | found


def keyframes(container: Any, stream: Any, job: Job, trouble: Trouble) -> Iterator[Any]:
    """A keyframe at or before each of evenly spread moments, each only once."""
    import av

    duration = length(container, [stream]) or 0.0
    start = float((stream.start_time or 0) * stream.time_base)
    seen: set[int] = set()
    for k in range(job.frames):
        if trouble.over:
            return
        moment = start + (k + 0.5) / job.frames * duration
        try:
            container.seek(int(moment / stream.time_base), stream=stream)
            frame = next_keyframe(container, stream, trouble, seen)
        except (av.FFmpegError, OverflowError):
            trouble.hurt()
            continue
        if frame is not None:
            yield frame


def next_keyframe(container: Any, stream: Any, trouble: Trouble, seen: set[int]) -> Any | None:
    """The first keyframe from here that decodes; None when it was had before or none comes."""
    import av

    for tries, packet in enumerate(container.demux(stream)):
        if tries > TRIES or trouble.over:
            return None
        if not packet.is_keyframe or not packet.size:
            continue
        if packet.pts is not None and packet.pts in seen:
            return None
        seen.add(packet.pts if packet.pts is not None else -1)
        try:
            frames = stream.codec_context.decode(packet) or stream.codec_context.decode(None)
        except (av.FFmpegError, ValueError):
            trouble.hurt()
            stream.codec_context.flush_buffers()
            continue
        if frames:
            return frames[0]
        stream.codec_context.flush_buffers()
    return None


def evenly(way: Way, duration: float) -> Iterator[Any]:
    """Frames nearest to evenly spread moments, by decoding all of a short video."""
    wanted = [way.start + (k + 0.5) / way.job.frames * duration for k in range(way.job.frames)]
    if not way.to_start():
        return
    frame = None
    for frame in decoded(way.container, way.stream, way.trouble):
        if wanted and (frame.time or 0.0) >= wanted[0] - 1e-3:
            while wanted and (frame.time or 0.0) >= wanted[0] - 1e-3:
                wanted.pop(0)
            yield frame
        if not wanted:
            return
    if frame is not None and len(wanted) == way.job.frames:  # a single frame stands before the middle of everything
        yield frame


def through(way: Way) -> Iterator[Any]:
    """All keyframes of a file that does not say how long it is."""
    context = way.stream.codec_context
    context.skip_frame = "NONKEY"
    for count, frame in enumerate(decoded(way.container, way.stream, way.trouble)):
        if count >= 8 * way.job.frames:
            break
        yield frame
    context.skip_frame = "DEFAULT"


def thinned(shots: list[tuple[float, Pixels]], most: int) -> list[tuple[float, Pixels]]:
    shots = sorted(shots, key=lambda s: s[0])
    if not shots:
        return []
    keep = np.unique(np.linspace(0, len(shots) - 1, min(len(shots), most)).round().astype(int))
    return [shots[i] for i in keep]


def embedded_cover(container: Any, stream: Any, job: Job) -> bytes:
    import av

    try:
        for tries, packet in enumerate(container.demux(stream)):
            if packet.size:
                return cover_of(bytes(packet), job.walls.pixels)
            if tries > TRIES:
                break
    except av.FFmpegError:
        pass
    return b""


def open_video(file: IO[bytes], job: Job) -> tuple[Any, list[Any]] | Answer:
    """The container and its videos, the first of them made ready; or the answer that says why there is none."""
    container = open_container(file, job)
    if isinstance(container, Answer):
        return container
    streams = [s for s in container.streams.video if not attached(s)]
    if not streams:
        return Answer(error="no_streams")
    if streams[0].codec_context.width * streams[0].codec_context.height > job.walls.pixels:
        return Answer(error="too_many_pixels")
    streams[0].codec_context.thread_count = 1
    return container, streams


def read_shots(file: IO[bytes], job: Job) -> Answer:
    """The moments at which shots begin, by decoding the whole video; ``note`` time when it was not all of it."""
    import av

    opened = open_video(file, job)
    if isinstance(opened, Answer):
        return opened
    container, streams = opened
    stream = streams[0]
    trouble = Trouble(time.process_time() + job.walls.soft)
    moments: list[float] = []

    def small() -> Iterator[Pixels]:
        for frame in decoded(container, stream, trouble):
            try:
                picture = tiny(frame)
            except (av.FFmpegError, ValueError):
                trouble.hurt()
                continue
            moments.append(float(frame.time or 0.0))
            yield picture

    cuts, count = in_chunks(small(), ShotFinder())
    if not count:
        return Answer(error="damaged")
    starts = [moments[0], *(moments[c] for c in cuts)]
    note = ",".join(sorted(trouble.reasons))
    return Answer(kind="video", shots=starts, duration=length(container, streams), note=note)
