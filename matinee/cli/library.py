"""``matinee init``, ``ingest`` and ``train``: making a library and filling it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from matinee.cli.bars import bars
from matinee.cli.options import HERE, At, Json, opened
from matinee.cli.words import emit, note, say, t
from matinee.errors import MatineeError

INGEST = (
    """Take in media folders and files, and catalogues of items, users and events (CSV, JSONL, Parquet).

Data sets are read as they are shipped: MovieLens, RecBole .inter, Gorse, LightGCN, SASRec, sequences, with
the item table and pictures beside them; vectors by item are read from .npz.

Files that did not change are skipped; a damaged one is reported and the rest goes on. Interrupt it when you
like: the next run goes on from there.

\b
Examples:
  matinee ingest ~/Videos ~/Music
  matinee ingest films.csv watched.csv
  matinee ingest ml-25m
  matinee ingest ~/Videos --watch --report report.json
""",
    """导入媒体文件夹和文件，以及条目、用户和事件目录（CSV、JSONL、Parquet）。

数据集按原样读取：MovieLens、RecBole .inter、Gorse、LightGCN、SASRec、序列文本，以及同目录的条目表和图片；
条目向量从 .npz 读取。

未改变的文件会跳过；损坏的文件会报告，其余照常进行。可随时中断，下次从中断处继续。

\b
例：
  matinee ingest ~/Videos ~/Music
  matinee ingest films.csv watched.csv
  matinee ingest ml-25m
  matinee ingest ~/Videos --watch --report report.json
""",
)


def add_to(app: typer.Typer) -> None:
    app.command(
        help=t(
            """Make a library: a folder with its settings. An existing library stays as it is.

            \b
            Example:
              matinee init films
            """,
            """创建一个库：带有设置文件的文件夹。已有的库保持不变。

            \b
            例：
              matinee init films
            """,
        )
    )(init)
    app.command(help=t(*INGEST))(ingest)
    app.command(
        help=t(
            """Learn from the watch log, and put what was learnt in force. A server that runs takes it up by itself.

            \b
            Example:
              matinee train --library films
            """,
            """从观看记录中学习并启用学习结果。正在运行的服务会自动采用。

            \b
            例：
              matinee train --library films
            """,
        )
    )(train)


def init(directory: Annotated[Path, typer.Argument(metavar="DIR")], as_json: Json = False) -> None:
    from matinee.settings import SETTINGS, Library

    library = Library.create(directory)
    with opened(library.path):  # makes the database, so that a folder that cannot hold one is told now
        pass
    if as_json:
        emit({"library": str(library.path)})
    else:
        say(t(f"{directory} is a Matinee library; its settings are in {directory / SETTINGS}.",
              f"{directory} 已是 Matinee 库；设置在 {directory / SETTINGS}。"))  # fmt: skip
        say(t(f"Next: matinee ingest PATH --library {directory}", f"下一步：matinee ingest PATH --library {directory}"))


def ingest(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help=t("Folders and files.", "文件夹和文件。"))],
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help=t(
                "Go on: take in what is new or changed until Ctrl-C.",
                "持续监视：导入新增和改变的文件，按 Ctrl-C 结束。",
            ),
        ),
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help=t("Write the whole report to a file, as JSON.", "将完整报告以 JSON 写入文件。")
        ),
    ] = None,
    at: At = HERE,
    as_json: Json = False,
) -> None:
    from matinee.ingest import Report
    from matinee.ingest import ingest as take_in
    from matinee.ingest.watch import watch as follow

    def tell(told: Report) -> None:
        if report is not None:
            write_json(report, told)
        if as_json:
            emit(told)
        else:
            say(told.say())
        sys.stdout.flush()

    with opened(at) as (library, store), bars() as shown:
        if not watch:
            done = take_in(library, store, paths, shown.working)
        else:
            note(t("Watching; Ctrl-C ends it.", "正在监视；按 Ctrl-C 结束。"))
            try:
                follow(library, store, paths, tell, progress=shown.working, besides=(report,) if report else ())
            except KeyboardInterrupt:
                note(t("No longer watching. What was taken in is kept.", "已停止监视。已导入的内容会保留。"))
            return
    tell(done)


def write_json(file: Path, form: object) -> None:
    """A JSON document in a file, whole or not at all; one that is there is replaced."""
    import msgspec

    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        part.write_bytes(msgspec.json.format(msgspec.json.encode(form), indent=2))
        part.replace(file)
    except OSError as error:
        en, zh = f"{file} cannot be written: {error.strerror}.", f"无法写入 {file}：{error.strerror}。"
        raise MatineeError("report.failed", en, zh, exit_code=1) from error
    finally:
        part.unlink(missing_ok=True)


def train(at: At = HERE, as_json: Json = False) -> None:
    from matinee.train import train as learn

    skipped: list[str] = []

    def hear(stage: str, share: float) -> None:
        if stage.startswith("skipped "):
            skipped.append(stage)
        elif " epoch " in stage:
            shown.say(f"  {stage}")
        else:
            shown.working(t("learning", "学习"), int(share * 100), 100)

    with opened(at) as (library, store):
        if not store.counts().items:
            note(
                t("The library is empty; fill it with: matinee ingest PATH", "库是空的；请先导入：matinee ingest PATH")
            )
        with bars() as shown:
            digest = learn(library, store, progress=hear)
        current = store.release()
    weights = current[1].get("weights", {}) if current else {}
    if as_json:
        emit({"release": digest, "weights": weights, "skipped": skipped})
        return
    say(t(f"Release {digest} is in force.", f"版本 {digest} 已启用。"))
    for name, weight in sorted(weights.items(), key=lambda pair: -pair[1]):
        say(f"  {weight:6.3f}  {name}")
    for line in skipped:
        note(f"  {line}")
