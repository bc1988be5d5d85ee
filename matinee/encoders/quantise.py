"""Networks in 8-bit integers: made once, checked against the float network on real inputs, and used only where they
answer alike and faster.

Dynamic quantisation for networks of matrix products (weights by channel, inputs as they come), static for networks of
convolutions (ranges taken from sample inputs). What is made and what the check found lie in the cache folder under the
digest of the float network, so a second start only reads them. Needs the package onnx where something is to be made.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from matinee.encoders.onnx import open_session
from matinee.errors import MatineeError
from matinee.settings import cache_folder
from matinee.types import Floats

log = logging.getLogger("matinee.encoders")
How = Literal["dynamic", "static"]
Feeds = Mapping[str, NDArray[Any]]
COSINE, OVERLAP, SPEED = 0.98, 0.85, 1.1  # the least that a quantised network must reach
NEIGHBOURS = 10
VERSION = "1"  # of how it is made and checked


@dataclass(frozen=True, slots=True)
class Verdict:
    """Over ``inputs`` of the check: the mean and the worst ``cosine`` with the float vectors, the share of the ten
    nearest ``neighbours`` that stay, and how many times as fast it is."""

    inputs: int
    cosine: float
    worst: float
    neighbours: float
    speed: float

    @property
    def good(self) -> bool:
        return self.cosine >= COSINE and self.neighbours >= OVERLAP and self.speed >= SPEED

    def __str__(self) -> str:
        return (
            f"cosine {self.cosine:.4f} (worst {self.worst:.4f}), {self.neighbours:.0%} of the nearest ten, "
            f"{self.speed:.2f} times as fast, on {self.inputs} inputs"
        )


def session(graph: bytes, how: How, samples: Callable[[], Sequence[Feeds]], output: str) -> Any:
    """An ONNX Runtime session of ``graph``: of its quantised version where that passed its check, else of itself, with
    one line in the log that says why. ``samples``: real inputs, batch by batch, half to take ranges from and half to
    check on; at least 32 rows. ``output``: the (n, dim) output that is compared. Raises ``int8.extra``."""
    folder = place(graph)
    verdict = kept(folder)
    if verdict is None:
        given = list(samples())
        if sum(len(next(iter(feeds.values()))) for feeds in given) < 32:
            log.warning("int8: there are no 32 real inputs yet to check the quantised network on; float is used")
            return open_session(graph)
        verdict = made(graph, how, given, output, folder)
    if not verdict.good:
        log.warning("int8: not used, the check found %s; float is used", verdict)
        return open_session(graph)
    log.info("int8: %s", verdict)
    return open_session(folder / "int8.onnx")


def place(graph: bytes) -> Path:
    """Where the quantised version of a network on this kind of machine is kept."""
    import onnxruntime

    about = f"{VERSION} {onnxruntime.__version__} {platform.machine()} {processor()}"
    return cache_folder() / "int8" / hashlib.sha256(graph + about.encode()).hexdigest()[:32]


def processor() -> str:
    """What decides whether 8 bits are faster: the processor's instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    flags = next((line.split() for line in lines if line.startswith(("flags", "Features"))), [])
    return " ".join(sorted(flag for flag in flags if flag.startswith(("avx", "amx", "asimd", "i8mm"))))


def kept(folder: Path) -> Verdict | None:
    try:
        told = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
        digest = told.pop("digest")
        verdict = Verdict(**told)
        whole = hashlib.sha256((folder / "int8.onnx").read_bytes()).hexdigest() == digest
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return verdict if whole else None


