"""Backup and restore of a library while it serves.

A backup is a folder: ``matinee.db`` as of one moment, ``matinee.toml``, the covers and releases that moment names, and
``backup.json`` with the SHA-256 of each file and of the database's content. It appears whole or not at all.

Erased users stay erased: a restore erases again whom the store it replaces had erased since the backup. Old backups
themselves still hold them: ``store.erase.backups_with_erased`` names those.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from matinee.errors import MatineeError
from matinee.store.connection import connect
from matinee.store.erase import erase_rows, erased_since, scrub
from matinee.store.migrations import STEPS, check_version, migrate
from matinee.store.named import inside, pictures, release_files, sync
from matinee.store.place import sweep_parts
from matinee.store.sqlite import SQLiteStore
from matinee.store.trouble import told

DATABASE, MANIFEST, KNOWN, FORMAT = "matinee.db", "backup.json", "backups.jsonl", 1
TABLES = (
    "items",
    "users",
    "events",
    "spaces",
    "vectors",
    "links",
    "facts",
    "files",
    "releases",
    "erasures",
    "merges",
    "in_force",
    "profiles",
)


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``content``: SHA-256 over every row of the database; ``files``: relative name to SHA-256; ``made``: Unix time."""

    format: int
    made: float
    lineage: str
    content: str
    files: dict[str, str]


@dataclass(frozen=True, slots=True)
class Backup:
    path: Path
    manifest: Manifest


def content_digest(connection: sqlite3.Connection) -> str:
    """SHA-256 over all rows of all tables in key order. Two stores with one digest answer every question alike."""
    whole = hashlib.sha256()
    encode = msgspec.msgpack.Encoder().encode
    for table in TABLES:
        order = {"facts": "item, key", "links": "space, item", "files": "path"}.get(table, "1")
        whole.update(table.encode())
        for row in connection.execute(f"SELECT * FROM {table} ORDER BY {order}"):  # noqa: S608
            whole.update(encode(row))
    whole.update(encode(connection.execute("SELECT items, users, events, release FROM state").fetchone()))
    return whole.hexdigest()


