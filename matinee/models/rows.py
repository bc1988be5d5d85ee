"""Many small least squares: one for every row, shared out over the processor's cores.

Each is too small to gain from several threads of BLAS (two made a row of 64 dims twenty times as slow), so BLAS is held
to one and the rows are shared out instead.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from matinee.types import Ints


def shared_out(work: Callable[[Ints], None], rows: Ints, costs: Ints) -> None:
    """``work`` for all rows, in parts of about equal ``costs`` (len(rows),), on as many threads as BLAS may use. The
    parts write to places of their own, so the result does not depend on their number."""
    from threadpoolctl import threadpool_info, threadpool_limits

    if not len(rows):
        return
    threads = max((found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"), default=1)
    ends = np.cumsum(costs)
    cuts = np.searchsorted(ends, np.linspace(0, ends[-1], 8 * threads + 1)[1:-1])
    parts = [part for part in np.split(rows, cuts) if len(part)]
    with threadpool_limits(1, user_api="blas"):
        if threads == 1:
            for part in parts:
                work(part)
            return
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, parts))
