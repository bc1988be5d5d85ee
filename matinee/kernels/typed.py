"""How a loop is compiled: for the types it is asked with, once, and kept on disk beside its file.

Inputs may be read-only; what a loop fills comes last. All are C-contiguous. No loop holds Python's lock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
from numba import types

Loop = TypeVar("Loop", bound=Callable[..., Any])


def read_only(kind: Any, ndim: int) -> Any:
    """An array that is only read: whether it may be written does not matter."""
    return types.Array(kind, ndim, "C", readonly=True)


B1, I1, N1 = read_only(types.boolean, 1), read_only(types.int64, 1), read_only(types.int32, 1)
F1, F2, F3 = read_only(types.float32, 1), read_only(types.float32, 2), read_only(types.float32, 3)
D1 = read_only(types.float64, 1)
INT, INT32, SINGLE, DOUBLE = types.int64, types.int32, types.float32, types.float64


def loop(*signatures: Any, loose: bool = False) -> Callable[[Loop], Loop]:
    """Compiles for these types alone, so that no request ever waits for a compiler. ``loose``: sums may be taken in
    another order, which vector registers want."""
    math = {"reassoc", "contract", "nsz"} if loose else False
    told: dict[str, Any] = {"nogil": True, "fastmath": math, "error_model": "numpy"}  # a division by 0 is no exception

    def made(function: Loop) -> Loop:
        # where neither the folder of this file nor the user's may be written, it is compiled at each start
        try:
            return numba.njit(list(signatures), cache=True, **told)(function)  # type: ignore[no-any-return]
        except RuntimeError as error:
            if "no locator available" not in str(error):
                raise
            return numba.njit(list(signatures), **told)(function)  # type: ignore[no-any-return]

    return made
