"""Turns the few samples that browsers cannot play (MPEG-1, MPEG-2, MPEG-4 part 2, AIFF) into H.264 or WAV, once. The
verified original stays beside the copy."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

OLD_SOUND = (".aif", ".aiff")
OLD_VIDEO = ("mpeg1video", "mpeg2video", "mpeg4")


def playable(path: Path) -> Path:
    """The file itself, or its copy that a browser plays: ``name.web.mp4`` or ``name.web.wav``. A copy is made whole or
    not at all, and made again when the original is newer. Raises ``av.FFmpegError`` where the file cannot be read."""
    import av

    if path.suffix in OLD_SOUND:
        return _made(path, ".wav", _sound)
    if path.suffix in (".mpg", ".mov", ".avi", ".mp4"):
        with av.open(str(path)) as source:
            codec = source.streams.video[0].codec_context.name
        if codec in OLD_VIDEO:
            return _made(path, ".mp4", _video)
    return path


def _made(path: Path, suffix: str, make: Callable[[Path, Path], None]) -> Path:
    copy = path.with_name(f"{path.stem}.web{suffix}")
    if not copy.is_file() or copy.stat().st_mtime_ns < path.stat().st_mtime_ns:
        part = path.with_name(f".{path.stem}.part{suffix}")
        try:
            make(path, part)
            os.replace(part, copy)
        finally:
            part.unlink(missing_ok=True)
    return copy


def _sound(path: Path, copy: Path) -> None:
    import av

    with av.open(str(path)) as source, av.open(str(copy), "w") as target:
        heard = source.streams.audio[0]
        layout = "mono" if heard.codec_context.channels == 1 else "stereo"
        told = target.add_stream("pcm_s16le", rate=heard.codec_context.sample_rate, layout=layout)
        resampler = av.AudioResampler("s16", layout, heard.codec_context.sample_rate)
        for frame in [*source.decode(heard), None]:
            for piece in resampler.resample(frame):
                target.mux(told.encode(piece))
        target.mux(told.encode(None))


def _video(path: Path, copy: Path) -> None:
    """Picture as H.264, sound as AAC; even sides, as 4:2:0 needs."""
    import av

    with av.open(str(path)) as source, av.open(str(copy), "w", options={"movflags": "faststart"}) as target:
        seen = source.streams.video[0]
        shown = target.add_stream("libx264", rate=seen.average_rate, options={"crf": "20", "preset": "veryfast"})
        shown.width, shown.height = seen.width // 2 * 2, seen.height // 2 * 2
        shown.pix_fmt = "yuv420p"
        heard = source.streams.audio[0] if source.streams.audio else None
        told = target.add_stream("aac", rate=heard.codec_context.sample_rate, layout="stereo") if heard else None
        resampler = av.AudioResampler("fltp", "stereo", heard.codec_context.sample_rate) if heard else None
        for packet in source.demux([s for s in (seen, heard) if s]):
            for frame in packet.decode():
                if isinstance(frame, av.VideoFrame):
                    frame.pict_type = av.video.frame.PictureType.NONE
                    target.mux(shown.encode(frame.reformat(shown.width, shown.height, "yuv420p")))
                elif resampler and told and isinstance(frame, av.AudioFrame):
                    for piece in resampler.resample(frame):
                        target.mux(told.encode(piece))
        target.mux(shown.encode(None))
        if told and resampler:
            for piece in resampler.resample(None):
                target.mux(told.encode(piece))
            target.mux(told.encode(None))
