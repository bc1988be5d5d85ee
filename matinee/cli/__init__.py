"""The command line. ``main`` is what the ``matinee`` command runs; commands live in one file a group and import what
they use when they run, so that ``matinee --help`` answers at once."""

from __future__ import annotations

import os
import sys
import threading


def main() -> None:
    from matinee.cli.app import run

    code = run(sys.argv[1:])
    if any(thread.daemon for thread in threading.enumerate()):
        # everything is closed; a thread that loads an encoder just now would abort the interpreter's own way out
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
