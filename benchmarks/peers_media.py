"""Ingest against the obvious pipeline: OpenCV or decord reads each frame, the same networks see some, librosa hears.

The peers run in the environment that ``--python`` names (opencv-python-headless, decord, librosa, onnxruntime, av), by
default in this one, and are left out where they cannot be imported. They get the very networks of Matinee as ONNX
files, one thread each, batches of eight; they look at ``--fps`` frames a second and hear all of the sound. Matinee does
more in its time: the fence, shots with pictures, fingerprints, text, tags, all in the database.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

QUICK = True

PEER = """
import json, resource, sys, time
import numpy as np
import onnxruntime as ort

way, fps, frames_net, sound_net, *paths = sys.argv[1:]
fps = float(fps)
options = ort.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
see = ort.InferenceSession(frames_net, options)
hear = ort.InferenceSession(sound_net, options)
import librosa

def opencv(path):
    import cv2
    cv2.setNumThreads(1)
    film = cv2.VideoCapture(path)
    rate, due, n = film.get(cv2.CAP_PROP_FPS) or 25.0, 0.0, 0
    while True:
        good, frame = film.read()
        if not good:
            return
        if n / rate >= due - 1e-6:
            due += 1 / fps
            height, width = frame.shape[:2]
            scale = 256 / min(height, width)
            small = cv2.resize(frame, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_CUBIC)
            yield small[:, :, ::-1]
        n += 1

def decord_all(path):
    import cv2, decord
    film = decord.VideoReader(path, num_threads=1)
    rate, due = film.get_avg_fps() or 25.0, 0.0
    for n in range(len(film)):
        frame = film[n].asnumpy()
        if n / rate >= due - 1e-6:
            due += 1 / fps
            scale = 256 / min(frame.shape[:2])
            size = (round(frame.shape[1] * scale), round(frame.shape[0] * scale))
            yield cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC)

def decord_some(path):
    import cv2, decord
    film = decord.VideoReader(path, num_threads=1)
    rate = film.get_avg_fps() or 25.0
    for n in np.arange(0, len(film), max(1.0, rate / fps)).astype(int):
        frame = film[int(n)].asnumpy()
        scale = 256 / min(frame.shape[:2])
        size = (round(frame.shape[1] * scale), round(frame.shape[0] * scale))
        yield cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC)

def sound_of(path):
    import av
    with av.open(path) as file:
        if not file.streams.audio:
            return None
        rate = file.streams.audio[0].rate
        parts = [np.atleast_2d(f.to_ndarray()) for f in file.decode(audio=0)]
        planes = file.streams.audio[0].codec_context.format.is_planar
        channels = file.streams.audio[0].channels
    joined = np.concatenate(parts, axis=1).astype(np.float32)
    if not planes and channels > 1:
        joined = joined.reshape(-1, channels).T
    return librosa.resample(joined.mean(axis=0), orig_sr=rate, target_sr=16000)

