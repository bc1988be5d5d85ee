"""The typed client against a real server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from matinee.client import Client
from matinee.errors import MatineeError
from matinee.serve.forms import Ask
from matinee.types import Event, Item
from tests.walks.serving import Server, free_port, serving, started
from tests.walks.test_serve import fill


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Client]:
    with Client(server.url) as client:
        yield client


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("library")
    fill(folder)
    with serving(folder) as running:
        yield running


def test_everything_round_trips(client: Client) -> None:
    assert client.health().status == "ok"
    item = client.put(Item(id="a/b 猫", title="Cat film", tags=("cats",), duration=61.5, properties={"age": 6}))
    assert (item.item, item.duration, item.properties) == ("a/b 猫", 61.5, {"age": 6})
    assert client.item("a/b 猫").title == "Cat film"
    assert client.search("cat film", where="duration < 100").items[0].item == "a/b 猫"
    now = time.time()
    events = [Event(id=f"c{k}", user="cl/ient", item=f"i{k % 60}", kind="play", at=now - 5000 + k) for k in range(1500)]
    events[1200] = Event(id="bad", user="cl/ient", item="nowhere", kind="play", at=now)
    told = client.send(events)
    assert (told.accepted, [(r.index, r.error) for r in told.rejected]) == (1499, [(1200, "event.unknown_item")])
    assert client.send(events[:10]).duplicates == 10
    assert client.events("cl/ient", 1)[0].id == "c1499"
    assert client.similar("i3", n=2, by="text").items
    assert client.rows("u1", n=4).rows
    assert [s.user for s in client.recommend_many(["u1", "u2"], 3)] == ["u1", "u2"]
    assert client.erase("cl/ient").erased
    with pytest.raises(MatineeError) as error:
        client.export("cl/ient")
    assert (error.value.code, error.value.status) == ("user.unknown", 404)
    client.delete("a/b 猫")
    with pytest.raises(MatineeError, match="no item"):
        client.item("a/b 猫")


def test_interests_are_taken_away_and_given_back(client: Client) -> None:
    told = client.interests("u1").interests
    assert told
    assert not any(one.muted for one in told)
    away = {one.interest: one.muted for one in client.remove_interest("u1", told[0].interest).interests}
    assert away[told[0].interest]
    back = {one.interest: one.muted for one in client.restore_interest("u1", told[0].interest).interests}
    assert not back[told[0].interest]
    with pytest.raises(MatineeError) as error:
        client.remove_interest("u1", "mood:sad")
    assert error.value.code == "interest.wrong"


@pytest.mark.parametrize("id", [".", ".."])
def test_ids_that_no_path_can_carry(client: Client, id: str) -> None:
    """Every address that names a user or an item, through the client; beside ``-`` itself, which is an id like any."""
    for one in (id, "-"):
        assert client.put(Item(id=one, title=f"called {one}", tags=("dots",), collection=f"of {one}")).item == one
    assert client.item(id).title == f"called {id}"
    assert client.item("-").title == "called -"
    assert client.similar(id, n=3, by="text").item == id
    now = time.time()
    told = [Event(id=f"dot {id} {user}", user=user, item=id, kind="like", at=now) for user in (id, "-")]
    assert client.send(told).accepted == 2
    assert client.recommend(id, 5).user == id
    assert client.recommend(id, 5, Ask(collection="of -")).items[0].item == "-"
    assert [e.item for e in client.events(id)] == [id]
    assert (client.rows(id, 4).user, client.interests(id).user) == (id, id)
    assert client.reasons(id, id).item == id
    assert client.reasons(id, "i1").item == "i1"
    assert client.reasons("u1", id).item == id
    assert client.merge(id, f"session of {id}").merged
    assert [e.user for e in client.export(id).events] == [id]
    assert client.erase(id).erased
    assert [e.user for e in client.export("-").events] == ["-"]
    assert client.erase("-").erased
    client.delete(id)
    with pytest.raises(MatineeError, match="no item"):
        client.item(id)
    assert client.item("-").item == "-"
    client.delete("-")


def test_asks_reach_the_server_whole(client: Client) -> None:
    ask = Ask(
        collection="clips", categories=("jazz", "war"), exclude=("i3",), diversity=0.0, where="expires == none",
        novelty=0.1, exploration=0.2, boost=(('"war" in categories', 6.0),), seed=5,
    )  # fmt: skip
    items = client.recommend("u1", 5, ask).items
    assert items
    assert all(i.collection == "clips" and set(i.categories) <= {"jazz", "war"} and i.item != "i3" for i in items)
    assert "war" in items[0].categories
    seen = [i.item for page in client.pages("u1", 8) for i in page.items]
    assert len(seen) == len(set(seen)) > 30


def test_it_waits_for_a_server_that_is_away_and_says_so_when_none_comes(tmp_path: Path) -> None:
    fill(tmp_path)
    port = free_port()
    with Client(f"http://127.0.0.1:{port}", patience=0.3) as hasty, pytest.raises(MatineeError) as error:
        hasty.health()
    assert error.value.code == "client.unreachable"
    answers: list[str] = []
    patient = Client(f"http://127.0.0.1:{port}", patience=60)
    asking = threading.Thread(target=lambda: answers.append(patient.health().status))
    asking.start()
    process = started(tmp_path, port=port)
    try:
        asking.join(60)
        assert answers == ["ok"]
    finally:
        patient.close()
        process.terminate()
        process.communicate(timeout=20)
