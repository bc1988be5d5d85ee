"""Checksums of rows: SQLite keeps none of its pages, so a flipped bit inside a row would go unseen without them."""

from __future__ import annotations

import zlib

import msgspec

_encode = msgspec.msgpack.Encoder().encode


def sum_of(*values: int | float | str | bytes | None) -> int:
    """CRC-32 of a row's values; catches what disks do, not what enemies do. About half a microsecond."""
    return zlib.crc32(_encode(values))


def sum_of_vector(hash: str | None, data: bytes | None) -> int:
    """The same for a vector's blob. None is what damage can make of a column."""
    return zlib.crc32(data or b"", zlib.crc32((hash or "").encode()))
