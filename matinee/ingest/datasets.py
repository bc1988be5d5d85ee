"""Data sets as researchers ship them, taken into a library: MovieLens, RecBole, Gorse, LightGCN, SASRec, sequences.

A path is a data set where ``matinee.data.datasets`` knows its format and no catalogue reader does. A folder that holds
video or sound is a folder of media, whatever tables lie in it; plain tables of items and events are catalogues, which
keep more of a row. What a data set knows of an item is put over what was there; an item that only its log names is made
where it is new and left alone where it is not. A picture of an item becomes its cover and is looked at. Vectors keyed
by item (``.npz``) are kept in a space named after their array.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from matinee.errors import MatineeError
from matinee.ingest.run import Run, put_described
from matinee.ingest.tables import append, over_stored, put_people
from matinee.media.folder import CATALOGUES, walk
from matinee.media.read import MEDIA
from matinee.protocols import FileRecord
from matinee.types import MODALITIES, Item, Space

if TYPE_CHECKING:
    from matinee.data.datasets.frame import Dataset

OWN = ("movielens", "recbole", "gorse", "lightgcn", "sasrec", "sequences")  # what no catalogue reader reads as well
TOGETHER = 20  # batches of a thousand events in one transaction: one sync of the disk for all of them
LEFT_OUT = ("unreadable", "missing", "unknown_kind", "no_item")
VECTORS = ".npz"


@dataclass(frozen=True, slots=True)
class Sorted:
    """Paths by how they are to be read. ``people``: tables of users that come alone; ``rest``: media and catalogues."""

    data: tuple[Dataset, ...]
    vectors: tuple[Path, ...]
    people: tuple[Path, ...]
    rest: tuple[Path, ...]


def sorted_roots(run: Run, roots: Sequence[Path]) -> Sorted:
    """Reads the data sets among the paths. One that cannot be used after all, and a text file that is neither media nor
    a table nor a data set, is refused in the report with the reason."""
    from matinee.data.datasets.people import is_user_table
    from matinee.data.datasets.table import read_dataset

    data: list[Dataset] = []
    vectors: list[Path] = []
    people: list[Path] = []
    rest: list[Path] = []
    for root in roots:
        if root.suffix.lower() == VECTORS and root.is_file():
            vectors.append(root)
        elif is_user_table(root):
            people.append(root)
        elif not (is_own(root) or _plain_text(root)):
            rest.append(root)
            vectors += _vectors_beside(root)
        else:
            run.progress(root.name, 0, 1)
            try:
                data.append(read_dataset(root))
            except MatineeError as error:
                run.report.refused += 1
                run.report.note(root, "refused", error.en, error.zh)
            vectors += sorted(root.glob(f"*{VECTORS}")) if root.is_dir() else []
            run.progress(root.name, 1, 1)
    return Sorted(tuple(data), tuple(dict.fromkeys(vectors)), tuple(people), tuple(rest))


def is_own(root: Path) -> bool:
    """Whether a path is a data set, and neither a catalogue nor a folder of media."""
    from matinee.data.catalogue import sniff
    from matinee.data.datasets.table import style_of

    if (style := style_of(root)) not in OWN:
        return False
    if root.is_dir():
        return not any(MEDIA.get(path.suffix.lower()) in ("video", "audio") for path in walk(root))
    if style == "gorse" or root.suffix.lower() not in CATALOGUES or root.name == "ratings.csv":
        return True
    try:
        sniff(root)
    except MatineeError:
        return True
    return False


def _plain_text(root: Path) -> bool:
    """A file of words whose name ends in nothing that is known."""
    if not root.is_file() or root.is_symlink() or root.suffix.lower() in (*CATALOGUES, *MEDIA):
        return False
    with root.open("rb") as file:
        head = file.read(4096)
    try:
        return bool(head) and b"\0" not in head and bool(head[:4000].decode("utf-8").strip())
    except UnicodeDecodeError as error:
        return error.start > 3990  # the cut went through a sign


def _vectors_beside(root: Path) -> list[Path]:
    """Vectors that lie in a folder beside catalogues."""
    if not root.is_dir():
        return []
    beside = any(root.glob(f"*{suffix}") for suffix in CATALOGUES)
    return sorted(root.glob(f"*{VECTORS}")) if beside else []


def take_known(run: Run, data: Sequence[Dataset]) -> dict[Path, Item]:
    """Puts the items of data sets with their text vectors. Returns those that have a picture, by it."""
    from matinee.data.datasets.pictures import pictures_beyond, pictures_of

    pictured: dict[Path, Item] = {}
    for one in data:
        pictures, others = pictures_of(one), pictures_beyond(one)
        known = [_without(item) if row in pictures else item for row, item in one.catalogue.items()]
        known += [_without(item) if at in others else item for at, item in enumerate(one.beyond)]
        total = len(known)
        for done in range(0, total, 1000):
            batch = [_over(run, item) for item in known[done : done + 1000]]
            put_described(run, batch)
            run.progress(f"{one.name} items", done + len(batch), total)
        named = [name for row, name in enumerate(one.items) if row not in one.catalogue]
        new = [name for name, row in zip(named, run.store.item_rows(named).tolist(), strict=True) if row < 0]
        for start in range(0, len(new), 10_000):
            run.store.put_items([Item(id=name) for name in new[start : start + 10_000]])
        run.report.items += total + len(new)
        for row, file in pictures.items():
            item = one.catalogue.get(row) or run.store.item(one.items[row]) or Item(id=one.items[row])
            pictured[file.absolute()] = _without(item)
        pictured |= {file.absolute(): _without(one.beyond[at]) for at, file in others.items()}
    return pictured


def _without(item: Item) -> Item:
    """An item whose picture is still to be read; with a name, or the picture's file would give it one."""
    return msgspec.structs.replace(item, cover=None, media=None, title=item.title or item.id)


