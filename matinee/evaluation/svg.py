"""Plots as SVG text: bars with intervals, curves, points. No library, no script, colours from the page's style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import isfinite

from matinee.evaluation.significance import Estimate

WIDTH, ROW, LEFT, RIGHT = 720, 26, 150, 90
COLOURS = 8  # classes c0..c7 in the page's style


@dataclass(frozen=True, slots=True)
class Scale:
    """Values from ``low`` to ``high`` onto pixels from ``start`` to ``stop``."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        span = (self.high - self.low) or 1.0
        return round(self.start + (value - self.low) / span * (self.stop - self.start), 1)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers in [low, high], at most ``most``."""
    span = high - low
    if span <= 0 or not isfinite(span):
        return [low]
    step = 10.0**-12
    for power in range(-12, 13):
        for digit in (1, 2, 5):
            step = digit * 10.0**power
            if span / step <= most - 1:
                first = int(low / step) - 1
                return [round(k * step, 12) for k in range(first, first + most + 3) if low <= k * step <= high + 1e-12]
    return [low, high]


def bars(rows: Sequence[tuple[str, Estimate]], title: str) -> str:
    """A bar a row with its interval as a whisker and its value in words."""
    known = [(name, e) for name, e in rows if isfinite(e.value)]
    highs = [e.high if e.high is not None else e.value for _, e in known]
    lows = [min(e.low if e.low is not None else e.value, e.value) for _, e in known]
    scale = Scale(min(0.0, *lows, 0.0), max([*highs, 1e-9]), LEFT, WIDTH - RIGHT)
    height = ROW * len(known) + 34
    out = [_open(WIDTH, height, title)]
    for tick in ticks(scale.low, scale.high):
        x = scale(tick)
        out.append(f'<line class="grid" x1="{x}" y1="4" x2="{x}" y2="{height - 28}"/>')
        out.append(f'<text class="tick" x="{x}" y="{height - 12}" text-anchor="middle">{tick:g}</text>')
    for at, (name, e) in enumerate(known):
        y = 8 + at * ROW
        zero, end = scale(0.0), scale(e.value)
        out.append(f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>')
        out.append(
            f'<rect class="bar" x="{min(zero, end)}" y="{y}" width="{round(abs(end - zero), 1)}" height="18" rx="2"/>'
        )
        right = end
        if e.low is not None and e.high is not None and isfinite(e.low) and isfinite(e.high):
            a, right = scale(e.low), scale(e.high)
            out.append(f'<path class="whisker" d="M{a} {y + 9}H{right}M{a} {y + 5}v8M{right} {y + 5}v8"/>')
        out.append(f'<text class="value" x="{max(right, zero) + 6}" y="{y + 14}">{e.value:.4f}</text>')
    return "".join([*out, "</svg>"])


def curves(lines: Mapping[str, Sequence[tuple[float, Estimate]]], title: str, across: str) -> str:
    """Lines over evenly spaced steps, named by their x; a legend on the right."""
    steps = sorted({x for line in lines.values() for x, _ in line})
    top = max([e.value for line in lines.values() for _, e in line if isfinite(e.value)], default=1.0) or 1.0
    height, bottom = max(320, 40 + 20 * len(lines)), 270
    right = WIDTH - 170
    across_scale, up = Scale(0, max(len(steps) - 1, 1), 60, right), Scale(0, top * 1.05, bottom, 12)
    out = [_open(WIDTH, height, title)]
    for tick in ticks(0, top * 1.05):
        out.append(f'<line class="grid" x1="60" y1="{up(tick)}" x2="{right}" y2="{up(tick)}"/>')
        out.append(f'<text class="tick" x="52" y="{up(tick) + 4}" text-anchor="end">{tick:g}</text>')
    for at, step in enumerate(steps):
        out.append(f'<text class="tick" x="{across_scale(at)}" y="{bottom + 18}" text-anchor="middle">{step:g}</text>')
    out.append(
        f'<text class="tick" x="{(60 + right) / 2}" y="{bottom + 38}" text-anchor="middle">{escape(across)}</text>'
    )
    for at, (name, line) in enumerate(lines.items()):
        points = [(across_scale(steps.index(x)), up(e.value)) for x, e in line if isfinite(e.value)]
        dash = " dash" if at >= COLOURS else ""  # the colours come round
        path = " ".join(f"{x},{y}" for x, y in points)
        out.append(f'<polyline class="line c{at % COLOURS}{dash}" points="{path}"/>')
        out += [f'<circle class="dot c{at % COLOURS}" cx="{x}" cy="{y}" r="3"/>' for x, y in points]
        y = 22 + at * 20
        out.append(f'<circle class="dot c{at % COLOURS}" cx="{right + 22}" cy="{y - 4}" r="5"/>')
        out.append(f'<text x="{right + 34}" y="{y}">{escape(name)}</text>')
    return "".join([*out, "</svg>"])


def points(dots: Sequence[tuple[str, float, float]], title: str, across: str, up: str) -> str:
    """Named points of two measures."""
    known = [d for d in dots if isfinite(d[1]) and isfinite(d[2])]
    height, bottom, right = 340, 290, WIDTH - 120
    xs, ys = [x for _, x, _ in known] or [0.0], [y for _, _, y in known] or [0.0]
    x_scale, y_scale = Scale(0, max(xs) * 1.05 or 1, 70, right), Scale(0, max(ys) * 1.05 or 1, bottom, 12)
    out = [_open(WIDTH, height, title)]
    for tick in ticks(0, y_scale.high):
        out.append(f'<line class="grid" x1="70" y1="{y_scale(tick)}" x2="{right}" y2="{y_scale(tick)}"/>')
        out.append(f'<text class="tick" x="62" y="{y_scale(tick) + 4}" text-anchor="end">{tick:g}</text>')
    for tick in ticks(0, x_scale.high):
        out.append(f'<line class="grid" x1="{x_scale(tick)}" y1="12" x2="{x_scale(tick)}" y2="{bottom}"/>')
        out.append(f'<text class="tick" x="{x_scale(tick)}" y="{bottom + 18}" text-anchor="middle">{tick:g}</text>')
    out.append(
        f'<text class="tick" x="{(70 + right) / 2}" y="{bottom + 40}" text-anchor="middle">{escape(across)}</text>'
    )
    out.append(
        f'<text class="tick" x="16" y="150" text-anchor="middle" transform="rotate(-90 16 150)">{escape(up)}</text>'
    )
    labels: list[tuple[float, float]] = []
    for at, (name, x, y) in sorted(enumerate(known), key=lambda dot: -dot[1][2]):
        left, down = x_scale(x), y_scale(y) + 4
        while any(abs(left - other) < 140 and abs(down - lower) < 12 for other, lower in labels):
            down += 1  # below the name that is in its way
        labels.append((left, down))
        out.append(f'<circle class="dot c{at % COLOURS}" cx="{left}" cy="{y_scale(y)}" r="5"/>')
        out.append(f'<text x="{left + 8}" y="{down}">{escape(name)}</text>')
    return "".join([*out, "</svg>"])


def _label(x: float, y: float, words: str, more: str = "") -> str:
    return f'<text class="tick" x="{x}" y="{y}" text-anchor="middle"{more}>{escape(words)}</text>'


def _open(width: int, height: int, title: str) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title, quote=True)}"'
        f' xmlns="http://www.w3.org/2000/svg"><title>{escape(title)}</title>'
    )
