"""The shots of a video inside the fenced child: a short one is decoded through, of a long one only keyframes are.

Memory is bounded whatever the length: marks and pictures are capped, a packet takes 17 bytes in the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from matinee.media.answers import MARKS, Job
from matinee.media.coded import PACKETS, CodedCuts, Packets
from matinee.media.framing import Frames, scaled, upright
from matinee.media.packets import Trouble, decoded, length
from matinee.media.scenes import THUMB, Scenes
from matinee.media.shots import HEIGHT, WIDTH, ShotFinder, features, in_chunks
from matinee.media.tasks import quiet
from matinee.types import Floats, Pixels

Tell = Callable[[float], None]
PIXELS, PIXELS_A_SECOND = 1.0e9, 4.0e5  # of keyframes decoded for shots: two hours of 1080p give 1,880 of them
STEPS = 24  # marks in a short video at least, where it has so many frames
CLOSEST, WIDEST = 0.125, 0.5  # seconds between two marks of a short video


@dataclass(frozen=True, slots=True)
class Way:
    """What goes through a video needs: the container, its stream, the job, what went wrong and who is told."""

    container: Any
    stream: Any
    job: Job
    trouble: Trouble
    tell: Tell = quiet

    @property
    def start(self) -> float:
        return float((self.stream.start_time or 0) * self.stream.time_base)

    def to_start(self) -> bool:
        import av

        try:
            self.container.seek(int(self.start / self.stream.time_base), stream=self.stream)
        except (av.FFmpegError, OverflowError):
            self.trouble.hurt()
            return False
        return True


def tiny(frame: Any) -> Pixels:
    """(27, 48, 3), as the rule of shots sees a frame. Few of the pixels are looked at: a fifth of the time of a mean
    over all, and the same shots (docs/media.md)."""
    out: Pixels = frame.reformat(WIDTH, HEIGHT, format="rgb24", interpolation="FAST_BILINEAR", threads=1).to_ndarray()
    return out


def pass_through(way: Way, duration: float, frames: Frames) -> dict[str, Any]:
    """Decodes all of a short video once: frames nearest to evenly spread moments, shots, marks."""
    import av

    scenes = Scenes()
    wanted = [way.start + (k + 0.5) / way.job.frames * duration for k in range(way.job.frames)]
    every = float(np.clip(duration / STEPS, CLOSEST, WIDEST))
    moments: list[float] = []
    last: list[Any] = []

    def small() -> Iterator[Pixels]:
        mark = -np.inf
        for frame in decoded(way.container, way.stream, way.trouble):
            at = float(frame.time or 0.0)
            last[:] = [frame]
            if wanted and at >= wanted[0] - 1e-3:
                while wanted and at >= wanted[0] - 1e-3:
                    wanted.pop(0)
                frames.add(frame)
            try:
                if at >= mark + every - 1e-3 or at < mark:
                    mark = at
                    scenes.add(at - way.start, upright(frame, scaled(frame, THUMB, shorter=False, method="AREA")))
                picture = tiny(frame)
            except (av.FFmpegError, ValueError):
                way.trouble.hurt()
                continue
            moments.append(at - way.start)
            yield picture
            way.tell(min(1.0, (at - way.start) / duration))

    if not way.to_start():
        return {}
    cuts, count = in_chunks(small(), ShotFinder())
    if not count:
        return {}
    if not frames.kept:  # a single frame stands before the middle of everything
        frames.add(last[0])
    end = max(moments[-1], duration)
    return scenes.answer([moments[0], *(moments[c] for c in cuts)], end, whole=not way.trouble.late)


def survey(way: Way, frames: Frames | None = None) -> dict[str, Any]:
    """Counts all packets and decodes keyframes, at most as many as a budget of pixels allows, evenly spread. With
    ``frames``, which get the first of them, it begins where the container stands: a bare stream cannot go back."""
    import av

    scenes, packets = Scenes(), Packets()
    seen: list[int] = []
    signs: list[Floats] = []
    if frames is None and not way.to_start():
        return {}
    context = way.stream.codec_context
    duration = length(way.container, [way.stream]) or 0.0
    area = max(context.width * context.height, 1)
    most = min(MARKS, max(24, int((PIXELS + PIXELS_A_SECOND * duration) / area)))
    gap, due = duration / most, -np.inf
    size = max(way.container.size, 1)
    base = float(way.stream.time_base)
    usual = 1.0 / float(way.stream.average_rate or 25)
    stream = way.container.demux(way.stream)
    while len(packets) < PACKETS and not way.trouble.over:
        try:
            packet = next(stream)
        except (StopIteration, av.FFmpegError):
            break
        if not packet.size:
            continue
        at = packet.pts if packet.pts is not None else packet.dts
        moment = float(at) * base - way.start if at is not None else (packets.at[-1] + usual if len(packets) else 0.0)
        packets.add(moment, packet.size, bool(packet.is_keyframe))
        if packet.is_keyframe and moment >= due - 1e-3 and keep_keyframe(way, packet, moment, scenes, signs, frames):
            seen.append(len(packets) - 1)
            due = moment + gap
        if packet.pos:
            way.tell(min(1.0, packet.pos / size))
    if not seen:
        return {}
    cuts = CodedCuts().find(packets, np.array(seen), np.stack(signs))
    end = max(duration, max(packets.at) + usual)
    return scenes.answer([max(0.0, packets.at[seen[0]]), *cuts], end, whole=not way.trouble.late)


def keep_keyframe(
    way: Way, packet: Any, moment: float, scenes: Scenes, signs: list[Floats], frames: Frames | None
) -> bool:
    """Decodes one keyframe by itself and keeps what is seen in it; whether that went well."""
    import av

    context = way.stream.codec_context
    try:
        got = context.decode(packet) or context.decode(None)
        context.flush_buffers()
        if not got:
            return False
        signs.append(features(tiny(got[0])[None])[0])
        scenes.add(moment, upright(got[0], scaled(got[0], THUMB, shorter=False, method="AREA")))
        if frames is not None and len(frames.kept) < 8 * way.job.frames:
            frames.add(got[0], moment)
    except (av.FFmpegError, ValueError):
        way.trouble.hurt()
        context.flush_buffers()
        return False
    return True
