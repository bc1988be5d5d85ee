"""What was seen and heard in an item, on its page: shots and lines that seek, captions, tags, resume in another
browser, previews; what was truly shown is told; interests are taken away; a picture is searched with."""

from __future__ import annotations

from pathlib import Path

from matinee.settings import Library
from tests.walks.chromium import Browser, Page, until
from tests.walks.page import (
    CARDS,
    ODD_ID,
    SCRIPT,
    enter,
    events,
    for_you,
    healthy,
    kinds,
    page_marks,
)

pytestmark = page_marks
TIME = "document.querySelector('dialog video')?.currentTime"


def opened(page: Page, item: str) -> None:
    page.ask(f"location.hash = '#/home?item=' + encodeURIComponent({item!r})")
    page.wait("document.querySelector('dialog[open] h1')?.textContent.length > 1")


def test_shots_lines_and_chapters_seek(browser: Browser, library: Library, address: str) -> None:
    page = enter(browser, address, "Shona")
    opened(page, ODD_ID)
    page.wait("document.querySelectorAll('dialog [data-shot] img').length === 4")
    page.wait("[...document.querySelectorAll('dialog [data-shot] img')].every((i) => i.complete && i.naturalWidth)")
    page.click("dialog [data-shot='2']")  # starts to play, from there
    page.wait(f"{TIME} > 3.1")
    page.wait("document.querySelector('dialog [data-shot=\"2\"]').getAttribute('aria-current') === 'true'")
    page.ask("document.querySelector('dialog video').pause()")
    page.click("dialog [data-line='1']")
    page.wait(f"{TIME} >= 2 && {TIME} < 3.4")
    page.click("dialog .chapters button", "One")
    page.wait(f"{TIME} < 1.4")
    page.click("dialog button", "EXIT")
    page.wait(f"{TIME} >= 3")
    # a line is a line, whatever it says
    assert page.ask("document.querySelector('dialog [data-line=\"1\"] .text').textContent") == SCRIPT
    assert page.ask("document.querySelectorAll('dialog script, dialog img[src=x]').length") == 0
    healthy(page, address)


def test_the_captions_of_a_film(browser: Browser, address: str) -> None:
    page = enter(browser, address, "Capucine")
    opened(page, ODD_ID)
    page.click("dialog button.big")
    cues = "document.querySelector('dialog video')?.textTracks[0]?.cues"
    page.wait(f"{cues}?.length === 3")
    assert page.ask(f"[...{cues}].map((cue) => cue.text)[0]") == "First words."
    assert page.ask("document.querySelector('dialog video').textTracks[0].mode") == "showing"
    shown = page.ask(f"[...{cues}][1].getCueAsHTML().textContent")
    assert shown == SCRIPT
    healthy(page, address)


def test_tags_in_both_languages(browser: Browser, address: str) -> None:
    page = enter(browser, address, "Tagore")
    opened(page, ODD_ID)
    page.wait(
        "document.querySelector('dialog [aria-label=\"Seen and heard in it\"]')?.textContent.includes('a square')"
    )
    assert "72%" in page.ask("document.querySelector('dialog [aria-label=\"Seen and heard in it\"]').textContent")
    page.key("Escape")
    page.click("button.lang")
    opened(page, ODD_ID)
    page.wait("document.querySelector('dialog [aria-label=\"画面与声音中有什么\"]')?.textContent.includes('方块')")
    healthy(page, address)


def test_by_keyboard_through_the_shots(browser: Browser, address: str) -> None:
    page = enter(browser, address, "Kiri")
    opened(page, ODD_ID)
    page.wait("document.querySelectorAll('dialog [data-shot]').length === 4")
    page.ask("document.querySelector('dialog [data-shot=\"0\"]').focus()")
    page.key("ArrowRight")
    page.key("ArrowRight")
    assert page.ask("document.activeElement.dataset.shot") == "2"
    assert page.ask("document.activeElement.getAttribute('aria-label')") == "Shot 3, at 0:03"
    page.key("Enter")
    page.wait(f"{TIME} >= 3")
    healthy(page, address)


def test_another_browser_goes_on_where_this_one_left(browser: Browser, library: Library, address: str) -> None:
    page = enter(browser, address, "Resi")
    page.ask("location.hash = '#/home?item=whole&play=1'")
    page.wait(f"{TIME} > 0.2")
    page.ask("document.querySelector('dialog video').currentTime = 5")
    page.wait(f"{TIME} > 6.4")
    page.key("Escape")
    until(lambda: ("play", "whole") in kinds(library, "Resi"))
    played = next(e for e in events(library, "Resi") if e.kind == "play")
    assert played.text is not None
    assert played.text.startswith("at 6.")
    assert played.text.endswith(" of 14.0")
    other = browser.page(prefers_reduced_motion="reduce")  # a context of its own: nothing is remembered here
    other.go(address)
    other.wait("document.querySelectorAll('.who').length > 3")
    other.write("input[name=viewer]", "Resi")
    other.click("form button", "Start watching")
    other.wait(f"{CARDS}.length > 8")
    opened(other, "whole")
    other.click("dialog .deeds button", "Resume at 0:0")
    other.wait(f"{TIME} > 6")
    healthy(other, address)


