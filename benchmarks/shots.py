"""Shots: films made of real shots (MATINEE_DATA) in several encodings; precision, recall and F1 of three detectors.

``whole``: the rule on every decoded frame; ``coded``: keyframes and packet sizes, as ingest goes through long films;
``transnet``: TransNetV2 on every frame (``--transnet``, slow).
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from matinee.media.answers import Job, Walls
from matinee.media.packets import Trouble
from matinee.media.read import open_file
from matinee.media.survey import Way, survey
from matinee.media.tasks import preload, run

RATE, SIZE = 25, (426, 240)
ENCODINGS = {
    "x264, keyframes as it likes": ("libx264", {"preset": "veryfast"}),
    "x264, a keyframe every 2 s, no more": ("libx264", {"preset": "veryfast", "g": "50", "sc_threshold": "0"}),
    "x264, every 2 s and at cuts": ("libx264", {"preset": "veryfast", "g": "50"}),
    "x264, one keyframe in 10 s, no more": ("libx264", {"preset": "veryfast", "g": "250", "sc_threshold": "0"}),
    "MPEG-4 part 2": ("mpeg4", {"g": "12", "q": "5"}),
    "HEVC": ("libx265", {"preset": "ultrafast", "x265-params": "log-level=none"}),
}
# one steady shot each, looked at; (first second, seconds)
STEADY = ["crystal", "elf", "flower", "frog", "monster", "pig", "rabbit", "stream-of-water", "bottle-detection",
          "car-detection", "one-by-one-person-detection"]  # fmt: skip


def shots_of(folder: Path, seconds: float = 8.0) -> list[np.ndarray]:
    """Real shots without a cut in them, (n, 240, 426, 3) at 25 frames a second."""
    names = [folder / f"{n}.mp4" for n in STEADY] + sorted(folder.glob("asl_gestures__*.mkv"))[::3]
    out = []
    for path in names:
        with av.open(str(path)) as file:
            stream, frames, due = file.streams.video[0], [], 0.0
            for frame in file.decode(stream):
                at = float(frame.time or 0)
                if at > seconds:
                    break
                if at >= due - 1e-3:
                    frames.append(frame.reformat(*SIZE, format="rgb24").to_ndarray())
                    due += 1 / RATE
        out.append(np.stack(frames))
    return out


def film(shots: list[np.ndarray], seed: int, cuts: int, dissolve: int = 0) -> tuple[np.ndarray, list[int]]:
    """One shot after the other, no two alike in a row; the frames at which they change."""
    rng = np.random.default_rng(seed)
    parts, changes, last, count = [], [], -1, 0
    for _ in range(cuts + 1):
        which = int(rng.integers(len(shots)))
        while which == last or (last >= 11 and which >= 11):
            which = int(rng.integers(len(shots)))
        last = which
        length = int(rng.integers(30, 150))
        shot = shots[which]
        begin = int(rng.integers(0, max(1, len(shot) - length)))
        part = shot[begin : begin + length]
        if dissolve and parts:
            share = np.linspace(0, 1, dissolve)[:, None, None, None]
            before = parts[-1][-dissolve:]
            mixed = ((1 - share) * before + share * part[:dissolve]).astype(np.uint8)
            parts[-1] = parts[-1][:-dissolve]
            changes.append(count - dissolve // 2)
            parts += [mixed, part[dissolve:]]
            count += len(part) - dissolve
        else:
            if parts:
                changes.append(count)
            parts.append(part)
            count += len(part)
    return np.concatenate(parts), changes


def write(path: Path, frames: np.ndarray, codec: str, options: dict[str, str]) -> None:
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=Fraction(RATE), options=dict(options))
        stream.width, stream.height, stream.pix_fmt = SIZE[0], SIZE[1], "yuv420p"
        for n, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = n
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def score(found: list[float], wanted: list[int], within: int) -> np.ndarray:
    """(hits, found, wanted): each change counts once."""
    left, hits = sorted(wanted), 0
    for moment in found:
        near = [w for w in left if abs(w - moment * RATE) <= within]
        if near:
            left.remove(min(near, key=lambda w: abs(w - moment * RATE)))
            hits += 1
    return np.array([hits, len(found), len(wanted)])


def coded(path: Path) -> list[float]:
    with av.open(str(path)) as file:
        file.streams.video[0].codec_context.thread_count = 1
        way = Way(file, file.streams.video[0], Job(walls=Walls(), shots=True), Trouble(time.process_time() + 600))
        found = survey(way)
    assert found["scene_count"] <= 240
    return [a for a, _, _ in found["scenes"]][1:]


def whole(path: Path) -> list[float]:
    return list(run(Job(walls=Walls(soft=600), task="shots"), open_file(path)).shots)[1:]


def transnet(path: Path) -> list[float]:
    from matinee.encoders import weights
    from matinee.encoders.transnet import load

    network = load(weights.require("shots"))
    with av.open(str(path)) as file:
        frames = [f.reformat(48, 27, format="rgb24", interpolation="AREA").to_ndarray() for f in file.decode(video=0)]
    return [int(c) / RATE for c in network.find(np.stack(frames))]


def said(total: np.ndarray) -> str:
    hits, found, wanted = total
    precision, recall = hits / max(found, 1), hits / max(wanted, 1)
    return f"{precision:.2f} {recall:.2f} {2 * precision * recall / max(precision + recall, 1e-9):.2f}"


def drawn(scores: dict[str, dict[str, float]]) -> str:
    """F1 by encoding and detector as bars, SVG."""
    colours = {"whole": "#4c72b0", "coded": "#dd8452", "transnet": "#55a868"}
    names = {"whole": "every frame", "coded": "as coded", "transnet": "TransNetV2"}
    detectors = list(next(iter(scores.values())))
    left, wide, bar = 250, 360, 14
    lines = []
    y = 40
    for name, row in scores.items():
        lines.append(f'<text x="{left - 10}" y="{y + bar * len(row) / 2 + 5}" text-anchor="end">{name}</text>')
        for detector in detectors:
            value = row[detector]
            lines.append(
                f'<rect x="{left}" y="{y}" width="{wide * value:.0f}" height="{bar - 2}" fill="{colours[detector]}"/>'
                f'<text x="{left + wide * value + 6:.0f}" y="{y + bar - 3}">{value:.2f}</text>'
            )
            y += bar
        y += 10
    key = "".join(
        f'<rect x="{left + 120 * n}" y="12" width="12" height="12" fill="{colours[d]}"/>'
        f'<text x="{left + 120 * n + 18}" y="22">{names[d]}</text>'
        for n, d in enumerate(detectors)
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="680" height="{y + 10}" viewBox="0 0 680 {y + 10}"'
    style = 'font-family="sans-serif" font-size="12" fill="#333"'
    title = "<title>Shots found, F1 by encoding</title>"
    return "\n".join(
        [f"{head} {style}>", title, '<rect width="100%" height="100%" fill="#fff"/>', key, *lines, "</svg>"]
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--films", type=int, default=3)
    parser.add_argument("--cuts", type=int, default=30)
    parser.add_argument("--dissolve", type=int, default=0)
    parser.add_argument("--transnet", action="store_true")
    parser.add_argument("--svg", type=Path, help="draw it into this file")
    given = parser.parse_args()
    root = os.environ.get("MATINEE_DATA")
    if not root:
        print("skipped: set MATINEE_DATA")
        return
    preload()
    shots = shots_of(Path(root) / "media" / "video")
    detectors = {"whole": whole, "coded": coded} | ({"transnet": transnet} if given.transnet else {})
    print(f"{len(shots)} shots, {given.films} films of {given.cuts} changes; precision, recall, F1; x real time")
    scores: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as place:
        for name, (codec, options) in ENCODINGS.items():
            totals = {d: np.zeros(3) for d in detectors}
            spent, seconds = dict.fromkeys(detectors, 0.0), 0.0
            for seed in range(given.films):
                frames, changes = film(shots, seed, given.cuts, given.dissolve)
                path = Path(place) / "film.mkv"
                write(path, frames, codec, options)
                seconds += len(frames) / RATE
                for detector, find in detectors.items():
                    begun = time.process_time()
                    found = find(path)
                    spent[detector] += time.process_time() - begun
                    totals[detector] += score(found, changes, 2 + given.dissolve // 2)
            scores[name] = {d: float(said(t).split()[2]) for d, t in totals.items()}
            row = "   ".join(f"{d}: {said(t)} ({seconds / spent[d]:.0f} x)" for d, t in totals.items())
            print(f"{name:38} {row}", flush=True)
    if given.svg:
        given.svg.write_text(drawn(scores) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
