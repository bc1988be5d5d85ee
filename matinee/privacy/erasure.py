"""Erasure of a person from a whole library: the store, the released models, and the files beside them.

Almost every released model holds items only: a user's taste is worked out from the log at each request, and what one
person added to the sums of many is no longer theirs. The exception is a model that keeps the rows of the log
(``user_knn``): it is written anew without theirs, under a new name, so that every running server takes notice.
The next training forgets also what is in the sums.

Everything here may be killed and done again: the store remembers whom it erased, and ``finish`` looks for what is left.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from matinee.errors import MatineeError
from matinee.models import tensors
from matinee.protocols import Store
from matinee.settings import Library
from matinee.store.named import MANIFEST, read, release_files, sync
from matinee.store.place import sweep_parts
from matinee.store.snapshot import sweep
from matinee.types import Ints

KEEPS_ROWS = "user_knn"  # the model whose arrays have a row a user
LIVE = "ingest.json"  # what the last ingest told, which may quote an event


@dataclass(frozen=True, slots=True)
class Erased:
    """``found``: there was such a user; ``releases``: those written anew without them; ``backups``: known copies of
    the store that still hold them."""

    found: bool
    releases: tuple[str, ...] = ()
    backups: tuple[str, ...] = ()


def erase(library: Library, store: Store, user: str, backups: Sequence[Path] = ()) -> Erased:
    """Forgets a user, and every id that was merged into it, wherever this library keeps something.

    ``backups``: folders of backups to look into beside those that this library remembers having made; they are named,
    not changed. Raises what ``Store.erase_user`` raises. Cost: rewriting the database, and each release that keeps
    rows.
    """
    names = store.names_of(user)
    found = store.erase_user(user)
    sweep_parts(library.path)
    shutil.rmtree(library.path / "training", ignore_errors=True)  # half-trained networks that learned from them
    for name in names or (user,):
        strike(library.path / LIVE, name)
    return Erased(found, finish(library, store), tuple(str(p) for p in holding(library, store, backups)))


def finish(library: Library, store: Store) -> tuple[str, ...]:
    """Writes every release anew that still holds an erased user; their new digests. A snapshot of the log that does
    goes. Quick when there is none."""
    rows = store.erased_users()
    if not len(rows):
        return ()
    sweep(store, library.path)
    if not library.releases.is_dir():
        return ()
    made, known = [], dict(store.releases())
    for folder in sorted(path for path in library.releases.iterdir() if path.name[0] != "."):
        digest = folder.name
        if (fresh := rewritten(folder, digest, rows)) is None:
            continue
        if digest in known:
            store.put_release(fresh, {**known[digest], "without": digest})
            if (used := store.release()) and used[0] == digest:
                store.use_release(fresh)
            store.drop_release(digest)
        shutil.rmtree(folder, ignore_errors=True)  # last: what is on the disk is what is looked for
        made.append(fresh)
    return tuple(made)


def rewritten(folder: Path, digest: str, rows: Ints) -> str | None:
    """The digest of the same release without these users, whole on the disk; None if it holds none of them."""
    changed: dict[str, bytes] = {}
    try:
        for name in release_files(folder):
            if any(np.diff(starts)[rows[rows < len(starts) - 1]].any() for starts in starts_of(folder / name)):
                arrays = without(tensors.unpack(read(folder / name)), rows)
                if arrays is not None:
                    changed[name] = tensors.pack(arrays)
    except (OSError, ValueError, LookupError, TypeError, MatineeError):
        return None  # a release that cannot be read serves nobody; ``matinee check`` names it
    if not changed:
        return None
    fresh = hashlib.sha256(f"{digest} without {rows.tolist()}".encode()).hexdigest()[:16]
    if not (folder.parent / fresh / MANIFEST).exists():
        _write(folder, folder.parent / fresh, changed)
    return fresh


def starts_of(path: Path) -> list[Ints]:
    """Where each user's row begins, of every ``user_knn`` in a file of arrays; read alone, for such files are large."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if size > tensors.HEADER_LIMIT:
            return []
        header: dict[str, Any] = json.loads(file.read(size))
        found = []
        for key in header:
            if _is_row_index(key, path.stem) and f"{key.removesuffix('starts')}columns" in header:
                begin, end = header[key]["data_offsets"]
                file.seek(8 + size + begin)
                found.append(np.frombuffer(file.read(end - begin), "<i8").astype(np.int64))
    return found


