"""Fingerprints that survive another encoding, another size and a trim, and the pairs of items that share them.

Pictures: 64 signs of a low-frequency cosine transform of each frame (as in perceptual hashing). Sound: 32 signs a frame
of how the energy of 33 bands changes along time and pitch, Haitsma and Kalker 2002, "A Highly Robust Audio
Fingerprinting System" (ISMIR), section 4.2; here 25 frames a second of 16 kHz sound.
"""

from __future__ import annotations

import base64
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matinee.types import Clip, Floats, Pixels

Words = NDArray[np.uint32]
HOP, WINDOW = 640, 4096  # samples: 40 ms, 256 ms
CLOSE = 12  # of 64 signs may differ between two frames that show the same
ERRORS = 0.30  # share of wrong signs below which two sounds are the same (chance gives 0.5)
SHORTEST = 75  # frames: three seconds must agree
COMMON = 200  # a word in more items than this tells nothing


@dataclass(frozen=True, slots=True)
class Near:
    """Two items that share pictures or sound; ``share``: of the shorter one's frames that agree."""

    first: int
    second: int
    by: str
    share: float


def print_of(clip: Clip) -> dict[str, Any]:
    """The fingerprints of a clip as a fact: ``frames`` hexadecimal, ``sound`` base64. Blank frames are left out."""
    out: dict[str, Any] = {}
    if clip.frames is not None and (signs := [s for f in clip.frames if (s := frame_print(f)) is not None]):
        out["frames"] = [f"{s:016x}" for s in signs]
    if clip.sound is not None and len(words := sound_print(clip.sound)) >= SHORTEST // 3:
        out["sound"] = base64.b64encode(words.astype("<u4").tobytes()).decode()
    return out


def frame_print(frame: Pixels) -> int | None:
    """64 signs of a frame; None of one without features, which would resemble every other such frame."""
    from PIL import Image
    from scipy.fft import dctn

    grey = np.asarray(Image.fromarray(frame).convert("L").resize((32, 32), Image.Resampling.BOX), np.float32)
    if grey.std() < 8:
        return None
    low = dctn(grey, norm="ortho")[:8, :8].ravel()
    signs = low > np.median(low[1:])
    return int("".join("1" if s else "0" for s in signs), 2)


def sound_print(sound: Floats) -> Words:
    """(n,) 32 signs for each 40 ms; of silence nothing."""
    from scipy.fft import rfft

    count = 1 + (len(sound) - WINDOW) // HOP
    if count < 2 or float(np.abs(sound).max()) < 1e-3:
        return np.empty(0, np.uint32)
    hann = np.hanning(WINDOW).astype(np.float32)
    edges = np.geomspace(300, 3000, 34) * WINDOW / 16_000
    bins = np.round(edges).astype(int)
    view = np.lib.stride_tricks.sliding_window_view(sound, WINDOW)[::HOP]
    energy = np.empty((count, 33))
    for at in range(0, count, 256):
        power = np.square(np.abs(rfft(view[at : at + 256] * hann, axis=1)))
        energy[at : at + 256] = np.add.reduceat(power, bins[:-1], axis=1)[:, :33]
    level = np.log(energy + 1e-9)
    change = np.diff(level[:, :-1] - level[:, 1:], axis=0)
    signs = (change > 0).astype(np.uint32)
    return np.asarray(signs @ (np.uint32(1) << np.arange(32, dtype=np.uint32)), np.uint32)


def near_pairs(prints: Mapping[int, Mapping[str, Any]], fresh: Iterable[int]) -> list[Near]:
    """Pairs with at least one of the ``fresh`` rows that share at least half of the shorter one.

    Cost: linear in what is kept, plus the pairs that share something.
    """
    new = set(fresh)
    frames = {row: [int(s, 16) for s in p["frames"]] for row, p in prints.items() if p.get("frames")}
    sounds = {row: np.frombuffer(base64.b64decode(p["sound"]), "<u4") for row, p in prints.items() if p.get("sound")}
    return [*near_frames(frames, new), *near_sounds(sounds, new)]


def near_frames(frames: Mapping[int, list[int]], new: set[int]) -> list[Near]:
    """Frames differing in at most twelve signs agree in one of 13 unequal parts; instead of an index of parts, all are
    compared at once: 100,000 frames against twelve take 5 ms."""
    if not frames:
        return []
    rows = np.concatenate([np.full(len(s), row) for row, s in frames.items()])
    signs = np.concatenate([np.array(s, np.uint64) for s in frames.values()])
    found = []
    for row in sorted(new & set(frames)):
        distance = np.bitwise_count(np.array(frames[row], np.uint64)[:, None] ^ signs[None, :])
        hits: dict[int, set[int]] = defaultdict(set)
        back: dict[int, set[int]] = defaultdict(set)
        for mine, theirs in zip(*np.nonzero(distance <= CLOSE), strict=True):
            other = int(rows[theirs])
            hits[other].add(int(mine))
            back[other].add(int(theirs))
        for other, mine_hit in hits.items():
            if other == row or (other in new and other < row):
                continue
            share = max(len(mine_hit) / len(frames[row]), len(back[other]) / len(frames[other]))
            if share >= 0.5 and min(len(frames[row]), len(frames[other])) >= 2:
                found.append(Near(row, other, "picture", round(share, 3)))
    return found


def near_sounds(sounds: Mapping[int, Words], new: set[int]) -> list[Near]:
    """Words that two sounds share vote for how far one is shifted against the other; the best shift is then checked."""
    where: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for row, words in sounds.items():
        for at, word in enumerate(words.tolist()):
            where[word].append((row, at))
    found = []
    for row in sorted(new & set(sounds)):
        votes: Counter[tuple[int, int]] = Counter()
        for at, word in enumerate(sounds[row].tolist()):
            places = where[word]
            if len(places) <= COMMON:
                votes.update((other, there - at) for other, there in places if other != row)
        seen: set[int] = set()
        for (other, shift), count in votes.most_common(50):
            if other in seen or count < 3 or (other in new and other < row):
                continue
            seen.add(other)
            if (share := agreement(sounds[row], sounds[other], shift)) >= 0.5:
                found.append(Near(row, other, "sound", round(share, 3)))
    return found


def agreement(mine: Words, theirs: Words, shift: int) -> float:
    """The share of the shorter sound that lies under the other at a shift, if the signs there agree; else 0."""
    start, stop = max(0, -shift), min(len(mine), len(theirs) - shift)
    if stop - start < SHORTEST:
        return 0.0
    wrong = np.bitwise_count(mine[start:stop] ^ theirs[start + shift : stop + shift]).mean() / 32
    return (stop - start) / min(len(mine), len(theirs)) if wrong < ERRORS else 0.0
