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


TRAIN = """
import os, signal, sys
from pathlib import Path
from matinee.settings import Library
from matinee.store.sqlite import SQLiteStore
from matinee.train import train
library = Library.open(Path(sys.argv[1]))
trial = [True]
def hear(stage, share):
    print(stage, flush=True)
    trial[0] = trial[0] and stage != "weights"
    if sys.argv[2] == "die" and not trial[0] and stage.startswith("gru4rec epoch 3 "):
        os.kill(os.getpid(), signal.SIGKILL)
train(library, SQLiteStore(library.database), progress=hear)
"""


def library_with(folder, recipes):
    Library.create(folder)
    (folder / "matinee.toml").write_text(f"[training]\nrecipes = {recipes}\n")
    library = Library.open(folder)
    store = SQLiteStore(library.database)
    fill(store)
    store.close()
    return library


def test_a_killed_training_of_a_library_goes_on_to_the_same_release(tmp_path) -> None:
    """Killed in the last fit: what was fitted whole before is not fitted again, the rest goes on from its last epoch,
    and the models are those of a training that was never killed."""
    recipes = '["popular", "gru4rec"]'
    killed, whole = library_with(tmp_path / "killed", recipes), library_with(tmp_path / "whole", recipes)
    heard = []
    for library, how in ((whole, "live"), (killed, "die"), (killed, "live")):
        done = subprocess.run(
            [sys.executable, "-c", TRAIN, str(library.path), how], capture_output=True, text=True, check=False
        )
        assert done.returncode == (-signal.SIGKILL if how == "die" else 0), done.stderr
        heard.append([line for line in done.stdout.splitlines() if line.startswith("gru4rec epoch")])
        left = sorted(p.name for p in (library.path / "training").glob("*.safetensors"))
        assert [name.startswith("done-") for name in left] == ([True, False] if how == "die" else [])
    assert not (killed.path / "training").exists()
    unbroken, broken, rest = heard
    again = unbroken.index(next(line for line in unbroken[1:] if line.startswith("gru4rec epoch 1 ")))
    assert len(broken) == again + 3
    assert len(rest) == len(unbroken) - len(broken), "only what was left to do"
    (first,), (second,) = (list(library.releases.iterdir()) for library in (killed, whole))
    assert first.name == second.name
    for file in first.iterdir():
        assert file.read_bytes() == (second / file.name).read_bytes(), file.name


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
