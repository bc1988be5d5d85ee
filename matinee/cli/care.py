"""``matinee backup``, ``restore``, ``check`` and ``erase``: looking after a library."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from matinee.cli.options import HERE, At, Json, opened
from matinee.cli.words import emit, note, say, t
from matinee.errors import MatineeError

if TYPE_CHECKING:
    from matinee.settings import Library
    from matinee.store.check import Damage

Yes = Annotated[bool, typer.Option("--yes", "-y", help=t("Do not ask.", "不再询问。"))]


HELP = {
    "backup": (
        """Copy the library as of one moment to a new folder. A server may go on meanwhile.

        \b
        Example:
          matinee backup /backups/films-monday
        """,
        """把库在某一时刻的完整状态复制到新文件夹。服务可以继续运行。

        \b
        例：
          matinee backup /backups/films-monday
        """,
    ),
    "restore": (
        """Put a backup in the library's place. Users erased since stay erased.

        \b
        Example:
          matinee restore /backups/films-monday --library films
        """,
        """用备份替换库的内容。此后删除的用户仍保持删除。

        \b
        例：
          matinee restore /backups/films-monday --library films
        """,
    ),
    "check": (
        """Look for damage: every page, row, and file that the database names. Exit code 1 when there is any.

        \b
        Examples:
          matinee check
          matinee check --repair
        """,
        """检查损坏：每个页面、每一行、数据库引用的每个文件。发现损坏时退出码为 1。

        \b
        例：
          matinee check
          matinee check --repair
        """,
    ),
    "erase": (
        """Forget a user: every event and every byte of the id leaves the database's files.

        Released models that keep a row a user are written anew without it. Backups made before still hold the user:
        those that are known are named; delete them, and train again so that sums over everybody forget too.

        \b
        Examples:
          matinee erase --user ann
          matinee erase --user ann --backups /backups --yes
        """,
        """忘记一个用户：数据库文件中不再有其任何事件，也不再有其 ID 的任何字节。

        按用户保存数据的已发布模型会被重写以去除该用户。此前的备份仍包含该用户：已知的备份会列出，请删除它们，
        并重新训练，使汇总统计也不再包含其影响。

        \b
        例：
          matinee erase --user ann
          matinee erase --user ann --backups /backups --yes
        """,
    ),
}


def add_to(app: typer.Typer) -> None:
    for command in (backup, restore, check, erase):
        app.command(help=t(*HELP[command.__name__]))(command)


def backup(
    target: Annotated[Path, typer.Argument(metavar="FOLDER", help=t("A new folder.", "新文件夹。"))],
    at: At = HERE,
    as_json: Json = False,
) -> None:
    from matinee.settings import Library
    from matinee.store.backup import backup as write

    made = write(at, target, _server(Library.open(at)))
    if as_json:
        emit({"backup": str(made.path), "made": made.manifest.made, "files": len(made.manifest.files)})
    else:
        say(t(f"{made.path}: {len(made.manifest.files)} files, each with its hash.",
              f"{made.path}：{len(made.manifest.files)} 个文件，均带哈希值。"))  # fmt: skip


def restore(
    source: Annotated[Path, typer.Argument(metavar="FOLDER", help=t("A backup.", "备份。"))],
    at: At = HERE,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    from matinee.settings import SETTINGS, Library
    from matinee.store.backup import read
    from matinee.store.backup import restore as put_back

    read(source)  # a damaged backup is told before anything is asked
    url = _server(Library.open(at)) if (at / SETTINGS).exists() else ""
    if url or (at / "matinee.db").exists():
        _sure(yes, f"Replace what is in the library {at}?", f"替换库 {at} 中的内容？")
    found = put_back(source, at, url)
    if as_json:
        emit({"library": str(at), "backup": str(found.path), "made": found.manifest.made})
    else:
        say(t(f"{at} is as it was in {found.path}.", f"{at} 已恢复到 {found.path} 的状态。"))


def check(
    at: At = HERE,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help=t("Mend what can be made again; a copy is kept.", "修复可重建的部分，并保留副本。")
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    from matinee.errors import language
    from matinee.settings import Library
    from matinee.store.check import check as look

    library = Library.open(at)
    if url := _server(library):
        found = _checked(library, url)
    elif repair:
        from matinee.store.place import only_server
        from matinee.store.repair import repair as mend

        with only_server(library.database):
            mended, found = mend(library.database, library.path)
        for one in mended:
            note(f"{one.place}: {one.zh if language() == 'zh' else one.en}")
    else:
        found = look(library.database, library.path)
    if as_json:
        emit([{"code": one.code, "place": one.place, "en": one.en, "zh": one.zh} for one in found])
    for one in found:
        if not as_json:
            say(f"{one.place}: {one.zh if language() == 'zh' else one.en}")
    if found:
        en, zh = f"{len(found)} pieces are damaged.", f"发现 {len(found)} 处损坏。"
        raise MatineeError("check.damaged", en, zh, exit_code=1)
    if not as_json:
        say(t("The library is whole.", "库完好无损。"))


def erase(
    user: Annotated[str, typer.Option("--user", "-u", help=t("The user's id.", "用户 ID。"))],
    at: At = HERE,
    backups: Annotated[
        Path | None, typer.Option("--backups", metavar="DIR", help=t("Where backups lie.", "备份所在的文件夹。"))
    ] = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    from matinee.privacy.erasure import erase as forget

    with opened(at) as (library, store):
        _sure(yes, f"Erase the user {user} for ever?", f"永久删除用户 {user}？")
        gone = forget(library, store, user, [backups] if backups else [])
    if not gone.found:
        raise MatineeError("user.unknown", f"There is no user {user!r}.", f"没有用户“{user}”。")
    if as_json:
        emit({"erased": True, "backups": list(gone.backups), "releases": list(gone.releases)})
        return
    say(t("Erased.", "已删除。"))
    note(t("Trained models still rest on what was erased; make them anew: matinee train",
           "已训练的模型仍包含其影响；请重新训练：matinee train"))  # fmt: skip
    for copy in gone.backups:
        note(t(f"{copy} still holds erased users: delete it.", f"{copy} 中仍有已删除的用户：请删除该备份。"))


def _server(library: Library) -> str:
    """The address of the library's PostgreSQL store; empty where its state is a file."""
    from matinee.store import is_postgres

    return library.target if is_postgres(library.target) else ""


def _checked(library: Library, url: str) -> list[Damage]:
    """All rows of a PostgreSQL store are read, which makes the server prove its pages, into a file that is checked."""
    import os
    import shutil

    from matinee.store.check import check as look
    from matinee.store.place import sweep_parts
    from matinee.store.postgres.store import copied

    sweep_parts(library.path)
    part = library.path / f".check.{os.getpid()}.part"  # in the library, so that no kill leaves a copy somewhere else
    try:
        part.mkdir(mode=0o700)
        copied(url, part / "matinee.db")
        return look(part / "matinee.db", library.path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _sure(yes: bool, en: str, zh: str) -> None:
    """Asks on a terminal; elsewhere ``--yes`` must have been given."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise MatineeError("not.sure", f"{en} Say so with --yes.", f"{zh} 请加上 --yes 确认。")
    typer.confirm(t(en, zh), abort=True)
