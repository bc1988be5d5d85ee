"""Data whose answer is known: users and items of two colours, who watch only their own colour."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from matinee.types import EVENT_KINDS, History, Interactions, Query

PLAY = EVENT_KINDS.index("play")
START = 1.6e9
USERS, ITEMS = 40, 24


def log(rows, n_users, n_items, features=None) -> Interactions:
    """Interactions of (user, item, at, strength) tuples, sorted as the type asks."""
    rows = sorted(rows, key=lambda row: (row[0], row[2]))
    users, items, at, strength = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Interactions(
        np.array(users, np.int64), np.array(items, np.int64), np.array(at, np.float64), np.array(strength, np.float32),
        n_users, n_items, features or {},
    )  # fmt: skip


def history(items, strength=None, end=START + 1e7) -> History:
    n = len(items)
    strength = np.ones(n, np.float32) if strength is None else np.array(strength, np.float32)
    at = end - 100.0 * np.arange(n, 0, -1)
    return History(np.array(items, np.int64), at, strength, np.full(n, PLAY, np.int64))


def query(items, strength=None, now=START + 1e7, user="u") -> Query:
    return Query(now=now, user=user, history=history(items, strength, now))


def checkerboard(seed=0) -> Interactions:
    """User u watches 8 of the items of its colour (u % 2), in a random order; item rows alternate in colour. The last
    two rows were never watched; their features tell their colour. Features: colour and a little of their own."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(USERS):
        own = np.arange(user % 2, ITEMS - 2, 2)
        for place, item in enumerate(rng.permutation(own)[:8]):
            rows.append((user, int(item), START + 3600.0 * (user + 50 * place), 1.0))
    board = log(rows, USERS, ITEMS, {"text": colours(rng, 6), "frames": colours(rng, 5), "sound": colours(rng, 4)})
    return replace(board, pictures=pictures(rng))


def pictures(rng):
    """(ITEMS, 8, 8, 3): reddish for the even, bluish for the odd."""
    made = rng.integers(0, 90, (ITEMS, 8, 8, 3))
    made[0::2, :, :, 0] += 150
    made[1::2, :, :, 2] += 150
    return made.astype(np.uint8)


def rated(seed=0) -> Interactions:
    """The same, and every user has rated six of the other colour low."""
    board = checkerboard(seed)
    rng = np.random.default_rng(seed + 1)
    rows = list(
        zip(board.users.tolist(), board.items.tolist(), board.at.tolist(), board.strength.tolist(), strict=True)
    )
    for user in range(USERS):
        other = np.arange(1 - user % 2, ITEMS - 2, 2)
        low = enumerate(rng.permutation(other)[:6])
        rows += [(user, int(i), START + 3600.0 * (user + 25 + 50 * k), -0.8) for k, i in low]
    return replace(log(rows, USERS, ITEMS, board.features), pictures=board.pictures)


def colours(rng, dim) -> np.ndarray:
    out = 0.2 * rng.standard_normal((ITEMS, dim)).astype(np.float32)
    out[np.arange(ITEMS), np.arange(ITEMS) % 2] += 1
    return out / np.linalg.norm(out, axis=1, keepdims=True)
