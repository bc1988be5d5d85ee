"""Vectors of items from ``.npz``: one array of ids and a matrix for each modality, rows in the same order."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from matinee.data.rows import refuse
from matinee.types import Floats, Ints


def read_features(file: Path, items: Sequence[str]) -> dict[str, Floats]:
    """modality -> (len(items), dim) float32 unit rows; NaN rows for items that the file lacks, and for rows of it that
    are zero or not finite.

    The file holds exactly one 1-D array (the ids: whole numbers or text) and 2-D number arrays as long. Of ids stated
    twice the first counts. Arrays of Python objects are refused unread. Raises ``features.unreadable``.
    """
    try:
        with file.open("rb") as f, np.load(f, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, TypeError, zipfile.BadZipFile, EOFError) as error:  # TypeError: an .npy
        raise refuse(
            file,
            f"no .npz of plain arrays ({error}).",
            f"不是由普通数组组成的 .npz（{error}）。",
            "features.unreadable",
        ) from error
    ids = [a for a in arrays.values() if a.ndim == 1 and a.dtype.kind in "iuUS"]
    matrices = {name: a for name, a in arrays.items() if a.ndim == 2 and a.dtype.kind in "fiu"}
    if len(ids) != 1 or not matrices or any(len(a) != len(ids[0]) for a in matrices.values()):
        shapes = ", ".join(f"{name} {a.shape}" for name, a in arrays.items()) or "nothing"
        raise refuse(
            file,
            f"it must hold one array of ids and matrices with a row for each id; it holds {shapes}.",
            f"应包含一个 id 数组和行数相同的矩阵；实际包含：{shapes}。",
            "features.unreadable",
        )
    row_of: dict[str, int] = {}
    for row, name in enumerate(ids[0].tolist()):
        row_of.setdefault(name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name), row)
    rows = np.array([row_of.get(item, -1) for item in items], np.int64)
    return {name: _aligned(matrix, rows) for name, matrix in matrices.items()}


def _aligned(matrix: Floats, rows: Ints) -> Floats:
    out = np.full((len(rows), matrix.shape[1]), np.nan, np.float32)
    out[rows >= 0] = matrix[rows[rows >= 0]]
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        out /= np.linalg.norm(out, axis=1, keepdims=True)
    out[~np.isfinite(out).all(1)] = np.nan
    return out
