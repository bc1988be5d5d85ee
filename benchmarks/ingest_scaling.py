"""Ingest on one core and on two: the clock of the same files, by turns, on the videos of MATINEE_DATA.

Every video is taken several times under other bytes, so that there is work enough; the encoders are loaded before.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

INGEST = """
import json, resource, sys, tempfile, time
from pathlib import Path
from matinee.encoders.senses import load_senses
from matinee.ingest import ingest
from matinee.ingest.readers import cores
from matinee.settings import Library
from matinee.store import open_store
with tempfile.TemporaryDirectory() as place:
    library = Library.create(Path(place))
    store = open_store(library.database)
    load_senses(library.settings.encoders)
    begun = time.perf_counter()
    report = ingest(library, store, [Path(sys.argv[1])])
    wall = time.perf_counter() - begun
    store.close()
used = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(json.dumps({"wall": wall, "cpu": sum(u.ru_utime + u.ru_stime for u in used), "cores": cores(),
                  "seconds": report.media_seconds, "taken": report.taken}))
"""


def once(folder: Path, cores: str) -> dict:
    environment = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    done = subprocess.run(
        ["taskset", "-c", cores, sys.executable, "-c", INGEST, str(folder)],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    found: dict = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--copies", type=int, default=3)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    root = os.environ.get("MATINEE_DATA")
    if not root or not shutil.which("taskset") or len(os.sched_getaffinity(0)) < 2:
        print("skipped: set MATINEE_DATA; two cores and taskset are needed")
        return
    with tempfile.TemporaryDirectory() as place:
        for n in range(given.copies):
            for path in sorted((Path(root) / "media" / "video").iterdir()):
                (Path(place) / f"{n}-{path.name}").write_bytes(path.read_bytes() + bytes(n))
        rows = []
        for _ in range(given.runs):
            one, two = once(Path(place), "0"), once(Path(place), "0,1")
            assert (one["cores"], two["cores"]) == (1, 2)
            rows.append((one, two))
            print(
                f"one core {one['wall']:.1f} s, two {two['wall']:.1f} s: {one['wall'] / two['wall']:.2f} x", flush=True
            )
    wall = [statistics.median(row[k]["wall"] for row in rows) for k in (0, 1)]
    cpu = [statistics.median(row[k]["cpu"] for row in rows) for k in (0, 1)]
    seconds = rows[0][0]["seconds"]
    ratio = wall[0] / wall[1]
    print(f"{rows[0][0]['taken']} files, {seconds:.0f} s; medians {wall[0]:.1f} and {wall[1]:.1f} s: {ratio:.2f} x")
    print(
        f"processor seconds {cpu[0]:.1f} and {cpu[1]:.1f}; {seconds / wall[1]:.0f} hours of video an hour on two cores"
    )


if __name__ == "__main__":
    main()
