"""What a serving process asks of its system: as many open files as it may have, calm when they run out, and no core
dump, which would keep what people watched."""

from __future__ import annotations

import logging
import resource
import time
from contextlib import suppress

PAUSE = 10.0  # seconds between two lines about connections that cannot be taken


class Calm(logging.Filter):
    """Lets one line through in ``PAUSE`` seconds about connections that could not be taken for want of files: asyncio
    writes one with a traceback for each of thousands, which would fill the log's disk and stall the server."""

    def __init__(self) -> None:
        super().__init__()
        self.last = -PAUSE

    def filter(self, record: logging.LogRecord) -> bool:
        if "accept() out of system resource" not in record.getMessage():
            return True
        now = time.monotonic()
        if now - self.last < PAUSE:
            return False
        self.last = now
        record.msg, record.args, record.exc_info = "no more files to open: new connections wait", (), None
        return True


def prepare() -> None:
    """Once, before a server listens."""
    with suppress(ValueError, OSError):  # a limit that may not be raised stays as it is
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    told = logging.getLogger("asyncio")
    if not any(isinstance(one, Calm) for one in told.filters):
        told.addFilter(Calm())
