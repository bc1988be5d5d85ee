"""All loops over one request's numbers. Importing this compiles them: ask ``matinee.kernels.compiled()`` instead."""

from __future__ import annotations

from matinee.kernels.choose import diverse, heaviest, highest, once, told
from matinee.kernels.scores import against, blended, carried, faded, level, met, near, parts, standard, summed, terms

__all__ = (
    "against", "blended", "carried", "diverse", "faded", "heaviest", "highest", "level", "met", "near", "once",
    "parts", "standard", "summed", "terms", "told",
)  # fmt: skip
