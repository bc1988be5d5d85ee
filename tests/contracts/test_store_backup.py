"""Backups taken while others write, restored to what they were; erasure that leaves no byte."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from matinee.errors import MatineeError
from matinee.protocols import Counts
from matinee.release import load_release, save_release
from matinee.store import backup as backups
from matinee.store.backup import backup, content_digest, restore
from matinee.store.check import check
from matinee.store.erase import backups_with_erased
from matinee.store.sqlite import SQLiteStore
from matinee.types import Event, Item
from tests.properties.killed import release_of

SECRET = "erika.mustermann@example.org"


def events(user: str, n: int, first: int = 0) -> list[Event]:
    return [
        Event(id=f"{user}/{k}", user=user, kind="comment", at=float(k), item="a", text=f"I, {user}, say", session=user)
        for k in range(first, first + n)
    ]


@pytest.fixture
def library(tmp_path: Path) -> Path:
    folder = tmp_path / "library"
    (folder / "covers").mkdir(parents=True)
    (folder / "covers/c.jpg").write_bytes(b"picture")
    (folder / "covers/unused.jpg").write_bytes(b"picture")
    (folder / "covers/s-0.jpg").write_bytes(b"picture of a shot")
    save_release(folder / "releases/d", release_of(3))
    (folder / "matinee.toml").write_text("")
    with closing(SQLiteStore(folder / "matinee.db")) as store:
        store.put_items([Item(id="a"), Item(id="b")])
        store.put_fact("a", "cover", {"file": "covers/c.jpg"})
        store.put_fact("b", "shots", [{"start": 0, "end": 1, "frame": "covers/s-0.jpg"}, {"start": 1, "end": 2}])
        store.put_profiles({"user1": {"age": 31}, SECRET: {"mail": SECRET}})
        store.put_release("d", {})
        store.use_release("d")
        for n in range(40):
            store.append([*events(f"user{n}", 20), *events(SECRET, 5, 5 * n)])
    return folder


def digest(folder: Path) -> str:
    with closing(sqlite3.connect(folder / "matinee.db")) as c:
        return content_digest(c)


def refusal(call: object, *arguments: object) -> str:
    with pytest.raises(MatineeError) as caught:
        call(*arguments)
    return caught.value.code


def test_a_backup_restores_to_the_same_content(library: Path, tmp_path: Path) -> None:
    made = backup(library, tmp_path / "kept")
    assert made.manifest.content == digest(library)
    release = {f"releases/d/{name}" for name in ("manifest.json", "popular.safetensors", "popular_recent.safetensors")}
    pictures = {"covers/c.jpg", "covers/s-0.jpg"}
    assert set(made.manifest.files) == {"matinee.db", "matinee.toml", *pictures, *release}
    assert refusal(backup, library, tmp_path / "kept") == "backup.exists"
    restore(tmp_path / "kept", tmp_path / "elsewhere")
    assert digest(tmp_path / "elsewhere") == made.manifest.content
    assert load_release(tmp_path / "elsewhere/releases/d").n_items == 1
    assert (tmp_path / "elsewhere/covers/c.jpg").read_bytes() == b"picture"
    with closing(SQLiteStore(tmp_path / "elsewhere/matinee.db")) as store:
        assert store.counts() == Counts(2, 41, 1000)
        assert store.profile("user1") == {"age": 31}
        assert store.append(events("new", 1)).accepted == 1
    assert check(tmp_path / "elsewhere/matinee.db", tmp_path / "elsewhere") == []


def test_backups_while_writing_are_of_one_moment(library: Path, tmp_path: Path) -> None:
    """Batches of seven by another thread: each backup holds whole batches, and all that was acknowledged before."""
    done, acknowledged = threading.Event(), [0]

    def write() -> None:
        with closing(SQLiteStore(library / "matinee.db")) as store:
            while not done.is_set():
                store.append(events("writer", 7, acknowledged[0]))
                acknowledged[0] += 7

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for n in range(5):
            before = acknowledged[0]
            made = backup(library, tmp_path / f"kept{n}")
            restore(made.path, tmp_path / f"again{n}")
            assert digest(tmp_path / f"again{n}") == made.manifest.content
            with closing(SQLiteStore(tmp_path / f"again{n}/matinee.db")) as store:
                held = store.counts().events - 1000
                assert held % 7 == 0
                assert held >= before
    finally:
        done.set()
        writer.join()


def test_a_restore_into_a_serving_library_is_seen_by_it(library: Path, tmp_path: Path) -> None:
    with closing(SQLiteStore(library / "matinee.db")) as serving:
        backup(library, tmp_path / "kept")
        serving.append(events("later", 3))
        serving.delete_item("b")
        revision, last = serving.revision(), int(serving.log().sequence[-1])
        restore(tmp_path / "kept", library)
        assert serving.counts() == Counts(2, 41, 1000)
        assert serving.item("b") is not None
        assert serving.revision() > revision
        serving.append(events("later", 1))
        assert len(serving.log(last).items) == 1  # a reader that stopped before the restore misses nothing
    assert check(library / "matinee.db") == []


@pytest.mark.parametrize("name", ["matinee.db", "covers/c.jpg", "backup.json", "releases/d/popular.safetensors"])
def test_a_damaged_backup_is_refused_and_nothing_changes(library: Path, tmp_path: Path, name: str) -> None:
    backup(library, tmp_path / "kept")
    before = digest(library)
    data = bytearray((tmp_path / "kept" / name).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "kept" / name).write_bytes(data)
    if name == "backup.json":
        (tmp_path / "kept" / name).write_bytes(data[:-30])
    assert refusal(restore, tmp_path / "kept", library) == "backup.damaged"
    assert digest(library) == before
    assert refusal(restore, tmp_path / "nothing", library) == "backup.damaged"


def test_a_backup_that_fails_leaves_nothing(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backups.shutil, "copyfile", fail)
    assert refusal(backup, library, tmp_path / "kept") == "backup.failed"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["library"]


# erasure


def bytes_left(folder: Path, text: str = SECRET) -> int:
    """How often the id stands in any file of the folder, in any encoding that a store might use."""
    forms = [text.encode(code) for code in ("utf-8", "utf-16-le", "utf-16-be")]
    return sum(path.read_bytes().count(form) for path in folder.rglob("*") if path.is_file() for form in forms)


def test_no_byte_of_an_erased_user_is_left(library: Path) -> None:
    assert bytes_left(library) > 100
    with closing(SQLiteStore(library / "matinee.db")) as store:
        revision = store.revision()
        assert store.erase_user(SECRET)
        assert bytes_left(library) == 0  # while the store is open, log and all
        assert not store.erase_user(SECRET)
        assert not store.erase_user("nobody")
        assert store.counts() == Counts(2, 40, 800)
        assert store.events_of(SECRET, 9) == []
        assert store.revision() > revision
        assert len(list(store.users())) == 40
        store.append(events("new", 1))
        assert list(store.users())[-1] == (41, "new")  # nobody else gets the erased row
    assert bytes_left(library) == 0
    assert check(library / "matinee.db") == []


def test_plain_deletion_leaves_bytes(library: Path) -> None:
    """The control: what erasure would be without the rewrite, ``secure_delete`` and a checkpoint included."""
    with closing(SQLiteStore(library / "matinee.db")) as store:
        with store.database.write() as c:
            c.execute("DELETE FROM events WHERE user = (SELECT row FROM users WHERE id = ?)", (SECRET,))
            c.execute("UPDATE users SET id = NULL WHERE id = ?", (SECRET,))
        assert bytes_left(library) > 0


def test_an_erasure_cut_short_is_finished_at_the_next_opening(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(SQLiteStore(library / "matinee.db")) as store:
        monkeypatch.setattr("matinee.store.erase.scrub", lambda database: None)
        store.erase_user(SECRET)
        monkeypatch.undo()
    assert [piece.code for piece in check(library / "matinee.db")] == ["check.erasure"]
    SQLiteStore(library / "matinee.db").close()
    assert bytes_left(library) == 0
    assert check(library / "matinee.db") == []


def test_a_long_reader_delays_erasure_and_is_named(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matinee.store.erase.BUSY_MS", 50)
    with (
        closing(SQLiteStore(library / "matinee.db")) as store,
        closing(sqlite3.connect(library / "matinee.db")) as other,
    ):
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM events").fetchone()
        store.database._writer.execute("PRAGMA busy_timeout = 50")
        assert refusal(store.erase_user, SECRET) == "erase.pending"
        assert store.events_of(SECRET, 9) == []  # gone for everybody who asks
        other.rollback()
        store.erase_user("nobody")
        assert bytes_left(library) == 0


def test_the_erased_stay_erased_after_a_restore(library: Path, tmp_path: Path) -> None:
    backup(library, tmp_path / "kept")
    with closing(SQLiteStore(library / "matinee.db")) as store:
        store.erase_user(SECRET)
        assert backups_with_erased(store.database, [tmp_path / "kept/matinee.db"]) == [tmp_path / "kept/matinee.db"]
        restore(tmp_path / "kept", library)
        assert store.events_of(SECRET, 9) == []
        assert store.counts() == Counts(2, 40, 800)
    assert bytes_left(library) == 0
    assert check(library / "matinee.db") == []
    restore(tmp_path / "kept", tmp_path / "another")  # another library never erased anybody
    with closing(SQLiteStore(tmp_path / "another/matinee.db")) as store:
        assert store.counts() == Counts(2, 41, 1000)


ERASER = """
import os, sys, time
from matinee.store import open_store
for line in sys.stdin:
    pid = os.fork()
    if not pid:
        store = open_store(sys.argv[1])
        os.write(1, b"go\\n")
        store.erase_user(line.strip())
        os.write(1, b"erased\\n")
        time.sleep(60)
    os.write(1, b"%d\\n" % pid)
    os.waitpid(pid, 0)
    os.write(1, b"dead\\n")
