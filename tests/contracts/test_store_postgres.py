"""What is PostgreSQL's alone: a server that is away, refuses, restarts or crashes; its files after an erasure."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from matinee.errors import MatineeError
from matinee.protocols import Counts, FileRecord
from matinee.store import open_store
from matinee.types import Event, Item, Space
from tests.contracts.postgres_server import Postgres, running
from tests.properties.test_store import StoreMachine
from tests.walks.serving import address as address_of

pytestmark = pytest.mark.xdist_group("postgres")


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running() as server:  # with fsync, as it comes
        yield server


@pytest.fixture
def address(postgres: Postgres) -> Iterator[str]:
    with postgres.database() as given:
        yield given


def event(id: str, user: str = "u") -> Event:
    return Event(id=id, user=user, kind="comment", at=1.0, item="a", text=f"I, {user}")


def refusal(call: object, *arguments: object) -> str:
    with pytest.raises(MatineeError) as caught:
        call(*arguments)
    assert caught.value.en != caught.value.zh
    return caught.value.code


def lose(connection, error: Exception) -> None:
    connection.pgconn.finish()  # what libpq makes of a connection whose server is gone
    raise error


def test_the_others_are_closed_with_a_connection_that_is_lost(address: str) -> None:
    """Left to the collector of garbage they would warn, at some later time and of somebody else's doing."""
    import psycopg

    with closing(open_store(address)) as store:
        with store.server.lend() as first, store.server.lend() as second:
            pass
        with pytest.raises(MatineeError), store.server.lend() as lost:
            lose(lost, psycopg.OperationalError("gone"))
        assert first.closed
        assert second.closed
        assert store.counts().events == 0


@pytest.mark.parametrize("named", ["DatabaseError", "InternalError", "InterfaceError"])
@pytest.mark.parametrize("joined", [False, True], ids=["alone", "together"])
def test_whatever_error_a_dying_server_leaves_it_is_away(address: str, named: str, joined: bool) -> None:
    """A lost connection can come as the result of a statement, without a state, and psycopg has no class for that."""
    import psycopg

    error = getattr(psycopg, named)("server closed the connection unexpectedly")
    with closing(open_store(address)) as store:
        store.put_items([Item(id="a")])

        def write() -> None:
            with store.server.write() as c:
                lose(c, error)

        def write_together() -> None:
            with store.together():
                write()

        assert refusal(write_together if joined else write) == "store.unreachable"
        assert store.append([event("1")]).accepted == 1  # by another connection
        with pytest.raises(type(error)), store.server.write():  # an error of the program stays what it is
            raise error


def psql(address: str, sql: str) -> None:
    import psycopg

    with psycopg.connect(address, autocommit=True) as c:
        c.execute(sql)


def test_a_server_that_is_away() -> None:
    pytest.importorskip("psycopg")
    assert refusal(open_store, "postgresql://nobody@127.0.0.1:9/none?connect_timeout=2") == "store.unreachable"


def test_without_the_extra_the_install_line_is_named() -> None:
    code = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from matinee.store import open_store; from matinee.errors import MatineeError\n"
        "try: open_store('postgresql://u@localhost/d')\n"
        "except MatineeError as error: print(error.code, error.en)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.startswith("store.extra_missing")
    assert "pip install 'matinee[postgres]'" in said


def test_a_newer_schema_is_refused_and_left_alone(address: str) -> None:
    open_store(address).close()
    psql(address, "UPDATE matinee.state SET version = 99")
    assert refusal(open_store, address) == "store.newer"
    from matinee.store.postgres.schema import STEPS

    psql(address, f"UPDATE matinee.state SET version = {len(STEPS):d}")  # noqa: S608
    open_store(address).close()


