"""What the walks of the page share: a small library, a real server on it, a real Chromium."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest

from matinee.protocols import FileRecord, Store
from matinee.settings import Library
from matinee.store import open_store
from matinee.train import train
from matinee.types import Event, Item, Space
from tests.walks.chromium import Browser, Page, chromium, find_chromium

page_marks = [
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium here (Debian: apt-get install chromium)"),
    pytest.mark.xdist_group("page"),
]

SCRIPT = '<script>document.title="taken"</script><img src=x onerror=\'document.title="taken"\'>'
BACKWARDS = "\u202eاسم الفيلم <b>bold</b>"
LONG = "long " * 2000
ODD_ID = "clip/ä %2F?#&<x>"
FILMS = ["Drama", "Comedy", "Horror", "Sci-Fi", "Western"]
SERVE = """
import sys
from pathlib import Path
from matinee.serve.run import serve
from matinee.settings import Library
from matinee.store import open_store
library = Library.open(Path(sys.argv[1]))
reading = len(sys.argv) > 2
store = open_store(library.path, read_only=reading)
serve(library, store, port=0, say=lambda en, zh: print(en, flush=True), read_only=reading)
"""


def make_clip(path: Path, seconds: int = 6) -> None:
    """A moving square as VP8 in WebM, which every Chromium plays."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx", rate=12, options={"deadline": "realtime", "cpu-used": "8"})
        stream.width, stream.height, stream.pix_fmt = 160, 90, "yuv420p"
        for i in range(12 * seconds):
            picture = np.full((90, 160, 3), 40, np.uint8)
            picture[20:60, i % 120 : i % 120 + 40] = (240, 180, 80)
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def make_pictures(clip: Path, covers: Path, at: tuple[float, ...]) -> list[str]:
    """Frames of a clip as small JPEG files below ``covers/``; their names as a fact holds them."""
    import av

    covers.mkdir(exist_ok=True)
    names: list[str] = []
    with av.open(str(clip)) as container:
        wanted = list(at)
        for frame in container.decode(video=0):
            if not wanted or frame.time is None or frame.time < wanted[0]:
                continue
            names.append(f"covers/frame-{len(names):04d}.jpg")
            with av.open(str(covers.parent / names[-1]), "w", format="mjpeg") as out:
                stream = out.add_stream("mjpeg", rate=1)
                stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuvj420p"
                out.mux([*stream.encode(frame.reformat(format="yuvj420p")), *stream.encode(None)])
            wanted.pop(0)
    return names


def look_inside(store: Store, frames: list[str]) -> None:
    """What ingest would have seen and heard in the odd clip, as the facts it keeps."""
    shots = [{"start": 1.5 * i, "end": 1.5 * i + 1.5, "frame": frame} for i, frame in enumerate(frames)]
    store.put_fact(ODD_ID, "shots", shots)
    segments = [[0.2, 1.2, "First words."], [2.0, 3.5, SCRIPT], [4.5, 5.5, "中文的最后一句"]]
    store.put_fact(ODD_ID, "transcript", {"language": "en", "from": "whisper-base", "segments": segments})
    store.put_fact(ODD_ID, "topics", [["a square", "方块", 0.72, "frames"], [BACKWARDS, BACKWARDS, 0.2, "text"]])
    store.put_fact(ODD_ID, "labels.frames", [["screen", 0.61], ["loudspeaker", 0.2]])
    store.put_fact(ODD_ID, "seen_text", [["EXIT", 0.9, 3.0], [SCRIPT, 0.5, 1.0]])
    store.put_fact(ODD_ID, "chapters", [[0, 3, "One"], [3, 6, SCRIPT]])


def like_kinds(store: Store, items: list[Item]) -> None:
    """Vectors of text in which items of one category are alike."""
    space, chance = Space("text", "test", 12), np.random.default_rng(0)
    kinds = sorted({item.categories[:1] for item in items})
    vectors = np.eye(12)[[kinds.index(item.categories[:1]) % 12 for item in items]]
    vectors += 0.3 * chance.normal(size=vectors.shape)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    store.put_vectors(space, [f"text-{item.id}" for item in items], vectors.astype(np.float32))
    for item in items:
        store.link_content(item.id, space, f"text-{item.id}")


