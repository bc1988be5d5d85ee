"""Files as they really come: odd rates, depths, channels and containers; each is read like any other."""

from __future__ import annotations

import os
from fractions import Fraction

import av
import numpy as np
import pytest

from matinee.media.answers import Job, Walls
from matinee.media.fence import Fence, told
from matinee.media.read import content_hash, open_file, read_clip, read_open, read_shots
from tests import made


@pytest.fixture(scope="module")
def fence():
    with Fence() as one:
        yield one


def scenes(lengths, size=(96, 128)):
    return np.concatenate([
        np.stack([made.scene(hue, *size, n) for n in range(length)]) for hue, length in enumerate(lengths)
    ])  # fmt: skip


def write(path, frames, *, codec="libx264", form="yuv420p", times=None, options=None, container=None):
    """A silent video; ``times``: milliseconds of each frame, for a rate that varies."""
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream(codec, rate=Fraction(10), options=options or {})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = form
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for n, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = n if times is None else int(times[n])
            frame.time_base = Fraction(1, 10) if times is None else Fraction(1, 1000)
            out.mux(stream.encode(frame.reformat(format=form)))
        out.mux(stream.encode(None))
    return path


def read(path, fence, **job):
    fd = open_file(path)
    shares = []
    got = read_open(fd, content_hash(fd), fence, Job(walls=Walls(), **job), shares.append)
    return got, shares


def test_a_rate_that_varies_keeps_its_times(fence, tmp_path):
    times = np.concatenate([np.arange(20) * 40, 800 + np.arange(20) * 120, 3200 + np.arange(20) * 60])
    path = write(tmp_path / "varies.mkv", scenes([20, 20, 20]), times=times)
    got, _ = read(path, fence, shots=True)
    assert got.duration == pytest.approx(4.4, abs=0.2)
    assert [s[0] for s in got.scenes] == pytest.approx([0, 0.8, 3.2], abs=0.02)
    assert got.clip.frame_at == pytest.approx((np.arange(12) + 0.5) / 12 * 4.4, abs=0.2)


@pytest.mark.parametrize(
    ("codec", "form"),
    [
        ("libx264", "yuv420p10le"),
        ("libx265", "yuv420p10le"),
        ("libx264", "yuv444p"),
        ("ffv1", "gray"),
        ("mjpeg", "yuvj420p"),
    ],
)
def test_other_depths_and_samplings_look_the_same(fence, tmp_path, codec, form):
    frames = scenes([8, 8])
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    plain, _ = read(write(tmp_path / "plain.mkv", frames), fence)
    got, _ = read(write(tmp_path / "odd.mkv", frames, codec=codec, form=form, options=options), fence, shots=True)
    assert got.note == ""
    assert len(got.scenes) == 2
    one, other = (r.clip.frames[0].astype(int) for r in (plain, got))
    if form == "gray":
        one = np.repeat((one @ [0.299, 0.587, 0.114])[..., None], 3, axis=-1)
    assert one.shape == other.shape
    assert np.abs(one - other).mean() < 12


@pytest.mark.parametrize("ending", [".wav", ".mp3", ".flac", ".m4a"])
def test_mono_at_eight_kilohertz(fence, tmp_path, ending):
    pitch = 440
    sound = 0.3 * np.sin(2 * np.pi * pitch * np.arange(16_000) / 8000).astype(np.float32)
    got, _ = read(made.write_media(tmp_path / f"a{ending}", sound=sound, rate=8000), fence)
    assert got.kind == "audio"
    assert len(got.clip.sound) == pytest.approx(32_000, rel=0.1)
    spectrum = np.abs(np.fft.rfft(got.clip.sound[8000:24_000]))
    assert spectrum.argmax() == pytest.approx(pitch, abs=2)
    assert got.windows[0][1] == len(got.clip.sound)


