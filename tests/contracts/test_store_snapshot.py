"""The snapshot of the log: whatever happened since it was made, reading by it gives what the store itself gives."""

from __future__ import annotations

import random
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from matinee.protocols import Store
from matinee.store import open_store, snapshot
from matinee.store.backup import backup, restore
from matinee.store.snapshot import read_log
from matinee.types import Event, Item
from tests.contracts.test_store import postgres, store, target  # noqa: F401  (fixtures)

SMALL = 50


def events(first: int, n: int) -> list[Event]:
    return [
        Event(
            id=f"e{k}", user=f"u{k % 7}", kind="play" if k % 3 else "search", at=float(k),
            item=f"i{k % 5}" if k % 3 else None,
        )
        for k in range(first, first + n)
    ]  # fmt: skip


def same(store: Store, folder: Path) -> bool:  # noqa: F811
    """Whether both ways give the same; the snapshot is read, or made, by the way."""
    one, other = read_log(store, folder, SMALL), store.log()
    return all(
        getattr(one, name).dtype == getattr(other, name).dtype
        and np.array_equal(getattr(one, name), getattr(other, name), equal_nan=name == "value")
        for name in snapshot.COLUMNS
    )


def files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.name.startswith("log"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "snapshot").mkdir()
    return tmp_path / "snapshot"


def test_it_is_made_used_and_made_again(store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    store.put_items([Item(id=f"i{n}") for n in range(5)])
    assert same(store, folder)
    store.append(events(0, SMALL))
    assert same(store, folder)
    assert files(folder) == []  # few events are as well read from the database
    store.append(events(100, 100))
    assert same(store, folder)
    first = files(folder)
    assert len(first) == 2
    asked: list[int] = []
    log = type(store).log
    monkeypatch.setattr(
        type(store), "log", lambda self, after=0, **more: asked.append(after) or log(self, after, **more)
    )
    store.append(events(300, 10))
    read_log(store, folder, SMALL)
    assert asked == [int(log(store).sequence[149])]  # only what came since was read from the database
    monkeypatch.undo()
    assert same(store, folder)
    assert files(folder) == first
    store.append(events(400, 100))
    assert same(store, folder)
    assert len(files(folder)) == 2
    assert files(folder) != first


@pytest.mark.parametrize("what", ["delete", "put back", "erase", "merge", "wait"])
def test_what_rewrites_the_log_is_noticed(store: Store, folder: Path, what: str) -> None:  # noqa: F811
    from matinee.protocols import Strangers

    store.put_items([Item(id=f"i{n}") for n in range(5)])
    store.append(events(0, 200))
    store.append([Event(id="w", user="u", kind="play", at=1.0, item="later")], Strangers(items="keep"))
    if what == "put back":
        store.delete_item("i1")
    assert same(store, folder)
    if what == "delete":
        store.delete_item("i1")
    elif what == "put back":
        store.put_items([Item(id="i1")])
    elif what == "erase":
        store.erase_user("u3")
    elif what == "merge":
        store.merge_user("u3", "u4")
    else:
        store.put_items([Item(id="later")])
    assert same(store, folder)
    assert same(store, folder)


def test_a_restore_is_noticed(tmp_path: Path, folder: Path) -> None:
    library = tmp_path / "library"
    library.mkdir()
    with closing(open_store(library / "matinee.db")) as store:  # noqa: F811
        store.put_items([Item(id=f"i{n}") for n in range(5)])
        store.append(events(0, 100))
        backup(library, tmp_path / "kept")
        store.append(events(100, 100))
        assert same(store, folder)
        restore(tmp_path / "kept", library)
        assert same(store, folder)
        store.append(events(500, 100))
        assert same(store, folder)


def test_damage_costs_time_only(tmp_path: Path, folder: Path) -> None:
    chance = random.Random(0)
    with closing(open_store(tmp_path / "matinee.db")) as store:  # noqa: F811
        store.put_items([Item(id=f"i{n}") for n in range(5)])
        store.append(events(0, 200))
        assert same(store, folder)
        whole = {file: file.read_bytes() for file in folder.iterdir()}
        for n in range(40):
            for file in folder.iterdir():
                file.unlink()
            for k, (file, data) in enumerate(whole.items()):
                broken = bytearray(data)
                broken[chance.randrange(len(broken))] ^= (k == n % 2) << chance.randrange(8)  # one of the two
                file.write_bytes(broken)
            assert same(store, folder)


def test_no_snapshot_of_an_erased_person_stays(tmp_path: Path) -> None:
    from matinee.privacy.erasure import erase
    from matinee.settings import Library

    library = Library.create(tmp_path / "library")
    with closing(open_store(library.database)) as store:  # noqa: F811
        store.put_items([Item(id=f"i{n}") for n in range(5)])
        store.append(events(0, 200))
        read_log(store, library.path, SMALL)
        assert len(files(library.path)) == 2
        assert erase(library, store, "u3").found
        assert files(library.path) == []
        read_log(store, library.path, SMALL)
        assert len(files(library.path)) == 2