def fill(library: Library, folder: Path) -> None:
    clip = folder / "clip.webm"
    make_clip(clip)
    films = [
        Item(id=f"film {i}", title=f"{g} Number {i}, The ({1950 + i})", categories=(g,), collection="movies")
        for i, g in enumerate(FILMS * 12)
    ]
    clips = [
        Item(
            id=ODD_ID, title="A moving square", collection="clips", categories=("Shapes",), media=str(clip), duration=6
        ),
        Item(id="cat", title="雪地里的猫", collection="clips", categories=("Animals",), tags=("猫", "雪")),
        *(Item(id=f"many {i}", title=f"Many {i}", collection="many", categories=("Plenty",)) for i in range(150)),
        *(Item(id=f"clip {i}", title=f"Clip {i}", collection="clips", categories=("Shapes",)) for i in range(20)),
        *(
            Item(id=f"hostile {i}", title=title, collection="hostile", categories=(title[:40],))
            for i, title in enumerate((SCRIPT, BACKWARDS, LONG))
        ),
    ]
    store = open_store(library.database)
    store.put_items([*films, *clips])
    store.put_file(FileRecord(str(clip), clip.stat().st_size, clip.stat().st_mtime_ns, "0" * 64, ODD_ID, "taken"))
    again = folder / "again.webm"
    again.write_bytes(clip.read_bytes())
    store.put_items(
        [Item(id="again", title="Again", collection="clips", categories=("Shapes",), media=str(again), duration=6)]
    )
    store.put_file(FileRecord(str(again), again.stat().st_size, again.stat().st_mtime_ns, "1" * 64, "again", "taken"))
    look_inside(store, make_pictures(clip, library.covers, (0.5, 2.0, 3.5, 5.0)))
    whole = folder / "whole.webm"
    make_clip(whole, seconds=14)
    store.put_items(
        [
            Item(
                id="whole",
                title="A whole film",
                collection="clips",
                categories=("Shapes",),
                media=str(whole),
                duration=14,
            )
        ]
    )
    store.put_file(FileRecord(str(whole), whole.stat().st_size, whole.stat().st_mtime_ns, "2" * 64, "whole", "taken"))
    like_kinds(store, [*films, *clips, Item(id="whole", categories=("Shapes",))])
    store.put_file(FileRecord("/films/" + SCRIPT, 1, 1, "3" * 64, None, "refused", "media.empty " + BACKWARDS))
    now = time.time()
    store.append(
        [
            Event(
                id=f"{u}-{k}", user=f"viewer {u}", item=f"film {(7 * u + 5 * k) % 60}", kind="finish", at=now - 9999 + k
            )
            for u in range(30)
            for k in range(8)
        ]
    )
    train(library, store)
    store.close()


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    folder = tmp_path_factory.mktemp("page")
    made = Library.create(folder / "library")
    fill(made, folder)
    return made


@contextmanager
def serving(library: Library, cache: Path, *, reading: bool = False, **more: str) -> Iterator[str]:
    """The address of a real server. ``cache`` is empty: no weights, so search goes by words, and nothing is fetched.
    With ``reading`` it stands beside the one that writes."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MATINEE_")}
    environ |= {"MATINEE_CACHE": str(cache), "MATINEE_LANG": "en", "OMP_NUM_THREADS": "1", **more}
    command = [sys.executable, "-c", SERVE, str(library.path), *(["reading"] if reading else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as server:
        assert server.stdout is not None
        said = server.stdout.readline()
        found = re.search(r"http://\S+", said)
        try:
            assert found, said
            # an error here is told at once, not after every walk's patience
            assert httpx.get(found[0], trust_env=False, timeout=20).status_code == 200
            yield found[0]
        finally:
            server.terminate()


@pytest.fixture(scope="session")
def address(library: Library, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(library, tmp_path_factory.mktemp("cache")) as found:
        yield found


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = find_chromium()
    assert path
    with chromium(path) as made:
        yield made


CARDS = "[...document.querySelectorAll('#main [data-card]')].map((c) => c.dataset.item)"


def enter(browser: Browser, address: str, viewer: str, **how: object) -> Page:
    page = browser.page(prefers_reduced_motion="reduce", **how)  # type: ignore[arg-type]
    page.send("Emulation.setLocaleOverride", locale="en-US")
    page.go(address)
    page.wait("document.querySelectorAll('.who').length > 3")
    page.write("input[name=viewer]", viewer)
    page.click("form button", "Start watching")
    page.wait(f"document.querySelector('[data-pick]') || {CARDS}.length > 8")
    if page.ask("document.querySelector('[data-pick]') !== null"):  # someone new is asked first what they like
        page.click("#main button", "Skip")
    page.wait(f"{CARDS}.length > 8")
    return page


def for_you(page: Page) -> list[str]:
    row = "document.querySelector('#main [data-row]')"
    return list(page.ask(f"[...{row}.querySelectorAll('[data-card]')].map((c) => c.dataset.item)"))


def events(library: Library, viewer: str) -> list[Event]:
    store = open_store(library.database)
    try:
        return store.events_of(viewer, 100)
    finally:
        store.close()


def kinds(library: Library, viewer: str) -> list[tuple[str, str | None]]:
    return [(e.kind, e.item) for e in events(library, viewer) if e.kind != "impression"]


def healthy(page: Page, address: str) -> None:
    """Nothing failed, nothing left the host, no title became a document."""
    assert page.errors == []
    hosts = {urlsplit(url).netloc for url in page.requests if not url.startswith(("data:", "blob:", "about:"))}
    assert hosts == {urlsplit(address).netloc}
    assert page.ask("document.title") == "Matinee"
