"""Products of the user-item matrix with itself, within bounded memory.

A row of x'x is one sparse product of few numbers: the rows of the people who watched the item, times what they weigh.
It falls into n numbers that stay in a processor's cache, about 2.5 ns a pair of one person's items; SciPy's product of
two sparse matrices took 15 (docs/benchmarks.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from matinee.models.common import Positives
from matinee.types import Floats, Ints

DENSE_SHARE = 0.06  # of the people: among items that more of them watched dense blocks through BLAS are faster
SQUARE = 8192  # items up to which a whole square is made to pick neighbours from: 256 MB
BLOCK = 1024
MOST_PEOPLE = 50_000
Scale = Callable[[int, Ints, Floats], Floats]


def user_items(seen: Positives, weight: Floats, shape: tuple[int, int]) -> Any:
    """SciPy CSR (n_users, n_items) float32 of weights; give each pair once."""
    from scipy.sparse import csr_matrix

    small = np.int32 if max(*shape, len(seen)) < 2**31 else np.int64  # half the memory of what SciPy would take
    return csr_matrix((weight.astype(np.float32), (seen.users.astype(small), seen.items.astype(small))), shape=shape)


def gram(x: Any) -> Floats:
    """(n, n) float32 dense x'x: among items that many watched by BLAS, the rest row by row. One such matrix is all it
    holds beside a block: 4 n^2 bytes."""
    n_users, n = x.shape
    out = np.zeros((n, n), np.float32)
    often = np.bincount(x.indices, minlength=n) > DENSE_SHARE * n_users
    head, tail = np.flatnonzero(often), np.flatnonzero(~often)
    _fill(out, x, x.T.tocsr(), tail)
    if len(head):
        square, heard = np.zeros((len(head), len(head)), np.float32), x[:, head]
        for start in range(0, n_users, BLOCK):
            block = heard[start : start + BLOCK].toarray()
            square += block.T @ block
        for place, item in enumerate(head):
            out[item, tail] = out[tail, item]
            out[item, head] = square[place]
    return out


def gram_rows(x: Any, size: int = BLOCK, left: Any = None) -> Iterator[tuple[int, Floats]]:
    """(start, (size, n) dense rows of x'x, or of left'x), block by block, never the whole."""
    by_item, n = (x if left is None else left).T.tocsr(), x.shape[1]
    for start in range(0, n, size):
        rows = np.zeros((min(size, n - start), n), np.float32)
        _fill(rows, x, by_item[start : start + size], np.arange(len(rows)))
        yield start, rows


def _fill(rows: Floats, x: Any, by_item: Any, which: Ints) -> None:
    """Some rows of the product into zeros. Of a long list of people a part at a time is copied."""
    for at in which.tolist():
        first, stop = by_item.indptr[at], by_item.indptr[at + 1]
        for begin in range(first, stop, MOST_PEOPLE):
            part = slice(begin, min(begin + MOST_PEOPLE, stop))
            rows[at] += x[by_item.indices[part]].T @ by_item.data[part]


def nearest_rows(x: Any, keep: int, scale: Scale) -> Any:
    """SciPy CSR (n, n): the ``keep`` greatest entries above 0 of each row of x'x as ``scale`` makes them, without the
    diagonal; ties at the last place all stay. ``scale`` gets an item, the columns of its entries and the entries.
    Above 8,192 items blocks of 1,024 rows are all that is dense."""
    from scipy.sparse import csr_matrix

    n = x.shape[1]
    columns, values = [np.empty(0, np.int32)], [np.empty(0, np.float32)]
    lengths = [0]
    for start, block in [(0, gram(x))] if n <= SQUARE else gram_rows(x):
        for at, row in enumerate(block):
            row[start + at] = 0
            there = np.flatnonzero(row)
            value = scale(start + at, there, row[there])
            bar = np.partition(value, len(value) - keep)[len(value) - keep] if len(value) > keep else np.float32(0)
            near = value >= max(bar, np.float32(1e-12))
            columns.append(there[near].astype(np.int32))
            values.append(value[near])
            lengths.append(len(columns[-1]))
    return csr_matrix((np.concatenate(values), np.concatenate(columns), np.cumsum(lengths)), shape=(n, n))
