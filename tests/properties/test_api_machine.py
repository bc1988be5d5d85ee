"""A machine of chance drives the API and compares every answer with a dictionary that does the same by the book. Bugs
planted on purpose must be found, or the machine proves nothing."""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import uvicorn
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from litestar import Litestar

from matinee.protocols import Appended
from matinee.serve.edge import Edge
from matinee.serve.http import application
from matinee.serve.intake import Batch
from matinee.serve.metrics import Metrics
from matinee.serve.patience import patient
from matinee.serve.pressure import Gate
from matinee.serve.reading import Reader
from matinee.serve.run import bind
from matinee.serve.service import Service
from matinee.settings import Library
from matinee.store import open_store

IDS = st.sampled_from(["a", "b/c", "猫", "%2F", "x y", "d", "e", "f"])
USERS = st.sampled_from(["u", "v/1", "w"])
KINDS = st.sampled_from(["play", "like", "dislike", "hide", "skip", "save", "impression", "search"])
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - hundreds of stores that need no disk
SEEN = {"play", "like", "dislike", "hide"}


class NoEncoder(Reader):
    def __init__(self) -> None:
        super().__init__()
        self.state, self._begun = "missing", True
        self._loaded.set()


class Forgetful(Service):
    """A planted bug: what is deleted stays in the catalogue until somebody reads the store again."""

    def delete_item(self, id: str) -> bool:
        return self.store.delete_item(id)

    def current(self) -> Any:
        return self.state

    def still_there(self, slate: Any, state: Any) -> Any:
        return slate


class Hasty(Service):
    """A planted bug: says that an event was taken in, but loses the last one of every batch of two."""

    def append(self, batch: Batch) -> tuple[Appended, tuple[tuple[int, str], ...]]:
        if len(batch.events) == 2:
            answer, refused = super().append(Batch(batch.events[:1], batch.positions[:1], batch.refused))
            return Appended(answer.accepted + 1, answer.duplicates, answer.refused), refused
        return super().append(batch)


class Deaf(Service):
    """A planted bug: the history is read once for each user."""

    def history(self, user: str | None) -> Any:
        known = self.__dict__.setdefault("known", {})
        return known.setdefault(user, super().history(user))


class Wire:
    """One real server on a socket, in a thread of its own, for all runs of a machine."""

    def __init__(self, app: Litestar) -> None:
        config = uvicorn.Config(
            Edge(app), http=patient(5.0, Gate(), Metrics()), log_config=None, access_log=False, lifespan="off",
            ws="none",
        )  # fmt: skip
        self.bound, self.server = bind("127.0.0.1", 0), uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, args=([self.bound],), daemon=True)
        self.thread.start()
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.bound.getsockname()[1]}", timeout=30)

    def close(self) -> None:
        self.client.close()
        self.server.should_exit = True
        self.thread.join(20)
        self.bound.close()


