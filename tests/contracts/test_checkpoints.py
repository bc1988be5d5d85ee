"""Checkpoints are data: tensors are read, programs are not run; a network is what its file says or refused."""

from __future__ import annotations

import io
import os
import pickle
import zipfile

import numpy as np
import pytest

from matinee.encoders.onnx import Graph, Node, open_session, read_onnx, write_onnx
from matinee.encoders.tensors import OLD_MAGIC, read_tensors
from matinee.errors import MatineeError


def program(table: dict[str, np.ndarray]) -> bytes:
    """The pickle that PyTorch writes for tensors, made by hand: no PyTorch is needed to test reading one."""
    out = io.BytesIO()

    def text(value):
        raw = value.encode()
        out.write(b"X" + len(raw).to_bytes(4, "little") + raw)

    def number(value):
        out.write(b"J" + int(value).to_bytes(4, "little", signed=True))

    def numbers(values):
        out.write(b"(")
        for v in values:
            number(v)
        out.write(b"t")

    out.write(b"\x80\x02}(")
    for name, array in table.items():
        text(name)
        out.write(b"ctorch._utils\n_rebuild_tensor_v2\n((")
        text("storage")
        out.write(b"ctorch\nFloatStorage\n")
        text(name)
        text("cpu")
        number(array.size)
        out.write(b"tQ")
        number(0)
        numbers(array.shape)
        numbers([s // 4 for s in array.strides])
        out.write(b"\x89}tR")
    out.write(b"u.")
    return out.getvalue()


def checkpoint(path, pickled: bytes, storages: dict[str, bytes]):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        for name, raw in storages.items():
            archive.writestr(f"archive/data/{name}", raw)
    return path


def test_reads_what_was_written(tmp_path):
    table = {"a.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4), "b": np.float32([1.5, -2])}
    path = checkpoint(tmp_path / "x.pth", program(table), {k: v.tobytes() for k, v in table.items()})
    read = read_tensors(path)
    assert set(read) == set(table)
    for name, array in table.items():
        assert np.array_equal(read[name], array)


class Evil:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("kind", ["zip", "old"])
def test_a_program_in_a_checkpoint_is_not_run(tmp_path, kind, protocol):
    mark = tmp_path / "ran"
    bomb = pickle.dumps({"weight": Evil(os.mkdir, str(mark))}, protocol)
    pickle.loads(bomb)  # noqa: S301  # the control: an ordinary unpickler does run it
    assert mark.exists()
    mark.rmdir()
    path = tmp_path / "x.pth"
    if kind == "zip":
        checkpoint(path, bomb, {})
    else:
        path.write_bytes(b"".join(pickle.dumps(v, 2) for v in (OLD_MAGIC, 1001, {"little_endian": True})) + bomb)
    with pytest.raises(MatineeError, match="refused unread") as error:
        read_tensors(path)
    assert error.value.code == "weights.refused"
    assert not mark.exists()


@pytest.mark.parametrize(
    "opcodes",
    [
        b"\x80\x02cbuiltins\neval\nX\x01\x00\x00\x001\x85R.",
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02ls\x85R.",
        b"\x80\x02(X\x02\x00\x00\x00lsios\nsystem\n.",
        b"\x80\x02ctorch\nFloatStorage\n)R.",  # a name that is known, but no function
        b"\x80\x02}}bccollections\nOrderedDict\n)\x81.",
        b"\x80\x02(lp0\n.", b"", b"\x80\x02.", b"\x80\x02K\x01K\x02R.", b"\x80\x02h\x05.", b"not a pickle at all",
    ],
)  # fmt: skip
def test_odd_programs_are_refused(tmp_path, opcodes):
    with pytest.raises(MatineeError) as error:
        read_tensors(checkpoint(tmp_path / "x.pth", opcodes, {}))
    assert error.value.code == "weights.refused"


def test_a_tensor_beyond_its_storage_is_refused(tmp_path):
    whole = np.zeros(4, np.float32)
    lying = program({"a": np.lib.stride_tricks.as_strided(whole, (2, 2), (8, 4))})
    for pickled, raw in ((lying.replace(b"J\x02\x00\x00\x00J\x02", b"J\xff\xff\xff\x7fJ\x02", 1), whole.tobytes()),
                         (program({"a": whole}), whole.tobytes()[:8]), (program({"a": whole}), None)):  # fmt: skip
        path = checkpoint(tmp_path / "x.pth", pickled, {} if raw is None else {"a": raw})
        with pytest.raises(MatineeError):
            read_tensors(path)


def small_network():
    nodes = (Node("Conv", ("x", "w", "b"), ("y",), {"kernel_shape": [1, 1], "group": 1}), Node("Relu", ("y",), ("z",)))
    w, b = np.float32([[[[2.0]]], [[[-1.0]]]]), np.float32([1, 0])
    return Graph(nodes, {"w": w, "b": b}, {"x": (0, 1, 2, 2)}, {"z": (0, 2, 2, 2)})


def test_a_network_survives_writing_and_reading(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(write_onnx(small_network()))
    again = read_onnx(path)
    assert again.nodes == small_network().nodes
    assert all(np.array_equal(again.constants[k], v) for k, v in small_network().constants.items())
    x = np.arange(4, dtype=np.float32).reshape(1, 1, 2, 2)
    (z,) = open_session(path).run(None, {"x": x})
    assert np.array_equal(z, np.stack([np.maximum(2 * x[0, 0] + 1, 0), np.maximum(-x[0, 0], 0)])[None])


@pytest.mark.parametrize("location", ["../secret", "/etc/hostname", "link", "missing", "", "."])
def test_numbers_outside_the_folder_are_not_read(tmp_path, location):
    from matinee.encoders.onnx import block, number

    folder = tmp_path / "net"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"\0\0\x80?")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "beside").write_bytes(b"\0\0\x80?")

    def net(where):
        entry = block(1, "location") + block(2, where)
        tensor = number(1, 1) + number(2, 1) + block(8, "w") + block(13, entry)
        (folder / "n.onnx").write_bytes(block(7, block(5, tensor)))
        return folder / "n.onnx"

    assert read_onnx(net("beside")).constants["w"] == 1  # the control: beside the network is where they may be
    with pytest.raises(MatineeError) as error:
        read_onnx(net(location))
    assert error.value.code == "weights.refused"
