"""Deep models in real processes: a release with one is trained and then served without PyTorch; Ctrl-C keeps what was
learnt."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from matinee.settings import Library
from matinee.store.sqlite import SQLiteStore
from matinee.train import train
from tests.walks.test_train import fill

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'matinee[neural]'")

SERVE = """
import sys
sys.modules["torch"] = None
from pathlib import Path
from matinee.release import load_release
from tests.contracts.checkerboard import query
release = load_release(Path(sys.argv[1]))
print(release.models["gru4rec"].retrieve(query([0, 4], now=1.7e9), 13).items.tolist())
"""

LEARN = """
import sys
from pathlib import Path
from matinee.models import load_recipe, tensors
from matinee.models.neural.checkpoint import Run
from tests.contracts.test_neural import SMALL, ring
recipe = load_recipe("gru4rec", SMALL | {"epochs": int(sys.argv[2]), "patience": 10**6})
model = recipe.fit(ring(), seed=1, run=Run(Path(sys.argv[1]), lambda stage, share: print(stage, flush=True)))
"""


def test_a_release_with_a_deep_model_is_served_without_pytorch(tmp_path) -> None:
    folder = tmp_path / "library"
    Library.create(folder)
    (folder / "matinee.toml").write_text('[training]\nrecipes = ["popular", "gru4rec"]\n')
    library = Library.create(folder)
    store = SQLiteStore(library.database)
    fill(store)
    digest = train(library, store)
    store.close()
    command = [sys.executable, "-c", SERVE, str(library.releases / digest)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    items = [int(i) for i in done.stdout.strip("[]\n").split(",")]
    assert sorted(items) == list(range(13)), "item 12 was never watched; its text makes it known"


def test_ctrl_c_keeps_the_checkpoint_and_the_next_run_goes_on(tmp_path) -> None:
    command = [sys.executable, "-c", LEARN, str(tmp_path), "4000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            if line.startswith("gru4rec epoch 3 "):
                process.send_signal(signal.SIGINT)
                break
        last = max([3, *(int(line.split()[2]) for line in process.stdout if line.startswith("gru4rec epoch"))])
        process.wait(60)
    assert process.returncode not in (0, None)
    (file,) = tmp_path.glob("*.safetensors")
    assert not list(tmp_path.glob("*.part"))
    assert last < 4000
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        first = process.stdout.readline()
        process.kill()
    assert int(first.split()[2]) in (last + 1, last + 2), "at most the epoch whose line was not told is new"
    assert file.exists()
