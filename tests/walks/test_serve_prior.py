"""Strangers who say something of themselves, and limits that are the same at every address, over real HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from matinee.settings import Library
from matinee.store import open_store
from matinee.types import Event, Item
from tests.walks.serving import Server, serving

N = 120


def item(row: int) -> Item:
    theme = ("jazz", "war", "cats", "chess")[row % 4]
    return Item(
        id=f"i{row}", title="" if row == 3 else "unknown" if row == 7 else f"{theme} film {row}", categories=(theme,),
        tags=("saxophone",) if row in (9, 14) else (), language=("en", "zh")[row % 2], collection=("a", "b")[row % 2],
        creators=(f"maker {row % 6}",),
        properties={"age": 18 if row % 10 == 0 else 6, "country": ["CN", "FR"] if row % 5 == 0 else "US"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("prior")
    store = open_store(Library.create(folder).database)
    store.put_items([item(row) for row in range(N)])
    at = time.time() - 1e6
    # what many watched is about war, and the two without a title are watched most of all
    rows = [3] * 30 + [7] * 30 + [r for r in range(1, N, 4) for _ in range(3)]
    store.append([Event(id=f"e{k}", user=f"u{k}", item=f"i{r}", kind="finish", at=at + k) for k, r in enumerate(rows)])
    # somebody who turned things down long ago, and has done much since
    store.append([Event(id="old hide", user="busy", item="i5", kind="hide", at=at)])
    store.append([Event(id="old seen", user="busy", item="i9", kind="finish", at=at + 1)])
    store.append([
        Event(id=f"b{k}", user="busy", item=f"i{k % 4 * 4}", kind="play", value=0.9, at=at + 2 + k) for k in range(2100)
    ])  # fmt: skip
    store.close()
    with serving(folder) as running:
        yield running


def share(items: list[str], holds) -> float:
    return sum(holds(item(int(i[1:]))) for i in items) / max(len(items), 1)


def test_a_stranger_is_never_shown_what_has_no_title(server: Server) -> None:
    assert not {"i3", "i7"} & set(server.slate("stranger", n=60))
    assert {"i3", "i7"} <= set(server.slate("stranger", n=200))  # they are there, after all others


def test_language_and_country_lift_what_fits(server: Server) -> None:
    for params, holds in (
        ({"language": "zh"}, lambda i: i.language == "zh"),
        ({"country": "CN"}, lambda i: "CN" in i.properties["country"]),
    ):
        plain, told = server.slate("stranger", n=20), server.slate("stranger", n=20, **params)
        assert share(told, holds) > share(plain, holds)
        assert len(told) == 20


def test_interests_come_first_and_say_so_until_clicks_know_better(server: Server) -> None:
    told = server.get("users/someone new/recommendations", n=10, interests=["chess", "saxophone"])["items"]
    themes = [i["categories"][0] for i in told]
    assert themes.count("chess") >= 5
    assert {"i9", "i14"} & {i["item"] for i in told}
    chess = next(i for i in told if i["categories"] == ["chess"])
    assert chess["reasons"][0]["kind"] == "topic"
    assert "chess" in chess["reasons"][0]["text"]
    zh = server.get("users/someone new/recommendations", n=3, interests=["chess"], lang="zh")["items"]
    assert "更多" in zh[0]["reasons"][0]["text"]
    server.post(*[
        {"id": f"c{k}", "user": "clicker", "item": f"i{4 * k + 2}", "kind": "like"} for k in range(25)
    ])  # fmt: skip
    later = server.get("users/clicker/recommendations", n=10, interests=["chess"])["items"]
    assert all(r["kind"] != "topic" for i in later for r in i["reasons"])  # 25 likes weigh more than one word


def test_age_and_blocked_creators_hold_at_every_address(server: Server) -> None:
    def items(answer) -> list[str]:
        rows = answer.get("rows") or [answer]
        return [i["item"] for row in rows for i in row["items"]]

    limits = {"age": 12, "blocked": ["maker 1", "maker 2"], "where": 'language == "en"', "collection": "a"}
    server.post({"id": "f", "user": "fan", "item": "i4", "kind": "like"})
    for path, params in (
        ("users/fan/recommendations", {"n": 60}), ("users/fan/rows", {"n": 20}), ("items/i4/similar", {"by": "all"}),
        ("search", {"q": "film", "n": 60}), ("users/nobody/rows", {"n": 20}),
    ):  # fmt: skip
        told = items(server.get(path, **params, **limits))
        if "similar" not in path:
            assert told, path
        for i in told:
            one = item(int(i[1:]))
            assert one.properties["age"] <= 12, path
            assert one.creators[0] not in ("maker 1", "maker 2"), path
            assert (one.language, one.collection) == ("en", "a"), path
        wide = items(server.get(path, **params))
        assert set(told) <= set(wide) or len(wide) >= 20
    assert share(items(server.get("search", q="film", n=120)), lambda i: i.properties["age"] > 12) > 0  # the control


def test_what_was_hidden_or_seen_long_ago_does_not_come_back(server: Server) -> None:
    told = server.slate("busy", n=200)
    assert "i5" not in told
    assert "i9" not in told
    assert "i13" in told  # the control: others of the same kind do


def test_rows_of_one_who_has_begun_something(server: Server) -> None:
    server.post(*[
        {"id": f"r{k}", "user": "viewer", "item": f"i{12 * k}", "kind": "play", "value": 0.3} for k in range(1, 8)
    ])  # fmt: skip
    server.post(*[
        {"id": f"s{k}", "user": "viewer", "item": f"i{12 * k + 1}", "kind": "finish"} for k in range(1, 8)
    ])  # fmt: skip
    rows = {row["row"]: row for row in server.get("users/viewer/rows", n=10)["rows"]}
    assert [i["item"] for i in rows["continue"]["items"]][:2] == ["i84", "i72"]
    assert rows["more_from"]["title"] == "More from maker 1"
    assert all(int(i["item"][1:]) % 6 == 1 for i in rows["more_from"]["items"])
    seen = [i["item"] for row in rows.values() for i in row["items"]]
    assert len(seen) == len(set(seen))
