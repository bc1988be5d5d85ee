"""Arrays in a file that can hold nothing but arrays: the safetensors layout (8 bytes length, JSON header, raw numbers).

Equal arrays give equal bytes, so a file can be named by its hash. A header is checked before a number is believed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from matinee.errors import MatineeError

TYPES = {
    "BOOL": "|b1", "U8": "|u1", "I8": "|i1", "I16": "<i2", "I32": "<i4", "I64": "<i8", "F16": "<f2", "F32": "<f4",
    "F64": "<f8",
}  # fmt: skip
NAMES = {np.dtype(code): name for name, code in TYPES.items()}
HEADER_LIMIT = 16 << 20


def pack(arrays: Mapping[str, Any]) -> bytes:
    """The file's bytes, arrays by name. Raises TypeError for a dtype that the layout lacks."""
    header: dict[str, Any] = {}
    chunks, at = [], 0
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        if array.dtype not in NAMES:
            raise TypeError(f"{name}: {array.dtype} cannot be stored")
        data = array.tobytes()
        header[name] = {"dtype": NAMES[array.dtype], "shape": array.shape, "data_offsets": [at, at + len(data)]}
        chunks.append(data)
        at += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # numbers start on a multiple of 8, or reading them in place is slow
    return b"".join([len(text).to_bytes(8, "little"), text, *chunks])


def unpack(data: bytes | memoryview) -> dict[str, Any]:
    """The arrays, read-only views into ``data``. Raises ``tensors.corrupt`` where anything does not add up: a length
    beyond the file, an unknown type, overlapping or missing bytes."""
    try:
        size = int.from_bytes(data[:8], "little")
        if len(data) < 8 or size > min(len(data) - 8, HEADER_LIMIT):
            raise ValueError("the header is longer than the file")
        header = json.loads(bytes(data[8 : 8 + size]))
        header.pop("__metadata__", None)
        spans = sorted(tuple(entry["data_offsets"]) for entry in header.values())
        edges = [0, *(stop for _, stop in spans)]
        if [start for start, _ in spans] != edges[:-1] or edges[-1] != len(data) - 8 - size:
            raise ValueError("the arrays overlap or leave gaps")
        if any(start > stop for start, stop in spans) or any(a > b for a, b in pairwise(edges)):
            raise ValueError("an array ends before it starts")
        return {name: _view(data, 8 + size, entry) for name, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise MatineeError(
            "tensors.corrupt",
            f"A file of arrays is damaged: {error}. Train again to make it anew.",
            f"数组文件已损坏：{error}。请重新训练以生成新文件。",
            exit_code=1,
        ) from error


def _view(data: bytes | memoryview, base: int, entry: Mapping[str, Any]) -> Any:
    dtype, shape = np.dtype(TYPES[entry["dtype"]]), [int(side) for side in entry["shape"]]
    start, stop = entry["data_offsets"]
    if any(side < 0 for side in shape) or prod(shape) * dtype.itemsize != stop - start:
        raise ValueError("an array's shape and size disagree")
    view = np.frombuffer(data, np.uint8, stop - start, base + start)
    if (base + start) % dtype.itemsize:
        view = view.copy()
    return view.view(dtype).reshape(shape)
