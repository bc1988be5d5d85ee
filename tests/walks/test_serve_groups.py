"""Strangers of whom something is known: what their groups watch, over real HTTP, from the word of a PUT to erasure."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from matinee.client import Client
from matinee.data.strength import StrengthTable
from matinee.serve import groups
from matinee.serve.keys import digest
from matinee.serve.service import Ask, Service
from matinee.settings import Library
from matinee.store import open_store
from matinee.types import Event, Item
from tests.walks.serving import Server, serving

N = 60


def fill(folder: Path) -> None:
    """Forty people of two countries: those of CN watch the last third, those of FR the first, all of them item 30. Six
    of BT watch the middle."""
    store = open_store(Library.create(folder).database)
    store.put_items([Item(id=f"i{n}", title=f"film {n}", categories=(f"c{n % 3}",)) for n in range(N)])
    at = time.time() - 1e6
    events, profiles = [], {}
    for n in range(46):
        country, first = ("BT", 24) if n >= 40 else (("CN", 40) if n % 2 else ("FR", 0))
        profiles[f"u{n}"] = {"country": country, "age": 30}
        watched = [30, *(first + (n + k) % 14 for k in range(10))]
        events += [Event(id=f"{n}/{i}", user=f"u{n}", item=f"i{i}", kind="finish", at=at + n) for i in watched]
    store.append(events)
    store.put_profiles(profiles)
    store.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("groups")
    fill(folder)
    with serving(folder) as running:
        yield running


def numbers(items: list[str]) -> list[int]:
    return [int(item[1:]) for item in items]


def told(answer: dict) -> set[str]:
    return {reason["text"] for item in answer["items"] for reason in item["reasons"] if reason["kind"] == "group"}


def test_strangers_see_first_what_their_group_watches(server: Server) -> None:
    with Client(server.url) as client:
        assert client.put_profile("lin", {"country": "cn", "shoe": 41}) == {"country": "cn", "shoe": 41}
        assert client.profile("lin") == {"country": "cn", "shoe": 41}
        client.put_profile("marie", {"country": "FR"})
        client.put_profile("dorji", {"country": "BT"})
    first = {user: numbers(server.slate(user, n=8, diversity=0)) for user in ("lin", "marie", "dorji", "nobody")}
    assert sum(i >= 40 for i in first["lin"]) >= 6
    assert sum(i < 14 for i in first["marie"]) >= 6
    assert first["dorji"] == first["nobody"]  # six people are no group
    said = server.get("users/nobody/recommendations", n=8, diversity=0, country="CN")
    assert sum(i >= 40 for i in numbers([i["item"] for i in said["items"]])) >= 6  # said with the request alone
    rows = server.get("users/lin/rows", n=8)["rows"]
    assert sum(i >= 40 for i in numbers([i["item"] for i in rows[0]["items"]])) >= 6


def test_reasons_say_it_in_both_languages_and_only_of_groups_that_are_large_enough(server: Server) -> None:
    server.client.put("/api/v1/users/lin", json={"country": "CN"})
    server.client.put("/api/v1/users/dorji", json={"country": "BT"})
    assert told(server.get("users/lin/recommendations", n=8)) == {"Watched by people of your country"}
    assert told(server.get("users/lin/recommendations", n=8, lang="zh")) == {"与你同一国家或地区的人在看"}
    assert told(server.get("users/dorji/recommendations", n=20)) == set()
    why = server.get("users/lin/reasons/i45")["reasons"][0]
    assert (why["kind"], why["labels"]) == ("group", ["country"])
    assert server.get("users/lin/reasons/i3")["reasons"][0]["kind"] != "group"


def test_the_first_thing_liked_knows_better(server: Server) -> None:
    server.client.put("/api/v1/users/eve", json={"country": "CN"})
    assert told(server.get("users/eve/recommendations", n=8))
    server.post({"id": "eve likes", "user": "eve", "item": "i3", "kind": "like"})
    assert not told(server.get("users/eve/recommendations", n=8))


def test_a_profile_is_put_exported_merged_and_erased(server: Server) -> None:
    with Client(server.url) as client:
        client.put_profile("anon", {"age": 9, "language": "zh"})
        client.put_profile("max", {"age": 30})
        client.merge("max", "anon")
        assert client.profile("anon") == client.profile("max") == {"age": 30, "language": "zh"}
        assert client.export("max").profile == {"age": 30, "language": "zh"}
        assert client.export("max").events == ()
        assert client.put_profile("max", {}) == {}
        client.put_profile("max", {"age": 31})
        assert client.erase("anon").erased
    for path in ("users/max", "users/max/export", "users/nobody at all"):
        answer = server.client.get(f"/api/v1/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "user.unknown")


@pytest.mark.parametrize(
    "body",
    [
        b"[]", b"3", b"{", b'{"a": {"b": 1}}', b'{"a": [[1]]}', b'{"a": "' + b"x" * 1001 + b'"}', b'{"a": NaN}',
        b'{"a": 1e300}', b'{"' + b"x" * 101 + b'": 1}', b'{"a": "\\ud800"}', b'{"a": "\\u0000"}',
        b"{" + b",".join(b'"%d": 1' % n for n in range(51)) + b"}",
    ],
)  # fmt: skip
def test_what_is_no_profile_is_refused(server: Server, body: bytes) -> None:
    answer = server.client.put("/api/v1/users/bad", content=body, headers={"accept-language": "zh"})
    assert answer.status_code == 400
    assert answer.json()["code"] in ("profile.wrong", "body.not_json")
    assert server.client.get("/api/v1/users/bad").status_code == 404


def test_who_may_read_slates_may_not_read_who_people_are(tmp_path: Path) -> None:
    fill(tmp_path)
    keys = {role: f"a long key of the role {role}".replace(" ", "-") for role in ("read", "write", "admin")}
    settings = "".join(f'[[access.keys]]\nrole = "{r}"\nsha256 = "{digest(k)}"\n' for r, k in keys.items())
    (tmp_path / "matinee.toml").write_text(f"[access]\n{settings}")
    with serving(tmp_path) as server:

        def status(method: str, key: str) -> int:
            more = {"json": {"age": 30}} if method == "PUT" else {}
            return httpx.request(
                method, f"{server.url}/api/v1/users/u1", headers={"x-api-key": keys[key]}, **more
            ).status_code

        assert [status("PUT", role) for role in keys] == [403, 200, 200]
        assert [status("GET", role) for role in keys] == [403, 403, 200]


def test_without_groups_nothing_is_counted(tmp_path: Path) -> None:
    """``group_least = 0`` is the control: the same strangers are served alike."""
    fill(tmp_path)
    (tmp_path / "matinee.toml").write_text("[serving]\ngroup_least = 0\n")
    with serving(tmp_path) as server:
        server.client.put("/api/v1/users/lin", json={"country": "CN"})
        assert server.slate("lin", n=8, diversity=0) == server.slate("nobody", n=8, diversity=0)


def test_the_log_is_read_for_groups_only_where_somebody_has_a_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, read = Library.create(tmp_path), list[Path]()
    whole = groups.read_log
    monkeypatch.setattr(groups, "read_log", lambda store, path: (read.append(path), whole(store, path))[1])
    with closing(open_store(library.database)) as store:
        assert groups.counted(library, store, StrengthTable(), 1).lift({"country": "CN"}) is None
        assert read == []
        store.put_profiles({"ann": {"country": "CN"}})
        groups.counted(library, store, StrengthTable(), 1)
        assert read == [library.path]


class Slow:
    """A log that takes as long to read as is wished."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go, self.reads, whole = threading.Event(), 0, groups.read_log

        def read(*told: Any) -> Any:
            self.reads += 1
            assert self.go.wait(20)
            return whole(*told)

        monkeypatch.setattr(groups, "read_log", read)


