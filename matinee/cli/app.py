"""The command ``matinee``: its groups, and what it leaves with. 0: done. 1: the world failed (network, disk, port).
2: the command or its input is wrong. 130: interrupted."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Sequence
from types import FrameType
from typing import Annotated

import typer

from matinee import __version__
from matinee.cli.words import note, t
from matinee.errors import MatineeError

INTERRUPTED = 130


def run(arguments: Sequence[str]) -> int:
    """Runs one command and returns its exit code. Errors become one line on stderr."""
    if lang := _named_language(arguments):
        os.environ["MATINEE_LANG"] = lang
    signal.signal(signal.SIGTERM, _stop)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # they are for developers
    try:
        code = build()(args=list(arguments), prog_name="matinee", standalone_mode=False)
        sys.stdout.flush()
        if code == INTERRUPTED:  # typer's answer to Ctrl-C
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except MatineeError as error:
        note(error.say())
        return error.exit_code
    except typer.Exit as done:
        return done.exit_code
    except (KeyboardInterrupt, typer.Abort):
        note(t("Stopped. What was done is kept; the same command goes on from there.",
               "已停止。已完成的部分会保留；再次运行同一命令即可继续。"))  # fmt: skip
        return INTERRUPTED
    except BrokenPipeError:  # the reader, such as head, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if isinstance(error, typer.BadParameter.__mro__[2]):  # a wrong command: click says how it is used
            error.show()  # type: ignore[attr-defined]
            return 2
        if os.environ.get("MATINEE_DEBUG"):
            raise
        told = f"{type(error).__name__}: {error}"
        note(t(f"Matinee made a mistake: {told}. Run it again with MATINEE_DEBUG=1 and send us what it prints.",
               f"Matinee 内部出错：{told}。请设置 MATINEE_DEBUG=1 再次运行，并把输出发给我们。"))  # fmt: skip
        return 1


def build() -> typer.Typer:
    """The commands, with their help in the language of this process."""
    from matinee.cli import asking, care, evaluate, export, library, releases, serving, weights

    app = typer.Typer(
        rich_markup_mode=None,
        no_args_is_help=True,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        help=t(
            """Matinee recommends video and audio by having watched and listened to it.

            \b
            Begin with the demo:      matinee demo
            or with your own folder:  matinee init library
                                      cd library
                                      matinee ingest ~/Videos ~/Music
                                      matinee serve

            A library is a folder. Commands work on the one in the current folder, or on --library DIR.
            Exit codes: 0 done, 1 the world failed, 2 the command or its input is wrong, 130 interrupted.
            """,
            """Matinee 看过、听过你的视频和音频，再为你推荐。

            \b
            先看演示：          matinee demo
            或使用自己的文件夹：matinee init library
                                cd library
                                matinee ingest ~/Videos ~/Music
                                matinee serve

            一个库就是一个文件夹。命令作用于当前文件夹中的库，或由 --library DIR 指定的库。
            退出码：0 完成，1 外部故障，2 命令或输入有误，130 被中断。
            """,
        ),
    )
    app.callback()(top)
    for group in (library, asking, serving, releases, weights, evaluate, export, care):
        group.add_to(app)
    return app


def top(
    version: Annotated[bool, typer.Option("--version", help="The version.", callback=_version)] = False,
    lang: Annotated[str, typer.Option("--lang", metavar="en|zh", help="Language of messages / 界面语言")] = "",
) -> None:
    """Options that stand before the command."""
    if lang not in ("", "en", "zh"):
        raise MatineeError(
            "lang.unknown", f"--lang is en or zh, not {lang!r}.", f"--lang 只能是 en 或 zh，而不是 {lang!r}。"
        )


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"matinee {__version__}")
        raise typer.Exit


def _named_language(arguments: Sequence[str]) -> str:
    """What ``--lang`` says, before anything that speaks is built."""
    for at, argument in enumerate(arguments):
        if argument.startswith("--lang="):
            return argument.partition("=")[2]
        if argument == "--lang" and at + 1 < len(arguments):
            return arguments[at + 1]
    return ""


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