def _over(run: Run, item: Item) -> Item:
    """A row over an item that is there: it keeps what files gave it."""
    old = run.store.item(item.id)
    kept = over_stored(run, item)
    return msgspec.structs.replace(kept, cover=kept.cover or old.cover) if old is not None else kept


def keep_as_covers(run: Run, pictured: Mapping[Path, Item]) -> None:
    """A picture of a film is no film: the item keeps it as its cover, not as its media."""
    with run.store.together():
        for file, item in pictured.items():
            there = run.store.item(item.id)
            if there is not None and there.media == str(file):
                run.store.put_items([msgspec.structs.replace(there, media=None)])


def take_people(run: Run, data: Sequence[Dataset], files: Sequence[Path]) -> None:
    """What tables of users say of them, those beside a data set and those named by themselves."""
    from matinee.data.datasets.people import read_people

    for profiles in (*(one.people for one in data), *map(read_people, files)):
        whole = list(profiles.items())
        for start in range(0, len(whole), 1000):
            put_people(run, dict(whole[start : start + 1000]))


def take_logs(run: Run, data: Sequence[Dataset]) -> None:
    """The events of data sets, in durable transactions of twenty thousand. One whose files did not change since they
    were taken whole is not taken again; of one that did, what is known changes nothing."""
    from matinee.data.datasets.nouns import events_of

    for one in data:
        abouts = {file: file.stat() for file in one.files if file.is_file()}
        if abouts and all(_taken(run, file, about.st_size, about.st_mtime_ns) for file, about in abouts.items()):
            run.report.unchanged += 1
            continue
        left_out = sum(one.repairs.get(name, 0) for name in LEFT_OUT)
        refused, done, batches = 0, 0, events_of(one)
        while chunk := list(islice(batches, TOGETHER)):
            with run.store.together():
                refused += sum(append(run, one.files[0], batch) for batch in chunk)
            done += sum(map(len, chunk))
            run.progress(f"{one.name} events", done, len(one.log.at))
        run.report.rejected += left_out
        _tell(run, one)
        for file, about in abouts.items():
            status = "partly" if refused else "taken"
            run.store.put_file(FileRecord(str(file), about.st_size, about.st_mtime_ns, "", None, status))


def _taken(run: Run, file: Path, size: int, mtime_ns: int) -> bool:
    old = run.records.get(str(file))
    return old is not None and old.status == "taken" and (old.size, old.mtime_ns) == (size, mtime_ns)


def _tell(run: Run, one: Dataset) -> None:
    sizes = len(one.users), len(one.items), len(one.log.at)
    mended = ", ".join(f"{name} {count}" for name, count in one.repairs.items() if count)
    en = f"{one.format}: {sizes[0]} users, {sizes[1]} items, {sizes[2]} rows" + (f"; rules: {mended}" if mended else "")
    zh = f"{one.format}：{sizes[0]} 位用户，{sizes[1]} 个条目，{sizes[2]} 行" + (f"；规则：{mended}" if mended else "")
    run.report.note(one.files[0], "dataset", en, zh)


def take_vectors(run: Run, files: Sequence[Path]) -> None:
    """Vectors by item into the space ``NAME@file-DIGEST``, NAME being the array's. The digest is of the file: vectors
    of a changed one are another space's, and never compared with the old."""
    from matinee.data.datasets.features import read_features

    if not files:
        return
    ids = [item.id for _, item in run.store.items()]
    for file in files:
        try:
            features = read_features(file, ids)
        except MatineeError as error:
            run.report.refused += 1
            run.report.note(file, "refused", error.en, error.zh)
            continue
        digest = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
        for name, matrix in features.items():
            space = Space(name, f"file-{digest}", matrix.shape[1])
            rows = np.flatnonzero(np.isfinite(matrix).all(axis=1))
            hashes = [f"{name}:{digest}:{ids[int(row)]}" for row in rows]
            fresh = ~run.store.has_vectors(space, hashes) if len(rows) else np.zeros(0, bool)
            with run.store.together():
                run.store.put_vectors(
                    space, [h for h, new in zip(hashes, fresh, strict=True) if new], matrix[rows[fresh]]
                )
                for row, link in zip(rows.tolist(), hashes, strict=True):
                    run.store.link_content(ids[row], space, link)
            en = f"{len(rows)} of {len(ids)} items have a vector of {name} ({matrix.shape[1]} numbers)"
            zh = f"{len(ids)} 个条目中有 {len(rows)} 个带有 {name} 向量（{matrix.shape[1]} 维）"
            if not space.kind:
                names = ", ".join(MODALITIES)
                en += f"; training goes by arrays that are called {names}"
                zh += f"；训练只使用名为 {names} 的数组"
            run.report.note(file, "vectors", en, zh)
