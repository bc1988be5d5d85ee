"""Vectors in SQLite: float32 blobs under (space, content hash), linked from items."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from sqlite3 import Connection

import numpy as np

from matinee.errors import MatineeError
from matinee.kernels.memory import large
from matinee.store.connection import Database
from matinee.store.items import bump, row_of
from matinee.store.sums import sum_of, sum_of_vector
from matinee.store.trouble import bad_text, usable_text
from matinee.types import Bools, Floats, Ints, Space

logger = logging.getLogger(__name__)
STACKED = 4096  # rows of a matrix put together at a time
UNIT = 1e-2  # how far from 1 a norm may be: half-precision encoders are that coarse, bugs are far beyond


def checked(space: Space, hashes: Sequence[str], vectors: Floats) -> Floats:
    """(n, dim) contiguous little-endian float32. Raises ``vector.wrong_dim``, ``.not_finite`` or ``.not_unit``."""
    rows = np.ascontiguousarray(vectors, dtype="<f4")
    if rows.ndim != 2 or rows.shape != (len(hashes), space.dim):
        raise MatineeError(
            "vector.wrong_dim",
            f"The space {space.key} holds vectors of {space.dim} numbers; {len(hashes)} hashes came with an array of"
            f" shape {np.shape(vectors)}. Encode again with the encoder of this space.",
            f"空间 {space.key} 的向量有 {space.dim} 维；{len(hashes)} 个哈希却带来形状为 {np.shape(vectors)} 的数组。"
            "请用该空间的编码器重新编码。",
        )
    if not np.isfinite(rows).all():
        raise MatineeError(
            "vector.not_finite",
            f"A vector for {space.key} holds NaN or infinity. Leave out items that lack what the encoder reads.",
            f"{space.key} 的某个向量含有 NaN 或无穷大。请略去缺少该编码器所需内容的条目。",
        )
    if len(rows) and np.abs(np.sqrt(np.einsum("ij,ij->i", rows, rows)) - 1).max() > UNIT:
        raise MatineeError(
            "vector.not_unit",
            f"A vector for {space.key} is not of unit length. Divide each vector by its norm before storing it.",
            f"{space.key} 的某个向量不是单位长度。请先将每个向量除以其范数再存储。",
        )
    if not all(given and usable_text(given) for given in hashes):
        raise bad_text("content hash")
    return rows


def number_of(connection: Connection, space: Space) -> int | None:
    """The space's number, None if it is not there yet. Raises ``vector.wrong_dim`` if it is there with another dim."""
    sql = "SELECT number, dim FROM spaces WHERE name = ? AND revision = ?"
    if (found := connection.execute(sql, (space.name, space.revision)).fetchone()) is None:
        return None
    return same_dim(space, found)


def same_dim(space: Space, found: tuple[int, int]) -> int:
    """The number of a space found as (number, dim). Raises ``vector.wrong_dim``."""
    if found[1] != space.dim:
        raise MatineeError(
            "vector.wrong_dim",
            f"The space {space.key} is kept with {found[1]} numbers a vector, not {space.dim}. Give the changed encoder"
            " a new revision.",
            f"空间 {space.key} 的向量为 {found[1]} 维，而不是 {space.dim} 维。请为改动后的编码器指定新的 revision。",
        )
    return int(found[0])


def put_vectors(database: Database, space: Space, hashes: Sequence[str], vectors: Floats) -> None:
    rows = checked(space, hashes, vectors)
    if not len(rows):
        return
    blobs = [row.tobytes() for row in rows]
    with database.write() as c:
        if (number := number_of(c, space)) is None:
            number = int(c.execute("SELECT coalesce(max(number), 0) + 1 FROM spaces").fetchone()[0])
            row = (number, space.name, space.revision, space.dim)
            c.execute("INSERT INTO spaces VALUES (?, ?, ?, ?, ?)", (*row, sum_of(*row)))
        c.executemany(
            "INSERT INTO vectors (space, hash, data, sum) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (space, hash) DO UPDATE SET data = excluded.data, sum = excluded.sum",
            ((number, given, data, sum_of_vector(given, data)) for given, data in zip(hashes, blobs, strict=True)),
        )
        bump(c)


def has_vectors(database: Database, space: Space, hashes: Sequence[str]) -> Bools:
    asked = json.dumps([given for given in hashes if usable_text(given)], ensure_ascii=False)
    with database.read() as c:
        if (number := number_of(c, space)) is None:
            return np.zeros(len(hashes), np.bool_)
        sql = "SELECT v.hash FROM json_each(?) j CROSS JOIN vectors v ON v.space = ? AND v.hash = j.value"
        found = {known for (known,) in c.execute(sql, (asked, number))}
    return np.array([given in found for given in hashes], np.bool_)


def link_content(database: Database, item: str, space: Space, hash: str) -> None:
    """Raises ``item.unknown``, or ``vector.unknown`` when no vector is kept under that hash."""
    with database.write() as c:
        row, number = row_of(c, item), number_of(c, space)
        sql = "SELECT number FROM vectors WHERE space = ? AND hash = ?"
        found = c.execute(sql, (number, hash)).fetchone() if usable_text(hash) else None
        if found is None:
            raise unknown_vector(space, hash)
        sql = (
            "INSERT INTO links VALUES (?, ?, ?, ?)"
            " ON CONFLICT (space, item) DO UPDATE SET vector = excluded.vector, sum = excluded.sum"
        )
        c.execute(sql, (number, row, found[0], sum_of(number, row, found[0])))
        bump(c)


def unknown_vector(space: Space, hash: str) -> MatineeError:
    return MatineeError(
        "vector.unknown",
        f"No vector of {space.key} is kept under the hash {hash!r}. Put the vector before linking to it.",
        f"空间 {space.key} 中没有哈希为 {hash!r} 的向量。请先存入向量再建立链接。",
    )


def vectors(database: Database, space: Space) -> tuple[Ints, Floats]:
    """One contiguous matrix; about 5 us a row of 512 numbers. A damaged vector is left out, and named by ``check``."""
    with database.read() as c:
        if (number := number_of(c, space)) is None:
            return np.empty(0, np.int64), np.empty((0, space.dim), np.float32)
        sql = (
            "SELECT l.item, v.data, v.hash, v.sum FROM links l JOIN vectors v ON v.number = l.vector"
            " WHERE l.space = ? ORDER BY l.item"
        )
        found = c.execute(sql, (number,)).fetchall()
    if len(whole := [(row, data) for row, data, content, kept in found if sum_of_vector(content, data) == kept]) < len(
        found
    ):
        logger.error("%d damaged vectors of %s left out: run `matinee check`", len(found) - len(whole), space.key)
    rows = np.fromiter((row for row, _ in whole), np.int64, len(whole))
    return rows, stacked([data for _, data in whole], space.dim)


def stacked(vectors: Sequence[bytes], dim: int) -> Floats:
    """(n, dim) from the bytes of each row."""
    out = large((len(vectors), dim), np.float32)
    for at in range(0, len(vectors), STACKED):
        part = vectors[at : at + STACKED]
        out[at : at + len(part)] = np.frombuffer(b"".join(part), "<f4").reshape(len(part), dim)
    return out


def spaces(database: Database) -> list[Space]:
    with database.read() as c:
        found = c.execute("SELECT name, revision, dim FROM spaces ORDER BY name, revision").fetchall()
    return [Space(name, revision, dim) for name, revision, dim in found]
