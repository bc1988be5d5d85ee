"""A real Chromium, driven through its own debugging pipe: no driver, no Node, no package.

The protocol is JSON messages ended by a zero byte, on file descriptors 3 (to the browser) and 4 (from it).
"""

from __future__ import annotations

import base64
import json
import os
import queue
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-default-browser-check",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps",
    "--disable-extensions", "--metrics-recording-only", "--mute-audio", "--autoplay-policy=no-user-gesture-required",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip
PATIENCE = 60.0  # seconds: the machine that runs the tests may be busy
# the milliseconds between frames while the page is scrolled by hand's speed, 60 steps
FRAMES = """(async () => {
  const frames = [];
  const next = () => new Promise((done) => requestAnimationFrame(done));
  let last = await next();
  for (let i = 0; i < 60; i++) {
    scrollBy({top: 240, behavior: "instant"});
    const now = await next();
    frames.push(now - last);
    last = now;
  }
  return frames.sort((a, b) => a - b);
})()"""
PAINT = """new Promise((done) => {
  const look = () => {
    const found = performance.getEntriesByName("first-contentful-paint")[0];
    found ? done(found.startTime) : setTimeout(look, 20);
  };
  look();
})"""


def find_chromium() -> str | None:
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Browser:
    """One process. ``page()`` opens a page; everything the pages log or ask of the network is kept on them."""

    def __init__(self, path: str, folder: str) -> None:
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        start = f'exec "$0" "$@" 3</dev/fd/{to_browser} 4>/dev/fd/{from_browser}'
        self._process = subprocess.Popen(
            ["sh", "-c", start, path, *FLAGS, f"--user-data-dir={folder}", "about:blank"],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._answers: dict[int, queue.Queue[dict[str, Any]]] = {}
        self._pages: dict[str, Page] = {}
        self._next = 0
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        buffer = b""
        while chunk := os.read(self._in, 1 << 16):
            *whole, buffer = (buffer + chunk).split(b"\0")
            for text in whole:
                message = json.loads(text)
                if "id" in message:
                    self._answers[message["id"]].put(message)
                elif page := self._pages.get(message.get("sessionId", "")):
                    page._note(message["method"], message["params"])

    def send(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        with self._lock:
            self._next += 1
            number = self._next
            answer = self._answers[number] = queue.Queue()
            message = {"id": number, "method": method, "params": params} | ({"sessionId": session} if session else {})
            os.write(self._out, json.dumps(message).encode() + b"\0")
        got = answer.get(timeout=PATIENCE)
        del self._answers[number]
        if "error" in got:
            raise RuntimeError(f"{method}: {got['error']['message']}")
        return dict(got["result"])

    def page(self, width: int = 1280, height: int = 800, **features: str) -> Page:
        """``features``: media features, such as prefers_color_scheme="light"."""
        context = self.send("Target.createBrowserContext")["browserContextId"]
        target = self.send("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self._pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Network", "Log"):
            page.send(f"{domain}.enable")
        page.resize(width, height)
        asked = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        page.send("Emulation.setEmulatedMedia", features=asked)
        return page

    def close(self) -> None:
        try:
            self.send("Browser.close")
        except (OSError, queue.Empty, RuntimeError):
            self._process.kill()
        self._process.wait(timeout=PATIENCE)
        self._reader.join(timeout=PATIENCE)
        os.close(self._out)
        os.close(self._in)


class Page:
    """One page: go somewhere, ask JavaScript, press keys, click what a person could click."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session
        self.errors: list[str] = []
        self.requests: list[str] = []

    def _note(self, method: str, params: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.errors.append(" ".join(str(a.get("value", a.get("description"))) for a in params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        return self._browser.send(method, self._session, **params)

    def resize(self, width: int, height: int, *, touch: bool = False) -> None:
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=touch)
        self.send("Emulation.setTouchEmulationEnabled", enabled=touch)

    def go(self, url: str) -> None:
        self.send("Page.navigate", url=url)

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression (a promise is awaited)."""
        got = self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True, userGesture=True
        )
        if "exceptionDetails" in got:
            details = got["exceptionDetails"]
            raise RuntimeError(details.get("exception", {}).get("description", details["text"]))
        return got["result"].get("value")

    def wait(self, expression: str, patience: float = PATIENCE) -> Any:
        """Asks until the answer is true; what it was is returned."""
        end = time.monotonic() + patience
        last: object = None
        while time.monotonic() < end:
            try:
                if last := self.ask(f"((found) => (found instanceof Element ? true : found))({expression})"):
                    return last
            except RuntimeError as error:  # the page is between two documents
                last = error
            time.sleep(0.05)
        raise AssertionError(f"not in {patience:g} s: {expression} (last answer: {last!r}; errors: {self.errors})")

    def click(self, selector: str, text: str | None = None) -> None:
        """A mouse click in the middle of the first visible match (that holds ``text``)."""
        find = f"""(() => {{
          const [all, text] = [[...document.querySelectorAll({json.dumps(selector)})], {json.dumps(text)}];
          const one = all.find((e) => e.checkVisibility() && (text === null || e.textContent.includes(text)));
          if (!one) return null;
          one.scrollIntoView({{block: "center", inline: "center", behavior: "instant"}});
          const box = one.getBoundingClientRect();
          const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
          return one.contains(document.elementFromPoint(x, y)) ? [x, y] : null; // else something lies over it
        }})()"""
        x, y = self.wait(find)
        while (again := self.wait(find)) != [x, y]:  # it is still moving
            x, y = again
            time.sleep(0.05)
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def key(self, name: str) -> None:
        """One key: a character, or Enter, Escape, Tab, ArrowLeft ..."""
        text = {"Enter": "\r"}.get(name, name if len(name) == 1 else "")
        codes = {"Enter": 13, "Escape": 27, "Tab": 9, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
        code = codes.get(name, ord(name.upper()[0]))
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            self.send("Input.dispatchKeyEvent", type=kind, key=name, windowsVirtualKeyCode=code, **more)

    def write(self, selector: str, text: str) -> None:
        self.ask(f"document.querySelector({json.dumps(selector)}).focus()")
        self.send("Input.insertText", text=text)

    def scrolled(self) -> list[float]:
        """The milliseconds between frames of 60 steps of scrolling, ascending."""
        return list(self.ask(FRAMES))

    def painted(self) -> float:
        """Milliseconds from the start of the visit to the first contentful paint."""
        return float(self.ask(f"document.readyState && {PAINT}"))

    def shot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"]))


@contextmanager
def chromium(path: str) -> Iterator[Browser]:
    folder = tempfile.mkdtemp(prefix="matinee-chromium-")
    browser = Browser(path, folder)
    try:
        yield browser
    finally:
        browser.close()
        shutil.rmtree(folder, ignore_errors=True)


def until(check: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Calls until the answer is true."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if got := check():
            return got
        time.sleep(0.05)
    raise AssertionError(f"not in {patience:g} s")
