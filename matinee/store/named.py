"""The files of a library's folder that its database names: pictures below ``covers/``, and the releases."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

MANIFEST = "manifest.json"


def inside(name: str) -> bool:
    """Whether a relative name stays in the folder it is relative to."""
    path = PurePosixPath(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def pictures(connection: sqlite3.Connection) -> Iterator[tuple[int, str, str]]:
    """(item row, fact, name) of every picture: the item's cover, and one of each shot."""
    sql = "SELECT item, key, value FROM facts WHERE key IN ('cover', 'shots') ORDER BY item, key"
    for row, key, text in connection.execute(sql):
        fact = msgspec.json.decode(text)
        given = [fact.get("file")] if key == "cover" and isinstance(fact, dict) else []
        if key == "shots" and isinstance(fact, list):
            given = [shot.get("frame") for shot in fact if isinstance(shot, dict)]
        yield from ((row, key, name) for name in given if isinstance(name, str))


def release_files(folder: Path) -> dict[str, str]:
    """Name to SHA-256 of the files in a release's folder, as its sealed manifest has them.

    Raises ``ValueError`` saying what is wrong with the manifest, ``FileNotFoundError`` when there is none.
    """
    try:
        manifest: Any = json.loads(read(folder / MANIFEST))
        seal = manifest.pop("seal")
        files: dict[str, str] = dict(manifest["files"])
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("cannot be read") from error
    if seal != hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest():
        raise ValueError("was changed")
    if not all(isinstance(name, str) and inside(name) and "/" not in name for name in files):
        raise ValueError("names a file elsewhere")
    return files


def read(path: Path) -> bytes:
    """A file's bytes; a link is not followed."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        return file.read()


def sha256_of(path: Path) -> str | None:
    """None where there is no such file, or it is a link."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """A file's bytes, or a folder's names, are on the disk when this returns."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