def test_lingering_shows_the_shots(browser: Browser, library: Library, address: str) -> None:
    page = browser.page()  # with motion
    page.go(address + "/#/viewers")
    page.wait("document.querySelectorAll('.who').length > 3")
    page.click(".who", "viewer 9")
    page.wait(f"{CARDS}.length > 8")
    page.key("/")
    page.write("#search", "moving square")
    page.wait(f"{CARDS}[0] === {ODD_ID!r}")
    x, y = page.ask(
        "(() => { const b = document.querySelector('#main [data-card]').getBoundingClientRect();"
        " return [b.x + b.width / 2, b.y + 40]; })()"
    )
    page.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    page.wait("document.querySelectorAll('#main [data-preview] img').length === 4")
    page.send("Input.dispatchMouseEvent", type="mouseMoved", x=2, y=2)
    page.wait("!document.querySelector('#main [data-preview]')")
    page.ask("document.querySelector('#main [data-card]').focus()")  # the keyboard has it too
    page.wait("document.querySelectorAll('#main [data-preview] img').length === 4")
    assert [k for k, _ in kinds(library, "viewer 9")] == ["finish"] * 8  # a look is no play
    healthy(page, address)


def test_what_was_shown_is_told_with_its_place(browser: Browser, library: Library, address: str) -> None:
    page = enter(browser, address, "Imre")
    first, all_ = for_you(page), page.ask(CARDS)
    shown = until(lambda: [e for e in events(library, "Imre") if e.kind == "impression"])
    assert all(e.slate and e.value and e.value >= 1 for e in shown)
    above = page.ask("new URLSearchParams(document.querySelector('.hero h1 a').hash.split('?')[1]).get('item')")
    assert {e.item for e in shown} <= {*all_, above}
    far = "[...document.querySelectorAll('#main [data-card]')].at(-1)"
    last = page.ask(f"{far}.dataset.item")
    assert last not in {e.item for e in shown}  # it stands far below and was not seen
    places = {e.item: e.value for e in shown}
    assert all(places[item] == n + 2 for n, item in enumerate(first[:3]) if item in places)  # the first stands above
    page.ask(f"{far}.scrollIntoView({{block: 'center', inline: 'center', behavior: 'instant'}})")
    until(lambda: last in {e.item for e in events(library, "Imre") if e.kind == "impression"})
    told = [e.item for e in events(library, "Imre") if e.kind == "impression"]
    assert len(told) == len(set(told))  # each once
    healthy(page, address)


def test_an_interest_is_removed_and_the_rows_change(browser: Browser, library: Library, address: str) -> None:
    page = enter(browser, address, "Tove")
    page.click(".collections button", "Films")
    page.wait(f"{CARDS}.every((id) => id.startsWith('film'))")
    item = for_you(page)[0]
    page.ask(f"document.querySelector('#main [data-card][data-item=\"{item}\"]').focus()")
    page.key("l")
    page.wait("document.querySelector('.toasts').textContent.includes('You like')")
    page.click("a[href='#/taste']")
    page.wait(f"{CARDS}.length === 1 && {CARDS}[0] === {item!r}")
    genre = ("Drama", "Comedy", "Horror", "Sci-Fi", "Western")[int(item.removeprefix("film ")) % 5]
    interest = f"document.querySelector('[data-interest=\"category:{genre}\"]')"
    page.wait(interest)
    page.click(f'[data-interest="category:{genre}"] button')
    page.wait(f"document.querySelector('[data-away=\"category:{genre}\"]') && !{interest}")
    held = next(e for e in events(library, "Tove") if e.kind == "hide")
    assert (held.item, held.text, held.value) == (None, f"interest:category:{genre}", 1.0)
    page.click("a[href='#/home']")
    row = "[...document.querySelectorAll('#main [data-row]')][0]"
    of_it = (
        f"[...{row}.querySelectorAll('[data-card]')].slice(0, 8).filter((c) => Number(c.dataset.item.slice(5)) % 5 === "
    )
    page.wait(f"{CARDS}.length > 8")
    kind = int(item.removeprefix("film ")) % 5
    assert page.ask(f"{of_it}{kind}).length") == 0
    page.click("a[href='#/taste']")
    page.click(f'[data-away="category:{genre}"] button')
    page.wait(interest)
    page.click("a[href='#/history']")
    page.wait("document.querySelector('#main ol')?.textContent.includes('interest given back')")
    healthy(page, address)


def test_a_picture_is_chosen_or_refused(browser: Browser, address: str, tmp_path: Path) -> None:
    page = enter(browser, address, "Selma")
    page.click("a.seek")
    page.wait("document.querySelector('#seek-file')")

    def give(name: str, content: bytes) -> None:
        file = tmp_path / name
        file.write_bytes(content)
        root = page.send("DOM.getDocument")["root"]["nodeId"]
        field = page.send("DOM.querySelector", nodeId=root, selector="#seek-file")["nodeId"]
        page.send("DOM.setFileInputFiles", nodeId=field, files=[str(file)])

    give("words.txt", b"no picture")
    page.wait("document.querySelector('[role=alert]')?.textContent.includes('neither a picture nor a sound')")
    give("large.png", b"\x89PNG" + bytes(17 * 1024 * 1024))
    page.wait("document.querySelector('[role=alert]')?.textContent.includes('larger than 16 MB')")
    assert not any("/search/" in url for url in page.requests)
    healthy(page, address)


def test_a_dropped_picture_is_searched_with(browser: Browser, address: str) -> None:
    page = enter(browser, address, "Dora")
    page.ask(
        "(() => { const data = new DataTransfer(); data.items.add(new File(['x'], 'x.png', {type: 'image/png'}));"
        " for (const type of ['dragover', 'drop'])"
        " dispatchEvent(new DragEvent(type, {dataTransfer: data, bubbles: true, cancelable: true})); })()"
    )
    page.wait("location.hash === '#/seek'")
    until(lambda: any(url.endswith("/search/picture?n=60") for url in page.requests))
    page.wait("document.querySelector('[role=alert]')?.textContent.length > 10")  # it is no picture, and is told so
