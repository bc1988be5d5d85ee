"""Encoders in 8-bit integers against float: how fast and how alike, on real inputs.

    MATINEE_DATA=FOLDER python -m benchmarks.quantised [--only minilm,frames,sound]

MiniLM reads the titles and plots of MovieLens-1M, EfficientNet-Lite0 its posters, YAMNet the sound of the shared media.
Half of the inputs set the ranges, the other half is compared: the cosine of each vector with the float one, the share
of the ten nearest that stay, and the ratio of times on one thread, turn by turn, median of three.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from matinee.encoders import frames, quantise, sound, weights
from matinee.encoders.hub import export
from matinee.encoders.hub.load import load_hub, longest_of
from matinee.encoders.hub.spec import Hub, identify
from matinee.types import Clip

Made = tuple[bytes, quantise.How, Sequence[Mapping[str, Any]], str]


def minilm(root: Path) -> Made:
    from matinee.data.datasets.table import read_dataset
    from matinee.evaluation.encode import words

    hub = Hub(str(weights.require("minilm")))
    known, encoder = identify(hub), load_hub(hub)
    graph, about = export.exported(hub, known, encoder, longest_of(hub, known.checkpoint.folder))
    texts = [words(item) for item in list(read_dataset(root / "data/ml-1m").catalogue.values())[:512]]
    tokens = getattr(encoder, "tokens")  # noqa: B009
    made = [tokens(texts[i : i + 16]) for i in range(0, len(texts), 16)]
    return graph, "dynamic", [{name: feeds[name] for name in about["inputs"]} for feeds in made], export.OUTPUT


def efficientnet(root: Path) -> Made:
    from PIL import Image

    files = sorted((root / "data/ml-1m/posters").iterdir())[:320]
    clips = [Clip(frames=np.asarray(Image.open(file).convert("RGB"))[None]) for file in files]
    seen = list(frames.prepared(clips))
    parts = [{"pictures": np.stack(seen[i : i + 8])} for i in range(0, len(seen), 8)]
    return frames.network(weights.require("frames")), "static", parts, "features"


def yamnet(root: Path) -> Made:
    from matinee.errors import MatineeError
    from matinee.media.fence import Fence
    from matinee.media.read import read_clip

    heard = []
    with Fence() as fence:
        for file in sorted(p for p in (root / "media").rglob("*") if p.is_file()):
            try:
                clip = read_clip(file, fence).clip
            except MatineeError:
                continue
            heard += [sound.patches(clip.sound)] if clip.sound is not None else []
    rows = np.concatenate(heard)[:, None]
    rows = rows[np.random.default_rng(0).permutation(len(rows))][:320]
    return (
        sound.network(weights.require("sound")),
        "static",
        [{"patches": rows[i : i + 8]} for i in range(0, len(rows), 8)],
        "features",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="minilm,frames,sound")
    args = parser.parse_args()
    if "MATINEE_DATA" not in os.environ:
        parser.error("set MATINEE_DATA to the folder that holds data/ml-1m and media")
    root = Path(os.environ["MATINEE_DATA"])
    made = {"minilm": minilm, "frames": efficientnet, "sound": yamnet}
    for name in args.only.split(","):
        graph, how, given, output = made[name](root)
        with tempfile.TemporaryDirectory() as folder:
            verdict = quantise.made(graph, how, given, output, Path(folder))
            size = (Path(folder) / "int8.onnx").stat().st_size
        print(f"{name}: {verdict}; {len(graph) / 1e6:.0f} -> {size / 1e6:.0f} MB; used: {verdict.good}", flush=True)


if __name__ == "__main__":
    main()
