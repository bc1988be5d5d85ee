"""Reads the tensors of a PyTorch checkpoint (.pth, .pt) and nothing else. No PyTorch, and no unpickler.

A checkpoint holds a pickle, and a pickle is a program. Here only the opcodes that plain tables of tensors need are
understood; the few names a program may call are answered by functions of this file. Everything else is refused before
anything happens, so a hostile file can do no more than fail.
"""

from __future__ import annotations

import io
import math
import pickletools
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from matinee.errors import MatineeError

DTYPES = {
    "FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "LongStorage": "<i8", "IntStorage": "<i4",
    "ShortStorage": "<i2", "CharStorage": "<i1", "ByteStorage": "<u1", "BoolStorage": "?",
}  # fmt: skip
LARGEST_PROGRAM = 64 << 20
OLD_MAGIC = 0x1950A86A20F9469CFC6C  # opens a file of the format before PyTorch 1.6
MARK = object()


@dataclass(frozen=True, slots=True)
class Storage:
    """A block of numbers that tensors are views of."""

    key: str
    dtype: str
    count: int


@dataclass(frozen=True, slots=True)
class Tensor:
    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def refused(why: str) -> MatineeError:
    return MatineeError(
        "weights.refused",
        f"The checkpoint was refused unread: {why}. Only tables of tensors are read; fetch it again or convert it.",
        f"拒绝读取该权重文件：{why}。只读取纯张量表；请重新获取该文件，或先转换格式。",
    )


def rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    numbers = [offset, *shape, *strides]
    if (
        not isinstance(storage, Storage)
        or any(type(n) is not int or n < 0 for n in numbers)
        or len(shape) != len(strides)
    ):
        raise refused("a tensor is not described by sizes")
    last = offset + sum((s - 1) * d for s, d in zip(shape, strides, strict=True)) if all(shape) else 0
    if last >= max(storage.count, 1) or math.prod(shape) > max(storage.count, 1):
        raise refused("a tensor reaches beyond its storage")
    return Tensor(storage, offset, tuple(shape), tuple(strides))


