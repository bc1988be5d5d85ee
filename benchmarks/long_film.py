"""A film of two hours through the fence: processor seconds, memory of the reader and of ingest, and progress told.

Eight minutes made of real shots (MATINEE_DATA) with a melody, 1280 x 720, its packets written fifteen times over.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from benchmarks.shots import RATE, film, shots_of
from matinee.ingest import ingest
from matinee.media.answers import Job
from matinee.media.fence import Fence
from matinee.media.read import content_hash, open_file, read_open, walls_for
from matinee.settings import Library
from matinee.store import open_store

SIZE = (1280, 720)


def write(path: Path, frames: np.ndarray, options: dict[str, str]) -> None:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=Fraction(RATE), options=dict(options))
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        sound = out.add_stream("aac", rate=48_000)
        sound.layout = "mono"
        rng = np.random.default_rng(0)
        second = np.arange(48_000) / 48_000
        for n, picture in enumerate(frames):
            if n % RATE == 0:
                tone = 0.3 * np.sin(2 * np.pi * float(rng.uniform(200, 2000)) * second)
                heard = av.AudioFrame.from_ndarray(tone.astype(np.float32)[None], "fltp", "mono")
                heard.sample_rate, heard.pts = 48_000, n // RATE * 48_000
                out.mux(sound.encode(heard))
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(*SIZE, format="yuv420p")
            frame.pts = n
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        out.mux(sound.encode(None))


def repeated(source: Path, target: Path, times: int) -> None:
    """The same packets again and again, each time later."""
    with av.open(str(source)) as file, av.open(str(target), "w") as out:
        seconds = Fraction(file.duration, 1_000_000)
        streams = {s.index: out.add_stream_from_template(s) for s in file.streams}
        for turn in range(times):
            file.seek(0)
            for packet in file.demux():
                if packet.dts is None:
                    continue
                shift = int(turn * seconds / packet.time_base)
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                packet.stream = streams[packet.stream_index]
                out.mux(packet)


def measured(path: Path) -> None:
    shares: list[float] = []
    fd = open_file(path)
    size = os.fstat(fd).st_size
    begun = time.perf_counter()
    with Fence() as fence:
        got = read_open(fd, content_hash(fd), fence, Job(walls=walls_for(size), shots=True), shares.append)
    took = time.perf_counter() - begun
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    hours = (got.duration or 0) / 3600
    cpu = spent.ru_utime + spent.ru_stime
    print(f"{hours:.2f} h, {size / 1e6:.0f} MB: read in {took:.1f} s, {cpu:.1f} s of processor")
    print(f"{hours * 3600 / took:.0f} x real time; peak of the reader {got.peak / 1e6:.0f} MB; note {got.note!r}")
    marks = 0 if got.marks is None else len(got.marks)
    print(f"{got.scene_count} shots, {len(got.scenes)} with pictures kept, whole {got.whole}, {marks} marks")
    print(
        f"progress told {len(shares)} times, from {shares[0]:.2f} to {shares[-1]:.2f}" if shares else "no progress told"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=15)
    parser.add_argument("--cuts", type=int, default=165, help="shots of about 3.6 s in the eight minutes")
    parser.add_argument("--film", type=Path, help="kept here between runs")
    given = parser.parse_args()
    if not os.environ.get("MATINEE_DATA"):
        print("skipped: set MATINEE_DATA")
        return
    with tempfile.TemporaryDirectory() as place:
        path = given.film or Path(place) / "film.mkv"
        if not path.exists():
            frames, _ = film(shots_of(Path(os.environ["MATINEE_DATA"]) / "media" / "video"), 0, given.cuts)
            part = Path(place) / "part.mkv"
            write(part, frames, {"preset": "superfast", "g": "50", "crf": "23"})
            repeated(part, path, given.times)
        measured(path)
        library = Library.create(Path(place) / "library")
        store = open_store(library.database)
        told: list[tuple[str, int, int]] = []
        begun = time.perf_counter()
        report = ingest(library, store, [path], lambda *step: told.append(step))
        store.close()
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        inside = [done for what, done, _ in told if what == path.name]
        print(
            f"ingest: {report.taken} taken in {time.perf_counter() - begun:.1f} s; peak of ingest itself {own:.0f} MB"
        )
        print(f"progress inside the file: {inside[:3]} ... {inside[-3:]}")


if __name__ == "__main__":
    main()
