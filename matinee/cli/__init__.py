"""The command line. ``main`` is what the ``matinee`` command runs; commands live in one file a group and import what
they use when they run, so that ``matinee --help`` answers at once."""

from __future__ import annotations

import sys


def main() -> None:
    from matinee.cli.app import run

    sys.exit(run(sys.argv[1:]))
