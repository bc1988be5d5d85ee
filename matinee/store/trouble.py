"""What can go wrong with the store's file, said in words that help: SQLite's error codes as ``MatineeError``."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from matinee.errors import MatineeError

# SQLite's primary code -> (our code, HTTP status, English, Chinese); {path} and {why} are filled in
SAYINGS: dict[int, tuple[str, int, str, str]] = {
    sqlite3.SQLITE_FULL: (
        "store.full",
        507,
        "The disk of {path} is full. Nothing already accepted is lost. Free some space and send the request again.",
        "{path} 所在磁盘已满。已接受的数据没有丢失。请清理空间后重新发送请求。",
    ),
    sqlite3.SQLITE_READONLY: (
        "store.readonly",
        503,
        "The store {path} cannot be written ({why}). Check the file's and folder's permissions and that the disk is"
        " not mounted read-only.",
        "存储 {path} 无法写入（{why}）。请检查文件和文件夹的权限，以及磁盘是否以只读方式挂载。",
    ),
    sqlite3.SQLITE_CORRUPT: (
        "store.corrupt",
        500,
        "The store {path} is damaged ({why}). Stop writing, keep a copy of the file, find the damage with"
        " `matinee check`, and restore the last backup with `matinee restore`.",
        "存储 {path} 已损坏（{why}）。请停止写入并保留该文件的副本，"
        "用 `matinee check` 查找损坏处，再用 `matinee restore` 恢复最近的备份。",
    ),
    sqlite3.SQLITE_BUSY: (
        "store.busy",
        503,
        "Another process holds the store {path} for longer than the time limit. Try again; if it stays, find the"
        " process that writes to it.",
        "另一个进程占用存储 {path} 的时间超过了限制。请稍后再试；若一直如此，请找出正在写入的进程。",
    ),
    sqlite3.SQLITE_IOERR: (
        "store.io",
        500,
        "The disk of {path} failed ({why}). Nothing more is written until the store is opened again. Check the disk,"
        " then start Matinee again and run `matinee check`.",
        "{path} 所在磁盘发生故障（{why}）。在重新打开存储之前不再写入。"
        "请检查磁盘，然后重启 Matinee 并运行 `matinee check`。",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "store.unopenable",
        503,
        "The store {path} cannot be opened ({why}). Check that the folder exists, that you may write to it, and the"
        " limit of open files.",
        "无法打开存储 {path}（{why}）。请检查文件夹是否存在、是否有写入权限，以及可打开文件数的限制。",
    ),
}
SAME = {
    sqlite3.SQLITE_NOTADB: sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_LOCKED: sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_PROTOCOL: sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_PERM: sqlite3.SQLITE_CANTOPEN,
}
SHM_SIZE = sqlite3.SQLITE_IOERR_SHMSIZE  # the index of the log could not grow: a full disk by another name


def primary(error: sqlite3.Error) -> int:
    code: int = getattr(error, "sqlite_errorcode", 0)
    if code == SHM_SIZE:
        return sqlite3.SQLITE_FULL
    if not code and "decode" in str(error):  # Python's own message about damaged text carries no code
        return sqlite3.SQLITE_CORRUPT
    return SAME.get(code & 0xFF, code & 0xFF)


def is_disk_failure(error: BaseException) -> bool:
    return isinstance(error, sqlite3.Error) and primary(error) == sqlite3.SQLITE_IOERR


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turns SQLite's errors about the file or the disk into ours; errors of the program pass as they are."""
    try:
        yield
    except sqlite3.Error as error:
        if (code := primary(error)) not in SAYINGS:
            raise
        raise saying(code, path, f"{error}") from error
    except UnicodeDecodeError as error:  # a message of SQLite that quotes damaged text
        raise saying(sqlite3.SQLITE_CORRUPT, path, "text that is not Unicode") from error


def saying(code: int, path: Path, why: str) -> MatineeError:
    name, status, en, zh = SAYINGS[code]
    return MatineeError(name, en.format(path=path, why=why), zh.format(path=path, why=why), status=status, exit_code=1)


def broken(path: Path) -> MatineeError:
    return saying(sqlite3.SQLITE_IOERR, path, "an earlier write")


def unknown_item(id: str) -> MatineeError:
    return MatineeError(
        "item.unknown",
        f"There is no item {id!r} in the store. Put the item first, or check its id.",
        f"存储中没有条目 {id!r}。请先加入该条目，或检查其 id。",
        status=404,
    )


def bad_text(what: str) -> MatineeError:
    return MatineeError(
        "text.invalid",
        f"The {what} is empty, holds a NUL character, or is not valid Unicode. Send plain UTF-8 text.",
        f"{what} 为空、含有 NUL 字符，或不是有效的 Unicode。请使用普通的 UTF-8 文本。",
    )


def usable_text(text: str) -> bool:
    """Text that every store keeps as it is: no NUL (PostgreSQL has none), no half of a surrogate pair."""
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
