"""The innermost loops of a request, compiled, where the extra ``fast`` (Numba) is installed.

A request on NumPy is some thousand small calls, and each costs more than its arithmetic. ``loops`` says the same in
plain loops, compiled to machine code. It is optional: whoever has a form of both asks ``compiled()`` and takes NumPy
where that is None, and one suite holds both to the models' own answers (``tests/contracts/test_quick.py``). Nothing is
compiled at import: ``start`` does that, once a process, for servers.
"""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass, field
from types import ModuleType

log = logging.getLogger("matinee.kernels")
OFF = "MATINEE_COMPILED"  # set to 0, nothing is compiled


@dataclass(slots=True)
class Held:
    """The loops of this process, once there are any."""

    loops: ModuleType | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


HELD = Held()


def compiled() -> ModuleType | None:
    """``matinee.kernels.loops``, or None: not started, not installed, or turned off."""
    return HELD.loops


def start() -> bool:
    """Compiles the loops, or reads them from where an earlier process left them; whether there are any now.

    The first time some 6 s of processor time, then one. Without Numba, with ``MATINEE_COMPILED=0``, or where compiling
    fails, requests go on with NumPy, and the log says why.
    """
    with HELD.lock:
        if HELD.loops is None and os.environ.get(OFF, "1") != "0":
            try:
                from matinee.kernels import loops
            except ImportError:
                log.info("the extra 'fast' is not installed: requests are worked out by NumPy")
            except Exception as error:  # noqa: BLE001  # of a compiler anything may come, and NumPy does as well
                log.warning("the loops could not be compiled (%s): requests are worked out by NumPy", error)
            else:
                HELD.loops = loops
        return HELD.loops is not None


def stop() -> None:
    """From now on NumPy again; for tests that compare the two."""
    HELD.loops = None
