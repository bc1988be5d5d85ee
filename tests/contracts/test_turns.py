"""Where a slate is worked out: by the thread that answers where it is a matter of milliseconds, else beside it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast

import pytest

from matinee.errors import MatineeError
from matinee.protocols import Store
from matinee.serve import asking
from matinee.serve.service import Ask, Service
from matinee.serve.turns import HERE, NAMED, Later, Turns, only_if, plain
from matinee.settings import Library
from matinee.store import open_store
from matinee.types import INTEREST, Event, Item

GIVEN: dict[str, Any] = {  # something for every field, to be told from the usual
    "collection": "films", "categories": ("c1",), "exclude": ("i1",), "diversity": 0.5, "where": "duration < 9",
    "scenario": "music", "novelty": 0.5, "exploration": 0.5, "boost": (("duration < 9", 1.0),), "page": "x", "seed": 1,
    "country": "CN", "language": "zh", "interests": ("jazz",), "age": 12.0, "blocked": ("someone",),
}  # fmt: skip


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    library = Library.create(tmp_path)
    with closing(open_store(library.database)) as store:
        store.put_items([Item(id=f"i{n}", title=f"film {n}", categories=(f"c{n % 3}",)) for n in range(40)])
        store.append([
            Event(id=f"{u}/{n}", user=f"u{u}", item=f"i{n + u}", kind="like", at=1e9 + n)
            for u in range(6) for n in range(8)
        ])  # fmt: skip
        yield Service(library, store)


class Slates:
    """Asks for slates through ``Turns`` and says of each whether this thread worked it out."""

    def __init__(self, service: Service) -> None:
        self.service, self.turns, self.by = service, Turns(service.lane), 0

    async def here(self, user: str, ask: Ask | None = None) -> bool:
        ask, service = ask or Ask(), self.service

        def work() -> Any:
            told = asking.recommended(service, user, 5, ask, "en")
            self.by = threading.get_ident()
            return told

        told = await self.turns.take(plain(service.store, ask), work)
        assert told.items
        assert not HERE.quick
        assert not service.lane.locked()
        return self.by == threading.get_ident()


def run(service: Service, steps: Callable[[Slates], Any]) -> Any:
    async def main() -> Any:
        return await steps(Slates(service))

    return asyncio.run(main())


def test_what_may_take_longer_is_not_plain(service: Service) -> None:
    assert {one.name for one in fields(Ask)} == set(GIVEN)
    assert plain(service.store, Ask())
    for name, value in GIVEN.items():
        assert plain(service.store, replace(Ask(), **{name: value})) == (name in NAMED), name
    assert not plain(cast(Store, object()), Ask())  # a store that is asked over a network


def test_slates_come_from_this_thread_once_all_is_made(service: Service) -> None:
    async def steps(slates: Slates) -> list[bool]:
        users = ["u1", "u1", "u2", "nobody", "nobody", "another"]
        return [await slates.here(user) for user in users]

    # the first of somebody who is known, and the first of a stranger, may have something to make
    assert run(service, steps) == [False, True, True, False, True, True]


def test_after_a_write_the_first_is_worked_out_beside(service: Service) -> None:
    async def steps(slates: Slates) -> list[bool]:
        before = [await slates.here("u1") for _ in range(2)]
        service.put_item(Item(id="new", title="new"))
        return before + [await slates.here("u1") for _ in range(2)]

    assert run(service, steps) == [False, True, False, True]


def test_what_turns_out_to_take_longer_goes_on_beside(service: Service) -> None:
    """An interest that was taken away is looked for in all items; a stranger of whom something is known may have to be
    counted with; and where nothing is left, others are asked."""

    async def steps(slates: Slates) -> dict[str, bool]:
        for user in ("u1", "nobody"):
            await slates.here(user)
        service.store.append([Event(id="m", user="u2", kind="hide", at=2e9, text=f"{INTEREST}category:c1", value=1.0)])
        service.groups.put("lin", {"country": "CN"})
        seen = [Event(id=f"s{n}", user="u3", item=f"i{n}", kind="like", at=2e9 + n) for n in range(40)]
        service.store.append(seen)
        return {user: await slates.here(user) for user in ("u1", "nobody", "u2", "lin", "u3")}

    assert run(service, steps) == {"u1": True, "nobody": True, "u2": False, "lin": False, "u3": False}


def test_whoever_has_the_lane_is_waited_for_beside(service: Service) -> None:
    async def steps(slates: Slates) -> tuple[bool, float]:
        await slates.here("u1")
        assert await slates.here("u1")
        service.lane.acquire()
        threading.Timer(0.2, service.lane.release).start()
        started = time.perf_counter()
        ticks = asyncio.create_task(ticking())
        here = await slates.here("u1")
        ticks.cancel()
        assert slates.by
        return here, time.perf_counter() - started

    async def ticking() -> None:
        while True:
            await asyncio.sleep(0.01)

    here, took = run(service, steps)
    assert not here
    assert took >= 0.15


def test_between_two_slates_the_event_loop_hears_of_others() -> None:
    said: list[str] = []

    async def main() -> None:
        turns = Turns(threading.Lock())

        async def other() -> None:
            while said.count("slate") < 8:
                said.append("other")
                await asyncio.sleep(0)

        slates = (turns.take(True, lambda: said.append("slate")) for _ in range(8))
        await asyncio.gather(*slates, other())

    asyncio.run(main())
    assert said.count("slate") == 8
    assert "slate slate" not in " ".join(said)


@pytest.mark.parametrize("here", [True, False])
def test_one_at_a_time_in_whatever_thread(here: bool) -> None:
    """Half of them find out that they take longer, on their way."""
    inside, most = 0, 0
    lock = threading.Lock()

    def work(quick: bool) -> int:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        try:
            only_if(quick)
            time.sleep(0.002)
        finally:
            with lock:
                inside -= 1
        return 1

    async def main() -> int:
        turns = Turns(threading.Lock())
        return sum(await asyncio.gather(*(turns.take(here, lambda k=k: work(k % 2 == 0)) for k in range(30))))

    assert asyncio.run(main()) == 30
    assert most == 1


def test_an_error_passes_and_the_next_goes_on(service: Service) -> None:
    async def steps(slates: Slates) -> None:
        await slates.here("u1")
        for broken in (Ask(scenario="none"), Ask(page="?")):
            with pytest.raises(MatineeError):
                await slates.here("u1", broken)
        assert await slates.here("u1")

    run(service, steps)
    only_if(quick=False)  # in another thread than the one that answers nothing happens


def test_only_who_must_be_quick_is_stopped() -> None:
    HERE.quick = True
    try:
        only_if(quick=True)
        with pytest.raises(Later):
            only_if(quick=False)
    finally:
        HERE.quick = False
