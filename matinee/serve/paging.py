"""Pages that never repeat: a page's token carries the rows of all pages before it, so nothing is kept on the server and
what happens between two pages cannot bring an item back."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Iterable

import numpy as np

from matinee.errors import MatineeError

MOST = 5000  # items over all pages of one list


def token_of(rows: Iterable[int]) -> str:
    """About three bytes an item."""
    packed = zlib.compress(np.fromiter(rows, "<u4").tobytes(), 9)
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def rows_of(token: str) -> tuple[int, ...]:
    """Raises ``page.wrong``."""
    if not token:
        return ()
    try:
        packed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        raw = zlib.decompressobj().decompress(packed, 4 * MOST)
        return tuple(np.frombuffer(raw, "<u4").tolist())
    except (binascii.Error, zlib.error, ValueError):
        raise MatineeError(
            "page.wrong",
            "This page token is none of ours, or was cut. Begin again without page.",
            "分页标记无效或不完整。请去掉 page 重新开始。",
        ) from None
