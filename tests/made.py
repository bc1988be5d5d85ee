"""Media that tests make for themselves, and real samples that they fetch when they can."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from matinee import registry
from matinee.demo.manifest import manifest
from matinee.encoders import weights
from matinee.errors import MatineeError
from matinee.settings import cache_folder

RATE = 16_000


def require_weights(*names):
    """Has the checkpoints ready, or skips saying why not."""
    try:
        weights.fetch(names)
    except MatineeError as error:
        pytest.skip(f"checkpoints cannot be had: {error.en}")


def sample(id: str) -> Path:
    """A real file of the demo, fetched and verified, or a skip that says why not."""
    plan = manifest()
    file = next(s for s in plan.samples if s.id == id)
    try:
        return registry.fetch([plan.datum(file)], cache_folder() / "samples")[0]
    except MatineeError as error:
        pytest.skip(f"the sample {id} cannot be had: {error.en}")


def shared_video(name: str) -> Path:
    """A video of the data folder that ``MATINEE_DATA`` names."""
    root = os.environ.get("MATINEE_DATA")
    if not root:
        pytest.skip("MATINEE_DATA does not name a folder with media/video")
    return Path(root) / "media" / "video" / name


def siren(low=600.0, high=1400.0, period=0.35, seconds=4.0):
    """A warbling alarm with three harmonics, (n,) float32 at 16 kHz."""
    t = np.arange(int(seconds * RATE)) / RATE
    pitch = (high + low) / 2 + (high - low) / 2 * np.sin(2 * np.pi * t / period)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    return (0.3 * sum(np.sin(k * phase) / k for k in (1, 2, 3))).astype(np.float32)


def piano(keys=(60, 64, 67, 72, 67, 64), seconds=4.0):
    """Struck strings: slightly stretched partials that die away, higher ones sooner."""
    out = np.zeros(int(seconds * RATE))
    t = np.arange(int(1.5 * RATE)) / RATE
    for i, key in enumerate(keys):
        pitch = 440 * 2 ** ((key - 69) / 12)
        tone = sum(
            np.exp(-t * (1.5 + 0.7 * k)) * np.sin(2 * np.pi * pitch * k * np.sqrt(1 + 4e-4 * k * k) * t) / k**1.2
            for k in range(1, 9)
        ) * np.minimum(1, t / 0.004)
        at = int(i * len(out) / len(keys))
        out[at : at + len(tone)] += tone[: len(out) - at]
    return (0.25 * out).astype(np.float32)


def scene(hue: int, height: int, width: int, shift: int = 0):
    """A picture of its own for each number: a coloured slope with a checkered patch that moves."""
    y, x = np.mgrid[0:height, 0:width]
    base = np.stack(
        [(x * 255 // width + 40 * hue) % 256, (y * 255 // height + 90 * hue) % 256, (x + y + 25 * hue) % 256], -1
    )
    patch = ((x + shift) // 8 + y // 8) % 2 == 0
    base[patch & (x > width // 3) & (x < width // 2)] = 255 - base[patch & (x > width // 3) & (x < width // 2)]
    return base.astype(np.uint8)


def write_media(path, frames=None, sound=None, *, fps=10, codec="libx264", tags=None, gop=10, layout="mono", rate=RATE):
    """A file with video and/or sound; ``frames`` (n, h, w, 3) uint8, ``sound`` (n,) float32 at ``rate``."""
    with av.open(str(path), "w") as out:
        out.metadata.update(tags or {})
        video = heard = None
        if frames is not None:
            video = out.add_stream(codec, rate=Fraction(fps))
            video.height, video.width = frames[0].shape[:2]
            video.pix_fmt = "yuv420p"
            video.codec_context.gop_size = gop
        if sound is not None:
            ending = Path(path).suffix
            kind = {".wav": "pcm_s16le", ".flac": "flac", ".ogg": "libopus", ".mp3": "libmp3lame"}.get(ending, "aac")
            heard = out.add_stream(kind, rate=rate)
            heard.layout = layout
        if video:
            for n, picture in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
                frame.pts = n
                out.mux(video.encode(frame))
            out.mux(video.encode(None))
        if heard:
            frame = av.AudioFrame.from_ndarray((np.clip(sound, -1, 1) * 32767).astype(np.int16)[None], "s16", layout)
            frame.sample_rate = rate
            frame.pts = 0
            fifo = av.AudioFifo()
            wanted = av.AudioResampler(heard.codec_context.format, layout, rate)
            for part in wanted.resample(frame):
                fifo.write(part)
            for part in fifo.read_many(1024, partial=True):
                out.mux(heard.encode(part))
            out.mux(heard.encode(None))
    return Path(path)