"""


def test_kill_9_in_the_midst_of_erasures(library: Path) -> None:
    """Whoever was acknowledged as erased is gone; once reopened, of anyone gone no byte is left."""
    command = [sys.executable, "-c", ERASER, str(library / "matinee.db")]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    acknowledged, cut_short, whole = 0, 0, 0.0
    for n in range(16):
        child.stdin.write(f"user{n}\n".encode())
        heard = b""
        while b"go\n" not in heard or heard.count(b"\n") < 2:
            heard += os.read(child.stdout.fileno(), 999)
        pid = int(next(line for line in heard.split(b"\n") if line.isdigit()))
        begin = time.perf_counter()
        while n in (0, 8) and b"erased" not in heard:  # these may finish, and say how long it takes
            heard += os.read(child.stdout.fileno(), 999)
            whole = time.perf_counter() - begin
        time.sleep(0 if n in (0, 8) else whole * (n % 8) / 7)
        os.kill(pid, signal.SIGKILL)
        while b"dead\n" not in heard:
            heard += os.read(child.stdout.fileno(), 999)
        with closing(SQLiteStore(library / "matinee.db")) as store:
            left = store.events_of(f"user{n}", 99)
            assert len(left) in (0, 20)
            if b"erased" in heard:
                acknowledged += 1
                assert left == []
        assert (bytes_left(library, f"user{n}/") == 0) == (left == [])
        cut_short += b"erased" not in heard
    child.stdin.close()
    child.wait()
    child.stdout.close()
    assert check(library / "matinee.db") == []
    assert acknowledged
    assert cut_short
