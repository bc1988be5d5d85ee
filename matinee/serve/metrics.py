"""Counts and times for Prometheus, in its text format. No label holds an id of a user or an item."""

from __future__ import annotations

import os
import threading
import time
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
Labels = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Histogram:
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0

    def add(self, seconds: float) -> None:
        self.buckets[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds


class Told(msgspec.Struct, array_like=True):
    """The counts of one process, as it writes them down for the others."""

    counts: list[tuple[str, Labels, float]]
    times: list[tuple[str, Labels, list[int], float]]


class Metrics:
    """Thread-safe. A handful of series: routes are named by their pattern, not by what was asked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, Labels], float] = {}
        self._times: dict[tuple[str, Labels], Histogram] = {}
        self._shared: Path | None = None
        self._told = 0.0

    def share(self, folder: Path) -> None:
        """From now on these counts are told in a file of the folder, once a second at most, and ``text`` adds up those
        of all processes that do the same: whichever worker is asked, it answers for all."""
        self._shared = folder / f"{os.getpid()}.json"

    def tell(self) -> None:
        """Writes the counts down when they are shared and a second has passed."""
        now = time.monotonic()
        if self._shared is None or now - self._told < 1:
            return
        self._told = now
        with self._lock:
            counts = [(name, labels, value) for (name, labels), value in self._counts.items()]
            times = [(name, labels, t.buckets, t.total) for (name, labels), t in self._times.items()]
            beside = self._shared.with_suffix(".new")
            beside.write_bytes(msgspec.json.encode(Told(counts, times)))
            beside.replace(self._shared)

    def _together(self) -> Metrics:
        """The sum of the counts of all workers; of the others as they were about a second ago."""
        if self._shared is None:
            return self
        whole = Metrics()
        with self._lock:
            whole._counts = dict(self._counts)
            whole._times = {key: Histogram(list(t.buckets), t.total) for key, t in self._times.items()}
        for file in self._shared.parent.glob("*.json"):
            if file == self._shared:
                continue
            told = msgspec.json.decode(file.read_bytes(), type=Told)
            for name, labels, value in told.counts:
                whole._counts[name, labels] = whole._counts.get((name, labels), 0) + value
            for name, labels, buckets, total in told.times:
                times = whole._times.setdefault((name, labels), Histogram())
                times.buckets = [a + b for a, b in zip(times.buckets, buckets, strict=True)]
                times.total += total
        return whole

    def count(self, name: str, by: float = 1, **labels: str) -> None:
        key = (name, tuple(sorted(labels.items())))
        with self._lock:
            self._counts[key] = self._counts.get(key, 0) + by

    def time(self, name: str, seconds: float, **labels: str) -> None:
        key = (name, tuple(sorted(labels.items())))
        with self._lock:
            self._times.setdefault(key, Histogram()).add(seconds)

    def text(self, gauges: Iterable[tuple[str, float]] = ()) -> str:
        """The exposition; ``gauges`` are values as of now."""
        return self._together()._text(gauges)

    def _text(self, gauges: Iterable[tuple[str, float]]) -> str:
        lines: list[str] = []
        with self._lock:
            for (name, labels), value in sorted(self._counts.items()):
                lines.append(f"{_headed(lines, name, 'counter')}{name}{_labels(labels)} {value:g}")
            for (name, labels), times in sorted(self._times.items()):
                head = _headed(lines, name, "histogram")
                lines.append(f"{head}{name}_bucket{_labels((*labels, ('le', f'{BOUNDS[0]:g}')))} {times.buckets[0]}")
                running = times.buckets[0]
                for bound, count in zip((*BOUNDS[1:], float("inf")), times.buckets[1:], strict=True):
                    running += count
                    le = "+Inf" if bound == float("inf") else f"{bound:g}"
                    lines.append(f"{name}_bucket{_labels((*labels, ('le', le)))} {running}")
                lines.append(f"{name}_sum{_labels(labels)} {times.total:.6f}")
                lines.append(f"{name}_count{_labels(labels)} {running}")
        for name, value in gauges:
            lines.append(f"# TYPE {name} gauge\n{name} {value:g}")
        return "\n".join(lines) + "\n"


def _headed(lines: list[str], name: str, kind: str) -> str:
    head = f"# TYPE {name} {kind}\n"
    return "" if any(line.startswith(head) for line in lines) else head


def _labels(labels: Labels) -> str:
    told = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)
    return f"{{{told}}}" if told else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