def test_nobody_waits_while_groups_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path)
    library, slow = Library.open(tmp_path), Slow(monkeypatch)
    with closing(open_store(library.database)) as store:
        service = Service(library, store)
        begun = time.monotonic()
        service.warm()  # the log is long: the server starts all the same
        assert time.monotonic() - begun < groups.QUICK + 2
        ask = Ask(country="CN", diversity=0.0)
        plain = service.recommend(None, 8, Ask(diversity=0.0))[0].items.tolist()
        begun = time.monotonic()
        assert all(service.recommend(None, 8, ask)[0].items.tolist() == plain for _ in range(5))
        assert time.monotonic() - begun < 2
        assert slow.reads == 1  # one count, however many ask
        slow.go.set()
        end = time.monotonic() + 20
        while service.recommend(None, 8, ask)[0].items.tolist() == plain:
            assert time.monotonic() < end
            time.sleep(0.01)
        assert sum(row >= 40 for row in service.recommend(None, 8, ask)[0].items) >= 6
        slow.go.clear()
        service.groups.forget()  # as after an erasure: nothing that was counted before is used meanwhile
        assert service.recommend(None, 8, ask)[0].items.tolist() == plain
        slow.go.set()
        for thread in threading.enumerate():
            if thread.name == "matinee-groups":
                thread.join(20)


def test_a_server_starts_with_groups_that_are_quickly_counted_and_a_single_question_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path)
    library, slow = Library.open(tmp_path), Slow(monkeypatch)
    with closing(open_store(library.database)) as store:
        slow.go.set()
        server = Service(library, store)
        server.warm()
        assert slow.reads == 1
        assert sum(row >= 40 for row in server.recommend(None, 8, Ask(country="CN", diversity=0.0))[0].items) >= 6
        assert slow.reads == 1
        slow.go.clear()
        threading.Timer(0.3, slow.go.set).start()
        alone = Service(library, store)  # as the command line asks
        assert sum(row >= 40 for row in alone.recommend(None, 8, Ask(country="CN", diversity=0.0))[0].items) >= 6
