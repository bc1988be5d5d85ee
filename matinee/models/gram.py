"""Products of the user-item matrix with itself, within bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
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