# what a program may call; the left side is only compared, never imported
CALLS: dict[str, Callable[..., Any]] = {
    "collections OrderedDict": lambda pairs=(): dict(pairs),
    "torch._utils _rebuild_tensor_v2": rebuild_tensor,
    "torch._utils _rebuild_parameter": lambda data, *_: data,
}
NAMES: dict[str, Any] = {**CALLS, **{f"torch {name}": name for name in DTYPES}}
PUSHED = {
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
}  # fmt: skip
MADE: dict[str, Callable[[], Any]] = {
    "EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "NONE": lambda: None,
    "NEWTRUE": lambda: True, "NEWFALSE": lambda: False, "MARK": lambda: MARK,
}  # fmt: skip
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class Program:
    """Follows one pickle's opcodes on its own stack."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, file: BinaryIO) -> Any:
        for opcode, argument, _ in pickletools.genops(file):
            self.step(opcode.name, argument)
        return self.stack[-1]

    def step(self, name: str, argument: Any) -> None:
        if name in PUSHED:
            self.stack.append(argument)
        elif name in MADE:
            self.stack.append(MADE[name]())
        elif name in TUPLES:
            n = TUPLES[name]
            self.stack[-n:] = [tuple(self.stack[-n:])]
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name not in ("PROTO", "FRAME", "STOP"):
            self.act(name, argument)

    def act(self, name: str, argument: Any) -> None:
        if name == "GLOBAL":
            if argument not in NAMES:
                raise refused(f"it asks for {argument.replace(' ', '.')!r}")
            self.stack.append(NAMES[argument])
        elif name == "STACK_GLOBAL":
            attribute, module = self.stack.pop(), self.stack.pop()
            self.act("GLOBAL", f"{module} {attribute}")
        elif name == "REDUCE":
            arguments, function = self.stack.pop(), self.stack.pop()
            if not any(function is allowed for allowed in CALLS.values()):
                raise refused("it calls what is not a function of tensors")
            self.stack.append(function(*arguments))
        elif name == "BINPERSID":
            self.stack.append(storage_of(self.stack.pop()))
        elif name == "TUPLE":
            self.stack.append(tuple(self.since_mark()))
        elif name == "APPENDS":
            values = self.since_mark()
            self.stack[-1].extend(values)
        elif name == "APPEND":
            self.stack[-2].append(self.stack.pop())
        elif name == "SETITEM":
            value, key = self.stack.pop(), self.stack.pop()
            self.stack[-1][key] = value
        elif name == "SETITEMS":
            pairs = self.since_mark()
            self.stack[-1].update(zip(pairs[::2], pairs[1::2], strict=True))
        elif name == "BUILD":  # attributes of the table (versions of its modules): of no use here
            self.stack.pop()
        else:
            raise refused(f"it uses the instruction {name}")

    def since_mark(self) -> list[Any]:
        at = len(self.stack) - 1 - next(i for i, v in enumerate(reversed(self.stack)) if v is MARK)
        values = self.stack[at + 1 :]
        del self.stack[at:]
        return values


def storage_of(described: Any) -> Storage:
    kind, dtype, key, _place, count = described[:5]
    if kind != "storage" or dtype not in DTYPES or not isinstance(key, str) or type(count) is not int or count < 0:
        raise refused("a storage is not described by a type and a size")
    return Storage(key, DTYPES[dtype], count)


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """All tensors by name, from either format that PyTorch has written. Raises ``weights.refused``."""
    try:
        if zipfile.is_zipfile(path):
            table, blocks = read_zip(path)
        else:
            with path.open("rb") as file:
                table, blocks = read_old(file)
        tensors = table.get("state_dict", table) if isinstance(table, dict) else None
        if not isinstance(tensors, dict):
            raise refused("it holds no table")
        return {str(name): view(t, blocks) for name, t in tensors.items() if isinstance(t, Tensor)}
    except MatineeError:
        raise
    # whatever a broken file makes of a stack machine ends here, and nothing of it has run
    except (ValueError, LookupError, TypeError, AttributeError, struct.error, StopIteration, zipfile.BadZipFile,
            RecursionError, OverflowError, EOFError, UnicodeDecodeError) as error:  # fmt: skip
        raise refused(f"it is damaged ({type(error).__name__})") from error


def read_zip(path: Path) -> tuple[Any, dict[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        programs = [n for n in archive.namelist() if n.endswith("/data.pkl") or n == "data.pkl"]
        if len(programs) != 1 or archive.getinfo(programs[0]).file_size > LARGEST_PROGRAM:
            raise refused("it has not one table")
        root = programs[0].removesuffix("data.pkl")
        stored = {n: archive.getinfo(n) for n in archive.namelist() if n.startswith(f"{root}data/")}
        if any(i.compress_type != zipfile.ZIP_STORED for i in stored.values()):
            raise refused("its tensors are compressed")  # PyTorch never does; a small file could swell without end
        table = Program().run(io.BytesIO(archive.read(programs[0])))
        return table, {n.removeprefix(f"{root}data/"): archive.read(n) for n in stored}


def read_old(file: BinaryIO) -> tuple[Any, dict[str, bytes]]:
    if Program().run(file) != OLD_MAGIC or Program().run(file) != 1001 or not Program().run(file)["little_endian"]:
        raise refused("it is no PyTorch checkpoint")
    watched = Sizes()
    table = watched.run(file)
    blocks = {}
    for key in Program().run(file):
        storage = watched.seen[key]
        (count,) = struct.unpack("<q", file.read(8))
        if count != storage.count:
            raise refused("a storage has another size than its description")
        blocks[key] = file.read(count * np.dtype(storage.dtype).itemsize)
    return table, blocks


class Sizes(Program):
    """Also remembers the storages by key: the old format needs their types to step over them."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, Storage] = {}

    def step(self, name: str, argument: Any) -> None:
        super().step(name, argument)
        if name == "BINPERSID":
            self.seen[self.stack[-1].key] = self.stack[-1]


def view(tensor: Tensor, blocks: Mapping[str, bytes]) -> NDArray[Any]:
    flat = np.frombuffer(blocks[tensor.storage.key], np.dtype(tensor.storage.dtype))
    if len(flat) < tensor.storage.count:
        raise refused("a storage is cut short")
    strides = tuple(s * flat.itemsize for s in tensor.strides)
    return np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.shape, strides, writeable=False).copy()
