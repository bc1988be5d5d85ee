"""``matinee serve`` and ``matinee demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from matinee.cli.bars import bars
from matinee.cli.options import HERE, At, opened
from matinee.cli.words import note, t

Host = Annotated[str, typer.Option("--host", help=t("The address to listen at.", "监听的地址。"))]
Port = Annotated[
    int, typer.Option("--port", "-p", min=0, max=65535, help=t("The port; 0: any free.", "端口；0 为任意空闲端口。"))
]


def add_to(app: typer.Typer) -> None:
    app.command(
        help=t(
            """Serve the library: a page for people and an API for programs. Ctrl-C stops it.

            \b
            Examples:
              matinee serve
              matinee serve --port 9000 --library films
            """,
            """提供服务：给人看的网页和给程序用的 API。按 Ctrl-C 停止。

            \b
            例：
              matinee serve
              matinee serve --port 9000 --library films
            """,
        )
    )(serve)
    app.command(
        help=t(
            """Fetch real videos, sounds, music and a watch log, learn from them, and serve the result.

            The first run fetches about 220 MB and takes a few minutes; the next one is up in seconds.

            \b
            Example:
              matinee demo --port 9000
            """,
            """下载真实的视频、声音、音乐和观看记录，学习后提供服务。

            首次运行约下载 220 MB，需要几分钟；之后几秒即可启动。

            \b
            例：
              matinee demo --port 9000
            """,
        )
    )(demo)


def serve(
    host: Host = "127.0.0.1",
    port: Port = 8420,
    at: At = HERE,
    store_at: Annotated[
        str,
        typer.Option(
            "--store",
            metavar="URL",
            help=t("postgresql://... instead of the library's file.", "用 postgresql://... 代替库中的数据库文件。"),
        ),
    ] = "",
    read_only: Annotated[
        bool,
        typer.Option(
            "--read-only", help=t("Write nothing; beside a server that does.", "不写入任何内容；可与另一个服务并存。")
        ),
    ] = False,
    workers: Annotated[
        int,
        typer.Option("--workers", min=1, max=64, help=t("Processes that answer.", "应答的进程数。")),
    ] = 1,
) -> None:
    from matinee.serve.run import serve as listen

    with opened(at, store_at, read_only=read_only) as (library, store):
        listen(library, store, host, port, lambda en, zh: note(t(en, zh)), workers, store_at, read_only)
    note(t("Stopped.", "已停止。"))


def demo(
    at: Annotated[
        Path, typer.Option("--library", "-L", metavar="DIR", help=t("Where to make the library.", "在哪里创建库。"))
    ] = Path("demo"),
    host: Host = "127.0.0.1",
    port: Port = 8420,
) -> None:
    from matinee.demo.run import Teller, prepared, require_port, serve_demo

    require_port(at, host, port)  # before minutes of work, not after
    with bars() as shown:
        library = prepared(at, Teller(shown.say, shown.fetching, shown.working))
    serve_demo(library, host, port, lambda en, zh: note(t(en, zh)))
    note(t("Stopped.", "已停止。"))
