"""The catalogue as a map: every item of one space as a point in the plane, neighbours beside each other."""

from __future__ import annotations

import numpy as np

from matinee.types import Doubles, Floats, Ints

MOST = 6000  # points; beyond that every k-th item is taken
NEIGHBOURS = 12
ROUNDS = 150
REPELLED = 5  # random points that push each point, a round
A, B = 1.577, 0.895  # 1 / (1 + A d^2B) falls at a distance of 0.1, as UMAP's default does


def plane(vectors: Floats, rounds: int = ROUNDS, seed: int = 0) -> Floats:
    """(n, 2) float32 in [-1, 1] of (n, dim) unit rows.

    The start is the first two principal axes; then the graph of each point's nearest neighbours is drawn out by
    attraction along its edges and repulsion from points by chance: the low-dimensional half of UMAP (McInnes, Healy and
    Melville 2018, section 3.2), with edges of equal weight. The same vectors give the same map. O(n^2 dim) for the
    neighbours, O(rounds n) after; 2 s for 3,000 items of 384 dimensions on one core.
    """
    n = len(vectors)
    if n == 0:
        return np.zeros((0, 2), np.float32)
    start = principal(vectors)
    if n < 4:
        return start.astype(np.float32)
    edges = neighbours(vectors, min(NEIGHBOURS, n - 1))
    return spread(start, edges, rounds, np.random.default_rng(seed))


def principal(vectors: Floats) -> Doubles:
    """(n, 2) the first two principal axes, scaled to [-1, 1]; an axis points where its largest value is positive."""
    centred = vectors.astype(np.float64) - vectors.mean(0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    found = centred @ axes[:, ::-1][:, :2]
    if found.shape[1] < 2:
        found = np.column_stack([found, np.zeros(len(found))])
    sign = np.sign(found[np.abs(found).argmax(0), np.arange(2)])
    return scaled(found * np.where(sign == 0, 1, sign))


def scaled(points: Doubles) -> Doubles:
    """In [-1, 1], both axes by the same factor, the middle of the box at 0."""
    low, high = points.min(0), points.max(0)
    half = float((high - low).max()) / 2 or 1.0
    moved: Doubles = (points - (low + high) / 2) / half
    return moved


def neighbours(vectors: Floats, k: int, block: int = 1024) -> Ints:
    """(m, 2) the pairs of which one is among the other's k nearest by cosine, each once, the lower first."""
    n = len(vectors)
    nearest = np.empty((n, k), np.int64)
    for start in range(0, n, block):
        near = vectors[start : start + block] @ vectors.T
        rows = np.arange(len(near))
        near[rows, start + rows] = -np.inf
        nearest[start : start + block] = np.argpartition(-near, k - 1, axis=1)[:, :k]
    pairs = np.column_stack([np.repeat(np.arange(n), k), nearest.reshape(-1)])
    pairs.sort(axis=1)
    found: Ints = np.unique(pairs, axis=0)
    return found


def spread(start: Doubles, edges: Ints, rounds: int, chance: np.random.Generator) -> Floats:
    """The start moved by ``rounds`` of attraction and repulsion, each step shorter than the last."""
    place = start * 8 + chance.normal(0, 1e-3, start.shape)
    a, b = edges[:, 0], edges[:, 1]
    n = len(place)
    degree = np.maximum(np.bincount(edges.reshape(-1), minlength=n), 1)[:, None]
    for turn in range(rounds):
        step = 1 - turn / rounds
        way = place[a] - place[b]
        near = np.maximum((way * way).sum(1), 1e-9)
        pull = -2 * A * B * near ** (B - 1) / (1 + A * near**B)
        force = np.clip(way * pull[:, None], -4, 4)
        moved = np.column_stack(
            [np.bincount(a, force[:, i], n) - np.bincount(b, force[:, i], n) for i in range(2)]
        )  # fmt: skip
        moved /= degree
        for other in chance.integers(0, n, (REPELLED, n)):
            way = place - place[other]
            near = (way * way).sum(1)
            push = 2 * B / ((0.01 + near) * (1 + A * near**B))
            moved += np.clip(way * push[:, None], -4, 4) / REPELLED
        place = place + step * moved
    return scaled(place).astype(np.float32)


def thinned(rows: Ints, most: int = MOST) -> Ints:
    """At most ``most`` positions of the rows, evenly spread."""
    if len(rows) <= most:
        return np.arange(len(rows), dtype=np.int64)
    return np.unique(np.linspace(0, len(rows) - 1, most).round().astype(np.int64))
