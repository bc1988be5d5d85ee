"""Products of the user-item matrix with itself, within bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from matinee.models.common import Positives
from matinee.types import Floats

DENSE_SHARE = 0.02  # at ml-1m's 0.048 dense blocks through BLAS took a third of the time of a sparse product
BLOCK = 1024


def user_items(seen: Positives, weight: Floats, shape: tuple[int, int]) -> Any:
    """SciPy CSR (n_users, n_items) float32 of weights; give each pair once."""
    from scipy.sparse import csr_matrix

    return csr_matrix((weight.astype(np.float32), (seen.users, seen.items)), shape=shape)


def gram(x: Any) -> Floats:
    """(n, n) float32 dense x'x. One such matrix is all it holds beside a block: 4 n^2 bytes."""
    n_users, n = x.shape
    out = np.zeros((n, n), np.float32)
    if x.nnz > DENSE_SHARE * n_users * n:
        for start in range(0, n_users, BLOCK):
            block = x[start : start + BLOCK].toarray()
            out += block.T @ block
        return out
    for start, rows in gram_rows(x):
        out[start : start + len(rows)] = rows
    return out


def gram_rows(x: Any, size: int = BLOCK) -> Iterator[tuple[int, Floats]]:
    """(start, (size, n) dense rows of x'x), block by block, never the whole."""
    by_item = x.T.tocsr()
    for start in range(0, x.shape[1], size):
        yield start, (by_item[start : start + size] @ x).toarray()


def nearest_rows(x: Any, keep: int, scale: Callable[[Floats, int], Floats]) -> Any:
    """SciPy CSR (n, n): the ``keep`` greatest entries above 0 of each row of ``scale(rows of x'x, start)``, without the
    diagonal; ties at the last place all stay. Blocks of 1,024 rows are all that is dense."""
    from scipy.sparse import csr_matrix, vstack

    n = x.shape[1]
    parts = [csr_matrix((0, n), dtype=np.float32)]
    for start, common in gram_rows(x):
        rows = scale(common, start)
        rows[np.arange(len(rows)), start + np.arange(len(rows))] = 0
        bar = np.partition(rows, n - keep, axis=1)[:, n - keep] if n > keep else np.zeros(len(rows), np.float32)
        rows[rows < np.maximum(bar, 1e-12)[:, None]] = 0
        parts.append(csr_matrix(rows))
    return vstack(parts)
