"""Which items show or sound the same: fingerprints laid over each other in time.

Pictures that look alike are no evidence by themselves: clips of one person before one wall all do. What counts is that
two videos change alike. Short ones: the correlation of their marks in space and time, each less its own mean over the
stretch that is compared, at the best shift (as in Caspi and Irani 2002, "Spatio-temporal alignment of sequences", IEEE
PAMI 24/11). Long ones: enough different pictures that match at one shift in time, as votes (Law-To et al. 2007,
"Video copy detection: a comparative study", CIVR). Sounds: words that vote for a shift, and signs that agree there.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from matinee.encoders.prints import CROPS, FINE_SIDE, SHORTEST, Print, Signs, read_print, shrunk
from matinee.types import Doubles, Floats, Ints

CLOSE = 12  # of 64 signs may differ between two marks that show the same
SIDE = 12  # marks of short videos are compared at 12 x 12
ALIKE = 0.8  # correlation from which two videos change alike
STILL = 1.5  # of 255: a video that changes less than this has nothing to compare but its picture
SAME_STILL = 0.995  # correlation of two still pictures that are the same
MOST = 60  # candidates looked at closely for each fresh item
DIFFERENT = 16  # signs in which two marks differ that are different pictures
PICTURES = 4  # so many different pictures must match, of long videos
MATCHED = 0.45  # share of the marks in the stretch compared that must match
ERRORS = 0.30  # share of wrong signs below which two sounds are the same (chance gives 0.5)
COMMON = 200  # a word in more items than this tells nothing
FRAME = 0.04  # seconds of a word
PAIRS = ((0, 0), (2, 0), (0, 2), (1, 0), (0, 1))  # positions in CROPS of the one and the other


@dataclass(frozen=True, slots=True)
class Near:
    """Two items that share pictures or sound; ``share``: of the shorter one that lies in the other; ``shift``: seconds
    of the first at which the second begins."""

    first: int
    second: int
    by: str
    share: float
    shift: float = 0.0


def near_pairs(facts: Mapping[int, Mapping[str, Any]], fresh: Iterable[int]) -> list[Near]:
    """Pairs with at least one of the ``fresh`` rows in which at least half of the shorter item lies in the other.

    Cost: linear in what is kept for each fresh row (100,000 marks take 5 ms), and about 5 ms for each of at most sixty
    candidates whose pictures look alike.
    """
    new = set(fresh)
    prints = {row: read_print(fact) for row, fact in facts.items()}
    return [*near_pictures(prints, new), *near_sounds(prints, new)]


# --- pictures --------------------------------------------------------------------------------------------------------


def near_pictures(prints: Mapping[int, Print], new: set[int]) -> Iterator[Near]:
    held = {row: p for row, p in prints.items() if len(p.at)}
    if not held:
        return
    rows = np.concatenate([np.full(len(p.at), row) for row, p in held.items()])
    signs = np.concatenate([p.signs for p in held.values()])
    for row in sorted(new & set(held)):
        for other in candidates(held[row], row, rows, signs):
            if other in new and other < row:
                continue
            first, second = held[row], held[other]
            found = judged(first, second)
            if found is not None:
                yield Near(row, other, "picture", round(found[0], 3), round(found[1], 2))


def candidates(one: Print, row: int, rows: Ints, signs: Signs) -> list[int]:
    """Rows with marks like this one's, those with the most first."""
    hits: Counter[int] = Counter()
    for mine, theirs in PAIRS:
        own = np.unique(one.signs[:, mine])
        own = own[own != 0][:400]
        close = np.zeros(len(rows), np.bool_)
        for sign in own:
            close |= np.bitwise_count(signs[:, theirs] ^ sign) <= CLOSE
        close &= signs[:, theirs] != 0
        hits.update(rows[close].tolist())
    hits.pop(row, None)
    return [other for other, _ in hits.most_common(MOST)]


def judged(one: Print, other: Print) -> tuple[float, float] | None:
    """(share, shift) of two items that show the same, else nothing."""
    if one.fine is not None and other.fine is not None:
        return changes_alike(one, other)
    return shows_same(one, other)


def changes_alike(one: Print, other: Print) -> tuple[float, float] | None:
    """Of two short videos, or pictures."""
    if one.fine is None or other.fine is None:
        return None
    if len(one.at) < 3 or len(other.at) < 3:
        same = (len(one.at) < 3) == (len(other.at) < 3) and alike_still(one, other)
        return (1.0, 0.0) if same else None
    swap = span(one) < span(other)
    long, short = (other, one) if swap else (one, other)
    step = max(0.05, min(every(long), every(short)) / 2)
    step = max(step, span(long) / 400)
    for crops in PAIRS:
        x, y = (laid(p, step, CROPS[c]) for p, c in zip((long, short), crops, strict=True))
        r, lag, common, spread = best_shift(x, y)
        if spread < STILL:
            like = abs(span(long) - span(short)) <= 0.02 * span(long) + 0.2
            return (1.0, 0.0) if like and alike_still(one, other) else None
        if r >= ALIKE:
            shift = lag * step + float(long.at[0]) - float(short.at[0])
            return common / len(y), -shift if swap else shift
    return None


