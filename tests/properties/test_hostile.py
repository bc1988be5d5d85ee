"""Files that are broken, by chance or on purpose: read, read in part, or refused in words, and nothing else."""

from __future__ import annotations

import time

import numpy as np
import pytest

from matinee.errors import MatineeError
from matinee.media.fence import Fence
from matinee.media.read import read_clip
from tests import hostile, made

CALM = 10.0  # seconds that no file may exceed
MOST = 1 << 30  # bytes


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return hostile.seeds(tmp_path_factory.mktemp("seeds"))


@pytest.fixture(scope="module")
def fence():
    with Fence() as one:
        yield one


def check(path, fence):
    """Reads a file; says what came of it. Anything but a reading or a typed error fails the test."""
    begun = time.process_time(), time.monotonic()
    try:
        got = read_clip(path, fence)
    except MatineeError as error:
        outcome = error.code if error.en and error.zh else "silent"
    else:
        assert got.peak < MOST
        assert got.kind in ("video", "audio", "image")
        if got.clip.sound is not None:
            assert np.isfinite(got.clip.sound).all()
            assert np.abs(got.clip.sound).max(initial=0) <= 1
        assert got.duration is None or 0 < got.duration < 1e7
        assert not any(ord(c) < 32 and c not in "\n\t" for v in got.tags.values() for c in v)
        outcome = "partly" if got.note else "read"
    assert outcome in ("read", "partly") or outcome.startswith("media.")
    assert time.monotonic() - begun[1] < 3 * CALM  # the wall clock of a busy machine
    assert time.process_time() - begun[0] < CALM
    return outcome


def storm(count, seed, good, fence, tmp_path):
    rng = np.random.default_rng(seed)
    outcomes: dict[str, int] = {}
    names = list(good)
    child = None
    for n in range(count):
        name = names[n % len(names)]
        path = tmp_path / f"x{name}"
        path.write_bytes(hostile.mutant(good[name], rng))
        outcome = check(path, fence)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        child = child or fence._process
    assert fence._process is child  # no file ended the child that the others need
    return outcomes


def test_every_seed_is_a_good_file(good, fence, tmp_path):
    """The control: unbroken, each of them is read whole."""
    for name, raw in good.items():
        (tmp_path / name).write_bytes(raw)
        assert check(tmp_path / name, fence) == "read", name


def test_mutants(good, fence, tmp_path):
    outcomes = storm(250, 1, good, fence, tmp_path)
    assert outcomes["read"] > 20
    assert outcomes["partly"] > 0
    assert sum(v for k, v in outcomes.items() if k.startswith("media.")) > 20


def test_crafted(good, fence, tmp_path):
    count = 0
    for name, raw in hostile.crafted(good):
        (tmp_path / "x").mkdir(exist_ok=True)
        path = tmp_path / "x" / name
        path.write_bytes(raw)
        outcome = check(path, fence)
        if name.startswith((*hostile.TEXTS, "bomb", "xml-bomb")):
            assert outcome.startswith("media."), name
        count += 1
    assert count >= 100


def test_cut_at_many_bytes(good, fence, tmp_path):
    raw = good["a.mp4"]
    for at in [*range(64), *range(64, len(raw), max(1, len(raw) // 60))]:
        (tmp_path / "cut.mp4").write_bytes(raw[:at])
        check(tmp_path / "cut.mp4", fence)


@pytest.mark.torture
def test_a_storm_of_mutants(good, fence, tmp_path, capsys):
    begun = time.monotonic()
    outcomes = storm(2500, 2, good, fence, tmp_path)
    with capsys.disabled():
        print(f"\n2500 mutants in {time.monotonic() - begun:.0f} s: {outcomes}")


@pytest.mark.torture
def test_cut_at_every_byte_of_the_head(good, fence, tmp_path):
    for name in ("a.mp4", "b.mkv", "g.mp3"):
        for at in range(4096):
            (tmp_path / name).write_bytes(good[name][:at])
            check(tmp_path / name, fence)


ODD = {
    "ten bits": {"codec": "libx265", "pix": "yuv420p10le"},
    "odd size": {"codec": "libx264", "size": (50, 62)},
    "tiny": {"codec": "mpeg4", "size": (16, 16)},
    "wide": {"codec": "mpeg4", "size": (16, 640)},
}


@pytest.mark.parametrize("name", ODD)
def test_odd_but_real_videos_are_read(name, fence, tmp_path):
    import av

    about = ODD[name]
    height, width = about.get("size", (48, 64))
    with av.open(str(tmp_path / "a.mkv"), "w") as out:
        stream = out.add_stream(about["codec"], rate=10)
        stream.height, stream.width, stream.pix_fmt = height, width, about.get("pix", "yuv420p")
        for n in range(10):
            frame = av.VideoFrame.from_ndarray(made.scene(1, height, width, n), format="rgb24")
            frame.pts = n * n  # and of variable rate
            out.mux(stream.encode(frame.reformat(format=stream.pix_fmt)))
        out.mux(stream.encode(None))
    got = read_clip(tmp_path / "a.mkv", fence)
    assert (got.width, got.height, got.note) == (width, height, "")
    assert min(got.clip.frames.shape[1:3]) == 256


def test_sound_of_a_telephone_and_without_a_length(fence, tmp_path):
    made.write_media(tmp_path / "a.wav", sound=made.piano(seconds=1.0)[::2], rate=8000)
    assert len(read_clip(tmp_path / "a.wav", fence).clip.sound) == pytest.approx(16_000, rel=0.02)
    raw = made.write_media(tmp_path / "a.ts", sound=made.piano(seconds=1.0)).read_bytes()
    (tmp_path / "b.ts").write_bytes(raw)
    assert read_clip(tmp_path / "b.ts", fence).kind == "audio"
