"""Appends of many threads in one transaction: fewer syncs, each answered for itself, none before the commit."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from matinee.errors import MatineeError
from matinee.protocols import Appended
from matinee.store.connection import Database
from matinee.store.sqlite import SQLiteStore
from matinee.types import Event, Item


def event(id: str, item: str = "a", text: str | None = None) -> Event:
    return Event(id=id, user="u", kind="play", at=1.0, item=item, text=text)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteStore]:
    with closing(SQLiteStore(tmp_path / "matinee.db")) as made:
        made.put_items([Item(id="a")])
        yield made


def side_by_side(calls: list[Callable[[], object]], gate: Callable[[], bool], store: SQLiteStore) -> list[object]:
    """What each call gives or raises, all of them waiting for the writer at once."""
    answers: list[object] = [None] * len(calls)

    def run(n: int) -> None:
        try:
            answers[n] = calls[n]()
        except MatineeError as error:
            answers[n] = error

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(calls))]
    with store.database.turn():
        for thread in threads:
            thread.start()
        while not gate():
            pass
    for thread in threads:
        thread.join()
    return answers


def waiting(store: SQLiteStore, n: int) -> Callable[[], bool]:
    return lambda: len(store.group.waiting) == n


def counted(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Appends a number for each transaction that is committed from now on."""
    commits: list[int] = []
    write = Database.write

    @contextmanager
    def told(self: Database) -> Iterator[sqlite3.Connection]:
        with write(self) as c:
            yield c
        commits.append(1)

    monkeypatch.setattr(Database, "write", told)
    return commits


def test_those_who_wait_are_committed_at_once(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = counted(store, monkeypatch)
    calls = [lambda n=n: store.append([event(f"{n}"), event("shared"), event(f"x{n}", "nobody")]) for n in range(10)]
    calls += [lambda: store.append([event("10"), event("shared"), event("x", "nobody")])] * 2  # word for word the same
    answers = side_by_side(calls, waiting(store, 12), store)
    assert len(commits) == 1
    assert all(isinstance(one, Appended) and one.refused == ((2, "event.unknown_item"),) for one in answers)
    assert sum(one.accepted for one in answers) == 12
    assert sum(one.duplicates for one in answers) == 12  # what is shared is new to one of them only
    assert store.counts().events == 12


def test_one_append_too_large_for_the_disk_fails_alone(store: SQLiteStore) -> None:
    with store.database.alone() as c:
        pages = c.execute("PRAGMA page_count").fetchone()[0]
        c.execute(f"PRAGMA max_page_count = {pages + 6}")
    large = [event(f"large{n}", text="x" * 1000) for n in range(300)]
    calls = [lambda: store.append([event("1")]), lambda: store.append(large), lambda: store.append([event("2")])]
    answers = side_by_side(calls, waiting(store, 3), store)
    assert [getattr(one, "code", "") for one in answers] == ["", "store.full", ""]
    assert {e.id for e in store.events_of("u", 9)} == {"1", "2"}


def test_nobody_is_answered_when_the_commit_fails(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    failure = sqlite3.OperationalError("disk I/O error")
    failure.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC

    def fail(self: Database) -> None:
        raise failure

    monkeypatch.setattr(Database, "_whole", fail)  # the last thing before the commit
    answers = side_by_side([lambda n=n: store.append([event(f"{n}")]) for n in range(4)], waiting(store, 4), store)
    assert [getattr(one, "code", None) for one in answers] == ["store.io"] * 4
    monkeypatch.undo()
    assert store.counts().events == 0


def test_an_append_inside_together_does_not_take_others_along(store: SQLiteStore) -> None:
    """What others brought must not be acknowledged by a transaction that may yet be undone."""
    answers: list[object] = []
    other = threading.Thread(target=lambda: answers.append(store.append([event("other")])))

    def undone() -> None:
        with store.together():
            other.start()
            while not store.group.waiting:
                pass
            store.append([event("mine")])
            assert len(store.group.waiting) == 1
            assert answers == []
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        undone()
    other.join()
    assert answers == [Appended(1, 0)]
    assert [e.id for e in store.events_of("u", 9)] == ["other"]


def test_a_large_transaction_is_split(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matinee.store.group.MOST", 5)
    commits = counted(store, monkeypatch)
    calls = [lambda n=n: store.append([event(f"{n}.{k}") for k in range(2)]) for n in range(6)]
    side_by_side(calls, waiting(store, 6), store)
    assert len(commits) == 3
    assert store.counts().events == 12
