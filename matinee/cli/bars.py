"""Progress on stderr: bars on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from matinee.cli.words import clean, note

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

EVERY = 5.0  # seconds between lines where there is no terminal


class Bars:
    """``fetching`` and ``working`` take (what, done, total): bytes and pieces. ``say`` writes a line above the bars."""

    def __init__(self, live: Progress | None) -> None:
        self._live = live
        self._tasks: dict[str, TaskID] = {}
        self._told: dict[str, tuple[float, bool]] = {}

    def say(self, line: str) -> None:
        if self._live:
            self._finish()
            self._live.console.print(clean(line), markup=False, highlight=False, soft_wrap=True)
        else:
            note(line)

    def fetching(self, what: str, done: int, total: int) -> None:
        self._show(what, done, total, f"{done / 1e6:.1f} / {total / 1e6:.1f} MB")

    def working(self, what: str, done: int, total: int) -> None:
        self._show(what, done, total, f"{done} / {total}")

    def _show(self, what: str, done: int, total: int, amount: str) -> None:
        if self._live is None:
            self._line(what, done, total, amount)
            return
        if what not in self._tasks:
            self._tasks[what] = self._live.add_task(clean(what)[:40], total=total, amount=amount)
        self._live.update(self._tasks[what], completed=done, total=max(total, 1), amount=amount)

    def _line(self, what: str, done: int, total: int, amount: str) -> None:
        now = time.monotonic()
        last, ended = self._told.setdefault(what, (now, False))
        over = done >= total
        if (over and not ended) or (not over and now - last > EVERY):
            self._told[what] = (now, over)
            note(f"  {what}: {amount}")

    def _finish(self) -> None:
        """A new step begins: the bars of the last one go."""
        for task in self._tasks.values():
            if self._live:
                self._live.remove_task(task)
        self._tasks.clear()


@contextmanager
def bars() -> Iterator[Bars]:
    if not sys.stderr.isatty():
        yield Bars(None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("  {task.description}", markup=False), BarColumn(bar_width=30), TextColumn("{task.fields[amount]}"),
        TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as live:
        yield Bars(live)
