"""A person at the page: a real server on a small library, a real Chromium, every step as it would be done by hand."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from matinee.settings import Library
from tests.walks.chromium import Browser, until
from tests.walks.page import (
    BACKWARDS,
    CARDS,
    LONG,
    ODD_ID,
    SCRIPT,
    enter,
    events,
    for_you,
    healthy,
    kinds,
    page_marks,
    serving,
)

pytestmark = page_marks


def test_find_a_viewer_by_name(browser: Browser, address: str) -> None:
    page = browser.page()
    page.go(address)
    page.wait("document.querySelectorAll('.who').length > 20")
    page.write("input[type=search]", "viewer 17")
    page.wait("document.querySelectorAll('.who').length === 1")
    page.click(".who", "viewer 17")
    page.wait(f"{CARDS}.length > 8")
    assert page.ask("document.querySelector('.viewer').textContent") == "viewer 17"
    page.send("Page.reload")
    page.wait(f"{CARDS}.length > 8")  # the choice is remembered
    healthy(page, address)


def test_a_like_is_stored_and_changes_the_rows(browser: Browser, library: Library, address: str) -> None:
    page = enter(browser, address, "Lena")
    page.click(".collections button", "Films")
    page.wait(f"{CARDS}.every((id) => id.startsWith('film'))")
    before = for_you(page)
    item = before[0]
    page.click(f'#main [data-card][data-item="{item}"]')
    page.wait("document.querySelector('dialog[open] h1')")
    page.click("dialog .deeds button", "Like")
    page.wait("document.querySelector('[role=status].toasts')?.textContent.includes('You like')")
    until(lambda: ("like", item) in kinds(library, "Lena"))
    page.key("Escape")
    page.wait("!document.querySelector('dialog[open]')")
    assert for_you(page) != before
    healthy(page, address)


def test_a_hidden_card_goes_and_stays_away(browser: Browser, library: Library, address: str) -> None:
    page = enter(browser, address, "Henri")
    gone = for_you(page)[1]
    page.ask(f"document.querySelector('#main [data-card][data-item=\"{gone}\"]').focus()")
    page.key("h")
    page.wait(f"!{CARDS}.includes({gone!r})")
    until(lambda: ("hide", gone) in kinds(library, "Henri"))
    assert page.ask("document.activeElement.hasAttribute('data-card')")  # the focus went to a neighbour
    page.send("Page.reload")
    page.wait(f"{CARDS}.length > 8")
    assert gone not in page.ask(CARDS)
    healthy(page, address)


def test_a_viewer_may_be_called_dot_dot(browser: Browser, library: Library, address: str) -> None:
    """Browsers fold such a part of a path away, escaped or not: it travels in the query."""
    page = enter(browser, address, "..")
    gone = for_you(page)[1]
    page.ask(f"document.querySelector('#main [data-card][data-item=\"{gone}\"]').focus()")
    page.key("h")
    page.wait(f"!{CARDS}.includes({gone!r})")
    until(lambda: ("hide", gone) in kinds(library, ".."))
    page.send("Page.reload")
    page.wait(f"{CARDS}.length > 8")
    assert gone not in page.ask(CARDS)  # the rows are theirs
    page.click("a[href='#/history']")
    page.wait("location.hash.includes('history')")
    healthy(page, address)


def test_a_clip_plays_and_the_share_watched_is_stored(browser: Browser, library: Library, address: str) -> None:
    page = enter(browser, address, "Pia")
    page.key("/")
    page.write("#search", "moving square")
    page.wait(f"{CARDS}[0] === {ODD_ID!r}")
    page.click("#main [data-card]")
    page.click("dialog button.big")
    page.wait("document.querySelector('video')?.currentTime > 1.6")
    page.key("Escape")
    page.wait("!document.querySelector('dialog[open]')")
    until(lambda: ("play", ODD_ID) in kinds(library, "Pia"))
    played = next(e for e in events(library, "Pia") if e.kind == "play")
    assert played.value is not None
    assert 0.1 < played.value < 1
    page.click("a[href='#/history']")
    page.wait("document.querySelector('#main ol')?.textContent.includes('A moving square')")
    healthy(page, address)


def test_a_clip_watched_to_its_end_is_finished(browser: Browser, library: Library, address: str) -> None:
    page = enter(browser, address, "Finn")
    page.ask("location.hash = '#/home?item=' + encodeURIComponent(" + repr(ODD_ID) + ") + '&play=1'")
    page.wait("document.querySelector('video')?.currentTime > 0.3")
    page.ask("document.querySelector('video').playbackRate = 4")
    until(lambda: ("finish", ODD_ID) in kinds(library, "Finn"))
    page.wait("document.querySelector('dialog a.next')?.textContent.includes('Next: ')")
    page.key("Escape")
    page.wait("!document.querySelector('dialog[open]')")
    time.sleep(0.3)
    assert [k for k, _ in kinds(library, "Finn")] == ["finish"]  # and not also as a play
    healthy(page, address)


def test_search_in_chinese(browser: Browser, address: str) -> None:
    page = enter(browser, address, "Mei")
    page.click("button.lang")
    page.wait("document.documentElement.lang === 'zh-Hans'")
    assert "为你推荐" in page.ask("document.querySelector('#main').textContent")
    page.write("#search", "猫")
    found = "document.querySelector('#main h2')?.textContent === '“猫”的搜索结果'"
    page.wait(f"{found} && {CARDS}.includes('cat')")
    page.send("Page.reload")
    page.wait(f"{found} && {CARDS}.includes('cat')")  # the address holds the search, the browser the language
    assert page.ask("document.documentElement.lang") == "zh-Hans"
    healthy(page, address)


def test_why_this(browser: Browser, address: str) -> None:
    page = enter(browser, address, "viewer 3")
    page.ask("document.querySelector('#main [data-card]').focus()")
    page.key("w")
    page.wait("document.querySelectorAll('dialog[open] li').length > 0")
    assert page.ask("document.querySelector('dialog[open] li p').textContent.trim().length") > 5
    assert page.ask("document.querySelector('dialog[open] .bar span').getBoundingClientRect().width") > 5
    for _ in range(12):  # the focus stays inside
        page.key("Tab")
        assert page.ask("document.activeElement === document.body || document.activeElement.closest('dialog') !== null")
    page.key("Escape")
    page.wait("!document.querySelector('dialog[open]')")
    assert page.ask("document.activeElement.hasAttribute('data-card')")  # and comes back
    healthy(page, address)


def test_by_keyboard_alone(browser: Browser, address: str) -> None:
    page = enter(browser, address, "Kei")
    at = "document.activeElement.dataset.item"
    page.ask("document.activeElement.blur()")
    page.key("ArrowDown")
    first = page.wait(at)
    page.key("ArrowRight")
    second = page.ask(at)
    assert second != first
    page.key("ArrowDown")
    below = page.ask(at)
    assert below not in (first, second)
    page.key("ArrowUp")
    assert page.ask("document.activeElement.closest('[data-row]') === document.querySelector('[data-row]')")
    here = page.ask(at)
    page.key("Enter")
    page.wait("document.querySelector('dialog[open] h1')")
    page.key("Escape")
    page.wait(f"!document.querySelector('dialog[open]') && {at} === {here!r}")
    page.key("/")
    assert page.ask("document.activeElement.id") == "search"
    healthy(page, address)


def test_categories_and_variety(browser: Browser, address: str) -> None:
    page = enter(browser, address, "Cato")
    page.click(".collections button", "Films")
    page.click(".chips button", "Horror")
    page.wait("document.querySelector('#main h2').textContent === 'Horror, for you'")
    page.wait(f"{CARDS}.length > 0 && {CARDS}.every((id) => Number(id.slice(5)) % 5 === 2)")
    page.ask(
        "(() => { const e = document.querySelector('input[type=range]'); e.value = 1;"
        " e.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )
    until(lambda: any("diversity=1" in url for url in page.requests))
    healthy(page, address)


def test_a_long_list_comes_as_one_scrolls(browser: Browser, address: str) -> None:
    page = enter(browser, address, "Mona")
    page.click(".collections button", "many")
    page.wait(f"{CARDS}.every((id) => id.startsWith('many'))")
    page.click(".chips button", "Plenty")
    page.wait(f"{CARDS}.length >= 12")
    seen: set[str] = set()

    def further() -> bool:
        there = page.ask(CARDS)
        assert len(there) < 70, "only what stands in the window is in the document"
        seen.update(there)
        # a page at a time, and from the top again at the end: a slow machine may have passed by some
        end = "scrollY + innerHeight > document.documentElement.scrollHeight - 4"
        page.ask(f"scrollTo({{top: {end} ? 0 : scrollY + 0.8 * innerHeight, behavior: 'instant'}})")
        page.ask("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return len(seen) == 150

    until(further)
    assert all(known.startswith("many") for known in seen)
    healthy(page, address)


def test_hostile_titles_are_only_text(browser: Browser, address: str) -> None:
    page = enter(browser, address, "Hella", width=390, height=844)
    page.click(".collections button", "hostile")
    page.wait(f"{CARDS}.length >= 2 && {CARDS}.every((id) => id.startsWith('hostile'))")
    for i in range(3):
        page.ask(f"location.hash = '#/home?item=hostile%20{i}'")
        page.wait("document.querySelector('dialog[open] h1')")
        shown = page.ask("document.querySelector('dialog[open] h1').textContent")
        assert shown == (SCRIPT, BACKWARDS, LONG)[i].strip()[:600]
        assert page.ask("document.documentElement.scrollWidth") <= 390
        page.key("Escape")
        page.wait("!document.querySelector('dialog[open]')")
    assert page.ask("document.querySelectorAll('#main script, #main img[src=x], #main b').length") == 0
    healthy(page, address)


def test_an_event_waits_for_the_server(browser: Browser, library: Library, address: str) -> None:
    page = enter(browser, address, "Wanda")
    item = for_you(page)[0]
    page.send("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1)
    page.ask(f"document.querySelector('#main [data-card][data-item=\"{item}\"]').focus()")
    page.key("l")
    page.wait("document.querySelector('[role=alert]')?.textContent.includes('does not answer')")
    assert page.ask("JSON.parse(localStorage.getItem('matinee.events')).length") == 1
    assert kinds(library, "Wanda") == []
    page.send("Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1)
    until(lambda: kinds(library, "Wanda") == [("like", item)])
    page.wait("!document.querySelector('[role=alert]')")


def test_someone_new_says_what_they_like(browser: Browser, library: Library, address: str) -> None:
    page = browser.page(prefers_reduced_motion="reduce")
    page.go(address)
    page.wait("document.querySelectorAll('.who').length > 3")
    page.write("input[name=viewer]", "Nova")
    page.click("form button", "Start watching")
    page.wait("document.querySelectorAll('[data-pick]').length >= 12")
    assert page.ask("document.querySelector('#main .button.lit').disabled")
    picked = page.ask("[...document.querySelectorAll('[data-pick]')].slice(0, 3).map((b) => b.dataset.pick)")
    for id_ in picked:
        page.click(f'[data-pick="{id_}"]')
    page.click("#main .button.lit")
    page.wait(f"{CARDS}.length > 8")
    assert sorted(kinds(library, "Nova")) == sorted(("like", id_) for id_ in picked)
    page.send("Page.reload")
    page.wait(f"{CARDS}.length > 8")  # and is not asked again
    healthy(page, address)


def test_short_videos_tell_what_was_skipped(browser: Browser, library: Library, address: str) -> None:
    page = enter(browser, address, "Swen", width=390, height=844)
    page.ask("location.hash = '#/shorts'")
    page.wait("document.querySelector('[data-at=\"0\"] video')?.currentTime > 0.1")
    first = page.ask("document.querySelector('[data-at=\"0\"]').dataset.short")
    page.key("ArrowDown")
    page.wait("((v) => v?.currentTime / v?.duration > 0.22)(document.querySelector('[data-at=\"1\"] video'))")
    second = page.ask("document.querySelector('[data-at=\"1\"]').dataset.short")
    page.key("Escape")
    page.wait(f"{CARDS}.length > 8")
    until(lambda: [k for k in kinds(library, "Swen") if k[1] in (first, second)])
    until(lambda: ("play", second) in kinds(library, "Swen"))
    assert kinds(library, "Swen") == [("play", second), ("skip", first)]
    healthy(page, address)


def test_a_viewer_takes_their_data_and_is_erased(browser: Browser, library: Library, address: str) -> None:
    page = enter(browser, address, "Egon")
    page.ask("document.querySelector('#main [data-card]').focus()")
    page.key("l")
    until(lambda: kinds(library, "Egon"))
    page.click("a[href='#/taste']")
    page.wait(f"{CARDS}.length === 1")
    page.ask("window.blobs = []; URL.createObjectURL = (blob) => (window.blobs.push(blob), 'blob:none')")
    page.click("#main button", "Export my data")
    told = page.wait("window.blobs.length && window.blobs[0].text()")
    assert [e["kind"] for e in json.loads(told)["events"]] == ["like"]
    page.click("#main button", "Erase me")
    page.click("dialog button", "Erase")
    page.wait("document.querySelectorAll('.who').length > 3")
    assert kinds(library, "Egon") == []
    assert page.ask("localStorage.getItem('matinee.viewer')") is None


def test_a_key_opens_the_page(browser: Browser, library: Library, tmp_path: Path) -> None:
    key = "a-key-of-more-than-16-characters"
    with serving(library, tmp_path, reading=True, MATINEE_KEY=key) as address:
        page = browser.page(prefers_reduced_motion="reduce")
        page.go(address)
        page.wait("document.querySelector('#key')")
        page.write("#key", "a-key-that-nobody-knows")
        page.click("form button")
        page.wait("document.querySelector('[role=alert]').textContent.includes('does not accept')")
        page.ask("document.querySelector('#key').select()")
        page.write("#key", key)
        page.click("form button")
        page.wait("document.querySelectorAll('.who').length > 3")
        page.click(".who", "viewer ")
        page.wait(f"{CARDS}.length > 8")
        page.ask("location.hash = '#/home?item=again&play=1'")
        page.wait("document.querySelector('video')?.currentTime > 0.3")  # media has the key too
        assert page.ask("document.cookie + JSON.stringify({...localStorage})").find(key) < 0  # no script can read it


def test_a_lost_item_is_said_plainly(browser: Browser, address: str) -> None:
    page = enter(browser, address, "Noor")
    page.ask("location.hash = '#/home?item=nothing%2Fhere'")
    page.wait("document.querySelector('dialog[open] [role=status]')?.textContent.includes('no such item')")
    page.key("Escape")
    page.wait("!document.querySelector('dialog[open]')")


def test_the_check_finds_a_breach(browser: Browser, address: str) -> None:
    """The policy blocks an inline script and a foreign request, and the walk would have seen both."""
    page = enter(browser, address, "Cassandra")
    page.ask(
        "(() => { const s = document.createElement('script'); s.textContent = 'document.title = \"taken\"';"
        " document.body.append(s); })()"
    )
    page.ask("fetch('http://192.0.2.1/').catch(() => 0)")
    until(lambda: len(page.errors) >= 2)
    assert page.ask("document.title") == "Matinee"
    with pytest.raises(AssertionError):
        healthy(page, address)
