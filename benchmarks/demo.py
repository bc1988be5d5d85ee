"""``matinee demo`` cold and warm: seconds by step, processor seconds, bytes that travel and bytes on the disk.

    python -m benchmarks.demo

Cold is an empty cache and an empty library; the environment is the one that runs this. Needs the package registry.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from matinee.demo.manifest import manifest
from matinee.encoders import weights

STEPS = ("1/4", "2/4", "3/4", "4/4", "http://")


def start(folder: Path, port: int) -> dict[str, float]:
    """Runs the demo until it listens. Seconds from its start to each step, and the processor seconds of it all."""
    env = {**os.environ, "HOME": str(folder), "MATINEE_CACHE": str(folder / "cache"), "MATINEE_LANG": "en"}
    command = [sys.executable, "-m", "matinee", "demo", "-L", str(folder / "demo"), "-p", str(port)]
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env)
    told: dict[str, float] = {}
    lines: list[str] = []
    assert child.stderr
    for line in child.stderr:
        lines.append(line)
        for step in STEPS:
            if step in line:
                told[step] = time.monotonic() - begun
        if STEPS[-1] in line:
            break
    if STEPS[-1] not in told:
        raise SystemExit("".join(lines))
    answers(port)
    child.send_signal(signal.SIGINT)
    child.communicate()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    told["processor"] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    told["peak_mb"] = after.ru_maxrss / 1024
    return told


def answers(port: int) -> None:
    """Returns once the server answers."""
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/health", timeout=60):
                return
        except OSError:
            time.sleep(0.1)


def size(folder: Path) -> float:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir()) / 1e6


def main() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="matinee-bench-"))
    try:
        cold, warm = start(folder, port), min((start(folder, port) for _ in range(3)), key=lambda t: t[STEPS[-1]])
        travels = sum(pin.size for pin in manifest().wheels.values())
        travels += sum(weights.checkpoint(name).download for name in weights.DEFAULT)
        print(json.dumps({
            "cold": cold, "warm": warm, "load": os.getloadavg()[0], "cores": os.cpu_count(),
            "download_mb": travels / 1e6, "cache_mb": size(folder / "cache"), "library_mb": size(folder / "demo"),
            "environment_mb": size(Path(sys.prefix)),
        }, indent=2))  # fmt: skip
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