def made(graph: bytes, how: How, given: Sequence[Feeds], output: str, folder: Path) -> Verdict:
    """Quantises, checks and keeps. A minute for a network of a hundred megabytes."""
    learn, check = given[::2], given[1::2] or given
    with tempfile.TemporaryDirectory() as work:
        source, target = Path(work) / "float.onnx", Path(work) / "int8.onnx"
        source.write_bytes(graph)
        quantise(source, target, how, learn)
        blob = target.read_bytes()
    verdict = compared(open_session(graph), open_session(blob), check, output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write(folder / "int8.onnx", blob)
        told = {**asdict(verdict), "digest": hashlib.sha256(blob).hexdigest()}
        write(folder / "verdict.json", json.dumps(told, indent=1).encode())
    except OSError as error:
        raise MatineeError(
            "int8.unwritable",
            f"The quantised network cannot be kept in {folder}: {error.strerror}. Free some space, or use float.",
            f"无法将量化模型保存到 {folder}：{error.strerror}。请释放空间，或改用 float。",
            exit_code=1,
        ) from error
    return verdict


def write(file: Path, blob: bytes) -> None:
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    part.write_bytes(blob)
    part.replace(file)


def quantise(source: Path, target: Path, how: How, learn: Sequence[Feeds]) -> None:
    """Raises ``int8.extra`` where onnx is not installed."""
    try:
        import onnxruntime.quantization as q
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise MatineeError(
            "int8.extra",
            f'Quantising needs {error.name}. Install it with: pip install "matinee[int8]"',
            f'量化需要 {error.name}。请安装：pip install "matinee[int8]"',
            status=503,
            exit_code=1,
        ) from error
    root, level, handlers = logging.getLogger(), logging.getLogger().level, list(logging.getLogger().handlers)
    root.setLevel(logging.ERROR)  # it advises on the root logger, and puts a handler there
    try:
        if how == "dynamic":
            q.quantize_dynamic(str(source), str(target), weight_type=q.QuantType.QInt8, per_channel=True)
            return
        ready = source.with_name("ready.onnx")
        quant_pre_process(str(source), str(ready), skip_symbolic_shape=True)

        class Reader(q.CalibrationDataReader):  # type: ignore[misc]
            def __init__(self) -> None:
                self.rest: Iterator[Feeds] = iter(learn)

            def get_next(self) -> Any:
                return next(self.rest, None)

        q.quantize_static(
            str(ready), str(target), Reader(), quant_format=q.QuantFormat.QDQ, per_channel=True,
            activation_type=q.QuantType.QUInt8, weight_type=q.QuantType.QInt8,
            op_types_to_quantize=["Conv", "Add", "Clip", "Relu"],
        )  # fmt: skip
    finally:
        root.setLevel(level)
        for handler in [h for h in root.handlers if h not in handlers]:
            root.removeHandler(handler)


def compared(exact: Any, quick: Any, check: Sequence[Feeds], output: str, rounds: int = 3) -> Verdict:
    """Both on the same inputs, turn by turn; the speed is the median over rounds."""
    vectors: tuple[list[Floats], list[Floats]] = ([], [])
    seconds = np.zeros((rounds, 2))
    for k in range(rounds):
        for at, network in enumerate((exact, quick)):
            for feeds in check:
                begun = time.perf_counter()
                rows = network.run([output], dict(feeds))[0]
                seconds[k, at] += time.perf_counter() - begun
                if k == 0:
                    vectors[at].append(np.asarray(rows, np.float32))
    first, second = (unit(np.concatenate(v)) for v in vectors)
    cosine = np.einsum("ij,ij->i", first, second)
    speed = float(np.median(seconds[:, 0] / np.maximum(seconds[:, 1], 1e-9)))
    return Verdict(len(first), float(cosine.mean()), float(cosine.min()), overlap(first, second), round(speed, 3))


def overlap(first: Floats, second: Floats) -> float:
    """The share of each row's nearest rows, itself left out, that are the same in both."""
    k = min(NEIGHBOURS, len(first) - 1)
    near = []
    for rows in (first, second):
        likeness = rows @ rows.T
        np.fill_diagonal(likeness, -np.inf)
        near.append(np.argsort(-likeness, axis=1, kind="stable")[:, :k])
    same = [len(set(a) & set(b)) for a, b in zip(near[0].tolist(), near[1].tolist(), strict=True)]
    return float(np.mean(same) / max(k, 1))


def unit(rows: Floats) -> Floats:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12), np.float32)
