"""What stays when counts change, and what is made anew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from matinee.pipeline.sources import Starter
from matinee.serve import assemble
from matinee.serve.assemble import State
from matinee.serve.service import Ask, Service
from matinee.settings import Library
from matinee.store import open_store
from matinee.types import Event, Item

N = 30


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    library = Library.create(tmp_path)
    with closing(open_store(library.database)) as store:
        store.put_items([Item(id=f"i{n}", title=f"film {n}", categories=("c",)) for n in range(N)])
        store.append([Event(id=f"{n}", user=f"u{n}", item="i3", kind="like", at=1e9 + n) for n in range(4)])
        yield Service(library, store)


def news(service: Service, first: int, item: int, n: int) -> State:
    events = [Event(id=f"n{first + k}", user=f"v{k}", item=f"i{item}", kind="finish", at=2e9) for k in range(n)]
    service.store.append(events)
    return service.state.recounted(service.store.log(service.state.popularity.sequence))


def starters(state: State) -> list[Starter]:
    recommender = state.recommender
    cold = recommender.scorer.scorer.cold  # type: ignore[attr-defined]
    return [cold, *(source for source in recommender.sources if isinstance(source, Starter))]


def test_one_order_serves_all_who_want_it(service: Service) -> None:
    first, *others = starters(service.state)
    assert others
    assert all(other is first for other in others)
    assert starters(State(service.state.catalogue, service.state.trends, service.state.serving))[0] is not first


@pytest.mark.parametrize("steady", [0.0, 1e9])
def test_the_order_for_strangers_stays_for_a_while(
    service: Service, monkeypatch: pytest.MonkeyPatch, steady: float
) -> None:
    monkeypatch.setattr(assemble, "STEADY", steady)
    before = starters(service.state)[0]
    fresh = news(service, 0, 7, 9)
    after = starters(fresh)[0]
    assert (after is before) == bool(steady)
    assert fresh.popularity.ever[7] == 9  # the counts follow in any case
    service.state = fresh
    slate, _ = service.recommend(None, 1, Ask(diversity=0.0))
    assert slate.items.tolist() == [3 if steady else 7]


def test_another_catalogue_or_fewer_events_make_all_anew(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assemble, "STEADY", 1e9)
    before = starters(service.state)[0]
    service.put_item(Item(id="new", title="new"))
    changed = starters(service.state)[0]
    assert changed is not before
    assert changed.retrieve(service.query(None, 5, Ask(), service.state), 99).items.max() == N
    assert service.erase("u0").found
    assert starters(service.state)[0] is not changed


def test_a_release_keeps_its_experts_while_only_counts_change(service: Service) -> None:
    from matinee.release import Release

    release = Release("r", {}, {}, N, {"events": 0})
    service.state = State.of(service.state.catalogue, service.state.trends, service.state.serving, release)
    service.state.answered.add(("home", True))
    experts = service.state.experts
    fresh = news(service, 0, 7, 2)
    assert fresh.experts is experts
    assert fresh.answered == {("home", True)}
    other = fresh.with_quick(type(fresh.quick)(()))
    assert other.experts is not experts
    assert not other.answered
    assert np.array_equal(other.popularity.ever, fresh.popularity.ever)