def alike_still(one: Print, other: Print) -> bool:
    """Whether two items show one and the same picture all the time."""
    if one.fine is None or other.fine is None:
        return False
    for mine, theirs in PAIRS:
        a, b = (shrunk(p.fine, SIDE, SIDE, CROPS[c]).mean(axis=0).ravel() for p, c in ((one, mine), (other, theirs)))  # type: ignore[arg-type]
        if float(np.corrcoef(a, b)[0, 1]) >= SAME_STILL:
            return True
    return False


def span(one: Print) -> float:
    return float(one.at[-1] - one.at[0])


def every(one: Print) -> float:
    """The usual time between two marks."""
    return float(np.median(np.diff(one.at))) or 0.05


def laid(one: Print, step: float, crop: float) -> Floats:
    """(n, 144): the marks at even steps in time, between two of them a mix; each less its mean brightness."""
    fine = one.fine if one.fine is not None else np.zeros((len(one.at), FINE_SIDE, FINE_SIDE), np.uint8)
    small = shrunk(fine, SIDE, SIDE, crop).reshape(len(one.at), -1)
    moments = np.arange(one.at[0], one.at[-1] + step / 2, step)
    after = np.clip(np.searchsorted(one.at, moments), 1, len(one.at) - 1)
    gap = np.maximum(one.at[after] - one.at[after - 1], 1e-6)
    weight = np.clip((moments - one.at[after - 1]) / gap, 0, 1)[:, None]
    mixed = small[after - 1] * (1 - weight) + small[after] * weight
    return np.asarray(mixed - mixed.mean(axis=1, keepdims=True), np.float32)