def machine(make: Callable[..., Service], wires: list[Wire] | None = None) -> type[RuleBasedStateMachine]:
    """The machine; with ``wires`` (empty at first) it speaks over a socket."""
    apps: list[Litestar] = []

    class Api(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.folder = tempfile.TemporaryDirectory(dir=MEMORY)
            library = Library.create(Path(self.folder.name))
            self.store = open_store(library.database)
            self.service = make(library, self.store, NoEncoder())
            self.loop = asyncio.new_event_loop()
            apps[:] = apps or [application(self.service)]  # the same routes serve every run: they take long to make
            apps[0].state.service = self.service
            transport = httpx.ASGITransport(Edge(apps[0]))
            self.client = httpx.AsyncClient(transport=transport, base_url="http://localhost")
            self.items: dict[str, str] = {}
            self.events: dict[str, list[dict[str, Any]]] = {}
            self.sent: dict[str, dict[str, Any]] = {}
            self.number = 0

        def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
            if wires is not None:
                wires[:] = wires or [Wire(apps[0])]
                return wires[0].client.request(method, f"/api/v1/{path}", **more)
            return self.loop.run_until_complete(self.client.request(method, f"/api/v1/{path}", **more))

        @rule(id=IDS, collection=st.sampled_from(["one", "two"]))
        def put(self, id: str, collection: str) -> None:
            answer = self.ask(
                "PUT", f"items/{quote(id, safe='')}", json={"title": f"title {id}", "collection": collection}
            )
            assert answer.status_code == 200
            self.items[id] = collection

        @rule(id=IDS)
        def delete(self, id: str) -> None:
            answer = self.ask("DELETE", f"items/{quote(id, safe='')}")
            assert answer.status_code == (204 if id in self.items else 404)
            self.items.pop(id, None)

        @rule(id=IDS)
        def get(self, id: str) -> None:
            answer = self.ask("GET", f"items/{quote(id, safe='')}")
            assert answer.status_code == (200 if id in self.items else 404)
            if id in self.items:
                assert answer.json()["collection"] == self.items[id]

        @rule(user=USERS, picks=st.lists(st.tuples(IDS, KINDS), min_size=1, max_size=3))
        def post(self, user: str, picks: list[tuple[str, str]]) -> None:
            events = []
            for item, kind in picks:
                self.number += 1
                event = {"id": f"e{self.number}", "user": user, "kind": kind, "at": time.time() - 1000 + self.number}
                events.append(event | ({} if kind == "search" else {"item": item}))
            self._sent(events)

        @precondition(lambda self: self.sent)
        @rule(data=st.data())
        def post_again(self, data: st.DataObject) -> None:
            self._sent([self.sent[data.draw(st.sampled_from(sorted(self.sent)))]])

        def _sent(self, events: list[dict[str, Any]]) -> None:
            told = self.ask("POST", "events", json=events)
            assert told.status_code == 202
            fresh = [e for e in events if e["id"] not in self.sent]
            good = [e for e in fresh if e["kind"] == "search" or e["item"] in self.items]
            known = len(events) - len(fresh)
            assert told.json()["accepted"] == len(good)
            assert told.json()["duplicates"] == known
            assert len(told.json()["rejected"]) == len(fresh) - len(good)
            for event in good:
                self.sent[event["id"]] = event
                self.events.setdefault(event["user"], []).append(event)

        @rule(user=USERS)
        def history(self, user: str) -> None:
            told = self.ask("GET", f"users/{quote(user, safe='')}/events?n=1000").json()["events"]
            assert [e["id"] for e in told] == [e["id"] for e in reversed(self.events.get(user, []))]

        @rule(user=USERS, collection=st.sampled_from(["", "one"]))
        def recommend(self, user: str, collection: str) -> None:
            path = f"users/{quote(user, safe='')}/recommendations?n=50&collection={collection}"
            answer = self.ask("GET", path).json()
            got = [i["item"] for i in answer["items"]]
            there = {item for item, c in self.items.items() if collection in ("", c)}
            done = self.events.get(user, [])
            seen = {e["item"] for e in done if e["kind"] in SEEN}
            hidden = {e["item"] for e in done if e["kind"] in ("hide", "dislike")}
            fresh, again = there - seen, there - hidden
            assert sorted(got) == sorted(fresh or again)  # every item that may be shown is, once
            assert answer.get("fallback", []) == (["seen"] if not fresh and again else [])

        @invariant()
        def counts(self) -> None:
            told = self.ask("GET", "health").json()
            assert told["items"] == len(self.items)
            assert told["events"] == len(self.sent)

        def teardown(self) -> None:
            self.loop.run_until_complete(self.client.aclose())
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()
            self.store.close()
            self.folder.cleanup()

    return Api


quick = settings(
    max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck), database=None
)


def test_the_api_does_what_the_book_says() -> None:
    run_state_machine_as_test(machine(Service), settings=quick)


def test_the_api_does_so_over_real_http() -> None:
    wires: list[Wire] = []
    try:
        run_state_machine_as_test(machine(Service, wires), settings=settings(quick, max_examples=8))
        hunt = settings(quick, max_examples=200, derandomize=True, phases=[Phase.generate])
        wires.pop().close()
        with pytest.raises((AssertionError, ExceptionGroup)):  # the control
            run_state_machine_as_test(machine(Hasty, wires), settings=hunt)
    finally:
        for wire in wires:
            wire.close()


@pytest.mark.parametrize("bug", [Forgetful, Hasty, Deaf])
def test_the_machine_finds_a_planted_bug(bug: type[Service]) -> None:
    # the same runs every time, so that the control cannot fail by chance; it ends at the first find
    hunt = settings(
        quick,
        max_examples=600,
        stateful_step_count=40,
        derandomize=True,
        phases=[p for p in quick.phases if p.name == "generate"],
    )
    with pytest.raises((AssertionError, ExceptionGroup)):
        run_state_machine_as_test(machine(bug), settings=hunt)
