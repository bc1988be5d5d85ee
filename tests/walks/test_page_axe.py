"""axe-core finds nothing serious on any view, in both languages and both colour schemes.

axe-core is a development dependency of ``web/`` (``cd web && npm ci``); nothing of it is in the page.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.walks.chromium import Browser, Page
from tests.walks.page import ODD_ID, enter, page_marks

AXE = Path(__file__).resolve().parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
pytestmark = [*page_marks, pytest.mark.skipif(not AXE.is_file(), reason="no axe-core here (cd web && npm ci)")]


def findings(page: Page) -> list[str]:
    page.ask("document.fonts.ready.then(() => new Promise((done) => setTimeout(done, 400)))")
    if not page.ask("'axe' in window"):
        page.ask(AXE.read_text(encoding="utf-8") + "; 1")
    got = page.ask("axe.run(document, {resultTypes: ['violations']}).then((r) => JSON.stringify(r.violations))")
    return [
        f"{v['id']} ({v['impact']}): {node['html'][:160]} {node['failureSummary'][-200:]}"
        for v in json.loads(got)
        if v["impact"] in ("serious", "critical")
        for node in v["nodes"][:3]
    ]


@pytest.mark.parametrize(("scheme", "tongue"), [("dark", "en"), ("light", "zh")])
def test_nothing_serious(browser: Browser, address: str, scheme: str, tongue: str) -> None:
    page = browser.page(prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
    page.go(address)
    page.wait("document.querySelectorAll('.who').length > 3")
    found = {"picker": findings(page)}
    page = enter(browser, address, "viewer 4", prefers_color_scheme=scheme)
    if tongue == "zh":
        page.click("button.lang")
    found["home"] = findings(page)
    page.ask("document.querySelector('#main [data-card]').focus()")
    page.key("w")
    page.wait("document.querySelector('dialog[open] li')")
    found["why"] = findings(page)
    page.key("Escape")
    for view in ("search/number", "history", "taste", "shorts", "library", "seek"):
        page.ask(f"location.hash = '#/{view}'")
        page.wait("document.querySelector('#main h1, #main h2, #main .state')")
        found[view] = findings(page)
    page.ask(f"location.hash = '#/home?item=' + encodeURIComponent({ODD_ID!r})")
    page.wait("document.querySelectorAll('dialog [data-shot], dialog [data-line]').length === 7")
    found["item"] = findings(page)
    page.key("Escape")
    parts = ("overview", "live", "releases", "request", "map", "coverage", "item?item=cat", "user", "settings")
    for part in parts:
        page.ask(f"location.hash = '#/console/{part}'")
        page.wait("document.querySelector('.console main h1')")
        found["console/" + part] = findings(page)
    assert {view: list_ for view, list_ in found.items() if list_} == {}


def test_the_check_finds_a_fault(browser: Browser, address: str) -> None:
    page = enter(browser, address, "viewer 4")
    page.ask("document.querySelector('#main').insertAdjacentHTML('beforeend', '<button></button>')")
    assert any("button-name" in finding for finding in findings(page))