def best_shift(x: Floats, y: Floats) -> tuple[float, int, int, float]:
    """Of two (n, d) sequences, x the longer: the highest correlation over shifts with at least half of y inside x, each
    less its mean over what is compared; the shift in steps, the steps compared, and the lesser spread there."""
    n, m = len(x), len(y)
    least = max(3, (m + 1) // 2)
    lag = np.arange(-(m - least), n - least + 1)
    a, b = np.maximum(lag, 0), np.minimum(lag + m, n)
    lag, a, b = (v[b - a >= least] for v in (lag, a, b))
    if not len(lag):
        return -1.0, 0, 0, 0.0
    c, d, count = a - lag, b - lag, b - a
    x_sum, y_sum = (np.concatenate([np.zeros((1, v.shape[1])), np.cumsum(v, axis=0, dtype=np.float64)]) for v in (x, y))
    x_square, y_square = (np.concatenate([[0.0], np.cumsum(np.square(v, dtype=np.float64).sum(1))]) for v in (x, y))
    mean_x, mean_y = x_sum[b] - x_sum[a], y_sum[d] - y_sum[c]
    both = diagonals(x @ y.T)[lag + m - 1] - np.einsum("ld,ld->l", mean_x, mean_y) / count
    own_x = x_square[b] - x_square[a] - np.einsum("ld,ld->l", mean_x, mean_x) / count
    own_y = y_square[d] - y_square[c] - np.einsum("ld,ld->l", mean_y, mean_y) / count
    own_x, own_y = np.maximum(own_x, 0.0), np.maximum(own_y, 0.0)
    r = both / np.maximum(np.sqrt(own_x * own_y), 1e-9)
    best = int(np.argmax(r))
    spread = float(np.sqrt(min(own_x[best], own_y[best]) / (count[best] * x.shape[1])))
    return float(r[best]), int(lag[best]), int(count[best]), spread


def diagonals(table: Floats) -> Doubles:
    """(n + m - 1,) sums along the diagonals of an (n, m) table: of those with row - column = k - (m - 1)."""
    n, m = table.shape
    skewed = np.zeros((n, n + m))
    skewed[:, :m] = table[:, ::-1]
    return np.asarray(skewed.ravel()[: n * (n + m - 1)].reshape(n, n + m - 1).sum(axis=0))


def shows_same(one: Print, other: Print) -> tuple[float, float] | None:
    """Of two videos of which one is long: many different marks that match at one shift."""
    for mine, theirs in PAIRS:
        a, b = one.signs[:, mine], other.signs[:, theirs]
        close = np.bitwise_count(a[:, None] ^ b[None, :]) <= CLOSE
        close &= (a != 0)[:, None] & (b != 0)[None, :]
        i, j = np.nonzero(close)
        if len(i) < PICTURES:
            continue
        shifts = one.at[i] - other.at[j]
        for shift in voted(shifts):
            if (share := matched(one, other, close, shift)) is not None:
                return share, float(shift)
    return None


def voted(shifts: Doubles, most: int = 3, within: float = 1.0) -> list[float]:
    """The shifts with the most votes, a second more or less counted as the same."""
    ordered = np.sort(shifts)
    votes = np.searchsorted(ordered, ordered + within) - np.searchsorted(ordered, ordered - within)
    found: list[float] = []
    for k in np.argsort(-votes, kind="stable")[:2000].tolist():
        middle = float(np.median(ordered[np.abs(ordered - ordered[k]) <= within]))
        if all(abs(middle - f) > 2 * within for f in found):
            found.append(middle)
            if len(found) == most:
                break
    return found


def matched(one: Print, other: Print, close: Any, shift: float) -> float | None:
    """The share of the shorter that lies under the other at a shift, if the marks there match; else nothing."""
    begin = max(float(one.at[0]), float(other.at[0]) + shift)
    end = min(float(one.at[-1]), float(other.at[-1]) + shift)
    shorter = min(one.seconds or span(one), other.seconds or span(other))
    if end - begin < 0.45 * shorter:
        return None
    inside = [
        np.flatnonzero((p.at + s >= begin - 0.5) & (p.at + s <= end + 0.5)) for p, s in ((one, 0.0), (other, shift))
    ]
    if len(inside[0]) > len(inside[1]):  # those of the sparser one are looked for in the denser one
        sparse, dense, table = other, one, close.T
        inside, shift = inside[::-1], -shift
    else:
        sparse, dense, table = one, other, close
    near = max(1.0, 0.6 * every(dense))
    hits: list[int] = []
    usable = 0
    for k in inside[0].tolist():
        beside = np.flatnonzero(np.abs(dense.at + shift - sparse.at[k]) <= near)
        if not len(beside) or not sparse.signs[k, 0]:
            continue
        usable += 1
        if table[k, beside].any():
            hits.append(k)
    if usable < PICTURES or len(hits) < MATCHED * usable or different(sparse.signs[hits, 0]) < PICTURES:
        return None
    return min(1.0, (end - begin) / max(shorter, 1e-6))


def different(signs: Signs) -> int:
    """How many pictures among these are not like one before, counted up to ``PICTURES``."""
    kept: list[Any] = []
    for sign in signs:
        if all(np.bitwise_count(sign ^ k) > DIFFERENT for k in kept):
            kept.append(sign)
            if len(kept) == PICTURES:
                break
    return len(kept)


# --- sound -----------------------------------------------------------------------------------------------------------


def moments(one: Print) -> Ints:
    """(words,) the place of each word in time, in words."""
    parts = [round(start / FRAME) + np.arange(count) for start, count in one.heard]
    return np.concatenate([*parts, np.empty(0, np.int64)]).astype(np.int64)


def near_sounds(prints: Mapping[int, Print], new: set[int]) -> Iterator[Near]:
    """Words that two sounds share vote for how far one is shifted against the other; the best shift is then checked."""
    held = {row: p for row, p in prints.items() if len(p.words)}
    at = {row: moments(p) for row, p in held.items()}
    where: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for row, one in held.items():
        for place, word in zip(at[row].tolist(), one.words.tolist(), strict=True):
            where[word].append((row, place))
    for row in sorted(new & set(held)):
        votes: Counter[tuple[int, int]] = Counter()
        for place, word in zip(at[row].tolist(), held[row].words.tolist(), strict=True):
            places = where[word]
            if len(places) <= COMMON:
                votes.update((other, there - place) for other, there in places if other != row)
        seen: set[int] = set()
        for (other, shift), count in votes.most_common(50):
            if other in seen or count < 3 or (other in new and other < row):
                continue
            seen.add(other)
            if (share := agreement((held[row], at[row]), (held[other], at[other]), shift)) >= 0.5:
                yield Near(row, other, "sound", round(share, 3), round(-shift * FRAME, 2))


def agreement(mine: tuple[Print, Ints], theirs: tuple[Print, Ints], shift: int) -> float:
    """The share of the shorter sound that lies under the other at a shift, if the signs there agree; else 0. Of long
    sounds only stretches are kept: those that overlap are compared, and stand for the rest."""
    (one, one_at), (other, other_at) = mine, theirs
    _, i, j = np.intersect1d(one_at + shift, other_at, assume_unique=False, return_indices=True)
    if len(i) < SHORTEST:
        return 0.0
    wrong = np.bitwise_count(one.words[i] ^ other.words[j]).mean() / 32
    if wrong >= ERRORS:
        return 0.0
    lengths = [max(p.seconds, (int(at[-1]) + 1) * FRAME) for p, at in (mine, theirs)]
    begin, end = max(0.0, -shift * FRAME), min(lengths[0], lengths[1] - shift * FRAME)
    return min(1.0, (end - begin) / max(min(lengths), 1e-6))