@pytest.mark.parametrize("container", ["h264", "matroska"])
def test_no_duration_in_the_file(fence, tmp_path, container):
    """A bare stream, and a film that was written to a pipe: nobody went back to fill in the length."""
    path = tmp_path / "film.mkv"
    if container == "h264":
        write(path, scenes([20, 20]), container="h264", options={"g": "12"})
    else:

        class Pipe:
            def __init__(self):
                self.parts = []

            def write(self, data):
                self.parts.append(bytes(data))
                return len(data)

        pipe = Pipe()
        with av.open(pipe, "w", format="matroska", options={"live": "1"}) as out:
            stream = out.add_stream("libx264", rate=10, options={"g": "10"})
            stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
            for n, picture in enumerate(scenes([20, 20])):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts = n
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        path.write_bytes(b"".join(pipe.parts))
    got, _ = read(path, fence, shots=True)
    assert got.kind == "video"
    assert len(got.clip.frames) >= 3
    assert len(got.scenes) == 2
    assert got.scenes[1][0] == pytest.approx(
        0.8 if container == "h264" else 2.0, abs=0.25
    )  # a bare stream has no clock


def test_a_turned_video_has_upright_shots(fence, tmp_path):
    plain = write(tmp_path / "plain.mp4", scenes([20, 20]))
    with av.open(str(plain)) as source, av.open(str(tmp_path / "turned.mp4"), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        stream.set_display_rotation(90)
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    import io

    from PIL import Image

    got, _ = read(tmp_path / "turned.mp4", fence, shots=True)
    assert [Image.open(io.BytesIO(p)).size for _, _, p in got.scenes] == [(96, 128)] * 2


@pytest.mark.parametrize("options", [{}, {"g": "20", "sc_threshold": "0"}, {"g": "1000", "keyint_min": "25"}])
def test_shots_of_a_long_film_without_decoding_it(fence, tmp_path, options):
    """Longer than what is decoded through: keyframes and packet sizes say where the shots are; every frame, too."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(30, 70, 22).tolist()
    path = write(tmp_path / "long.mkv", scenes(lengths), options={"preset": "veryfast", **options})
    cuts = np.cumsum([0, *lengths[:-1]]) / 10
    assert sum(lengths) / 10 > 91
    got, shares = read(path, fence, shots=True)
    starts = np.array([s[0] for s in got.scenes])
    hits = sum(np.abs(starts - c).min() <= 0.31 for c in cuts)
    assert hits >= 0.75 * len(cuts)
    assert hits >= 0.8 * len(starts)
    assert got.scene_count == len(got.scenes)
    assert shares == sorted(shares)
    assert 0 < shares[-1] <= 1
    whole, _ = read_shots(path, fence)
    assert sum(np.abs(np.array(whole) - c).min() <= 0.21 for c in cuts) >= 0.9 * len(cuts)


def test_what_a_child_tells_of_its_way_is_taken_off_and_never_believed_more_than_it_may():
    heard = []
    data = bytearray(b"\x01\x10\x01\x80")
    assert told(data, heard.append)
    assert (heard, data) == ([128 / 255], b"")
    data += b"\x01"  # half of a word
    assert told(data, heard.append)
    data += b"\xff\x00abc"
    assert not told(data, heard.append)
    assert (heard[-1], data) == (1.0, b"abc")
    nonsense = bytearray(b"\x07abc")
    assert not told(nonsense, heard.append)
    assert nonsense == b"\x07abc"


def test_a_photograph_and_a_sound_have_no_shots(fence, tmp_path):
    from PIL import Image

    Image.fromarray(made.scene(2, 90, 120)).save(tmp_path / "a.png")
    made.write_media(tmp_path / "a.wav", sound=made.piano(seconds=1.0))
    for name in ("a.png", "a.wav"):
        got, _ = read(tmp_path / name, fence, shots=True)
        assert (got.scenes, got.scene_count, got.marks) == ((), 0, None)
    assert read_clip(tmp_path / "a.png", fence).scenes == ()


@pytest.mark.parametrize("count", range(1, 9))
def test_a_video_of_few_frames_is_read(fence, tmp_path, count):
    """Shots compare a frame with three on each side; of fewer there is still one shot and a picture."""
    frames = np.stack([made.scene(0, 64, 64, n) for n in range(count)])
    path = made.write_media(tmp_path / "a.mp4", frames)
    for shots in (True, False):
        fd = open_file(path)
        try:
            got = read_open(fd, "0", fence, Job(walls=Walls(), shots=shots))
        finally:
            os.close(fd)
        assert got.kind == "video"
        assert len(got.clip.frames) >= 1
        assert got.scene_count == (1 if shots else 0)
