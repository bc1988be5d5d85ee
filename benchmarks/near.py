"""Near-duplicates: real clips (MATINEE_DATA) re-encoded, made smaller, cut, cropped, put in bars; who is found.

Every clip of the folder is one original; those of the demo are others where they are at hand. Recall by kind of copy,
and the pairs of different originals that are taken for the same. Long films are made of the clips in random order.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from benchmarks.shots import film, shots_of, write
from matinee.encoders.near import near_pairs
from matinee.encoders.prints import print_of
from matinee.media.answers import Job, Walls
from matinee.media.read import open_file, reading
from matinee.media.tasks import preload, run

KINDS = ("re-encoded", "MPEG-4 part 2", "half the size", "the middle 60 %", "cropped by 5 %", "cropped by 10 %",
         "letterbox")  # fmt: skip


def copy(source: Path, target: Path, kind: str) -> None:
    with av.open(str(source)) as file, av.open(str(target), "w") as out:
        stream = file.streams.video[0]
        stream.codec_context.thread_count = 1
        rate = Fraction(stream.average_rate or 25).limit_denominator(1001)
        seconds = file.duration / 1e6
        width, height = stream.width // 2 * 2, stream.height // 2 * 2
        codec, options = "libx264", {"preset": "ultrafast", "crf": "23"}
        begin, end, cut, bar = 0.0, 1e9, 0.0, 0
        if kind == "re-encoded":
            options = {"preset": "ultrafast", "crf": "33", "g": "30"}
        elif kind == "MPEG-4 part 2":
            codec, options = "mpeg4", {"q": "8"}
        elif kind == "half the size":
            width, height = stream.width // 4 * 2, stream.height // 4 * 2
        elif kind == "the middle 60 %":
            begin, end = 0.2 * seconds, 0.8 * seconds
        elif kind.startswith("cropped"):
            cut = float(kind.split()[2]) / 100
        elif kind == "letterbox":
            bar = height // 8
        made = out.add_stream(codec, rate=rate, options=options)
        made.width, made.height, made.pix_fmt = width, height + 2 * bar, "yuv420p"
        count = itertools.count()
        for frame in file.decode(stream):
            if not begin <= (frame.time or 0) <= end:
                continue
            rgb = frame.reformat(format="rgb24").to_ndarray()
            down, across = int(rgb.shape[0] * cut), int(rgb.shape[1] * cut)
            rgb = np.ascontiguousarray(rgb[down : rgb.shape[0] - down, across : rgb.shape[1] - across])
            rgb = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(width, height).to_ndarray()
            rgb = np.pad(rgb, ((bar, bar), (0, 0), (0, 0)))
            picture = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            picture.pts = next(count)
            out.mux(made.encode(picture))
        out.mux(made.encode(None))


def fact(path: Path) -> dict:
    got = reading(run(Job(walls=Walls(), shots=True), open_file(path)), "", 0)
    return print_of(got.clip, got.marks, got.mark_at, got.windows, got.duration)


def originals() -> list[Path]:
    folder = Path(os.environ["MATINEE_DATA"]) / "media" / "video"
    return sorted(folder.iterdir())


def pairs_of(facts: dict[str, dict], fresh: list[str]) -> set[frozenset[str]]:
    names = list(facts)
    found = near_pairs(dict(enumerate(facts.values())), [names.index(f) for f in fresh])
    return {frozenset((names[n.first], names[n.second])) for n in found if n.by == "picture"}


def clips(place: Path) -> None:
    sources = originals()
    facts = {p.stem: fact(p) for p in sources}
    begun = time.process_time()
    wrong = pairs_of(facts, list(facts))
    spent = time.process_time() - begun
    total = len(facts) * (len(facts) - 1) // 2
    print(f"{len(facts)} different clips: {len(wrong)} of {total} pairs taken for the same ({spent:.1f} s)")
    for pair in sorted(map(sorted, wrong)):
        print("   ", *pair)
    for kind in KINDS:
        hits = false = 0
        missed = []
        for source in sources:
            target = place / "copy.mkv"
            copy(source, target, kind)
            named = facts | {"copy": fact(target)}
            pairs = pairs_of(named, ["copy"])
            hits += frozenset((source.stem, "copy")) in pairs
            missed += [source.stem] * (frozenset((source.stem, "copy")) not in pairs)
            false += len(pairs - {frozenset((source.stem, "copy"))})
        precision = hits / max(hits + false, 1)
        recall = hits / len(sources)
        print(f"{kind:18} recall {recall:.2f}  precision {precision:.2f}  missed: {' '.join(missed)}", flush=True)


def films(place: Path) -> None:
    """Long films out of one stock of shots: other films share shots, but never in the same order."""
    shots = shots_of(Path(os.environ["MATINEE_DATA"]) / "media" / "video")
    facts = {}
    ways = {"x264": ("libx264", {"preset": "ultrafast", "crf": "23"}),
            "every 2 s": ("libx264", {"preset": "veryfast", "crf": "30", "g": "50", "sc_threshold": "0"}),
            "MPEG-4": ("mpeg4", {"g": "12", "q": "6"})}  # fmt: skip
    expected = set()
    for seed in range(4):
        frames, _ = film(shots, seed, 70)
        n = len(frames)
        parts = {"whole": (0, n), "middle": (n // 5, 4 * n // 5), "end": (n // 3, n)}
        for (part, (a, b)), (way, (codec, options)) in zip(parts.items(), ways.items(), strict=True):
            target = place / "film.mkv"
            write(target, frames[a:b], codec, options)
            facts[f"{seed} {part} {way}"] = fact(target)
        names = [f for f in facts if f.startswith(f"{seed} ")]
        expected |= {frozenset(p) for p in itertools.combinations(names, 2)}
    found = pairs_of(facts, list(facts))
    told = f"{len(found & expected)} of {len(expected)} pairs found, {len(found - expected)} false"
    print(f"films of {n / 25:.0f} s: {told}")
    for pair in sorted(map(sorted, (expected - found) | (found - expected))):
        print("   ", *pair)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--films", action="store_true", help="the long films alone")
    given = parser.parse_args()
    if not os.environ.get("MATINEE_DATA"):
        print("skipped: set MATINEE_DATA")
        return
    preload()
    with tempfile.TemporaryDirectory() as place:
        if not given.films:
            clips(Path(place))
        films(Path(place))


if __name__ == "__main__":
    main()