def backup(folder: Path, target: Path, url: str = "") -> Backup:
    """Writes a backup of the library at ``folder`` to the new folder ``target``. Writers and readers go on meanwhile.
    ``url``: the PostgreSQL store of a library that has one; its rows are kept as an SQLite store of the same content.

    Raises ``backup.exists``, ``backup.failed`` (nothing is left behind), or a ``store.*`` error.
    """
    if target.exists():
        raise MatineeError(
            "backup.exists",
            f"{target} is there already. Name a new folder for each backup.",
            f"{target} 已存在。请为每次备份指定新的文件夹。",
        )
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    sweep_parts(target.parent)
    try:
        part.mkdir(parents=True)
        manifest = _fill(folder, part, url)
        _write(part / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
        sync(part)
        part.rename(target)
        sync(target.parent)
        _remember(folder, target)
    except OSError as error:
        raise MatineeError(
            "backup.failed",
            f"The backup {target} could not be written: {error}. The library is unharmed; see to space and permissions"
            " there and try again.",
            f"无法写入备份 {target}：{error}。库未受影响；请检查该处的空间和权限后重试。",
            status=507,
            exit_code=1,
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Backup(target, manifest)


def made_before(folder: Path) -> list[Path]:
    """The backups that this library made and that are still where they were put."""
    try:
        lines = (folder / KNOWN).read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []
    paths = [Path(msgspec.json.decode(line)) for line in dict.fromkeys(lines) if line.startswith('"')]
    return [path for path in paths if (path / MANIFEST).is_file()]


def _remember(folder: Path, target: Path) -> None:
    """Where backups went, so that an erasure can name those that still hold someone."""
    with suppress(OSError), (folder / KNOWN).open("ab") as file:  # the backup is made, whether remembered or not
        file.write(msgspec.json.encode(os.fsencode(target.resolve()).decode("utf-8", "backslashreplace")) + b"\n")


def _copy(folder: Path, part: Path, url: str) -> tuple[str, str]:
    """The rows as of one moment as ``part/matinee.db``; their digest and lineage."""
    if url:
        from matinee.store.postgres.store import copied

        copied(url, part / DATABASE)
        os.chmod(part / DATABASE, 0o600)
        with closing(sqlite3.connect(part / DATABASE)) as copy:
            return content_digest(copy), copy.execute("SELECT lineage FROM state").fetchone()[0]
    with told(folder / DATABASE), closing(connect(folder / DATABASE, reader=True)) as source:
        check_version(source, folder / DATABASE, len(STEPS))
        source.execute("BEGIN")  # the digest and the copy are of one moment, whatever others write
        content = content_digest(source)
        lineage = source.execute("SELECT lineage FROM state").fetchone()[0]
        with closing(sqlite3.connect(part / DATABASE)) as copy:
            os.chmod(part / DATABASE, 0o600)
            source.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
            if content_digest(copy) != content:
                raise OSError("the copy differs from the original")
    return content, lineage


def _fill(folder: Path, part: Path, url: str) -> Manifest:
    content, lineage = _copy(folder, part, url)
    names = [DATABASE]
    for name in _named(folder, part / DATABASE):
        if (folder / name).is_file():  # a file that is missing is what `matinee check` is for
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, part / name)
            names.append(name)
    for name in names:
        sync(part / name)
    return Manifest(
        format=FORMAT, made=time.time(), lineage=lineage, content=content, files={n: _sha256(part / n) for n in names}
    )


def _named(folder: Path, database: Path) -> Iterator[str]:
    """The files that a database names: releases (those whole on the disk), pictures; and the settings and chances."""
    yield from ("matinee.toml", "slates.jsonl")
    with closing(sqlite3.connect(database)) as c:
        digests = [digest for (digest,) in c.execute("SELECT digest FROM releases") if inside(digest)]
        names = {name for _, _, name in pictures(c) if inside(name)}
    for digest in digests:
        try:
            files = release_files(folder / "releases" / digest)
        except (ValueError, OSError):  # what `matinee check` is for
            continue
        yield from (f"releases/{digest}/{name}" for name in (*files, "manifest.json"))
    yield from sorted(names)


def read(source: Path) -> Backup:
    """The backup at a folder, each file's hash proved. Raises ``backup.damaged``."""
    try:
        manifest = msgspec.json.decode((source / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _damaged(source, f"{MANIFEST}: {error}") from error
    if manifest.format != FORMAT:
        raise _damaged(source, f"format {manifest.format}")
    for name, expected in manifest.files.items():
        if not inside(name) or not (source / name).is_file() or _sha256(source / name) != expected:
            raise _damaged(source, name)
    return Backup(source, manifest)


def restore(source: Path, folder: Path, url: str = "") -> Backup:
    """Puts a backup in a library's place; servers on it see the restored state with their next request. ``url``: of a
    library whose store is PostgreSQL; a backup of either store goes into either.

    The database changes in one transaction, after the files are there. Raises ``backup.damaged`` and changes nothing
    then. Files of the library that the backup does not name are left lying.
    """
    found = read(source)
    folder.mkdir(parents=True, exist_ok=True)
    for place in {folder, *((folder / name).parent for name in found.manifest.files)}:
        sweep_parts(place)
    for name in found.manifest.files:
        if name != DATABASE:
            _place(source / name, folder / name)
    part = folder / f".restore.{os.getpid()}.part"
    if url:
        from matinee.store.postgres.store import replaced

        try:
            with closing(sqlite3.connect(part, isolation_level=None)) as changed:
                _open_copy(source / DATABASE, changed)
            replaced(part, url)
        finally:
            part.unlink(missing_ok=True)
        return found
    store = SQLiteStore(folder / DATABASE)  # makes an empty one where there is none
    try:
        with store.database.alone() as live:
            gone = erased_since(live, found.manifest.lineage)
            with closing(sqlite3.connect(part, isolation_level=None)) as changed:
                _load(source / DATABASE, changed, live)
                erase_rows(changed, gone)
                changed.backup(live)
        scrub(store.database)
    finally:
        store.close()
        part.unlink(missing_ok=True)
    return found


def _load(database: Path, changed: sqlite3.Connection, live: sqlite3.Connection) -> None:
    """The backup's database with a revision and sequence that go on from the live one's, so that readers who remember
    either take notice."""
    _open_copy(database, changed)
    revision = live.execute("SELECT revision FROM state").fetchone()[0]
    changed.execute("UPDATE state SET revision = max(revision, ?) + 1", (revision,))
    for (sequence,) in live.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'"):
        changed.execute(
            "INSERT INTO sqlite_sequence SELECT 'events', 0 WHERE NOT EXISTS"
            " (SELECT 1 FROM sqlite_sequence WHERE name = 'events')"
        )
        changed.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'events'", (sequence,))


def _open_copy(database: Path, copy: sqlite3.Connection) -> None:
    """A copy of a backup's database, brought to this version's schema."""
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?immutable=1", uri=True)) as kept:
        kept.backup(copy)
    migrate(copy, database, copy=False)


def _place(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    shutil.copyfile(source, part)
    sync(part)
    part.replace(target)
    sync(target.parent)


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    sync(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _damaged(source: Path, what: str) -> MatineeError:
    return MatineeError(
        "backup.damaged",
        f"The backup {source} is not whole ({what}). Nothing was restored. Use another backup.",
        f"备份 {source} 不完整（{what}）。未作任何恢复。请使用其他备份。",
        exit_code=1,
    )
