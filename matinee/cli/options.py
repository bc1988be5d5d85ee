"""Options and arguments that several commands share, and the library behind them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from matinee.cli.words import t

if TYPE_CHECKING:
    from matinee.protocols import Store
    from matinee.settings import Library

At = Annotated[
    Path,
    typer.Option(
        "--library", "-L", metavar="DIR", envvar="MATINEE_LIBRARY", show_default=False, show_envvar=True,
        help=t("The library's folder; the current folder when left out.", "库所在的文件夹；默认为当前文件夹。"),
    ),
]  # fmt: skip
Json = Annotated[bool, typer.Option("--json", help=t("Answer as JSON, for machines.", "以 JSON 输出，供程序使用。"))]
Count = Annotated[int, typer.Option("--number", "-n", min=1, max=200, help=t("How many.", "数量。"))]
Collection = Annotated[str, typer.Option("--collection", "-c", help=t("Only this collection.", "只看这个集合。"))]
HERE = Path()


@contextmanager
def opened(path: Path, target: str = "", *, read_only: bool = False) -> Iterator[tuple[Library, Store]]:
    """The library at a folder and its store (``target``, else what the library names), closed at the end. Raises
    ``library.missing``."""
    from matinee.settings import Library
    from matinee.store import open_store

    library = Library.open(path)
    store = open_store(target or library.target, read_only=read_only)
    try:
        if not read_only:
            from matinee.privacy.erasure import finish

            finish(library, store)  # what a killed erasure left in released models
        yield library, store
    finally:
        store.close()
