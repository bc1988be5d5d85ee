"""Ingest against its floor: decoding alone plus the networks alone, on the videos of MATINEE_DATA or a folder given.

Processor seconds are compared as well as the clock's: on a busy machine the clock says little.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import tempfile
import time
from pathlib import Path

from matinee.encoders.prints import print_of
from matinee.encoders.senses import load_senses
from matinee.ingest import ingest
from matinee.media.answers import Job, Walls
from matinee.media.folder import find
from matinee.media.read import open_file, reading
from matinee.media.tasks import preload, run
from matinee.settings import Library
from matinee.store import open_store
from matinee.types import Clip


def spent() -> float:
    """Processor seconds of this process and the children that ended."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def timed(work):
    begun, cpu = time.perf_counter(), spent()
    result = work()
    return time.perf_counter() - begun, spent() - cpu, result


def end_to_end(folder):
    with tempfile.TemporaryDirectory() as place:
        library = Library.create(Path(place))
        store = open_store(library.database)
        try:
            return ingest(library, store, [folder])
        finally:
            store.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    root = given.folder or (os.environ.get("MATINEE_DATA") and f"{os.environ['MATINEE_DATA']}/media/video")
    if not root:
        print("skipped: name a folder, or set MATINEE_DATA")
        return
    folder = Path(root)
    files = [f.path for f in find([folder])[0]]
    senses = load_senses(["text", "frames", "sound"])
    preload()
    job = Job(walls=Walls(), shots=True)

    def decode():
        return [reading(run(job, open_file(path)), "", 0) for path in files]

    def decode_plain():
        return [run(Job(walls=Walls()), open_file(path)) for path in files]

    def fingerprints(readings):
        return [print_of(r.clip, r.marks, r.mark_at, r.windows, r.duration) for r in readings]

    def model(clips):
        return [senses.perceive(clips[i : i + 6]) for i in range(0, len(clips), 6)]

    rows = []
    for _ in range(given.runs):
        decoding = timed(decode)
        clips = [r.clip for r in decoding[2]]
        seconds = sum(r.duration or 0 for r in decoding[2])
        models = timed(lambda clips=clips: model(clips))
        whole = timed(lambda: end_to_end(folder))
        rows.append(
            (decoding, models, whole, seconds, timed(decode_plain), timed(lambda d=decoding: fingerprints(d[2])))
        )
    seconds = rows[0][3]
    decode_cpu, model_cpu, whole_cpu = (statistics.median(r[k][1] for r in rows) for k in range(3))
    wall = statistics.median(r[2][0] for r in rows)
    plain_cpu, print_cpu = (statistics.median(r[k][1] for r in rows) for k in (4, 5))
    print(f"{len(files)} files, {seconds:.0f} s of media")
    print(
        f"by stage: frames, sound, cover {plain_cpu:.2f} s, shots and their pictures {decode_cpu - plain_cpu:.2f} s, "
        f"networks {model_cpu:.2f} s, fingerprints {print_cpu:.2f} s, "
        f"all else {whole_cpu - decode_cpu - model_cpu - print_cpu:.2f} s"
    )
    print(
        f"processor: decode {decode_cpu:.2f} s, networks {model_cpu:.2f} s, ingest {whole_cpu:.2f} s "
        f"= {whole_cpu / (decode_cpu + model_cpu):.2f} x the floor"
    )
    print(
        f"clock: {wall:.2f} s = {seconds / wall:.0f} x real time; {seconds / whole_cpu:.0f} x for each processor second"
    )
    titles = [f"Film number {n} about {['dogs', 'ships', 'war', '爱情'][n % 4]}" for n in range(2000)]
    encoder = senses.encoders["text"]
    begun = time.process_time()
    encoder.encode([Clip(text=t) for t in titles])
    print(f"text: {len(titles) / (time.process_time() - begun):.0f} titles for each processor second")


if __name__ == "__main__":
    main()
