"""``matinee releases``: what was trained, what is in force, and going back."""

from __future__ import annotations

import datetime
from typing import Annotated

import typer

from matinee.cli.options import HERE, At, Json, opened
from matinee.cli.words import emit, say, t


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(
        no_args_is_help=False,
        invoke_without_command=True,
        rich_markup_mode=None,
        help=t(
            """List trained releases, put one in force, or go back to the one before. Servers notice within a second.

            \b
            Examples:
              matinee releases
              matinee releases use 5ba9525b
              matinee releases rollback
            """,
            """列出训练好的版本、启用某个版本，或回到上一个版本。运行中的服务会在一秒内切换。

            \b
            例：
              matinee releases
              matinee releases use 5ba9525b
              matinee releases rollback
            """,
        ),
    )
    group.callback()(listing)
    group.command("list", help=t("The releases, the newest last.", "列出所有版本，最新的在最后。"))(listed)
    group.command(help=t("Put a release in force, by its digest or its beginning.", "按摘要（或开头）启用版本。"))(use)
    group.command(help=t("Put the one that was in force before in force again.", "重新启用上一个版本。"))(rollback)
    app.add_typer(group, name="releases")


def listing(context: typer.Context, at: At = HERE, as_json: Json = False) -> None:
    if context.invoked_subcommand is None:
        listed(at, as_json)


def listed(at: At = HERE, as_json: Json = False) -> None:
    with opened(at) as (library, store):
        current, used = store.release(), {digest: when for when, digest in store.releases_used()}
        rows = [
            {
                "digest": digest, "in_force": current is not None and current[0] == digest,
                "used": used.get(digest), "events": manifest.get("made", {}).get("events"),
                "recipes": list(manifest.get("weights", {})), "gate": manifest.get("gate"),
                "health": manifest.get("health"), "whole": (library.releases / digest / "manifest.json").is_file(),
            }
            for digest, manifest in store.releases()
        ]  # fmt: skip
    if as_json:
        emit({"releases": rows})
        return
    if not rows:
        say(t("There is no release yet: matinee train", "还没有发布版本：matinee train"))
    for row in rows:
        say(_line(row))


def _line(row: dict[str, object]) -> str:
    used = row["used"]
    when = datetime.datetime.fromtimestamp(used).strftime("%Y-%m-%d %H:%M") if isinstance(used, float) and used else "-"
    gate = row["gate"]
    held = isinstance(gate, dict) and not gate.get("passed", True)
    notes = [
        t("in force", "启用中") if row["in_force"] else "",
        t("held back: worse than the one in force", "未启用：效果不如当时的版本") if held else "",
        t("failed its health check", "未通过健康检查") if row["health"] == "failed" else "",
        "" if row["whole"] else t("its files are gone", "文件已丢失"),
    ]
    told = t("{} events", "{} 个事件").format(row["events"]) if row["events"] is not None else ""
    return "  ".join(part for part in (str(row["digest"]), when, told, "; ".join(n for n in notes if n)) if part)


def use(
    digest: Annotated[str, typer.Argument(help=t("The digest, or how it begins.", "摘要，或其开头。"))], at: At = HERE
) -> None:
    from matinee.serve.releases import use as put_in_force

    with opened(at) as (library, store):
        whole = put_in_force(library.releases, store, digest)
    say(t(f"{whole} is in force.", f"已启用 {whole}。"))


def rollback(at: At = HERE) -> None:
    from matinee.serve.releases import rolled_back

    with opened(at) as (library, store):
        digest = rolled_back(library.releases, store)
    say(t(f"{digest} is in force again.", f"已重新启用 {digest}。"))
