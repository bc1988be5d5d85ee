"""A served library under load: slates a second, percentiles, freshness, overload, memory. Needs ``wrk``.

    python -m benchmarks.load speed    [--items 10000] [--dim 128] [--keep FOLDER] [--workers 2] [--seconds 10]
    python -m benchmarks.load half     ...  p50 and p99 at about half of the peak
    python -m benchmarks.load fresh    ...  from an event to a slate without the item, under that load
    python -m benchmarks.load overload ...  ten times the connections that the peak needs, and after
    python -m benchmarks.load soak     ...  memory before and after --seconds of the peak

Beside every rate stand the processor time a request, and how long the server's threads were ready and had no core: on a
machine that others use too, the first is what to believe, and the second is what percentiles are made of. The load
generator takes a share of the same cores: "wrk ms", processor time a request.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from benchmarks.library import HISTORIES, fill

SCRIPT = Path(__file__).parent / "slates.lua"
TICK = os.sysconf("SC_CLK_TCK")
TOLD = re.compile(r"STATUS (\d+) (\d+) (\d+) SECONDS ([\d.]+) P50 ([\d.]+) P99 ([\d.]+)")


@dataclass
class Served:
    url: str
    process: subprocess.Popen[str]

    def processes(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *map(int, children)]

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        total = 0
        for pid in self.processes():
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICK

    def waited(self) -> float:
        """Seconds that threads were ready so far and had no core."""
        total = 0
        for task in [task for pid in self.processes() for task in Path(f"/proc/{pid}/task").iterdir()]:
            with suppress(OSError):  # a thread that has ended since
                total += int((task / "schedstat").read_text().split()[1])
        return total / 1e9

    def memory(self) -> float:
        """MB, what processes share counted once for each (proportional set size)."""
        told = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in self.processes()]
        return sum(int(re.search(r"Pss:\s+(\d+)", one)[1]) for one in told) / 1024  # type: ignore[index]


@contextmanager
def served(folder: Path, workers: int) -> Iterator[Served]:
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "MATINEE_LANG": "en", "MATINEE_CACHE": str(folder / "no-cache")}
    process = subprocess.Popen(
        [sys.executable, "-m", "matinee", "serve", "--port", "0", "--workers", str(workers), "--library", str(folder)],
        stderr=subprocess.PIPE, text=True, env=environ,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        while not (line := process.stderr.readline()).startswith("Matinee is at"):
            assert line, "the server did not start"
        yield Served(line.split()[3], process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def wrk(server: Served, connections: int, seconds: float, history: str = "mixed", pause: int = 0) -> dict[str, float]:
    """Slates for a while: what came back, a second and in percentiles, and processor milliseconds a request."""
    before, waited, own = server.cpu(), server.waited(), os.times()
    load = [f"-c{connections}", f"-d{max(round(seconds), 1)}s"]
    told = subprocess.run(
        ["wrk", "-t1", *load, "--timeout", "30s", "-s", str(SCRIPT), server.url],
        capture_output=True, text=True, check=True,
        env={**os.environ, "HISTORY": history, "PAUSE": str(pause)},
    ).stdout  # fmt: skip
    ok, busy, other, took, p50, p99 = map(float, TOLD.search(told).groups())  # type: ignore[union-attr]
    spent = os.times()
    generator = spent.children_user + spent.children_system - own.children_user - own.children_system
    cpu = (server.cpu() - before) / max(ok, 1) * 1000
    wait = (server.waited() - waited) / max(ok, 1) * 1000
    rates = {"ok/s": ok / took, "busy/s": busy / took, "other/s": other / took}
    return {**rates, "p50": p50, "p99": p99, "cpu ms": cpu, "wait ms": wait, "wrk ms": generator / max(ok, 1) * 1000}


def told(name: str, result: dict[str, float]) -> None:
    print(f"{name:24}", "  ".join(f"{key} {value:.1f}" for key, value in result.items()),
          f" load {os.getloadavg()[0]:.1f}", flush=True)  # fmt: skip


def speed(server: Served, seconds: float) -> None:
    for history in (*map(str, HISTORIES), "mixed"):
        told(f"history {history}", wrk(server, 8, seconds, history))


def half(server: Served, seconds: float) -> None:
    peak = wrk(server, 8, seconds / 2)
    told("peak", peak)
    connections = 8
    pause = max(1, round(1000 * connections / (peak["ok/s"] / 2) - 1000 * connections / peak["ok/s"]))
    told("half of it", wrk(server, connections, seconds, pause=pause))


def fresh(server: Served, seconds: float) -> None:
    """One user after the other dislikes the first item of a slate and asks again."""
    peak = wrk(server, 8, seconds / 3)
    pause = max(1, round(8000 / (peak["ok/s"] / 2)))
    load = subprocess.Popen(
        ["wrk", "-t1", "-c8", f"-d{max(round(seconds), 1)}s", "-s", str(SCRIPT), server.url],
        stdout=subprocess.DEVNULL, env={**os.environ, "PAUSE": str(pause)},
    )  # fmt: skip
    place = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(place.hostname), place.port)
    took: list[float] = []
    wrote: list[float] = []
    until, k = time.monotonic() + seconds - 1, 0
    while time.monotonic() < until:
        user = f"10-{k % 50}"
        k += 1
        first = _items(connection, user)[0]
        started = time.perf_counter()
        event = {"id": f"fresh-{os.getpid()}-{k}", "user": user, "item": first, "kind": "dislike"}
        connection.request("POST", "/api/v1/events", json.dumps(event), {"content-type": "application/json"})
        answer = connection.getresponse()
        assert answer.status == 202, answer.read()
        answer.read()
        written = time.perf_counter()
        assert first not in _items(connection, user)
        took.append(time.perf_counter() - started)
        wrote.append(written - started)
    load.wait()
    for name, values in (("event taken in", wrote), ("event to changed slate", took)):
        told(name, {"n": len(values), "p50": 1000 * np.percentile(values, 50), "p99": 1000 * np.percentile(values, 99)})


def _items(connection: http.client.HTTPConnection, user: str) -> list[str]:
    connection.request("GET", f"/api/v1/users/{user}/recommendations?n=20")
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, body
    return [item["item"] for item in json.loads(body)["items"]]


def overload(server: Served, seconds: float) -> None:
    peak = wrk(server, 16, seconds)
    told("peak, 16 connections", peak)
    flood = wrk(server, 1600, seconds)
    told("1,600 connections", flood)
    print(f"goodput under overload: {100 * flood['ok/s'] / peak['ok/s']:.0f}% of the peak")
    started = time.monotonic()
    while (after := wrk(server, 16, 1))["ok/s"] < 0.8 * peak["ok/s"] and time.monotonic() - started < 30:
        pass
    print(f"back to 80% of the peak within {time.monotonic() - started:.1f} s ({after['ok/s']:.0f}/s)")


def soak(server: Served, seconds: float) -> None:
    wrk(server, 8, 20)
    before = server.memory()
    for part in range(4):
        result = wrk(server, 8, seconds / 4)
        told(f"soak {part + 1}/4", {**result, "MB": server.memory()})
    print(f"memory {before:.0f} -> {server.memory():.0f} MB ({100 * (server.memory() / before - 1):+.1f}%)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "half", "fresh", "overload", "soak"], nargs="+")
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10)
    asked = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("This needs wrk (Debian: apt-get install wrk).")
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.keep or Path(scratch)
        fill(folder, asked.items, asked.dim)
        with served(folder, asked.workers) as server:
            print(f"{asked.items} items x {asked.dim}, {asked.workers} workers, {server.memory():.0f} MB")
            for what in asked.what:
                globals()[what](server, asked.seconds)


if __name__ == "__main__":
    main()
