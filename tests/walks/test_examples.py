"""The examples do what they say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from matinee.settings import Library
from matinee.store import open_store
from matinee.types import Item
from tests import weights
from tests.walks import serving

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"


def run(*arguments: str) -> str:
    command = [sys.executable, str(EXAMPLES / arguments[0]), *arguments[1:]]
    told = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert told.returncode == 0, told.stderr
    return told.stdout


def test_own_catalogue(tmp_path):
    weights.fetched("text")
    told = run("own_catalogue.py", str(tmp_path)).splitlines()
    assert "6 catalogue items, 7 new events" in told[0]
    assert told[1].startswith("release ")
    first = told[2]
    assert first.startswith("Neapolitan pizza at home")  # dora liked bread
    assert "sourdough" in first


def test_click_and_see(tmp_path):
    store = open_store(Library.create(tmp_path).database)
    store.put_items([Item(id=f"i/{n}", title=f"Title {n}") for n in range(8)])
    store.close()
    with serving.serving(tmp_path) as server:
        told = run("click_and_see.py", server.url, "ann & co")
    before, after = told.split("After ann & co liked ")
    liked = before.splitlines()[1].strip().partition(":")[0]
    assert "'accepted': 1" in before
    assert liked not in after.partition(":")[2]  # liked, so not offered again
