"""Just enough of the ONNX file format to build a small network, to mend one and to run it.

The format is protocol buffers: (field number, wire type) before each value. This file stands for an 18 MB
package. Field numbers are those of onnx.proto, IR version 8.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matinee.errors import MatineeError

Attribute = int | float | list[int]
DTYPES = {1: "<f4", 2: "<u1", 3: "<i1", 6: "<i4", 7: "<i8", 10: "<f2", 11: "<f8"}  # TensorProto.DataType


@dataclass(frozen=True, slots=True)
class Node:
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Graph:
    """``constants`` by name; ``inputs`` and ``outputs`` float32, each with its shape (0 = any)."""

    nodes: tuple[Node, ...]
    constants: Mapping[str, NDArray[Any]]
    inputs: Mapping[str, tuple[int, ...]]
    outputs: Mapping[str, tuple[int, ...]]


def broken(why: str) -> MatineeError:
    return MatineeError(
        "weights.refused",
        f"The network file cannot be used: {why}. Fetch it again with: matinee weights fetch",
        f"该网络文件无法使用：{why}。请重新获取：matinee weights fetch",
    )


# --- writing ---------------------------------------------------------------------------------------------------------


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def number(at: int, value: int) -> bytes:
    return varint(at << 3) + varint(value)


def block(at: int, value: bytes | str) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return varint(at << 3 | 2) + varint(len(raw)) + raw


def attribute_bytes(name: str, value: Attribute) -> bytes:
    if isinstance(value, float):
        return block(1, name) + varint(2 << 3 | 5) + struct.pack("<f", value) + number(20, 1)
    if isinstance(value, int):
        return block(1, name) + number(3, value) + number(20, 2)
    return block(1, name) + b"".join(number(8, v) for v in value) + number(20, 7)


def node_bytes(node: Node) -> bytes:
    parts = [block(1, name) for name in node.inputs] + [block(2, name) for name in node.outputs] + [block(4, node.op)]
    parts.append(block(3, node.outputs[0]))  # a name: what quantises wants to say which node it leaves alone
    return b"".join(parts + [block(5, attribute_bytes(k, v)) for k, v in node.attributes.items()])


def tensor_bytes(name: str, array: NDArray[Any]) -> bytes:
    code = next(c for c, d in DTYPES.items() if np.dtype(d) == array.dtype)
    dims = b"".join(number(1, d) for d in array.shape)
    return dims + number(2, code) + block(8, name) + block(9, np.ascontiguousarray(array).tobytes())


def value_bytes(name: str, shape: tuple[int, ...]) -> bytes:
    dims = b"".join(block(1, number(1, d) if d else block(2, "n")) for d in shape)
    return block(1, name) + block(2, block(1, number(1, 1) + block(2, dims)))


def write_onnx(graph: Graph) -> bytes:
    """The model file, operator set 13, everything inside."""
    parts = [block(1, node_bytes(n)) for n in graph.nodes] + [block(2, "matinee")]
    parts += [block(5, tensor_bytes(name, array)) for name, array in graph.constants.items()]
    parts += [block(11, value_bytes(name, shape)) for name, shape in graph.inputs.items()]
    parts += [block(12, value_bytes(name, shape)) for name, shape in graph.outputs.items()]
    return number(1, 8) + block(7, b"".join(parts)) + block(8, block(1, "") + number(2, 13))


# --- reading ---------------------------------------------------------------------------------------------------------


def fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    """(field number, value) in order: an int for varints, raw bytes for everything else."""
    at = 0
    while at < len(data):
        key, at = read_varint(data, at)
        wire = key & 7
        if wire == 0:
            value, at = read_varint(data, at)
            yield key >> 3, value
            continue
        length, at = (8, at) if wire == 1 else (4, at) if wire == 5 else read_varint(data, at)
        if wire not in (1, 2, 5) or at + length > len(data):
            raise broken("it is damaged")
        yield key >> 3, data[at : at + length]
        at += length


def read_varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise broken("it is damaged")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def text(raw: Any) -> str:
    return bytes(raw).decode("utf-8", "replace")


def integers(raw: Any) -> list[int]:
    """A repeated integer, packed or not."""
    if isinstance(raw, int):
        return [signed(raw)]
    out, at = [], 0
    while at < len(raw):
        value, at = read_varint(raw, at)
        out.append(signed(value))
    return out


def read_attribute(data: memoryview) -> tuple[str, Attribute]:
    name, value, many, kind = "", 0, [], 0
    for at, raw in fields(data):
        if at == 1:
            name = text(raw)
        elif at == 2:
            value = struct.unpack("<f", raw)[0]
        elif at == 3:
            value = signed(raw)
        elif at == 8:
            many += integers(raw)
        elif at == 20:
            kind = raw
    return name, many if kind == 7 else value


def read_node(data: memoryview) -> Node:
    inputs, outputs, op, attributes = [], [], "", {}
    for at, raw in fields(data):
        if at == 1:
            inputs.append(text(raw))
        elif at == 2:
            outputs.append(text(raw))
        elif at == 4:
            op = text(raw)
        elif at == 5:
            key, value = read_attribute(raw)
            attributes[key] = value
    return Node(op, tuple(inputs), tuple(outputs), attributes)


def read_tensor(data: memoryview, folder: Path) -> tuple[str, NDArray[Any]]:
    dims: list[int] = []
    name, code, inside = "", 0, b""
    outside: dict[str, str] = {}
    for at, raw in fields(data):
        if at == 1:
            dims += integers(raw)
        elif at == 2:
            code = raw
        elif at == 8:
            name = text(raw)
        elif at == 9:
            inside = bytes(raw)
        elif at == 13:
            entry = {k: text(v) for k, v in fields(raw)}
            outside[entry.get(1, "")] = entry.get(2, "")
    if code not in DTYPES:
        raise broken(f"tensor {name!r} has an unknown type")
    raw_bytes = read_outside(folder, outside) if outside else inside
    if min(dims, default=1) < 0 or len(raw_bytes) != np.prod(dims, dtype=object) * np.dtype(DTYPES[code]).itemsize:
        raise broken(f"tensor {name!r} has another size than its shape")
    return name, np.frombuffer(raw_bytes, DTYPES[code]).reshape(dims)


def read_outside(folder: Path, described: Mapping[str, str]) -> bytes:
    """Numbers kept in a file beside the network; a path that leaves the folder is refused."""
    location = described.get("location", "")
    file = folder / location
    if location != Path(location).name or location in ("", ".", "..") or file.is_symlink() or not file.is_file():
        raise broken(f"it points to another place ({location!r})")
    with file.open("rb") as opened:
        opened.seek(max(int(described.get("offset", "0")), 0))
        return opened.read(max(int(described.get("length", "-1")), -1))


def read_onnx(path: Path) -> Graph:
    """A network with float inputs and outputs of any declared type. Raises ``weights.refused``."""
    graph = next((raw for at, raw in fields(memoryview(path.read_bytes())) if at == 7), None)
    if graph is None:
        raise broken("it holds no network")
    nodes, constants, ends = [], {}, {11: {}, 12: {}}  # type: ignore[var-annotated]
    for at, raw in fields(graph):
        if at == 1:
            nodes.append(read_node(raw))
        elif at == 5:
            name, array = read_tensor(raw, path.parent)
            constants[name] = array
        elif at in ends:
            ends[at][next((text(v) for k, v in fields(raw) if k == 1), "")] = ()
    return Graph(tuple(nodes), constants, ends[11], ends[12])


def open_session(model: bytes | Path, threads: int = 1) -> Any:
    """An ONNX Runtime session, on a GPU where one works (``encoders.device``). Its ``run`` may be called from several
    threads."""
    import onnxruntime

    from matinee.encoders.device import on_device

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    source = model if isinstance(model, bytes) else str(model)
    return on_device(lambda providers: onnxruntime.InferenceSession(source, options, providers=providers))
