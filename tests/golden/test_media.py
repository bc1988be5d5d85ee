"""Tiny media files with known contents, read through the fence."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
from PIL import Image

from matinee.errors import MatineeError
from matinee.media.fence import Fence
from matinee.media.read import read_clip
from tests import made


@pytest.fixture(scope="module")
def fence():
    with Fence() as one:
        yield one


def scenes(count=4, each=10, size=(96, 128)):
    return np.stack([made.scene(n // each, *size, n) for n in range(count * each)])


def near(frame, hue, size=(96, 128)):
    """Whether a frame of 256 shows a scene: mean difference of the small versions."""
    small = np.asarray(Image.fromarray(frame).resize((32, 24), Image.Resampling.BOX)).astype(int)
    wanted = np.asarray(Image.fromarray(made.scene(hue, *size)).resize((32, 24), Image.Resampling.BOX)).astype(int)
    return np.abs(small - wanted).mean() < 25


def test_a_video_gives_frames_sound_and_tags(fence, tmp_path):
    tags = {"title": "Four scenes\u202e", "artist": "A; B", "genre": "Test", "date": "2021", "comment": "made\x07 here"}
    path = made.write_media(tmp_path / "a.mp4", scenes(), made.piano(seconds=4.0), tags=tags)
    got = read_clip(path, fence)
    assert (got.kind, got.width, got.height, got.note) == ("video", 128, 96, "")
    assert got.duration == pytest.approx(4.0, abs=0.15)
    assert got.clip.frames.shape[1:] == (256, 341, 3)
    assert len(got.clip.frames) >= 4
    for frame, at in zip(got.clip.frames, got.clip.frame_at, strict=True):
        assert near(frame, int(min(at, 3.99)))
    assert list(got.clip.frame_at) == sorted(got.clip.frame_at)
    assert got.tags["title"] == "Four scenes"
    assert got.tags["artist"] == "A; B"
    assert got.tags["date"] == "2021"
    assert got.tags["comment"] == "made here"
    assert len(got.clip.sound) == pytest.approx(4 * made.RATE, rel=0.05)
    cover = Image.open(io.BytesIO(got.cover))
    assert (cover.format, cover.size) == ("JPEG", (128, 96))


def test_the_sound_is_the_one_that_was_written(fence, tmp_path):
    sound = made.siren(seconds=2.0) * 0.5
    for ending in (".wav", ".flac", ".m4a", ".mp3"):
        got = read_clip(made.write_media(tmp_path / f"a{ending}", sound=sound), fence)
        assert got.kind == "audio"
        assert got.clip.frames is None
        heard = got.clip.sound[: len(sound)]
        wanted = sound[: len(heard)]
        spectra = [np.abs(np.fft.rfft(x[:16000])) for x in (heard, wanted)]
        assert np.corrcoef(*spectra)[0, 1] > 0.95
        assert np.abs(heard).max() <= 1


def test_a_long_sound_gives_windows_from_all_of_it(fence, tmp_path):
    rate, minutes = 8000, 3
    t = np.arange(rate * 60 * minutes) / rate
    sound = np.sin(2 * np.pi * (300 + 500 * (t // 60)) * t).astype(np.float32) * 0.3
    got = read_clip(made.write_media(tmp_path / "long.wav", sound=sound, rate=rate), fence)
    assert got.duration == pytest.approx(180, abs=0.1)
    assert len(got.clip.sound) == pytest.approx(60 * made.RATE, rel=0.02)
    seconds = [got.clip.sound[at : at + 16_000] for at in range(0, 59 * 16_000, 160_000)]
    pitches = [np.abs(np.fft.rfft(s)).argmax() for s in seconds]
    assert [round(p, -2) for p in pitches] == [300, 300, 800, 800, 1300, 1300]


@pytest.mark.parametrize("channels", ["stereo", "5.1"])
def test_channels_are_mixed_to_one(fence, tmp_path, channels):
    import av

    with av.open(str(tmp_path / "a.wav"), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=48_000)
        stream.layout = channels
        n = stream.layout.nb_channels
        samples = np.tile((np.sin(np.arange(48_000) / 20) * 9000).astype(np.int16), (n, 1)).T.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), "s16", channels)
        frame.sample_rate = 48_000
        out.mux(stream.encode(frame))
    got = read_clip(tmp_path / "a.wav", fence)
    assert len(got.clip.sound) == pytest.approx(16_000, abs=50)
    assert 0.1 < np.abs(got.clip.sound).max() <= 1


@pytest.mark.parametrize("angle", [90, 180, 270])
def test_rotation_is_honoured(fence, tmp_path, angle):
    import av

    plain = made.write_media(tmp_path / "plain.mp4", scenes(1, 5))
    with av.open(str(plain)) as source, av.open(str(tmp_path / "turned.mp4"), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        stream.set_display_rotation(angle)
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    upright, turned = read_clip(plain, fence), read_clip(tmp_path / "turned.mp4", fence)
    sideways = angle % 180 != 0
    assert (turned.width, turned.height) == ((96, 128) if sideways else (128, 96))
    assert turned.clip.frames.shape[1:] == ((341, 256, 3) if sideways else (256, 341, 3))
    with av.open(str(tmp_path / "turned.mp4")) as file:
        said = next(file.decode(video=0)).rotation
    expected = np.rot90(upright.clip.frames[0], round(said % 360 / 90))
    assert np.abs(turned.clip.frames[0].astype(int) - expected.astype(int)).mean() < 3


def test_a_picture_is_upright_and_its_own_cover(fence, tmp_path):
    picture = Image.fromarray(made.scene(2, 300, 200))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    exif[0x013B] = "Someone"
    picture.save(tmp_path / "a.jpg", exif=exif, quality=95)
    got = read_clip(tmp_path / "a.jpg", fence)
    assert (got.kind, got.width, got.height) == ("image", 300, 200)
    assert got.clip.frames.shape == (1, 256, 384, 3)
    wanted = np.asarray(picture.rotate(-90, expand=True).resize((384, 256), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(got.clip.frames[0].astype(int) - wanted).mean() < 12
    assert got.tags["artist"] == "Someone"
    for ending in ("png", "webp", "gif", "bmp", "tiff"):
        picture.save(tmp_path / f"a.{ending}")
        assert read_clip(tmp_path / f"a.{ending}", fence).kind == "image"


def test_embedded_art_is_the_cover(fence, tmp_path):
    import av

    art = io.BytesIO()
    Image.fromarray(made.scene(3, 80, 80)).save(art, "PNG")
    sound = made.write_media(tmp_path / "plain.mp3", sound=made.piano(seconds=1.0))
    with av.open(str(sound)) as source, av.open(str(tmp_path / "a.mp3"), "w") as out:
        stream = out.add_stream_from_template(source.streams.audio[0])
        cover = out.add_stream("png")
        cover.width, cover.height, cover.pix_fmt = 80, 80, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        packet = av.Packet(art.getvalue())
        packet.stream = cover
        packet.pts = packet.dts = 0
        out.mux(packet)
        for sound_packet in source.demux(audio=0):
            if sound_packet.dts is not None:
                sound_packet.stream = stream
                out.mux(sound_packet)
    got = read_clip(tmp_path / "a.mp3", fence)
    assert got.kind == "audio"
    assert got.clip.frames is None
    assert Image.open(io.BytesIO(got.cover)).size == (80, 80)


def test_a_black_video_has_no_cover_and_a_blank_start_is_passed_over(fence, tmp_path):
    black = np.zeros((20, 96, 128, 3), np.uint8)
    assert read_clip(made.write_media(tmp_path / "black.mp4", black), fence).cover == b""
    mixed = np.concatenate([black, scenes(1, 20)])
    cover = Image.open(io.BytesIO(read_clip(made.write_media(tmp_path / "mixed.mp4", mixed), fence).cover))
    assert np.asarray(cover).mean() > 50


def test_a_cut_off_video_gives_what_is_left_and_says_so(fence, tmp_path):
    whole = made.write_media(tmp_path / "a.mkv", scenes(6, 10), made.piano(seconds=6.0))
    raw = whole.read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(raw[: len(raw) * 6 // 10])
    got = read_clip(cut, fence)
    assert got.clip.frames is not None
    holes = bytearray(raw)
    rng = np.random.default_rng(1)
    for at in rng.integers(len(raw) // 10, len(raw), 60):
        holes[at : at + 8] = rng.bytes(8)
    broken = tmp_path / "holes.mkv"
    broken.write_bytes(bytes(holes))
    got = read_clip(broken, fence)
    assert len(got.clip.frames) >= 3
    assert "damaged" in got.note


@pytest.mark.parametrize(
    ("raw", "code"),
    [(b"", "media.empty"), (b"hello" * 100, "media.unknown"), (b"\xff\xd8\xff\xe0" + b"x" * 50, "media.damaged"),
     (b"\x89PNG\r\n\x1a\n", "media.damaged"), (b"\0" * 10_000, "media.unknown")],
)  # fmt: skip
def test_what_is_no_media_is_refused_in_words(fence, tmp_path, raw, code):
    path = tmp_path / "a.mp4"
    path.write_bytes(raw)
    with pytest.raises(MatineeError) as error:
        read_clip(path, fence)
    assert error.value.code in (code, "media.damaged", "media.unknown")
    assert error.value.en
    assert error.value.zh


def test_only_regular_files_are_opened(fence, tmp_path):
    real = made.write_media(tmp_path / "a.wav", sound=made.piano(seconds=0.5))
    (tmp_path / "link.wav").symlink_to(real)
    os.mkfifo(tmp_path / "pipe.wav")
    for name, code in (("link.wav", "link"), ("pipe.wav", "special"), ("none.wav", "unreadable"), (".", "special")):
        with pytest.raises(MatineeError) as error:
            read_clip(tmp_path / name, fence)
        assert error.value.code == f"media.{code}"
    assert read_clip(real, fence).kind == "audio"


def test_embedded_subtitles_and_chapters_are_read(fence, tmp_path):
    import av

    lines = [
        "1",
        "00:00:00,500 --> 00:00:01,500",
        "<i>Hello</i> there",
        "",
        "2",
        "00:00:02,000 --> 00:00:03,000",
        "你好",
    ]
    (tmp_path / "s.srt").write_text("\n".join(lines), encoding="utf-8")
    video = made.write_media(tmp_path / "plain.mkv", scenes(), made.piano(seconds=4.0))
    with (
        av.open(str(video)) as film,
        av.open(str(tmp_path / "s.srt")) as words,
        av.open(str(tmp_path / "a.mkv"), "w") as out,
    ):
        copies = {s.index: out.add_stream_from_template(s) for s in film.streams}
        written = out.add_stream_from_template(words.streams.subtitles[0])
        written.metadata["language"] = "eng"
        out.set_chapters(
            [{"id": n, "start": n * 2000, "end": n * 2000 + 2000, "time_base": made.Fraction(1, 1000),
              "metadata": {"title": f"Part {n}"}} for n in range(2)]
        )  # fmt: skip
        for packet in sorted([p for p in film.demux() if p.dts is not None], key=lambda p: p.dts * p.time_base):
            packet.stream = copies[packet.stream_index]
            out.mux(packet)
        for packet in words.demux():
            if packet.dts is not None:
                packet.stream = written
                out.mux(packet)
    got = read_clip(tmp_path / "a.mkv", fence)
    assert got.lines == ((0.5, 1.5, "Hello there"), (2.0, 3.0, "你好"))
    assert got.language == "eng"
    assert [(round(a), round(b), t) for a, b, t in got.chapters] == [(0, 2, "Part 0"), (2, 4, "Part 1")]
    assert len(got.clip.frames) >= 4