count = seen = 0
begun = time.perf_counter()
for path in paths:
    batch, rows = [], []
    for rgb in globals()[way](path):
        top, left = (rgb.shape[0] - 224) // 2, (rgb.shape[1] - 224) // 2
        cut = rgb[top:top + 224, left:left + 224].astype(np.float32)
        batch.append(((cut - 127) / 128).transpose(2, 0, 1))
        seen += 1
        if len(batch) == 8:
            rows.append(see.run(["features"], {"pictures": np.stack(batch)})[0])
            batch = []
    if batch:
        rows.append(see.run(["features"], {"pictures": np.stack(batch)})[0])
    heard = sound_of(path)
    if heard is not None and len(heard) > 16000:
        mel = librosa.feature.melspectrogram(y=heard, sr=16000, n_fft=512, hop_length=160, win_length=400,
                                             n_mels=64, fmin=125, fmax=7500, power=1.0, center=False)
        log = np.log(mel.T + 0.001).astype(np.float32)
        patches = np.lib.stride_tricks.sliding_window_view(log, 96, axis=0)[::48].swapaxes(1, 2)
        for at in range(0, len(patches), 32):
            hear.run(["features"], {"patches": np.ascontiguousarray(patches[at:at + 32])[:, None]})
    count += 1
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"wall": time.perf_counter() - begun, "cpu": used.ru_utime + used.ru_stime, "frames": seen}))
"""


def networks(place: Path) -> tuple[Path, Path]:
    """The networks that ingest runs, as files."""
    from matinee.encoders import frames, sound, weights
    from matinee.encoders.onnx import read_onnx, write_onnx
    from matinee.encoders.tensors import read_tensors

    seen = frames.build(read_tensors(weights.require("frames") / frames.CHECKPOINT))
    heard = sound.unrounded(read_onnx(weights.require("sound") / "model.onnx"))
    paths = place / "frames.onnx", place / "sound.onnx"
    for path, graph in zip(paths, (seen, heard), strict=True):
        path.write_bytes(write_onnx(graph))
    return paths


def peer(python: str, way: str, fps: float, nets: tuple[Path, Path], files: list[Path]) -> dict | None:
    environment = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    done = subprocess.run(
        [python, "-c", PEER, way, str(fps), *map(str, nets), *map(str, files)],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        print(f"{way}: left out ({(done.stderr.strip().splitlines() or ['it ended'])[-1]})")
        return None
    found: dict = json.loads(done.stdout.strip().splitlines()[-1])
    return found


OURS = """
import json, resource, sys, tempfile, time
from pathlib import Path
from matinee.ingest import ingest
from matinee.settings import Library
from matinee.store import open_store
with tempfile.TemporaryDirectory() as place:
    library = Library.create(Path(place))
    if sys.argv[1] == "off":
        (Path(place) / "matinee.toml").write_text("[reading]\\nshots = false\\n")
        library = Library.open(Path(place))
    store = open_store(library.database)
    begun = time.perf_counter()
    report = ingest(library, store, [Path(p) for p in sys.argv[2:]])
    wall = time.perf_counter() - begun
    store.close()
used = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(json.dumps({"wall": wall, "cpu": sum(u.ru_utime + u.ru_stime for u in used), "taken": report.taken,
                  "seconds": report.media_seconds}))
"""


def ours(shots: str, files: list[Path]) -> dict:
    environment = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    done = subprocess.run(
        [sys.executable, "-c", OURS, shots, *map(str, files)],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    found: dict = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--fps", type=float, default=2.0)
    parser.add_argument("--film", type=Path, nargs="*", default=[], help="other files instead of MATINEE_DATA's")
    given = parser.parse_args()
    root = os.environ.get("MATINEE_DATA")
    if not root and not given.film:
        print("skipped: set MATINEE_DATA or name files")
        return
    missing = subprocess.run(
        [given.python, "-c", "import cv2, librosa, onnxruntime, av"], capture_output=True, check=False
    )
    if missing.returncode:
        print("skipped: the peers are not installed (opencv-python-headless, librosa, onnxruntime, decord; --python)")
        return
    files = given.film or sorted((Path(root or "") / "media" / "video").iterdir())
    with tempfile.TemporaryDirectory() as place:
        nets = networks(Path(place))
        own = ours("on", files)
        seconds = own["seconds"]
        print(f"{own['taken']} files, {seconds:.0f} s of video; processor seconds (clock)")
        print(f"Matinee, all of it: {own['cpu']:.1f} ({own['wall']:.1f}) = {seconds / own['cpu']:.0f} x real time")
        plain = ours("off", files)
        print(f"Matinee without shots: {plain['cpu']:.1f} ({plain['wall']:.1f})")
        for way in ("opencv", "decord_all", "decord_some"):
            if (found := peer(given.python, way, given.fps, nets, files)) is not None:
                print(
                    f"{way}: {found['cpu']:.1f} ({found['wall']:.1f}), {found['frames']} frames seen ="
                    f" {found['cpu'] / own['cpu']:.1f} x Matinee, {found['cpu'] / plain['cpu']:.1f} x it without shots"
                )


if __name__ == "__main__":
    main()