def _is_row_index(key: str, model: str = KEEPS_ROWS) -> bool:
    return key.endswith(f"{KEEPS_ROWS}/starts") or (key == "starts" and model == KEEPS_ROWS)


def without(arrays: Mapping[str, Any], rows: Ints) -> dict[str, Any] | None:
    """The arrays with these users' rows empty, wherever a ``user_knn`` lies among them; None where they are empty
    already."""
    out, touched = dict(arrays), False
    for key in arrays:
        prefix = key.removesuffix("starts")
        if not _is_row_index(key) or f"{prefix}columns" not in arrays:
            continue
        starts = np.asarray(arrays[key], np.int64)
        lengths = np.diff(starts)
        gone = rows[rows < len(lengths)]
        if not lengths[gone].any():
            continue
        keep = ~np.isin(np.repeat(np.arange(len(lengths)), lengths), gone)
        lengths[gone] = 0
        out |= {
            f"{prefix}values": arrays[f"{prefix}values"][keep],
            f"{prefix}columns": arrays[f"{prefix}columns"][keep],
        }
        out[key] = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        touched = True
    return out if touched else None


def _write(old: Path, new: Path, changed: Mapping[str, bytes]) -> None:
    part = new.with_name(f".{new.name}.{os.getpid()}.tmp")  # swept by the next training if this is killed
    shutil.rmtree(part, ignore_errors=True)
    try:
        shutil.copytree(old, part)
        manifest = json.loads((part / MANIFEST).read_bytes())
        manifest.pop("seal")
        for name, blob in changed.items():
            (part / name).write_bytes(blob)
            manifest["files"][name] = hashlib.sha256(blob).hexdigest()
        manifest |= {"digest": new.name, "made": {**manifest["made"], "without": old.name}}
        manifest["seal"] = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
        (part / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True))
        for path in (*part.iterdir(), part):
            sync(path)
        part.rename(new)
        sync(new.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def strike(file: Path, text: str) -> None:
    """Every string in a file of JSON that holds the text becomes "(erased)"; a file that is none goes."""
    try:
        told = json.loads(file.read_bytes())
    except OSError:
        return
    except ValueError:
        file.unlink(missing_ok=True)
        return
    struck = _struck(told, text)
    if struck != told:
        part = file.with_name(f".{file.name}.{os.getpid()}.part")
        part.write_text(json.dumps(struck, ensure_ascii=False), encoding="utf-8")
        sync(part)
        part.replace(file)


def _struck(value: Any, text: str) -> Any:
    if isinstance(value, str):
        return "(erased)" if text in value else value
    if isinstance(value, list):
        return [_struck(one, text) for one in value]
    if isinstance(value, dict):
        return {_struck(key, text): _struck(one, text) for key, one in value.items()}
    return value


def holding(library: Library, store: Store, folders: Sequence[Path] = ()) -> list[Path]:
    """The backups, of those that the library made and those below ``folders``, that still hold someone erased."""
    from matinee.store.backup import made_before
    from matinee.store.erase import backups_with_erased
    from matinee.store.sqlite import SQLiteStore

    if not isinstance(store, SQLiteStore):
        return []
    copies = {path.resolve() for folder in folders for path in folder.glob("*/matinee.db")}
    copies |= {path.resolve() / "matinee.db" for path in made_before(library.path)}
    return [path.parent for path in backups_with_erased(store.database, sorted(p for p in copies if p.is_file()))]
