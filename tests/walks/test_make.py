"""``make`` on machines that are not ready for it says what is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="no make here")


def make(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "MAKE"))} | more
    return subprocess.run(
        ["make", *arguments], cwd=ROOT, env=env, capture_output=True, text=True, timeout=300, check=False
    )


def test_help_tells_what_there_is():
    told = make("help")
    assert told.returncode == 0
    assert "make demo" in told.stdout


def test_an_old_python_is_refused_in_both_languages(tmp_path):
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    told = make("setup", f"VENV={tmp_path / 'venv'}", f"PYTHON={old}")
    assert told.returncode == 2
    assert "Python 3.11" in told.stdout
    assert "需要" in told.stdout
    assert not (tmp_path / "venv").exists()


def test_no_python_at_all(tmp_path):
    told = make("setup", f"VENV={tmp_path / 'venv'}", "PYTHON=")
    assert told.returncode == 2
    assert "PYTHON=/path/to/python3.11" in told.stdout


def test_an_installation_without_a_network_says_what_to_do(tmp_path):
    venv = tmp_path / "venv"
    away = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}
    told = make("setup", f"VENV={venv}", **away)
    assert told.returncode == 2
    assert "PIP_INDEX_URL" in told.stdout
    assert not (venv / ".run").exists()  # so that the next make tries again