def test_a_store_of_every_schema_before_is_brought_up_to_date(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from matinee.store.postgres import schema

    newest = schema.STEPS
    for version in range(1, len(newest)):
        psql(address, "DROP SCHEMA IF EXISTS matinee CASCADE")
        monkeypatch.setattr(schema, "STEPS", newest[:version])
        open_store(address).close()
        for statement in (
            "INSERT INTO matinee.items VALUES (0, true, 'a', '{\"id\":\"a\"}')",
            "INSERT INTO matinee.users VALUES (0, 'u')",
            "INSERT INTO matinee.events VALUES (1, 0, 0, 1, 2.5, NULL, 'e', 'text', NULL, NULL)",
            "INSERT INTO matinee.releases VALUES (1, 'd', '{}')",
            "UPDATE matinee.state SET items = 1, users = 1, events = 1, sequence = 1, release = 'd'",
            *(["INSERT INTO matinee.in_force VALUES (1, 'd', 0)"] if version > 1 else []),  # which it wrote itself
        ):
            psql(address, statement)
        monkeypatch.setattr(schema, "STEPS", newest)
        with closing(open_store(address)) as store:
            assert store.releases_used() == [(0.0, "d")]
            assert store.items_of("u", ["play"]).tolist() == [0]
            assert list(store.profiles()) == []
            assert store.put_profiles({"u": {"age": 1}}) == 0
            assert store.merge_user("u", "v")
            assert store.append([event("2")]).accepted == 1
            assert [e.id for e in store.events_of("v", 9)] == ["e", "2"]


def test_a_login_without_rights_is_told(address: str) -> None:
    psql(address, "DROP ROLE IF EXISTS guest")
    psql(address, "CREATE ROLE guest LOGIN")
    assert refusal(open_store, address.replace("matinee@", "guest@")) == "store.refused"
    psql(address, "DROP ROLE guest")


def test_a_server_that_takes_no_writes(address: str) -> None:
    with closing(open_store(address)) as store:
        store.put_items([Item(id="a")])
    standby = address + "&options=-c%20default_transaction_read_only%3Don"
    from matinee.store.postgres.connection import Server
    from matinee.store.postgres.items import delete_item, item

    with closing(Server(standby)) as server:
        assert item(server, "a") == Item(id="a")
        assert refusal(delete_item, server, "a") == "store.readonly"


def test_a_writer_that_is_held_too_long_says_busy(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import psycopg

    monkeypatch.setattr("matinee.store.postgres.connection.LOCK_SECONDS", 1)
    with closing(open_store(address)) as store, psycopg.connect(address) as other:
        store.put_items([Item(id="a")])
        other.execute("SELECT 1 FROM matinee.state FOR UPDATE")
        assert refusal(store.append, [event("1")]) == "store.busy"
        assert store.counts() == Counts(1, 0, 0)
        other.rollback()
        assert store.append([event("1")]).accepted == 1


def test_a_store_comes_back_with_its_server(postgres: Postgres, address: str) -> None:
    with closing(open_store(address)) as store:
        store.put_items([Item(id="a")])
        store.append([event("1")])
        postgres.stop("immediate")  # as a crash
        try:
            assert refusal(store.append, [event("2")]) == "store.unreachable"
            assert refusal(store.counts) == "store.unreachable"
        finally:
            postgres.start()
        assert store.append([event("1"), event("2")]).duplicates == 1
        assert store.counts() == Counts(1, 1, 2)


def test_a_crash_of_the_server_loses_nothing_acknowledged(postgres: Postgres, address: str) -> None:
    """It goes down as in a crash while a thread appends; after recovery: whole batches, and all acknowledged."""
    acknowledged: list[int] = []
    with closing(open_store(address)) as store:
        store.put_items([Item(id="a")])
        for cut in range(2):
            stop = threading.Event()

            def work(cut: int = cut, stop: threading.Event = stop) -> None:
                n = 1000 * cut
                while not stop.is_set():
                    try:
                        store.append([event(f"{n}.{k}", f"u{n}") for k in range(5)])
                    except MatineeError:
                        return
                    acknowledged.append(n)
                    n += 1

            writer = threading.Thread(target=work)
            writer.start()
            time.sleep(0.3 + 0.1 * cut)
            postgres.stop("immediate")  # every process of it quits at once, flushing nothing
            stop.set()
            writer.join()
            postgres.start()
        kept = {user: len(store.events_of(user, 99)) for _, user in store.users()}
        assert set(kept.values()) == {5}
        assert {f"u{n}" for n in acknowledged} <= set(kept)
        assert len(acknowledged) > 3


def bytes_left(postgres: Postgres, text: str) -> int:
    psql(postgres.address("postgres"), "CHECKPOINT")
    return sum(p.read_bytes().count(text.encode()) for p in (postgres.folder / "data/base").rglob("*") if p.is_file())


def test_no_byte_of_an_erased_user_is_left_in_the_tables(postgres: Postgres, address: str) -> None:
    secret = "erika.mustermann@example.org"
    with closing(open_store(address)) as store:
        store.put_items([Item(id="a")])
        store.append([event(f"{n}", secret if n % 2 else "other") for n in range(400)])
        store.put_profiles({secret: {"mail": f"to {secret}"}, "other": {"age": 3}})
        assert bytes_left(postgres, secret) > 100
        psql(address, "DELETE FROM matinee.events WHERE sequence = 2")  # the control: deleting is not erasing
        psql(address, "UPDATE matinee.state SET events = events - 1")
        assert bytes_left(postgres, f"I, {secret}") == 200
        assert store.erase_user(secret)
        assert bytes_left(postgres, secret) == 0
        assert store.counts() == Counts(1, 1, 200)
        assert store.profile("other") == {"age": 3}


def test_an_erasure_cut_short_is_finished_at_the_next_opening(
    postgres: Postgres, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(open_store(address)) as store:
        store.put_items([Item(id="a")])
        store.append([event(f"{n}", "someone-to-forget") for n in range(50)])
        monkeypatch.setattr("matinee.store.postgres.events.scrub", lambda server: None)
        store.erase_user("someone-to-forget")
        monkeypatch.undo()
    assert bytes_left(postgres, "someone-to-forget") > 0
    open_store(address).close()
    assert bytes_left(postgres, "someone-to-forget") == 0


def test_the_store_is_a_dictionary(postgres: Postgres) -> None:
    """The state machine of tests/properties, on PostgreSQL: SQLite and it are one to whoever calls."""
    with postgres.database() as address:

        class Machine(StoreMachine):
            make = staticmethod(lambda path: open_store(address))

            def teardown(self) -> None:
                super().teardown()
                psql(address, "DROP SCHEMA matinee CASCADE")

        few = settings(max_examples=8, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck))
        run_state_machine_as_test(Machine, settings=few)


def test_a_backup_goes_back_into_either_store(address: str, tmp_path: Path) -> None:
    """Rows, files and digest: PostgreSQL to a backup, to SQLite, to a backup of that, and back to PostgreSQL."""
    from matinee.store.backup import backup, restore
    from matinee.store.check import check
    from matinee.store.sqlite import SQLiteStore

    library = tmp_path / "library"
    (library / "covers").mkdir(parents=True)
    (library / "covers/c.jpg").write_bytes(b"picture")
    space = Space("text", "1", 2)
    with closing(open_store(address)) as store:
        store.put_items([Item(id="a", title="猫"), Item(id="b")])
        store.append([event(f"{n}", f"u{n % 3}") for n in range(90)])
        store.append([Event(id="q", user="u0", kind="search", at=0.1, text="?")])
        store.put_vectors(space, ["h", "g"], np.eye(2, dtype=np.float32))
        store.link_content("a", space, "h")
        store.put_fact("a", "cover", {"file": "covers/c.jpg"})
        store.put_file(FileRecord("/m/\udcff", 1, 2, "h", "a", "taken"))
        store.put_release("d", {"x": 1})
        store.use_release("d")
        store.put_profiles({"u0": {"age": 1}, "u1": {"age": 41}})
        store.merge_user("u2", "u1")
        store.delete_item("b")
        store.erase_user("u0")
        whole = (store.counts(), store.log().at.tolist(), store.facts("a"), store.files(), store.releases_used())
        made = backup(library, tmp_path / "kept", address)
        store.append([event("later", "u1")])
        revision, last = store.revision(), int(store.log().sequence[-1])
        restore(tmp_path / "kept", tmp_path / "moved")
        with closing(SQLiteStore(tmp_path / "moved/matinee.db")) as moved:
            assert (
                moved.counts(),
                moved.log().at.tolist(),
                moved.facts("a"),
                moved.files(),
                moved.releases_used(),
            ) == whole
            assert moved.names_of("u2") == ("u1", "u2")
            assert list(moved.profiles()) == [(1, {"age": 41})]
        assert check(tmp_path / "moved/matinee.db") == []
        assert backup(tmp_path / "moved", tmp_path / "again").manifest.content == made.manifest.content
        store.append([event("gone", "u9")])
        store.erase_user("u1")  # after the backup: it stays so
        restore(tmp_path / "again", library, address)
        assert store.counts() == Counts(1, 0, 0)
        assert store.names_of("u9") == ()
        assert store.revision() > revision
        assert store.facts("a") == whole[2]
        assert store.vectors(space)[1].tolist() == [[1.0, 0.0]]
        store.append([event("new", "u5")])
        assert len(store.log(last).items) == 1  # the numbers go on
        store.put_vectors(space, ["i"], np.eye(2, dtype=np.float32)[:1])


def test_backup_and_check_of_a_server_from_the_command_line(address: str, tmp_path: Path) -> None:
    def matinee(*arguments: object) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "MATINEE_LANG": "en", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "matinee", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, env=env, check=False)

    library = tmp_path / "library"
    library.mkdir()
    (library / "matinee.toml").write_text(f'store = "{address}"\n')
    with closing(open_store(address)) as store:
        store.put_items([Item(id="a")])
        store.append([event(f"{n}", "ann" if n % 2 else "bob") for n in range(10)])
    assert matinee("backup", tmp_path / "kept", "-L", library).returncode == 0
    assert matinee("check", "-L", library).returncode == 0
    assert matinee("erase", "-u", "ann", "-y", "-L", library).returncode == 0
    assert matinee("restore", tmp_path / "kept", "-L", library).returncode == 2  # it asks first
    assert matinee("restore", tmp_path / "kept", "-y", "-L", library).returncode == 0
    with closing(open_store(address)) as store:
        assert [user for _, user in store.users()] == ["bob"]
    psql(address, "UPDATE matinee.state SET events = 99")
    psql(address, "UPDATE matinee.items SET body = '{'")
    told = matinee("check", "-L", library)
    assert told.returncode == 1
    assert "99 were written" in told.stdout
    assert "cannot be read" in told.stdout
    assert not (library / "matinee.db").exists()


@contextmanager
def served(library: Path, *options: str) -> Iterator[httpx.Client]:
    env = {**os.environ, "MATINEE_LANG": "en", "OMP_NUM_THREADS": "1", "MATINEE_CACHE": str(library / "no-cache")}
    command = [sys.executable, "-m", "matinee", "serve", "--port", "0", "-L", str(library), *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env) as process:
        url = address_of(process)
        try:
            with httpx.Client(base_url=url, timeout=30) as client:
                yield client
        finally:
            process.terminate()
            process.communicate(timeout=30)
    assert process.returncode == 0


def test_servers_share_a_server(address: str, tmp_path: Path) -> None:
    """Two servers on one store, named by option and by setting: what one is told, the other answers with."""
    library = tmp_path / "library"
    library.mkdir()
    (library / "matinee.toml").write_text("encoders = []\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/matinee.toml").write_text(f'encoders = []\nstore = "{address}"\n')
    with closing(open_store(address)) as store:
        store.put_items([Item(id=f"i{n}", title=f"title {n}") for n in range(9)])
    with served(library, "--store", address) as one, served(tmp_path / "other") as two:
        said = [{"id": f"e{n}", "user": "session", "kind": "hide", "item": f"i{n}"} for n in range(3)]
        assert one.post("/api/v1/events", json=said).json()["accepted"] == 3
        assert two.post("/api/v1/events", json=said).json()["duplicates"] == 3
        assert two.post("/api/v1/users/ann/merge", json={"session": "session"}).json()["merged"]
        for client in (one, two):
            slate = client.get("/api/v1/users/ann/recommendations", params={"n": 50}).json()
            assert {item["item"] for item in slate["items"]} == {f"i{n}" for n in range(3, 9)}
        assert two.delete("/api/v1/users/session", params={"confirm": "session"}).json()["erased"]
        assert one.get("/api/v1/users/ann/export").status_code == 404
    assert not (library / "matinee.db").exists()


def test_numbers_come_back_exactly(address: str) -> None:
    values = [0.1, 1e308, -1e-308, 5e-324, 2.0**53 + 2, math.pi, -0.0]
    with closing(open_store(address)) as store:
        store.put_items([Item(id="a")])
        store.append([Event(id=f"{n}", user="u", kind="rating", at=v, item="a", value=v) for n, v in enumerate(values)])
        log = store.log()
        assert log.at.tobytes() == np.array(values).tobytes()
        assert log.value.tobytes() == np.array(values).tobytes()
