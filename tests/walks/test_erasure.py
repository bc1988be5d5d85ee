"""Erasure reaches every byte: a real library with a trained release, backups and a running server, whose every file and
every line of log is searched for the person in every encoding that software puts text into."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest

from matinee.models import tensors
from matinee.privacy import erasure
from matinee.release import load_release
from matinee.settings import Library
from matinee.store import open_store
from matinee.store.backup import backup
from matinee.store.check import check
from matinee.train import train
from matinee.types import Event, Item
from tests.walks.serving import serving

PERSON = "erika.mustermänn+tv@example.org"
SESSION = "anon-7f3a9c51"
TOWN = "Kassel-Wilhelmshöhe"  # what a table of users says of her
SECRETS = (PERSON, SESSION, "my heart is broken tonight", "ev-of-erika", "sitting-of-erika", TOWN)
SETTINGS = '[training]\nrecipes = ["popular", "item_knn", "user_knn"]\n'


def forms(text: str) -> Iterator[bytes]:
    """The text as bytes, in the ways that programs write it."""
    for code in ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "latin-1"):
        yield text.encode(code)
    plain = text.encode()
    yield plain.hex().encode()
    yield plain.hex().upper().encode()
    for shift in range(3):  # wherever it begins within a longer text
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            coded = encode(b"\0" * shift + plain)
            yield coded[(4 if shift else 0) : len(coded) // 4 * 4 - 4]
    yield json.dumps(text)[1:-1].encode()
    yield json.dumps(text)[1:-1].upper().encode()
    yield quote(text).encode()
    yield quote(text, safe="").lower().encode()
    yield plain[::-1]
    for kind in ("md5", "sha1", "sha256", "sha512", "blake2b"):
        digest = hashlib.new(kind, plain)
        yield digest.digest()
        yield digest.hexdigest().encode()
        yield base64.b64encode(digest.digest())[:20]


def traces(folder: Path, *secrets: str) -> list[str]:
    """Every file under a folder that holds one of the texts in any form, its own name included."""
    looked = {form for text in secrets for form in forms(text)}
    found = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        data = os.fsencode(path.name) + b"\n" + path.read_bytes()
        found += [f"{path.relative_to(folder)}: {form[:40]!r}" for form in looked if form in data]
    return found


@pytest.mark.parametrize("text", SECRETS)
def test_the_search_finds_every_form(tmp_path: Path, text: str) -> None:
    """The control: each form, planted in the middle of other bytes, is found."""
    for n, form in enumerate(forms(text)):
        (tmp_path / "planted").write_bytes(b"before " + form + b" after" * n)
        assert traces(tmp_path, text), form
    (tmp_path / "planted").write_bytes(b"xy" + base64.b64encode(b"to " + text.encode() + b", hello"))
    assert traces(tmp_path, text)


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """Watched by forty people, one of whom will go; trained with a model that keeps rows of the log."""
    folder = tmp_path / "library"
    Library.create(folder)
    (folder / "matinee.toml").write_text(SETTINGS)
    library = Library.open(folder)
    store = open_store(library.database)
    store.put_items([Item(id=f"i{n}", title=f"title {n}") for n in range(20)])
    chance = np.random.default_rng(0)
    for user in (*(f"u{n}" for n in range(40)), PERSON, SESSION):
        mine = user in (PERSON, SESSION)
        store.append([
            Event(
                id=f"{'ev-of-erika' if mine else 'e'}/{user}/{k}", user=user, kind="comment" if mine else "like",
                at=1e9 + 1000 * k + len(user), item=f"i{chance.integers(20)}",
                text="my heart is broken tonight" if mine else None, session="sitting-of-erika" if mine else None,
            )
            for k in range(12)
        ])  # fmt: skip
    store.put_profiles({SESSION: {"age": 44, "town": TOWN}, **{f"u{n}": {"age": 44} for n in range(20)}})
    store.merge_user(SESSION, PERSON)
    train(library, store)
    train(library, store)
    store.close()
    return library


def person_row(library: Library) -> int:
    store = open_store(library.database)
    row = dict((user, row) for row, user in store.users())[PERSON]  # noqa: C402
    store.close()
    return row


def rows_kept(library: Library, row: int) -> list[int]:
    """How many events of a user's row each release on the disk keeps."""
    held = []
    for file in library.releases.glob("*/user_knn.safetensors"):
        starts = tensors.unpack(file.read_bytes())["starts"]
        held.append(int(starts[row + 1] - starts[row]))
    return held


