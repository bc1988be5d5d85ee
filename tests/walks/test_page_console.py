"""The operator at the console: every part shows what is there; a release is put in force and back."""

from __future__ import annotations

import json

from matinee.settings import Library
from matinee.store import open_store
from matinee.train import train
from matinee.types import Event
from tests.walks.chromium import Browser, Page, until
from tests.walks.page import ODD_ID, SCRIPT, enter, healthy, page_marks

pytestmark = page_marks
MAIN = "document.querySelector('.console main')"


def console(browser: Browser, address: str, part: str, **how: int) -> Page:
    page = browser.page(prefers_reduced_motion="reduce", **how)  # type: ignore[arg-type]
    page.send("Emulation.setLocaleOverride", locale="en-US")
    page.go(f"{address}/#/console/{part}")
    page.wait(f"{MAIN}?.querySelector('h1')")
    return page


def test_the_overview_tells_gaps_and_refused_files(browser: Browser, library: Library, address: str) -> None:
    page = console(browser, address, "overview")
    page.wait(f"{MAIN}.textContent.includes('What is missing')")
    page.click(".gaps button", "cover")
    page.wait("document.querySelectorAll('.examples a').length > 3")
    row = page.wait(f"[...{MAIN}.querySelectorAll('tbody tr')].map((r) => r.textContent)[0]")
    assert SCRIPT[-30:] in row
    assert "refused" in row
    assert page.ask("document.querySelectorAll('main script, main b, main img[src=x]').length") == 0
    going = {"stage": "media", "done": 3, "total": 10, "within": 0.5, "current": "/films/a.mkv", "finished": False}
    (library.path / "ingest.json").write_text(json.dumps(going))
    page.wait("Math.abs(document.querySelector('progress')?.value - 0.35) < 0.001")
    assert "/films/a.mkv" in page.ask(f"{MAIN}.textContent")
    (library.path / "ingest.json").write_text(json.dumps({**going, "finished": True, "report": {"taken": 7}}))
    page.wait("!document.querySelector('progress')")
    healthy(page, address)


def test_events_come_in_live(browser: Browser, library: Library, address: str) -> None:
    page = console(browser, address, "live")
    page.wait(f"{MAIN}.querySelectorAll('tbody tr').length > 10")
    viewer = enter(browser, address, "Livia")
    viewer.ask("document.querySelector('#main [data-card]').focus()")
    viewer.key("l")
    page.wait(f"[...{MAIN}.querySelectorAll('tbody tr')].some((r) => /Livia.*liked/.test(r.textContent))")
    page.ask("(() => { const s = document.querySelector('select'); s.value = 'like';"
             " s.dispatchEvent(new Event('change', {bubbles: true})); })()")  # fmt: skip
    page.wait(f"[...{MAIN}.querySelectorAll('tbody tr')].every((r) => r.textContent.includes('liked'))")
    page.click("tbody a", "Livia")
    page.wait("location.hash.includes('user')")
    page.wait(f"{MAIN}.textContent.includes('Interests found')")
    healthy(page, address)


def test_a_request_is_taken_apart(browser: Browser, address: str) -> None:
    page = console(browser, address, "request")
    page.wait("document.querySelector('input[name=user]')")
    page.ask("document.querySelector('input[name=user]').select()")
    page.write("input[name=user]", "viewer 5")
    page.click(".console .button", "Ask")
    page.wait("document.querySelector('.sum')?.textContent.startsWith('8 events of history')")
    assert page.ask("document.querySelectorAll('tbody tr:not(.below)').length") == 20
    assert page.ask("document.querySelectorAll('tbody tr.below').length") > 0
    page.click("[data-filter=seen]")
    page.wait("document.querySelectorAll('.examples a').length === 8")
    experts = page.ask("[...document.querySelectorAll('thead th')].map((h) => h.textContent)")
    assert any("ease" in name for name in experts)
    page.click("tbody a")
    page.wait("document.querySelector('pre')?.textContent.includes('\"item\"')")
    slow = {"offline": False, "latency": 700, "downloadThroughput": -1, "uploadThroughput": -1}
    page.send("Network.emulateNetworkConditions", **slow)  # what the page asks by itself is still under way then
    page.go(f"{address}/#/console/request")
    page.wait("document.querySelector('input[name=where]')")
    page.write("input[name=where]", "duration <")
    page.click(".console .button", "Ask")
    page.wait("document.querySelector('[role=alert]')?.textContent.length > 10")  # said plainly, in place
    healthy_but(page, address, "400")


