"""Where shots begin, without decoding a whole film: keyframes are decoded, the packets between them only counted.

A cut makes the pictures before and after it differ, and it costs the coder: it sets a keyframe out of its rhythm there,
or spends many more bytes on one frame than on its neighbours. Where both agree, there is a cut. After Arman, Hsu and
Chiu 1993, "Image processing on compressed data for large video databases" (ACM Multimedia), and Yeo and Liu 1995,
"Rapid scene analysis on compressed video" (IEEE CSVT 5/6).
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

import numpy as np

from matinee.types import Bools, Doubles, Floats, Ints

APART = 0.9  # seconds between keyframes from which a change may be told by their pictures alone
PACKETS = 4_000_000  # a file of more packets is followed no further


@dataclass(slots=True)
class Packets:
    """A table of packets in the order they are stored: ``at`` seconds, ``size`` bytes, ``key`` whether a keyframe."""

    at: array[float] = field(default_factory=lambda: array("d"))
    size: array[int] = field(default_factory=lambda: array("q"))
    key: array[int] = field(default_factory=lambda: array("b"))

    def add(self, at: float, size: int, key: bool) -> None:
        self.at.append(at)
        self.size.append(size)
        self.key.append(key)

    def __len__(self) -> int:
        return len(self.at)


@dataclass(frozen=True, slots=True)
class CodedCuts:
    """``differ``: how far two keyframes must differ (of 255) for a cut to lie between them, when the coder shows one;
    ``alone``: how far when it shows none; half as far where that is three times what is usual there and the keyframes
    are a second apart. At a cut a frame takes ``spike`` times the bytes of the largest but one of its neighbours within
    ``beside`` seconds, ``usual`` times those of the upper quarter within twice that, and ``share`` of a keyframe's;
    ``shortest`` seconds of a shot."""

    differ: float = 10.0
    alone: float = 40.0
    spike: float = 1.5
    usual: float = 3.0
    share: float = 0.2
    beside: float = 0.5
    shortest: float = 0.2

    def find(self, packets: Packets, seen: Ints, signs: Floats) -> list[float]:
        """Seconds at which shots begin (never the first). ``seen``: (k,) positions of the packets that were decoded,
        ascending; ``signs``: (k, d) what was seen there (``shots.features``)."""
        if len(seen) < 2:
            return []
        at, size = np.array(packets.at), np.array(packets.size, np.float64)
        key = np.array(packets.key, np.bool_)
        odd, spikes = irregular(at, key), self.spikes(at, size, key)
        changed = np.abs(np.diff(signs, axis=0)).mean(axis=1)
        found: list[float] = []
        for k in np.flatnonzero(changed >= self.differ).tolist():
            inside = np.arange(seen[k] + 1, seen[k + 1] + 1)
            told = inside[odd[inside] | spikes[inside]]
            beside = np.concatenate([changed[max(0, k - 5) : k], changed[k + 1 : k + 6]])
            apart = at[seen[k + 1]] - at[seen[k]] >= APART
            usual = float(np.median(beside)) if len(beside) and apart else self.alone
            if len(told):
                found += begins(at, key, told).tolist()
            elif changed[k] >= min(self.alone, max(self.alone / 2, 3 * usual)):
                found.append(float(at[seen[k + 1]]))
        last = np.arange(seen[-1] + 1, len(at))  # no keyframe comes after these to compare with
        found += begins(at, key, last[spikes[last]]).tolist()
        kept: list[float] = []
        for moment in sorted(found):
            if moment - (kept[-1] if kept else float(at[seen[0]])) >= self.shortest:
                kept.append(moment)
        return kept

    def spikes(self, at: Doubles, size: Doubles, key: Bools) -> Bools:
        """Which packets that are no keyframes stand out over those of the second before and after."""
        out = np.zeros(len(at), np.bool_)
        plain = np.flatnonzero(~key)
        if len(plain) < 8:
            return out
        span = float(at.max() - at.min())
        wide = int(np.clip(round(len(at) / max(span, 1e-6) * self.beside), 4, 60))
        sizes = size[plain]
        next_largest, upper = around(sizes, wide)
        least = self.share * float(np.median(size[key])) if key.any() else 0.0
        out[plain] = (sizes >= self.spike * next_largest) & (sizes >= self.usual * upper) & (sizes >= least)
        return out


def begins(at: Doubles, key: Bools, told: Ints) -> Doubles:
    """When the shot begins that a packet tells of: a keyframe's own moment; of another frame the middle of what was
    not shown yet when it was coded, for frames between two anchors are coded after both."""
    latest = np.maximum.accumulate(np.concatenate([at[:1], at[:-1]]))[told]
    frame = float(np.median(np.diff(np.sort(at)))) if len(at) > 1 else 0.0
    gap = at[told] - latest
    middle = np.where(gap > 1.5 * frame, latest + (gap + frame) / 2, at[told])
    return np.where(key[told], at[told], middle)


def around(sizes: Doubles, wide: int) -> tuple[Doubles, Doubles]:
    """Of the neighbours of each value, itself left out: the second largest of ``wide`` on either side, for a second cut
    close by must not hide the first; and the upper quarter's edge of twice as many."""
    reach = 2 * wide
    padded = np.pad(sizes, reach, mode="reflect" if len(sizes) > reach else "edge")
    second, upper = np.empty(len(sizes)), np.empty(len(sizes))
    for begin in range(0, len(sizes), 20_000):
        stop = min(begin + 20_000, len(sizes))
        views = np.lib.stride_tricks.sliding_window_view(padded[begin : stop + 2 * reach], 2 * reach + 1)
        close = np.concatenate([views[:, wide:reach], views[:, reach + 1 : reach + wide + 1]], axis=1)
        second[begin:stop] = np.partition(close, -2, axis=1)[:, -2]
        upper[begin:stop] = np.quantile(views, 0.75, axis=1)
    return second, upper


def irregular(at: Doubles, key: Bools) -> Bools:
    """Which keyframes come before the coder's own rhythm would set one; the first never."""
    out = np.zeros(len(at), np.bool_)
    places = np.flatnonzero(key)
    if len(places) < 2:
        return out
    gaps = np.diff(at[places])
    usual = float(np.quantile(gaps, 0.95))
    out[places[1:]] = gaps < 0.9 * usual
    return out
