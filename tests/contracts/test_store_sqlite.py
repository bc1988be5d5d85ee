"""What is SQLite's alone: the file's schema and its migrations, a full, read-only or broken disk, and speed."""

from __future__ import annotations

import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from matinee.errors import MatineeError
from matinee.protocols import Appended, Counts
from matinee.store import migrations, open_store
from matinee.store.check import check
from matinee.store.connection import connect
from matinee.store.sqlite import SQLiteStore
from matinee.types import Event, Item, Space


def filled(path: Path, events: int = 10) -> SQLiteStore:
    store = SQLiteStore(path)
    store.put_items([Item(id="a"), Item(id="b")])
    store.append([Event(id=str(n), user="u", kind="play", at=float(n), item="a") for n in range(events)])
    return store


def refusal(call: object, *arguments: object) -> MatineeError:
    with pytest.raises(MatineeError) as caught:
        call(*arguments)
    error = caught.value
    assert error.en != error.zh
    assert error.say("en") == error.en
    return error


def more(n: int = 1) -> list[Event]:
    return [Event(id=f"more{k}", user="u", kind="play", at=1.0, item="a", text="x" * 1000) for k in range(n)]


# the file and its schema


def test_a_folder_means_the_database_in_it(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    assert (tmp_path / "matinee.db").is_file()
    assert (tmp_path / "matinee.db").stat().st_mode & 0o077 == 0  # what people watched is nobody else's business


def test_settings_that_durability_rests_on(tmp_path: Path) -> None:
    with closing(filled(tmp_path / "x.db")) as store, store.database.alone() as c:
        told = {name: c.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")}
        assert told == {"journal_mode": "wal", "synchronous": 2}
        assert c.execute("PRAGMA foreign_keys").fetchone() == (1,)
        assert c.execute("PRAGMA secure_delete").fetchone() == (1,)


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    filled(tmp_path / "x.db").close()
    with closing(sqlite3.connect(tmp_path / "x.db")) as c:
        c.execute("PRAGMA user_version = 99")
    before = (tmp_path / "x.db").read_bytes()
    error = refusal(SQLiteStore, tmp_path / "x.db")
    assert error.code == "store.newer"
    assert "99" in error.en
    assert (tmp_path / "x.db").read_bytes() == before


def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db")) as c:
        c.execute("CREATE TABLE theirs (x)")
    before = (tmp_path / "x.db").read_bytes()
    assert refusal(SQLiteStore, tmp_path / "x.db").code == "store.foreign"
    assert (tmp_path / "x.db").read_bytes() == before


def another(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE items ADD COLUMN later TEXT")
    connection.execute("UPDATE items SET later = id")


def failing(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE half (x)")
    raise RuntimeError("the power of the story fails here")


def test_a_step_forward_keeps_the_data_and_a_copy_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    filled(path).close()
    with closing(connect(path)) as c:
        migrations.migrate(c, path, (*migrations.STEPS, another))
        assert c.execute("SELECT later FROM items").fetchall() == [("a",), ("b",)]
        assert c.execute("PRAGMA user_version").fetchone() == (len(migrations.STEPS) + 1,)
    copy = tmp_path / f"x.db.before-{len(migrations.STEPS) + 1}"
    with closing(SQLiteStore(copy)) as kept:  # the copy is a whole store of the old schema
        assert kept.counts() == Counts(2, 1, 10)
    assert refusal(SQLiteStore, path).code == "store.newer"


def test_a_step_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    filled(path).close()
    with closing(connect(path)) as c, pytest.raises(RuntimeError):
        migrations.migrate(c, path, (*migrations.STEPS, failing))
    with closing(SQLiteStore(path)) as store:
        assert store.counts() == Counts(2, 1, 10)
        with store.database.alone() as c:
            assert c.execute("SELECT count(*) FROM sqlite_master WHERE name = 'half'").fetchone() == (0,)


SLOW = """
import sys, time
from contextlib import closing
from pathlib import Path
from matinee.store import migrations
from matinee.store.connection import connect

def slow(connection):
    for n in range(200):
        connection.execute(f"CREATE TABLE more{n} (x)")
        time.sleep(0.0005)

path = Path(sys.argv[1])
with closing(connect(path)) as c:
    print("go", flush=True)
    migrations.migrate(c, path, (*migrations.STEPS, slow))
    print("done", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("wait", [0.0, 0.05, 0.1, 0.15, None])
def test_kill_9_in_a_migration_leaves_the_old_or_the_new(tmp_path: Path, wait: float | None) -> None:
    path = tmp_path / "x.db"
    filled(path).close()
    child = subprocess.Popen([sys.executable, "-c", SLOW, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "go\n"
    if wait is None:
        assert child.stdout.readline() == "done\n"
    else:
        time.sleep(wait)
    child.kill()
    finished = "done" in child.communicate()[0] or wait is None
    with closing(connect(path)) as c:
        version = c.execute("PRAGMA user_version").fetchone()[0]
        tables = c.execute("SELECT count(*) FROM sqlite_master WHERE name LIKE 'more%'").fetchone()[0]
        assert c.execute("SELECT count(*) FROM events").fetchone() == (10,)
    assert (version, tables) in {(len(migrations.STEPS), 0), (len(migrations.STEPS) + 1, 200)}
    assert not finished or tables == 200
    copy = tmp_path / f"x.db.before-{len(migrations.STEPS) + 1}"
    if tables:
        with closing(SQLiteStore(copy)) as kept:
            assert kept.counts() == Counts(2, 1, 10)


@pytest.mark.parametrize("version", range(1, len(migrations.STEPS)))
def test_a_store_of_every_schema_before_is_brought_up_to_date(tmp_path: Path, version: int) -> None:
    path = tmp_path / "x.db"
    path.touch()
    with closing(connect(path)) as c:
        migrations.migrate(c, path, migrations.STEPS[:1])
        for statement in (  # as the first schema wrote them; the steps up to ``version`` take it from there
            "INSERT INTO items VALUES (0, 1, 'a', '{\"id\":\"a\"}')",
            "INSERT INTO users VALUES (0, 'u')",
            "INSERT INTO events VALUES (1, 0, 0, 1, 2.5, NULL, 'e', 'text', NULL, NULL)",
            "INSERT INTO spaces VALUES (1, 'text', '1', 1)",
            "INSERT INTO vectors VALUES (1, 1, 'h', x'0000803f')",
            "INSERT INTO links VALUES (1, 0, 1)",
            "INSERT INTO facts VALUES (0, 'k', '1')",
            "INSERT INTO files VALUES (x'2f61', 1, 2, 'h', 'a', 'taken', '')",
            "INSERT INTO releases VALUES (1, 'd', '{}')",
            "UPDATE state SET items = 1, users = 1, events = 1, release = 'd'",
        ):
            c.execute(statement)
        migrations.migrate(c, path, migrations.STEPS[:version], copy=False)
    with closing(SQLiteStore(path)) as store:
        assert store.counts() == Counts(1, 1, 1)
        assert store.releases_used() == [(0.0, "d")]
        assert store.items_of("u", ["play"]).tolist() == [0]
        assert store.merge_user("u", "v")
        assert store.events_of("v", 9) == [Event(id="e", user="v", kind="play", at=2.5, item="a", text="text")]
        assert store.counts() == Counts(1, 1, 1)
        assert store.vectors(Space("text", "1", 1))[1].tolist() == [[1.0]]
        assert store.events_of("u", 9) == store.events_of("v", 9)
    assert check(path) == []
    with closing(sqlite3.connect(tmp_path / f"x.db.before-{version + 1}")) as kept:
        assert kept.execute("PRAGMA user_version").fetchone() == (version,)


# a bad disk


@pytest.mark.parametrize("where", ["header", "middle"])
def test_damage_is_named_not_hidden(tmp_path: Path, where: str) -> None:
    path = tmp_path / "x.db"
    filled(path, 2_000).close()
    data = bytearray(path.read_bytes())
    if where == "header":
        data[:100] = os.urandom(100)
    else:
        data[4096:] = os.urandom(len(data) - 4096)
    path.write_bytes(data)

    def use() -> None:
        with closing(SQLiteStore(path)) as store:
            store.log()
            store.append(more())

    assert refusal(use).code == "store.corrupt"


def test_not_a_database_at_all(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("dear diary, " * 100)
    assert refusal(SQLiteStore, tmp_path / "x.db").code == "store.corrupt"
    assert (tmp_path / "x.db").read_text() == "dear diary, " * 100


def test_no_such_folder(tmp_path: Path) -> None:
    assert refusal(SQLiteStore, tmp_path / "no" / "x.db").code == "store.unopenable"
    assert refusal(SQLiteStore, Path("/proc/x.db")).code == "store.unopenable"


def test_a_full_disk_loses_nothing_and_mends_itself(tmp_path: Path) -> None:
    """``max_page_count`` makes SQLite say what it says when the disk has no room."""
    with closing(filled(tmp_path / "x.db")) as store:
        with store.database.alone() as c:
            pages = c.execute("PRAGMA page_count").fetchone()[0]
            c.execute(f"PRAGMA max_page_count = {pages + 2}")
        error = refusal(store.append, more(200))
        assert (error.code, error.status) == ("store.full", 507)
        assert store.counts() == Counts(2, 1, 10)  # nothing of the batch
        assert len(store.history("u", 99, 99.0).items) == 10  # reads go on
        with store.database.alone() as c:
            c.execute("PRAGMA max_page_count = 1000000")
        assert store.append(more(200)) == Appended(200, 0)


def mounted(folder: Path, options: str) -> bool:
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    return (
        shutil.which("mount") is not None and subprocess.run(command, capture_output=True, check=False).returncode == 0
    )


def test_a_disk_that_is_truly_full(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    if not mounted(disk, "size=2m"):
        pytest.skip("cannot mount a small tmpfs here (needs root and the right to mount)")
    try:
        with closing(filled(disk / "x.db")) as store:
            accepted = 10
            for batch in range(10_000):
                sent = [
                    Event(id=f"{batch}.{k}", user="u", kind="play", at=1.0, item="a", text="x" * 900) for k in range(9)
                ]
                try:
                    accepted += store.append(sent).accepted
                except MatineeError as error:
                    full = error
                    break
            assert (full.code, full.status) == ("store.full", 507)
            assert store.counts().events == accepted
            assert len(store.log().items) == accepted
            subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
            assert store.append(more()).accepted == 1
        with closing(SQLiteStore(disk / "x.db")) as store:
            assert store.counts().events == accepted + 1
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_read_only_disk_is_read_and_says_why_it_cannot_be_written(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    if not mounted(disk, "size=4m"):
        pytest.skip("cannot mount a small tmpfs here (needs root and the right to mount)")
    try:
        filled(disk / "x.db").close()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with closing(SQLiteStore(disk / "x.db")) as store:
            assert store.counts() == Counts(2, 1, 10)
            assert refusal(store.append, more()).code == "store.readonly"
            assert refusal(store.put_items, [Item(id="c")]).code == "store.readonly"
            assert len(store.history("u", 99, 99.0).items) == 10
        assert refusal(SQLiteStore, disk / "new.db").code == "store.unopenable"
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_store_held_too_long_says_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matinee.store.connection.BUSY_MS", 50)
    with closing(filled(tmp_path / "x.db")) as store, closing(sqlite3.connect(tmp_path / "x.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        error = refusal(store.append, more())
        assert (error.code, error.status) == ("store.busy", 503)
        assert store.counts().events == 10  # readers do not wait for the writer
        other.rollback()
        assert store.append(more()).accepted == 1


def test_after_a_failed_sync_nothing_is_acknowledged_until_reopened(tmp_path: Path) -> None:
    """A second try after a failed fsync may succeed though the first pages never reached the disk."""
    path = tmp_path / "x.db"
    with closing(filled(path)) as store:
        failure = sqlite3.OperationalError("disk I/O error")
        failure.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC

        def write() -> None:
            with store.database.write() as c:
                c.execute("DELETE FROM events")
                raise failure

        assert refusal(write).code == "store.io"
        assert refusal(store.append, more()).code == "store.io"
        assert len(store.log().items) == 10
    with closing(SQLiteStore(path)) as store:
        assert store.append(more()).accepted == 1


def test_a_forked_child_is_told_to_open_its_own(tmp_path: Path) -> None:
    code = (
        "import os, sys; from matinee.store import open_store; from matinee.errors import MatineeError\n"
        "store = open_store(sys.argv[1]); child = os.fork()\n"
        "if child == 0:\n"
        "    try: store.counts()\n"
        "    except MatineeError as error: os._exit(7 if error.code == 'store.forked' else 1)\n"
        "    os._exit(1)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "x.db")], check=False).returncode == 7


# speed: generous limits, some ten times what a small machine needs, to catch a lost index rather than a slow day


def test_a_history_of_200_is_quick_in_a_log_of_100_000(tmp_path: Path) -> None:
    with closing(filled(tmp_path / "x.db", 0)) as store:
        store.append(
            [Event(id=str(n), user=f"u{n % 100}", kind="play", at=float(n), item="ab"[n % 2]) for n in range(100_000)]
        )
        took = []
        for n in range(50):
            begin = time.perf_counter()
            found = store.history(f"u{n}", 200, 1e9)
            took.append(time.perf_counter() - begin)
            assert len(found.items) == 200
        assert statistics.median(took) < 0.003
        with store.database.read() as c:
            sql = "EXPLAIN QUERY PLAN SELECT at FROM events WHERE user = 1 AND at < 5 ORDER BY at DESC, sequence DESC"
            plan = c.execute(sql).fetchall()
        assert "COVERING INDEX events_of_user" in plan[0][-1]
        assert len(plan) == 1  # no sorting beside it


def test_ten_thousand_vectors_are_read_at_once(tmp_path: Path) -> None:
    space = Space("text", "1", 512)
    matrix = np.random.default_rng(0).normal(size=(10_000, 512)).astype(np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    with closing(SQLiteStore(tmp_path / "x.db")) as store:
        store.put_items([Item(id=str(n)) for n in range(10_000)])
        store.put_vectors(space, [f"h{n}" for n in range(10_000)], matrix)
        with store.database.write() as c:
            c.execute("INSERT INTO links SELECT 1, row, row + 1, 0 FROM items")
        took = []
        for _ in range(3):
            begin = time.perf_counter()
            rows, found = store.vectors(space)
            took.append(time.perf_counter() - begin)
        assert np.array_equal(found, matrix)
        assert np.array_equal(rows, np.arange(10_000))
        assert min(took) < 1.0
