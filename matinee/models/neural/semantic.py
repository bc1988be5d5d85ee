"""Semantic ids: an item's content as a few words of a small vocabulary that is learnt from the catalogue, so that items
which are alike share parameters and an item nobody has watched has some of its own.

Residual k-means over the content: the first word is the nearest of ``size`` means, the next the nearest mean of what
the means before it left over (Rajput et al., NeurIPS 2023, "Recommender systems with generative retrieval", section
3.1, there by a trained residual quantiser; Singh et al., RecSys 2024, "Better generalization with semantic ids",
compare ways to use them in place of random ids). No PyTorch here: a new item is given its words when it is served.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from matinee.models.neural.vectors import Content
from matinee.types import Bools, Floats, Ints

ROUNDS = 12
MOST = 20_000  # items that the means are learnt from


def side_by_side(content: Mapping[str, Content], dims: Mapping[str, int], n: int) -> tuple[Floats, Bools]:
    """(n, sum of dims) standardised content, each modality weighing the same, zeros where one is missing; and (n,):
    whether there is any."""
    parts, has = [np.zeros((n, 0), np.float32)], np.zeros(n, bool)
    for name in sorted(dims):
        part = np.zeros((n, dims[name]), np.float32)
        if name in content:
            m = min(n, len(content[name].rows))
            part[:m] = content[name].rows[:m] / np.float32(np.sqrt(dims[name]))
            has[:m] |= content[name].has[:m]
        parts.append(part)
    return np.concatenate(parts, axis=1), has


def codebooks(rows: Floats, levels: int, size: int, seed: int) -> Floats:
    """(levels, k, dim) means, k = ``size`` or a quarter of the rows where they are few; (0, 0, dim) for no rows."""
    rng = np.random.default_rng(seed)
    k = min(size, len(rows) // 4)
    if k < 2 or not levels:
        return np.zeros((0, 0, rows.shape[1]), np.float32)
    rest = rows[np.sort(rng.choice(len(rows), min(len(rows), MOST), replace=False))]
    books = []
    for _ in range(levels):
        means = rest[rng.choice(len(rest), k, replace=False)]
        for _ in range(ROUNDS):
            place = nearest(rest, means)
            count = np.bincount(place, minlength=k)
            order = np.argsort(place, kind="stable")
            there = np.flatnonzero(count)
            first = np.r_[0, np.cumsum(count)[:-1]][there]
            means = means.copy()
            means[there] = np.add.reduceat(rest[order], first, axis=0) / count[there, None]
        rest = rest - means[nearest(rest, means)]
        books.append(means)
    return np.stack(books).astype(np.float32)


def nearest(rows: Floats, means: Floats) -> Ints:
    """(n,) the nearest mean of each row; of equally near ones the first."""
    out: Ints = np.argmin((means**2).sum(1)[None, :] - 2 * rows @ means.T, axis=1).astype(np.int64)
    return out


def words(rows: Floats, books: Floats) -> Ints:
    """(n, levels): the words of each row, level l's counting from l x k, so that one table holds them all."""
    rest, found = rows, []
    for level, means in enumerate(books):
        place = nearest(rest, means)
        rest = rest - means[place]
        found.append(place + level * len(means))
    return np.stack(found, axis=1) if found else np.zeros((len(rows), 0), np.int64)


def dims_of(content: Mapping[str, Content]) -> dict[str, int]:
    return {name: part.dim for name, part in content.items()}


def known_dims(weights: Mapping[str, Floats], names: Sequence[str]) -> dict[str, int]:
    """The same of what a trained encoder projects."""
    return {name: weights[f"project.{name}"].shape[1] for name in names}
