"""All loops over one request's numbers. Importing this compiles them: ask ``matinee.kernels.compiled()`` instead."""

from __future__ import annotations

from matinee.kernels.choose import diverse, heaviest, highest, once, told
from matinee.kernels.scores import against, blended, faded, level, met, near, parts, standard, summed

__all__ = (
    "against", "blended", "diverse", "faded", "heaviest", "highest", "level", "met", "near", "once", "parts",
    "standard", "summed", "told",
)  # fmt: skip