def test_nothing_of_a_person_is_left_anywhere(library: Library, tmp_path: Path) -> None:
    row = person_row(library)
    assert rows_kept(library, row)[0] > 0
    backup(library.path, tmp_path / "kept")
    note = {"en": f"event 'ev-of-erika/1' of {PERSON} was refused", "zh": "x"}
    (library.path / "ingest.json").write_text(json.dumps({"report": {"notes": [note]}, "finished": True}))
    (library.path / "training").mkdir()
    (library.path / "training" / "sasrec-0.safetensors").write_bytes(PERSON.encode())  # of a training that was killed
    with serving(library.path) as server:
        person = quote(PERSON, safe="")
        server.post({"id": "ev-of-erika/live", "user": SESSION, "item": "i3", "kind": "like"})
        server.client.post("/api/v1/events", json={"id": "bad", "user": PERSON, "item": "none", "kind": "like"})
        assert server.get(f"users/{person}/recommendations", exploration=0.5, n=5)["items"]
        assert server.get(f"users/{person}/export")["events"]
        assert server.get(f"users/{person}/export")["profile"] == {"age": 44, "town": TOWN}
        assert server.client.put(f"/api/v1/users/{person}", json={"age": 45, "town": TOWN}).status_code == 200
        assert server.get("users/stranger/recommendations", age=44, n=5)["items"]  # groups are counted, her among them
        assert server.client.get(f"/api/v1/users/{person}/nothing").status_code == 404
        assert len(traces(library.path, *SECRETS)) > 10
        answer = server.client.delete(f"/api/v1/users/{person}", params={"confirm": PERSON})
        assert answer.status_code == 200
        assert answer.json()["backups"] == [str(tmp_path / "kept")]
        assert traces(library.path, *SECRETS) == []  # while it serves
        assert set(rows_kept(library, row)) == {0}
        assert server.get("users/u1/recommendations", n=5)["items"]
        assert server.client.get(f"/api/v1/users/{person}/export").status_code == 404
        assert server.client.get(f"/api/v1/users/{SESSION}/export").status_code == 404
        server.stop()
        assert server.process.stderr is not None
        log = server.process.stderr.read().encode()
    assert [form for text in SECRETS for form in forms(text) if form in log] == []
    assert traces(library.path, *SECRETS) == []
    assert check(library.database, library.path) == []
    assert traces(tmp_path / "kept", *SECRETS)  # a copy made before holds it, and was named


def test_the_release_goes_on_without_the_person(library: Library) -> None:
    store = open_store(library.database)
    before = store.release()
    assert before is not None
    old = load_release(library.releases / before[0])
    row = person_row(library)
    gone = erasure.erase(library, store, PERSON)
    after = store.release()
    assert after is not None
    assert gone.releases == (after[0],)
    assert [digest for _, digest in store.releases_used()][-2:] == [before[0], after[0]]
    assert not (library.releases / before[0]).exists()
    new = load_release(library.releases / after[0])  # sealed and whole
    assert new.weights == old.weights
    a, b = (release.models["user_knn"].arrays() for release in (old, new))
    others = [r for r in range(len(a["starts"]) - 1) if r != row]
    for r in others:
        one, other = slice(a["starts"][r], a["starts"][r + 1]), slice(b["starts"][r], b["starts"][r + 1])
        assert a["columns"][one].tolist() == b["columns"][other].tolist()
        assert a["values"][one].tolist() == b["values"][other].tolist()
    assert erasure.finish(library, store) == ()  # once is enough
    store.close()


def test_rows_nested_in_a_blend_are_emptied_too() -> None:
    inner = {"values": np.ones(5, np.float32), "columns": np.arange(5), "starts": np.array([0, 2, 3, 5])}
    nested = {f"blend/0/user_knn/{key}": array for key, array in inner.items()} | {"starts": np.array([1, 2])}
    found = erasure.without(nested, np.array([0, 7]))
    assert found is not None
    assert found["blend/0/user_knn/starts"].tolist() == [0, 0, 1, 3]
    assert found["blend/0/user_knn/columns"].tolist() == [2, 3, 4]
    assert found["starts"].tolist() == [1, 2]
    assert erasure.without(found, np.array([0, 7])) is None


ERASER = """
import sys
from pathlib import Path
from matinee.privacy import erasure
from matinee.settings import Library
from matinee.store import open_store
library = Library.open(Path(sys.argv[1]))
store = open_store(library.database)
print("go", flush=True)
erasure.erase(library, store, sys.argv[2])
print("erased", flush=True)
"""


def test_an_erasure_killed_at_each_step_is_finished(library: Library, tmp_path: Path) -> None:
    """Whatever is left, the next command that opens the library finishes it."""
    row = person_row(library)
    steps = ("rewritten", "_write", "put_release", "use_release", "drop_release", "rmtree")
    for n, step in enumerate(steps):
        copy = tmp_path / f"copy{n}"
        shutil.copytree(library.path, copy)
        place = {"rewritten": "erasure.rewritten", "_write": "erasure._write", "rmtree": "shutil.rmtree"}
        code = ERASER.replace(
            'print("go", flush=True)',
            "import os, shutil, signal\n"
            "def die(*given, **_):\n"
            "    if '.tmp' not in str(given[0]): os.kill(os.getpid(), signal.SIGKILL)\n"
            f"{place.get(step, f'type(store).{step}')} = die",
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(copy), PERSON], capture_output=True, text=True, check=False
        )
        assert done.returncode == -signal.SIGKILL, (step, done.stderr)
        assert "erased" not in done.stdout
        at = Library.open(copy)
        told = subprocess.run(
            [sys.executable, "-m", "matinee", "releases", "-L", str(copy)], capture_output=True, text=True, check=False
        )
        assert told.returncode == 0, told.stderr  # any command that opens the library finishes it
        store = open_store(at.database)
        assert store.release() is not None
        load_release(at.releases / store.release()[0])
        store.close()
        assert set(rows_kept(at, row)) == {0}, step
        assert traces(copy, *SECRETS) == [], step
        assert check(at.database, at.path) == [], step


def test_a_damaged_release_stops_nothing(library: Library) -> None:
    """Neither the erasure nor any later command; ``check`` names it."""
    for file in library.releases.glob("*/user_knn.safetensors"):
        file.write_bytes(file.read_bytes()[:20] + b"\xff" * 40)
    store = open_store(library.database)
    assert erasure.erase(library, store, PERSON).found
    store.close()
    assert {piece.code for piece in check(library.database, library.path)} == {"check.release"}
