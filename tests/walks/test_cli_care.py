"""Backup, restore, check, erase and export from the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest

from matinee.settings import Library
from matinee.store import open_store
from matinee.types import Event, Item, Space
from tests.walks.test_cli import matinee

SPACE = Space("text", "test", 4)


@pytest.fixture
def library(tmp_path):
    path = tmp_path / "library"
    store = open_store(Library.create(path).database)
    store.put_items([Item(id=f"i/{n}", title=f"标题 {n}", tags=("a", "b"), collection="c") for n in range(4)])
    store.append([
        Event(id=f"{user}{n}", user=user, item=f"i/{n}", kind="play", at=100.0 + n, value=0.5)
        for user in ("ann", "bob") for n in range(3)
    ])  # fmt: skip
    store.put_vectors(SPACE, ["h0", "h2"], np.eye(4, dtype=np.float32)[:2])
    store.link_content("i/0", SPACE, "h0")
    store.link_content("i/2", SPACE, "h2")
    store.close()
    return path


def held(path) -> list[str]:
    store = open_store(Library.open(path).database)
    try:
        return sorted(user for _, user in store.users())
    finally:
        store.close()


def test_backup_erase_restore(library, tmp_path):
    copies = tmp_path / "copies"
    made = matinee("backup", copies / "monday", "-L", library, "--json")
    assert made.returncode == 0, made.stderr
    assert matinee("backup", copies / "monday", "-L", library).returncode == 2  # no backup is written over
    unsure = matinee("erase", "-u", "ann", "-L", library)
    assert (unsure.returncode, "--yes" in unsure.stderr) == (2, True)
    assert held(library) == ["ann", "bob"]
    told = matinee("erase", "-u", "ann", "--backups", copies, "-y", "-L", library)
    assert told.returncode == 0, told.stderr
    assert "monday" in told.stderr
    assert "matinee train" in told.stderr
    assert held(library) == ["bob"]
    assert matinee("erase", "-u", "ann", "-y", "-L", library).returncode == 2
    for name in ("matinee.db", "matinee.db-wal"):
        file = library / name
        assert not file.exists() or b"ann" not in file.read_bytes()
    assert matinee("restore", copies / "monday", "-L", library).returncode == 2
    assert matinee("restore", copies / "monday", "-y", "-L", library).returncode == 0
    assert held(library) == ["bob"]  # whoever was erased since stays erased
    assert matinee("restore", copies / "monday", "-L", tmp_path / "elsewhere").returncode == 0
    assert held(tmp_path / "elsewhere") == ["ann", "bob"]


def test_a_damaged_backup_changes_nothing(library, tmp_path):
    assert matinee("backup", tmp_path / "b", "-L", library).returncode == 0
    content = bytearray((tmp_path / "b" / "matinee.db").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "b" / "matinee.db").write_bytes(content)
    told = matinee("restore", tmp_path / "b", "-y", "-L", library)
    assert told.returncode != 0
    assert "matinee.db" in told.stderr
    assert held(library) == ["ann", "bob"]


def test_check_tells_damage(library):
    assert matinee("check", "-L", library).returncode == 0
    assert json.loads(matinee("check", "-L", library, "--json").stdout) == []
    file = library / "matinee.db"
    content = file.read_bytes()
    assert content.count("标题 3".encode()) >= 1
    file.write_bytes(content.replace("标题 3".encode(), "标题 4".encode()))
    told = matinee("check", "-L", library)
    assert told.returncode == 1
    assert told.stdout.strip()
    assert "Traceback" not in told.stderr


def test_items_and_events_come_back(library, tmp_path):
    for name in ("items.jsonl", "events.jsonl", "events.parquet"):
        assert matinee("export", name.split(".")[0], tmp_path / name, "-L", library).returncode == 0
    from matinee.data.catalogue import read_events, read_items

    items = [item for batch in read_items(tmp_path / "items.jsonl").batches() for item in batch]
    events = [event for batch in read_events(tmp_path / "events.jsonl").batches() for event in batch]
    table = [event for batch in read_events(tmp_path / "events.parquet").batches() for event in batch]
    assert table == events
    store = open_store(Library.open(library).database)
    assert items == [item for _, item in store.items()]
    assert sorted(events, key=lambda e: e.id) == sorted(
        [*store.events_of("ann", 9), *store.events_of("bob", 9)], key=lambda e: e.id
    )
    store.close()
    assert matinee("export", "items", tmp_path / "items.jsonl", "-L", library).returncode == 2


def test_check_mends_what_can_be_made_again(library):
    import sqlite3

    with sqlite3.connect(library / "matinee.db") as c:
        c.execute("UPDATE vectors SET data = zeroblob(16) WHERE hash = 'h0'")
        c.execute("DROP INDEX events_by_kind")
    c.close()
    assert matinee("check", "-L", library).returncode == 1
    told = matinee("check", "--repair", "-L", library)
    assert told.returncode == 0, told.stderr
    assert "h0" in told.stderr
    assert "events_by_kind" in told.stderr
    assert matinee("check", "-L", library).returncode == 0


def test_vectors(library, tmp_path):
    assert matinee("export", "vectors", tmp_path / "v.npz", "--space", "text", "-L", library).returncode == 0
    with np.load(tmp_path / "v.npz", allow_pickle=False) as found:
        assert found["ids"].tolist() == ["i/0", "i/2"]
        assert found["vectors"].tolist() == np.eye(4)[:2].tolist()
    told = matinee("export", "vectors", tmp_path / "w.npz", "--space", "smell", "-L", library)
    assert told.returncode == 2
    assert "text" in told.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["library", "v.npz"]
