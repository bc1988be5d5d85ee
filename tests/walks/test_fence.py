"""Each wall of the fence alone: with it a probe fails, without it (the control) the same probe gets through."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from matinee.errors import MatineeError
from matinee.media.answers import Job, Walls
from matinee.media.fence import Fence, open_file
from matinee.media.read import read_clip
from tests import made

linux = pytest.mark.skipif(sys.platform != "linux", reason="this wall is the Linux kernel's")


def probe(code: str, wall: str = "") -> subprocess.CompletedProcess:
    """Runs a probe in a process of its own, behind one wall or none."""
    before = "import os, socket, sys, time, ctypes, mmap\nfrom matinee.media.answers import Walls\n"
    before += "from matinee.media.walls import address_space, limit, lock, die_with_parent\n"
    open_walls = "Walls(memory=1 << 40, cpu=1 << 20)"
    walls = {
        "": "",
        "memory": "limit(Walls(memory=64 << 20), address_space())",
        "cpu": "limit(Walls(cpu=1), 1 << 40)",
        "files": f"limit({open_walls}, 0)",
        "lock": "assert lock()",
    }
    command = [sys.executable, "-c", f"{before}{walls[wall]}\n{code}"]
    return subprocess.run(command, capture_output=True, timeout=60, check=False)


PROBES = {
    "memory": ("memory", "b = bytearray(512 << 20)"),
    "writing a file": ("files", "os.write(os.open('{there}', os.O_CREAT | os.O_WRONLY), b'x')"),
    "many open files": ("files", "f = [os.open('/dev/null', os.O_RDONLY) for _ in range(40)]"),
    "socket": ("lock", "socket.socket()"),
    "unix socket": ("lock", "socket.socket(socket.AF_UNIX)"),
    "reading another file": ("lock", "open('{secret}').read()"),
    "reading by openat": ("lock", "os.open('{secret}', os.O_RDONLY, dir_fd=None)"),
    "listing a folder": ("lock", "os.listdir('/')"),
    "a new process": ("lock", "os.fork() or os._exit(0)"),
    "another program": ("lock", "os.execv('/bin/true', ['true'])"),
    "removing a file": ("lock", "os.unlink('{secret}')"),
    "a link": ("lock", "os.symlink('{secret}', '{there}')"),
    "killing": ("lock", "os.kill(os.getppid(), 0)"),
    "a new namespace": ("lock", "assert ctypes.CDLL(None).unshare(0x10000000) == 0"),
    "tracing": ("lock", "assert ctypes.CDLL(None).ptrace(0, 0, 0, 0) == 0"),
}


@linux
@pytest.mark.parametrize("name", PROBES)
def test_a_wall_stops_its_probe(tmp_path, name):
    wall, code = PROBES[name]
    (tmp_path / "secret").write_text("secret")
    code = code.format(secret=tmp_path / "secret", there=tmp_path / "there")
    stopped = probe(code, wall)
    assert stopped.returncode != 0
    assert (tmp_path / "secret").exists()
    passed = probe(code)
    assert passed.returncode == 0, passed.stderr.decode()


@linux
def test_computing_ends_at_its_limit():
    spin = "t = time.process_time()\nwhile time.process_time() - t < 1.3: pass"
    assert probe(spin, "cpu").returncode == -9
    assert probe(spin).returncode == 0


def noise(path, side):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (side, side, 3), np.uint8)).save(path, compress_level=1)
    return path


def read(path, walls):
    with Fence() as fence:
        return read_clip(path, fence, walls)


@pytest.mark.parametrize(
    ("walls", "code"),
    [
        (Walls(seconds=0.05), "media.slow"),
        (Walls(memory=8 << 20), "media.too_big"),
        (Walls(pixels=1_000_000), "media.too_many_pixels"),
        (Walls(answer=1000), "media.too_much"),
    ],
)
def test_a_file_meets_each_limit_and_the_next_file_is_read(tmp_path, walls, code, fence):
    path = noise(tmp_path / "a.png", 2500)
    small = noise(tmp_path / "b.png", 20)
    with pytest.raises(MatineeError) as error:
        read_clip(path, fence, walls)
    assert error.value.code in (code, "media.damaged" if code == "media.too_big" else code)
    assert read_clip(small, fence).kind == "image"
    assert read_clip(path, fence).kind == "image"  # the control: without that limit it is a good file


def test_a_hanging_reader_is_killed_at_the_clock(tmp_path):
    """The file is a pipe that never ends, handed over past the check that would refuse it."""
    reader, writer = os.pipe()
    os.write(writer, b"RIFF")
    begun = time.monotonic()
    with Fence() as fence:
        with pytest.raises(MatineeError) as error:
            fence.run(reader, Job(walls=Walls(seconds=0.5)))
        assert time.monotonic() - begun < 4
        assert error.value.code in ("media.slow", "media.damaged")
        assert read_clip(noise(tmp_path / "b.png", 20), fence).kind == "image"
    os.close(reader)
    os.close(writer)


def test_a_killed_child_is_replaced(tmp_path):
    path = noise(tmp_path / "b.png", 20)
    with Fence() as fence:
        assert read_clip(path, fence).kind == "image"
        fence._process.kill()
        fence._process.wait()
        assert read_clip(path, fence).kind == "image"
        child = fence._process
    assert child.returncode is not None


@pytest.fixture(scope="module")
def fence():
    with Fence() as one:
        yield one


PLAYLISTS = {
    "a.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{secret}\n#EXT-X-ENDLIST\n",
    "b.mp4": "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:10,\nfile://{secret}\n#EXT-X-ENDLIST\n",
    "c.ffconcat": "ffconcat version 1.0\nfile '{secret}'\n",
    "d.mkv": "ffconcat version 1.0\nfile {name}\n",
    "e.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    "f.mpd": "<?xml version='1.0'?><MPD><Period><AdaptationSet><Representation><BaseURL>{secret}</BaseURL>"
    "</Representation></AdaptationSet></Period></MPD>",
    "g.avi": "#EXTM3U\n#EXTINF:1,\nconcat:{secret}|{secret}\n#EXT-X-ENDLIST\n",
    "h.mp4": "#EXTM3U\n#EXTINF:1,\nsubfile,,start,0,end,100,,:{secret}\n",
    "i.webm": "#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n",
}


@pytest.mark.parametrize("name", PLAYLISTS)
def test_a_playlist_opens_nothing(tmp_path, name, fence):
    secret = made.write_media(tmp_path / "secret.wav", sound=made.piano(seconds=0.5))
    path = tmp_path / name
    path.write_text(PLAYLISTS[name].format(secret=secret, name=secret.name))
    for locked in (True, False):  # refused by the format list alone too
        with pytest.raises(MatineeError) as error:
            read_clip(path, fence, Walls(locked=locked))
        assert error.value.code.startswith("media.")


def test_without_the_list_of_formats_a_playlist_does_read_another_file(tmp_path):
    """The control: it is our options that refuse it, not a broken playlist."""
    import av

    secret = made.write_media(tmp_path / "secret.wav", sound=made.piano(seconds=0.5))
    path = tmp_path / "c.ffconcat"
    path.write_text(PLAYLISTS["c.ffconcat"].format(secret=secret))
    with av.open(str(path), options={"safe": "0"}) as file:
        assert sum(frame.samples for frame in file.decode(audio=0)) > 4000


def test_no_descriptor_is_left_open(tmp_path):
    path = noise(tmp_path / "b.png", 20)
    with Fence() as fence:
        read_clip(path, fence)
        before = len(os.listdir("/dev/fd"))
        for _ in range(5):
            read_clip(path, fence)
            with pytest.raises(MatineeError):
                read_clip(path, fence, Walls(pixels=1))
        assert len(os.listdir("/dev/fd")) == before


def test_the_working_folder_is_no_place_for_modules(tmp_path, monkeypatch):
    (tmp_path / "av.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    assert read(noise(tmp_path / "b.png", 20), Walls()).kind == "image"
    assert not (tmp_path / "ran").exists()
    control = subprocess.run([sys.executable, "-c", "import av"], check=False)
    assert control.returncode == 0
    assert (tmp_path / "ran").exists()


def test_a_file_swapped_for_a_link_is_not_followed(tmp_path):
    path = noise(tmp_path / "b.png", 20)
    os.close(open_file(path))
    path.rename(tmp_path / "c.png")
    path.symlink_to(tmp_path / "c.png")
    with pytest.raises(MatineeError) as error:
        open_file(path)
    assert error.value.code == "media.link"
