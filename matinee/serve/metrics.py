"""Counts and times for Prometheus, in its text format. No label holds an id of a user or an item."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
Labels = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Histogram:
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0

    def add(self, seconds: float) -> None:
        self.buckets[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds


class Metrics:
    """Thread-safe. A handful of series: routes are named by their pattern, not by what was asked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, Labels], float] = {}
        self._times: dict[tuple[str, Labels], Histogram] = {}

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
