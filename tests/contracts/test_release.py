"""Releases: there and back, whole or absent, and every damage is told apart and told to the user."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from matinee.errors import MatineeError
from matinee.models import load_recipe, tensors
from matinee.models.linear import ItemWeights
from matinee.release import MANIFEST, Release, _seal, load_release, save_release
from tests.contracts.checkerboard import ITEMS, checkerboard, query

NAMES = ("popular", "ease", "transitions", "content")


@pytest.fixture(scope="module")
def release():
    data = checkerboard()
    models = {name: load_recipe(name).fit(data, seed=0) for name in NAMES}
    return Release("abc123", models, dict.fromkeys(NAMES, 0.25), data.n_items, {"data": "d", "seed": 0})


@pytest.fixture
def folder(release, tmp_path):
    save_release(tmp_path / "releases" / "abc123", release)
    return tmp_path / "releases" / "abc123"


def refused(folder) -> MatineeError:
    with pytest.raises(MatineeError) as caught:
        load_release(folder)
    assert caught.value.zh != caught.value.en
    return caught.value


def test_there_and_back(release, folder) -> None:
    loaded = load_release(folder)
    assert (loaded.digest, loaded.n_items, loaded.made) == ("abc123", ITEMS, {"data": "d", "seed": 0})
    asked = query([1, 5, 9])
    for name in NAMES:
        one, two = release.models[name].retrieve(asked, 8), loaded.models[name].retrieve(asked, 8)
        assert one.items.tolist() == two.items.tolist()
        assert one.score.tolist() == two.score.tolist()
    assert loaded.blend.retrieve(asked, 6).items.tolist() == release.blend.retrieve(asked, 6).items.tolist()


def test_equal_releases_are_equal_bytes(release, folder, tmp_path) -> None:
    save_release(tmp_path / "again" / "abc123", release)
    for file in folder.iterdir():
        assert file.read_bytes() == (tmp_path / "again" / "abc123" / file.name).read_bytes()


@pytest.mark.parametrize("file", [MANIFEST, *(f"{name}.safetensors" for name in NAMES)])
def test_a_flipped_bit_is_found(folder, file) -> None:
    whole = (folder / file).read_bytes()
    rng = np.random.default_rng(0)
    for at in [0, len(whole) - 1, *rng.integers(0, len(whole), 20)]:
        damaged = bytearray(whole)
        damaged[at] ^= 1 << int(rng.integers(8))
        (folder / file).write_bytes(damaged)
        assert refused(folder).code in ("release.corrupt", "release.newer")
    (folder / file).write_bytes(whole)
    load_release(folder)  # the control: undamaged it loads


@pytest.mark.parametrize("file", [MANIFEST, "ease.safetensors"])
def test_a_missing_or_short_file(folder, file) -> None:
    whole = (folder / file).read_bytes()
    for length in (0, 1, 7, 8, len(whole) // 2, len(whole) - 1):
        (folder / file).write_bytes(whole[:length])
        assert refused(folder).code == "release.corrupt"
    (folder / file).unlink()
    error = refused(folder)
    assert error.code == "release.missing"
    assert "matinee train" in error.en
    assert "matinee train" in error.zh


def test_a_release_that_is_not_there(tmp_path) -> None:
    assert refused(tmp_path / "none").code == "release.missing"


def rewrite(folder, change, seal=True) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest.pop("seal")
    change(manifest)
    manifest["seal"] = _seal(manifest) if seal else "0"
    (folder / MANIFEST).write_text(json.dumps(manifest))


def test_a_newer_format_says_upgrade(folder) -> None:
    rewrite(folder, lambda m: m.update(format=99))
    error = refused(folder)
    assert error.code == "release.newer"
    assert "Upgrade" in error.en


def test_a_manifest_that_points_elsewhere(folder) -> None:
    rewrite(folder, lambda m: m.update(models=["../../etc/passwd"]))
    assert refused(folder).code == "release.corrupt"


def test_arrays_that_another_version_shaped_otherwise(folder) -> None:
    """A release made while the arrays of a recipe looked different, under the same format number: it says so."""
    file = folder / "ease.safetensors"
    arrays = tensors.unpack(file.read_bytes())
    blob = tensors.pack({name: np.array(array)[:0] for name, array in arrays.items()})
    file.write_bytes(blob)
    rewrite(folder, lambda m: m["files"].update({file.name: hashlib.sha256(blob).hexdigest()}))
    error = refused(folder)
    assert error.code == "release.corrupt"
    assert "matinee train" in error.en


def test_a_manifest_edited_by_hand(folder) -> None:
    rewrite(folder, lambda m: m["weights"].update(ease=9.0), seal=False)
    assert refused(folder).code == "release.corrupt"
    rewrite(folder, lambda m: None)
    assert load_release(folder).weights["ease"] == 9.0, "the control: with the seal mended it loads"


def test_a_linked_file_is_not_followed(folder, tmp_path) -> None:
    os.rename(folder / "ease.safetensors", tmp_path / "outside")
    os.symlink(tmp_path / "outside", folder / "ease.safetensors")
    assert refused(folder).code == "release.missing"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_model_that_is_not_finite_is_refused_before_anything_is_written(release, tmp_path, bad) -> None:
    ease = release.models["ease"]
    values = ease.values.copy()
    values[3, 4] = bad
    broken = ItemWeights("ease", values, ease.starts, ease.columns, ease.known, ease.power)
    with pytest.raises(MatineeError) as caught:
        save_release(tmp_path / "r", Release("r", {"ease": broken}, {"ease": 1.0}, ITEMS))
    assert caught.value.code == "release.not_finite"
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_refuses_leaves_nothing_and_keeps_the_old(release, folder, monkeypatch) -> None:
    def full(descriptor) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matinee.release.os.fsync", full)
    with pytest.raises(MatineeError) as caught:
        save_release(folder.parent / "next", release)
    assert (caught.value.code, caught.value.status) == ("release.unwritable", 507)
    assert [p.name for p in folder.parent.iterdir()] == ["abc123"]
    load_release(folder)


def test_a_damaged_release_is_replaced_by_a_whole_one(release, folder) -> None:
    (folder / "ease.safetensors").write_bytes(b"no")
    save_release(folder, release)
    load_release(folder)
    assert [p.name for p in folder.parent.iterdir()] == ["abc123"]


def test_what_a_killed_writer_left_is_swept_and_a_living_ones_is_not(release, folder) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    dead = folder.parent / f".x.{int(gone.stdout)}.tmp"
    alive = folder.parent / f".y.{os.getppid()}.tmp"
    for left in (dead, alive):
        left.mkdir()
        (left / "half").write_bytes(b"half")
    save_release(folder.parent / "next", release)
    assert not dead.exists()
    assert alive.exists()


def test_arrays_there_and_back() -> None:
    arrays = {
        "a": np.arange(6, dtype=np.int64).reshape(2, 3), "b": np.array(3.5), "c": np.zeros((0, 4), np.float32),
        "d": np.array([True, False, True]), "e": np.arange(3, dtype=">i4"), "f": np.float16([1.5]),
    }  # fmt: skip
    back = tensors.unpack(tensors.pack(arrays))
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)
        assert back[name].shape == np.shape(array)
    with pytest.raises(TypeError):
        tensors.pack({"o": np.array([object()])})


def bytes_of(header, data=b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


F32 = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    "data",
    [
        b"", b"1234567", (1 << 63).to_bytes(8, "little") + b"{}", bytes_of(b"{"), bytes_of(b"[" * 5000), bytes_of([]),
        bytes_of({"a": F32}), bytes_of({"a": F32}, b"12345"), bytes_of({"a": F32, "b": F32}, b"1234"),
        bytes_of({"a": {**F32, "dtype": "PICKLE"}}, b"1234"), bytes_of({"a": {**F32, "shape": [-1]}}, b"1234"),
        bytes_of({"a": {**F32, "shape": [2**62, 4]}}, b"1234"), bytes_of({"a": {**F32, "data_offsets": [4, 0]}}),
        bytes_of({"a": {**F32, "data_offsets": [0, 2**63]}}, b"1234"), bytes_of({"a": {**F32, "shape": "x"}}, b"1234"),
        bytes_of({"a": {"dtype": "F32"}}, b"1234"), bytes_of({"a": 3}, b"1234"),
    ],
)  # fmt: skip
def test_arrays_that_do_not_add_up(data) -> None:
    with pytest.raises(MatineeError) as caught:
        tensors.unpack(data)
    assert caught.value.code == "tensors.corrupt"


def test_arrays_by_hand_load() -> None:
    """The control of the test above."""
    assert tensors.unpack(bytes_of({"a": F32}, np.float32(7).tobytes()))["a"].tolist() == [7.0]
