"""Matinee keeps to itself: nothing that it uses tells anybody what is done with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

USE = """
import sys
{first}
import onnxruntime
onnxruntime.get_available_providers()
session = onnxruntime.SessionOptions()
"""


def written(home: Path, first: str) -> list[str]:
    """The files below HOME after a process that uses ONNX Runtime."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ORT_", "XDG_")) and k not in ("CI", "TF_BUILD")}
    env = kept | {"HOME": str(home)}
    subprocess.run([sys.executable, "-c", USE.format(first=first)], env=env, check=True, timeout=60)
    return [path.name for path in home.rglob("*") if path.is_file()]


def test_onnx_runtime_neither_keeps_an_id_nor_sends_anything(tmp_path):
    assert written(tmp_path, "import matinee") == []


def test_without_us_it_would(tmp_path):
    """The control: should a later version keep nothing, this test and the setting may go."""
    left = written(tmp_path, "")
    if not left:
        pytest.skip("this build of ONNX Runtime has no telemetry here")
    assert "deviceid" in left
