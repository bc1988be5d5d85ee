"""Video and sound inside the fenced child: PyAV, by index entry to a keyframe, decoding no more than what is kept.

Each packet is tried alone, so a damaged file gives what can still be read of it, and says so.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from matinee.media.answers import Answer, Job
from matinee.media.hear import listen, read_subtitles
from matinee.media.packets import TRIES, Trouble, attached, decoded, length
from matinee.media.pictures import COVER, SIDE, WIDEST, cover_of, packed, small, worth
from matinee.media.shots import HEIGHT, WIDTH, ShotFinder, in_chunks
from matinee.media.tags import read_chapters, read_tags
from matinee.types import Pixels

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mp3,wav,flac,ogg,aac,mpeg,mpegts,mpegvideo,flv,asf,aiff,w64,caf,amr,ac3,"
    "eac3,dts,ape,wv,tta,au,m4v,ivf,dv,mxf,rm,h264,hevc,nut,obu"
)
SHORT = 30.0  # seconds: a video with fewer keyframes than wanted is decoded through when no longer than this


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


def read_av(file: IO[bytes], job: Job) -> Answer:
    """A video or a sound. ``error``: unknown (no such format), too_many_pixels, no_streams."""
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
        seen = look(container, video[0], job, trouble)
    if art := [s for s in container.streams.video if attached(s)]:
        seen["cover"] = embedded_cover(container, art[0], job) or seen.get("cover", b"")
    heard = listen(container, sound[0], job, trouble) if sound and job.sound else np.empty(0, np.float32)
    if not seen.get("frame_count") and not len(heard):
        return Answer(error="damaged")
    about |= read_subtitles(container, trouble)
    note = ",".join(sorted(trouble.reasons - {"subtitles"}))
    return Answer(
        kind="video" if seen.get("frame_count") else "audio", note=note, sound=heard.tobytes(), **about, **seen
    )


# --- pictures --------------------------------------------------------------------------------------------------------


def look(container: Any, stream: Any, job: Job, trouble: Trouble) -> dict[str, Any]:
    """Frames spread over the video and a cover, as fields of an answer."""
    context = stream.codec_context
    context.thread_count = 1
    duration = length(container, [stream])
    shots: list[tuple[float, Pixels]] = []
    best = Best()
    turn: dict[str, int] = {}
    sources = (
        through(container, stream, job, trouble) if duration is None else keyframes(container, stream, job, trouble)
    )
    for frame in sources:
        add(frame, shots, best, turn)
    if duration is not None and duration <= SHORT and len(shots) < job.frames * 2 // 3 and not trouble.over:
        shots, best = [], Best()
        for frame in evenly(container, stream, duration, job, trouble):
            add(frame, shots, best, turn)
    shots = thinned(shots, job.frames)
    if not shots:
        return {}
    upright = turn.get("angle", 0) % 180 == 0
    width, height = displayed(context, stream)
    fields = packed(np.stack([s for _, s in shots]), [at for at, _ in shots])
    size = (width, height) if upright else (height, width)
    return fields | {"width": min(size[0], 1 << 20), "height": min(size[1], 1 << 20), "cover": best.jpeg()}


@dataclass(slots=True)
class Best:
    """The frame that makes the best cover so far, in full colour and cover size."""

    worth: float = 0.0
    rgb: Pixels | None = None

    def jpeg(self) -> bytes:
        from PIL import Image

        from matinee.media.pictures import jpeg

        return b"" if self.rgb is None else jpeg(Image.fromarray(self.rgb))


def add(frame: Any, shots: list[tuple[float, Pixels]], best: Best, turn: dict[str, int]) -> None:
    """Keeps a frame small, and large too when it would make a better cover."""
    import av

    try:
        angle = int(frame.rotation) % 360
        rgb = scaled(frame, SIDE, shorter=True)
    except (av.FFmpegError, ValueError, MemoryError):
        return
    turn.setdefault("angle", angle)
    if angle != turn["angle"]:
        return
    picture = small(np.rot90(rgb, round(angle / 90)))
    if shots and picture.shape != shots[0][1].shape:  # a stream that changes its size midway
        return
    shots.append((max(0.0, float(frame.time or 0.0)), picture))
    if (value := worth(picture)) > best.worth:
        best.worth = value
        best.rgb = np.ascontiguousarray(np.rot90(scaled(frame, COVER, shorter=False), round(angle / 90)))


def scaled(frame: Any, side: int, *, shorter: bool) -> Pixels:
    """RGB with square pixels: the shorter side becomes ``side``, or the longer one if it is longer."""
    ratio = float(frame.sample_aspect_ratio) if getattr(frame, "sample_aspect_ratio", None) else 1.0
    ratio = ratio if 0.1 < ratio < 10 else 1.0
    width, height = frame.width * ratio, float(frame.height)
    scale = side / min(width, height) if shorter else min(1.0, side / max(width, height))
    scale = min(scale, 2 * WIDEST / max(width, height)) if shorter else scale
    size = max(2, round(width * scale)), max(2, round(height * scale))
    out: Pixels = frame.reformat(*size, format="rgb24", interpolation="BICUBIC", threads=1).to_ndarray()
    return out


def displayed(context: Any, stream: Any) -> tuple[int, int]:
    ratio = float(stream.sample_aspect_ratio or 1)
    return round(context.width * (ratio if 0.1 < ratio < 10 else 1.0)), int(context.height)


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


def evenly(container: Any, stream: Any, duration: float, job: Job, trouble: Trouble) -> Iterator[Any]:
    """Frames nearest to evenly spread moments, by decoding all of a short video."""
    import av

    start = float((stream.start_time or 0) * stream.time_base)
    wanted = [start + (k + 0.5) / job.frames * duration for k in range(job.frames)]
    try:
        container.seek(int(start / stream.time_base), stream=stream)
    except av.FFmpegError:
        trouble.hurt()
        return
    for frame in decoded(container, stream, trouble):
        if wanted and (frame.time or 0.0) >= wanted[0] - 1e-3:
            while wanted and (frame.time or 0.0) >= wanted[0] - 1e-3:
                wanted.pop(0)
            yield frame
        if not wanted:
            return


def through(container: Any, stream: Any, job: Job, trouble: Trouble) -> Iterator[Any]:
    """All keyframes of a file that does not say how long it is."""
    stream.codec_context.skip_frame = "NONKEY"
    for count, frame in enumerate(decoded(container, stream, trouble)):
        if count >= 8 * job.frames:
            return
        yield frame
    stream.codec_context.skip_frame = "DEFAULT"


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


def read_shots(file: IO[bytes], job: Job) -> Answer:
    """The moments at which shots begin, by decoding the whole video; ``note`` time when it was not all of it."""
    import av

    container = open_container(file, job)
    if isinstance(container, Answer):
        return container
    streams = [s for s in container.streams.video if not attached(s)]
    if not streams:
        return Answer(error="no_streams")
    if streams[0].codec_context.width * streams[0].codec_context.height > job.walls.pixels:
        return Answer(error="too_many_pixels")
    streams[0].codec_context.thread_count = 1
    trouble = Trouble(time.process_time() + job.walls.soft)
    moments: list[float] = []

    def tiny() -> Iterator[Pixels]:
        for frame in decoded(container, streams[0], trouble):
            try:
                rgb = frame.reformat(WIDTH, HEIGHT, format="rgb24", interpolation="AREA", threads=1).to_ndarray()
            except (av.FFmpegError, ValueError):
                trouble.hurt()
                continue
            moments.append(float(frame.time or 0.0))
            yield rgb

    cuts, count = in_chunks(tiny(), ShotFinder())
    if not count:
        return Answer(error="damaged")
    starts = [moments[0], *(moments[c] for c in cuts)]
    note = ",".join(sorted(trouble.reasons))
    return Answer(kind="video", shots=starts, duration=length(container, streams), note=note)
