"""Vectors of items from their words alone, for data sets without encoder features: TF-IDF and a truncated SVD.

Deerwester et al., Indexing by Latent Semantic Analysis, JASIS 1990; the SVD by random projection and subspace
iteration (Halko, Martinsson and Tropp, SIAM Review 53(2), 2011, algorithm 4.4) with a fixed seed. No weights are
needed, so every machine gets the same content baseline. Users' tags are left out: they are written after watching, some
after the moment that is tested.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np

from matinee.data.datasets.frame import Dataset
from matinee.types import Doubles, Floats, Item

DIM = 64
WORD = re.compile(r"\w+")
YEAR = re.compile(r"\(\d{4}\)\s*$")


def words_of(item: Item) -> list[str]:
    """The words of title, description and language in lower case; categories and creators whole."""
    free = f"{YEAR.sub('', item.title)} {item.description}"
    whole = [f"category={c.casefold()}" for c in item.categories]
    people = [f"by={name.strip().casefold()}" for entry in item.creators for name in entry.split(",") if name.strip()]
    return [
        *WORD.findall(free.casefold()),
        *whole,
        *people,
        *([f"in={item.language.casefold()}"] if item.language else []),
    ]


def word_features(data: Dataset, dim: int = DIM) -> Floats | None:
    """(n_items, <= dim) float32 unit rows, NaN where an item has no word that another has too; None where no item table
    is known. Sub-linear TF, smooth IDF, words of one item only left out. Deterministic. O(words x dim)."""
    from scipy.sparse import csr_matrix

    bags = {row: Counter(words_of(item)) for row, item in data.catalogue.items()}
    seen = Counter(word for bag in bags.values() for word in bag)
    column = {word: at for at, word in enumerate(sorted(w for w, n in seen.items() if n > 1))}
    if len(column) < 2 or len(bags) < 3:
        return None
    entries = [(row, column[w], 1 + np.log(n)) for row, bag in bags.items() for w, n in bag.items() if w in column]
    rows, columns, tf = (np.array(part) for part in zip(*entries, strict=True))
    n = len(data.items)
    idf = np.log((1 + len(bags)) / (1 + np.array([seen[w] for w in column]))) + 1
    weight = tf * idf[columns]
    length = np.sqrt(np.bincount(rows, weights=weight**2, minlength=n))
    matrix = csr_matrix((weight / length[rows], (rows, columns)), shape=(n, len(column)))
    vectors = _reduced(matrix, min(dim, *matrix.shape))
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(norm > 1e-9, vectors / np.maximum(norm, 1e-9), np.nan).astype(np.float32)


def _reduced(matrix: Any, dim: int) -> Doubles:
    """(n, dim) left singular vectors times singular values of a sparse (n, words) matrix."""
    rng = np.random.default_rng(0)
    basis = rng.normal(size=(matrix.shape[1], min(dim + 10, *matrix.shape)))
    for _ in range(5):
        basis, _ = np.linalg.qr(matrix.T @ np.linalg.qr(matrix @ basis)[0])
    left, values, _ = np.linalg.svd(matrix @ basis, full_matrices=False)
    return np.asarray((left * values)[:, :dim], np.float64)
