"""Writers that are killed: one loop for each operation that writes.

``python -m tests.properties.killed OPERATION FOLDER safe|unsafe ACKS`` forks a worker for each number on stdin; the
worker does the operation for that number, says the number on the descriptor ACKS once the operation has returned, and
goes on with the next until it is killed.

``unsafe`` does the same without what makes it safe, so that the harness can be seen to find losses.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from matinee.models import tensors
from matinee.models.popular import Popular
from matinee.release import Release, save_release
from matinee.settings import Library
from matinee.store import migrations, open_store, people
from matinee.store.backup import backup, restore
from matinee.store.connection import connect
from matinee.store.events import make_users
from matinee.store.sqlite import SQLiteStore
from matinee.types import Event, Interactions, Item

BATCH, ROWS = 7, 30
Say = Callable[[int], None]


def events(n: int, user: str, number: int = BATCH, part: str = "") -> list[Event]:
    return [
        Event(id=f"{n}.{part}{k}", user=user, kind="play", at=float(n), item="a", session=user) for k in range(number)
    ]


def event(folder: Path, n: int, safe: bool, say: Say) -> None:
    """One event after the other."""
    with closing(open_store(folder)) as store:
        while True:
            if not safe:
                say(n)
            store.append(events(n, f"u{n % 5}", 1))
            if safe:
                say(n)
            n += 1


def batch(folder: Path, n: int, safe: bool, say: Say) -> None:
    """Batches, and items that come and go between them."""
    with closing(SQLiteStore(folder / "matinee.db")) as store:
        while True:
            if safe:
                store.append(events(n, f"u{n % 5}"))
            else:
                for one in events(n, f"u{n % 5}"):
                    store.append([one])
            if n % 3 == 0:
                store.put_items([Item(id=f"i{n}"), Item(id=f"j{n}")])
                store.put_fact(f"i{n}", "k", n)
                store.delete_item(f"j{n}")
            say(n)
            n += 1


def threads(folder: Path, n: int, safe: bool, say: Say) -> None:
    """Six threads append batches of their own, which are committed together."""
    numbers = itertools.count(n)
    with closing(open_store(folder)) as store:

        def work() -> None:
            for number in numbers:
                if not safe:
                    say(number)
                store.append(events(number, f"u{number % 5}"))
                if safe:
                    say(number)

        for _ in range(6):
            threading.Thread(target=work).start()
        time.sleep(60)


def take_in(folder: Path, n: int, safe: bool, say: Say) -> None:
    """The real ingest of a catalogue and its log; what was cut short is taken in again."""
    from matinee.ingest import ingest

    library = Library.open(folder)
    with closing(open_store(folder)) as store:
        while True:
            source = folder.parent / f"source{n}"
            source.mkdir(exist_ok=True)
            rows = [{"id": f"{n}/i{k}", "title": f"title {k}"} for k in range(ROWS)]
            watched = [
                {"id": f"{n}/{k}", "user": f"u{k}", "item": f"{n}/i{k}", "kind": "play", "at": 1.0} for k in range(ROWS)
            ]
            for name, given in (("items", rows), ("events", watched)):
                (source / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in given))
            if not safe:
                say(n)
            ingest(library, store, [source])
            if safe:
                say(n)
            n += 1


def release(folder: Path, n: int, safe: bool, say: Say) -> None:
    with closing(open_store(folder)) as store:
        while True:
            made, digest = release_of(n), f"{n:016x}"
            if safe:
                save_release(folder / "releases" / digest, made)
                store.put_release(digest, {"n": n})
                store.use_release(digest)
            else:
                store.put_release(digest, {"n": n})
                store.use_release(digest)
                (folder / "releases" / digest).mkdir(parents=True, exist_ok=True)
                for name, model in made.models.items():
                    (folder / "releases" / digest / f"{name}.safetensors").write_bytes(tensors.pack(model.arrays()))
                    time.sleep(0.001)
                save_release(folder / "releases" / digest, made)
            say(n)
            n += 1


def release_of(n: int) -> Release:
    """Two models that both tell ``n``, so that a mix of two releases would show."""
    data = Interactions(
        np.zeros(n % 50 + 1, np.int64), np.zeros(n % 50 + 1, np.int64), np.ones(n % 50 + 1),
        np.ones(n % 50 + 1, np.float32), 1, 1,
    )  # fmt: skip
    recipes = (Popular(), Popular(days=7.0, name="popular_recent"))
    models = {recipe.name: recipe.fit(data, seed=0) for recipe in recipes}
    return Release(f"{n:016x}", models, dict.fromkeys(models, 0.5), 1, {"n": n})


def erase(folder: Path, n: int, safe: bool, say: Say) -> None:
    with closing(SQLiteStore(folder / "matinee.db")) as store:
        while True:
            user = f"user-{n}-name"
            store.append(events(n, user))
            if safe:
                store.erase_user(user)
            else:
                with store.database.write() as c:
                    c.execute("DELETE FROM events WHERE user = (SELECT row FROM users WHERE id = ?)", (user,))
                    c.execute("UPDATE users SET id = NULL WHERE id = ?", (user,))
                    c.execute("UPDATE state SET events = events - ?, users = users - 1", (BATCH,))
            say(n)
            n += 1


def migrate(folder: Path, n: int, safe: bool, say: Say) -> None:
    """Files of the first schema are opened, one after the other."""
    if not safe:
        migrations.migrate = without_transactions  # type: ignore[assignment]
    while True:
        path = folder / f"{n}.db"
        if not path.exists():
            shutil.copyfile(folder / "old", folder / f"{n}.copy")
            (folder / f"{n}.copy").rename(path)
        if safe:
            SQLiteStore(path).close()
        else:
            with closing(connect(path)) as c:
                without_transactions(c, path)
        say(n)
        n += 1


def without_transactions(connection: sqlite3.Connection, path: Path, *_: Any, **__: Any) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    for step in migrations.STEPS[version:]:
        step(connection)
    connection.execute(f"PRAGMA user_version = {len(migrations.STEPS)}")


def back_up(folder: Path, n: int, safe: bool, say: Say) -> None:
    while True:
        target = folder.parent / f"backup{n}"
        if safe:
            if not target.exists():
                backup(folder, target)
        else:
            target.mkdir(exist_ok=True)
            for file in (*folder.glob("*.*"), *(folder.parent / "good").glob("backup.json")):
                shutil.copyfile(file, target / file.name)
        say(n)
        n += 1


def put_back(folder: Path, n: int, safe: bool, say: Say) -> None:
    """Two backups are restored in turns."""
    while True:
        source = folder.parent / f"kept{n % 2}"
        if safe:
            restore(source, folder)
        else:
            with (folder / "matinee.db").open("r+b") as live, (source / "matinee.db").open("rb") as kept:
                while piece := kept.read(4096):
                    live.write(piece)
                    live.flush()
        say(n)
        n += 1


def merge(folder: Path, n: int, safe: bool, say: Say) -> None:
    """A session acts, becomes a user, and a late event of the session comes."""
    with closing(SQLiteStore(folder / "matinee.db")) as store:
        while True:
            store.append(events(n, f"s{n}"))
            if safe:
                store.merge_user(f"s{n}", f"u{n % 3}")
            else:
                with store.database.write() as c:
                    rows, created = make_users(c, [f"s{n}", f"u{n % 3}"])
                    c.execute("UPDATE state SET users = users + ?", (created,))
                for k in range(BATCH):
                    with store.database.write() as c:
                        where = (rows[f"u{n % 3}"], f"{n}.{k}")
                        c.execute("UPDATE events SET user = ? WHERE id = ?", where)
                people.merge_user(store.database, f"s{n}", f"u{n % 3}")
            store.append(events(n, f"s{n}", 1, "late"))
            say(n)
            n += 1


def profile(folder: Path, n: int, safe: bool, say: Say) -> None:
    """What is known of some people, and of one of whom it changes each time."""
    with closing(SQLiteStore(folder / "matinee.db")) as store:
        while True:
            told: dict[str, dict[str, Any]] = {f"p{n}.{k}": {"n": n, "country": "CN"} for k in range(BATCH)}
            told["one"] = {"n": n, "note": "x" * 900}
            if safe:
                store.put_profiles(told)
            else:
                for user, known in told.items():
                    store.put_profiles({user: known})
            say(n)
            n += 1


OPERATIONS = {
    "event": event, "batch": batch, "threads": threads, "ingest": take_in, "release": release, "erase": erase,
    "migrate": migrate, "backup": back_up, "restore": put_back, "merge": merge,
    "profile": profile,
}  # fmt: skip


def main() -> None:
    """Forking a worker is some 50 times faster than starting Python anew. This process opens no store itself."""
    operation, folder, safe, acks = OPERATIONS[sys.argv[1]], Path(sys.argv[2]), sys.argv[3] == "safe", int(sys.argv[4])
    if operation is take_in:
        import matinee.ingest  # noqa: F401  (once, not in every worker)
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            operation(folder, int(line), safe, lambda n: os.write(acks, b"%d\n" % n))
        print(pid, flush=True)
        os.waitpid(pid, 0)
        print("dead", flush=True)


if __name__ == "__main__":
    main()
