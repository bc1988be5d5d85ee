"""The page in a real Chromium: first paint, when the cards stand, script bytes, and the frames of a long scroll.

    python -m benchmarks page --library demo [--visits 7]

``--library``: what ``make demo`` made. A copy of it is served, for a visit posts what was seen. Every visit is a fresh
profile with nothing cached; the first one to each view is not counted, so that the server is warm.
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from matinee.settings import Library
from matinee.store import open_store
from matinee.types import Item
from tests.walks.chromium import Browser, chromium, find_chromium
from tests.walks.serving import Server, serving

MANY = 10_000
CARD = "#main [data-card]"
# view -> (address, who watches, what stands there once it is ready, how many)
VIEWS = {
    "picker": ("/", None, ".who", 4),
    "home": ("/", "viewer-196", CARD, 9),
    "library": ("/#/library", "viewer-196", CARD, 11),
}
STOOD = """window.stood = new Promise((done) => {
  const there = () => document.querySelectorAll("%s").length >= %d;
  const look = () => (there() ? done(performance.now()) : requestAnimationFrame(look));
  look();
})"""
SCRIPTS = """performance.getEntriesByType("resource").filter((e) => e.name.endsWith(".js"))
  .reduce((sum, e) => sum + e.encodedBodySize, 0)"""


def visit(browser: Browser, address: str, view: str) -> tuple[float, float, float]:
    """(first contentful paint, cards stand, kB of script as it travelled): ms, ms, kB of one fresh visit."""
    at, viewer, selector, n = VIEWS[view]
    page = browser.page()
    if viewer:
        keep = f"localStorage.setItem('matinee.viewer', '\"{viewer}\"')"
        page.send("Page.addScriptToEvaluateOnNewDocument", source=keep)
    page.send("Page.addScriptToEvaluateOnNewDocument", source=STOOD % (selector, n))
    page.go(address + at)
    page.wait("location.host && window.stood")
    return page.painted(), float(page.ask("window.stood")), page.ask(SCRIPTS) / 1000


def views(browser: Browser, address: str, visits: int, names: tuple[str, ...] = tuple(VIEWS)) -> None:
    for name in names:
        visit(browser, address, name)
        took = np.array([visit(browser, address, name) for _ in range(visits)])
        (paint, stand, script), low, high = np.median(took, axis=0), took.min(axis=0), took.max(axis=0)
        print(
            f"{name:10} first paint {paint:5.0f} ms ({low[0]:.0f} to {high[0]:.0f})   cards stand {stand:5.0f} ms "
            f"({low[1]:.0f} to {high[1]:.0f})   script {script:.1f} kB",
            flush=True,
        )


def whole_script(server: Server) -> float:
    """kB of all scripts of the page, as they travel."""
    from matinee.serve.static import WEB

    total = 0
    for path in (WEB / "assets").glob("*.js"):
        with server.client.stream("GET", f"/assets/{path.name}", headers={"Accept-Encoding": "gzip"}) as answer:
            body = b"".join(answer.iter_raw())
        if gzip.decompress(body) != path.read_bytes():
            raise SystemExit(f"{path.name} came otherwise than it is")
        total += len(body)
    return total / 1000


def scrolling(browser: Browser, address: str, times: int) -> None:
    page = browser.page(prefers_reduced_motion="reduce")
    page.send("Page.addScriptToEvaluateOnNewDocument", source="localStorage.setItem('matinee.viewer', '\"Ada\"')")
    page.go(address + "/#/library")
    runs = np.empty((times + 1, 60))  # ms, each ascending; the first is to warm up
    cards = 0
    for n in range(times + 1):
        page.wait(f"document.querySelectorAll('{CARD}').length > 10")
        runs[n] = page.scrolled()
        cards = max(cards, page.ask("document.querySelectorAll('#main [data-place]').length"))
    runs = runs[1:]
    p50, p95, longest = (float(np.median(np.percentile(runs, q, axis=1))) for q in (50, 95, 100))
    print(
        f"{MANY:,} items, 60 steps of 240 pixels: a frame p50 {p50:.1f} ms, p95 {p95:.1f} ms, longest {longest:.1f} ms "
        f"(median of {times} runs; longest of all {runs.max():.1f}); "
        f"at most {cards} cards in the document"
    )


def many(folder: Path) -> Path:
    library = Library.create(folder)
    store = open_store(library.database)
    shelves = ("Drama", "Comedy", "Horror", "Western")
    store.put_items([Item(id=f"n{n}", title=f"Title {n:05d}", categories=(shelves[n % 4],)) for n in range(MANY)])
    store.close()
    return library.path


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--library", type=Path, default=Path("demo"), help="what make demo made")
    options.add_argument("--visits", type=int, default=7)
    given = options.parse_args()
    if (path := find_chromium()) is None:
        raise SystemExit("There is no Chromium here (Debian: apt-get install chromium).")
    Library.open(given.library)  # says what is wrong with it before anything starts
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores, window 1280 x 800, {given.visits} visits, medians")
    with tempfile.TemporaryDirectory() as name, chromium(path) as browser:
        copy = Path(name) / "demo"
        shutil.copytree(given.library, copy)
        with serving(copy) as server:
            views(browser, server.url, given.visits)
            print(f"all scripts of the page: {whole_script(server):.1f} kB")
        with serving(many(Path(name) / "many")) as server:
            print(f"-- {MANY:,} items")
            views(browser, server.url, given.visits, ("library",))
            scrolling(browser, server.url, given.visits)


if __name__ == "__main__":
    main()