def healthy_but(page: Page, address: str, known: str) -> None:
    """As ``healthy``, but for the answer that the walk provoked."""
    assert [error for error in page.errors if known not in error] == []
    page.errors.clear()
    healthy(page, address)


def test_a_release_is_put_in_force_and_back(browser: Browser, library: Library, address: str) -> None:
    store = open_store(library.database)
    before = store.release()
    assert before is not None
    store.append([Event(id="another", user="viewer 1", item="film 3", kind="like", at=2e9)])
    after = train(library, store)
    assert after != before[0]
    page = console(browser, address, "releases")
    page.wait("document.querySelectorAll('[data-release]').length >= 2")
    assert page.ask(f"document.querySelector('[data-release=\"{after}\"] .mark').textContent") == "in force"
    assert page.ask(f"document.querySelectorAll('[data-release=\"{before[0]}\"] .bars li').length") >= 4
    page.wait("document.querySelectorAll('[data-measure=ndcg] li').length >= 2")
    for digest in (before[0], after):
        page.click(f'[data-release="{digest}"] button', "Put in force")
        page.click("dialog button", "Keep")  # not by a slip
        page.wait("!document.querySelector('dialog[open]')")
        page.click(f'[data-release="{digest}"] button', "Put in force")
        page.click("dialog button", "Put in force")
        page.wait(f"document.querySelector('[data-release=\"{digest}\"] .mark')")
        until(lambda digest=digest: (now := store.release()) is not None and now[0] == digest)
    store.close()
    healthy(page, address)


def test_the_map_shows_and_plays(browser: Browser, library: Library, address: str) -> None:
    page = enter(browser, address, "Mercator")
    page.ask("location.hash = '#/console/map'")
    page.wait("document.querySelector('canvas') && document.querySelectorAll('.near li').length > 3")
    drawn = "document.querySelector('canvas').toDataURL()"
    first = page.ask(drawn)
    blank = "Object.assign(document.createElement('canvas'), {width: 900, height: 500}).toDataURL().length"
    assert len(first) > 2 * page.ask(blank)
    page.ask("document.querySelector('canvas').focus()")
    page.key("+")
    page.wait(f"{drawn} !== {first!r}")
    page.click(".legend button", "Comedy")
    assert page.ask("document.querySelector('.legend [aria-pressed=true]').textContent") == "Comedy"
    page.click(".legend button", "Shapes")
    page.click(".ask button", "Whole map")
    page.ask("[...document.querySelectorAll('.near li button')].find((b) => b.textContent.includes('▸'))?.click()")
    page.wait("document.querySelector('dialog video')?.currentTime > 0.1")  # what can be played plays
    healthy(page, address)


def test_coverage_items_and_settings(browser: Browser, address: str) -> None:
    page = console(browser, address, "coverage")
    page.wait("document.querySelectorAll('svg .line').length === 2 && document.querySelectorAll('dl dd').length === 5")
    page.click(".console nav a", "Settings")
    page.wait("[...document.querySelectorAll('tbody tr')].some((r) => r.textContent.startsWith('training.seed'))")
    page.ask(f"location.hash = '#/console/item?item=' + encodeURIComponent({ODD_ID!r})")
    page.wait("document.querySelector('pre')?.textContent.includes('transcript')")
    page.click("button", "中文")
    page.wait(
        "document.documentElement.lang === 'zh-Hans' && document.querySelector('.console').textContent.includes('覆盖')"
    )
    healthy(page, address)


def test_no_part_overflows_a_phone(browser: Browser, address: str) -> None:
    page = console(browser, address, "overview", width=360, height=740)
    for part in ("overview", "live", "releases", "request", "map", "coverage", "item", "user", "settings"):
        page.ask(f"location.hash = '#/console/{part}'")
        page.wait(f"{MAIN}.querySelector('h1')")
        page.ask("new Promise((done) => setTimeout(done, 250))")
        assert page.ask("document.documentElement.scrollWidth") <= 360, part
