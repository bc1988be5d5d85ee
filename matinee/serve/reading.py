"""The text encoder as the server uses it: loaded in the background, so that start-up never waits for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from matinee.errors import MatineeError
from matinee.types import Floats, Space

if TYPE_CHECKING:
    from matinee.encoders.queries import Queries

log = logging.getLogger("matinee.serve")
MISSING = ("weights.missing", "hub.extra", "hub.missing", "hub.unreachable")
PATIENCE = 20.0  # seconds a caller waits for the encoder to load


class Reader:
    """Encodes queries and the text of items put by the API, with what the library's settings name. ``state`` is
    waiting, ready, missing, broken, or none where the settings name nothing that reads."""

    def __init__(self, names: Sequence[str] = ("text",), precision: str = "float") -> None:
        self.names, self.precision = tuple(names), precision
        self._queries: Queries | None = None
        self.state = "waiting"
        self._loaded = threading.Event()
        self._started = threading.Lock()
        self._begun = False

    def start(self) -> None:
        """Begins to load, once, in a thread of its own."""
        with self._started:
            if not self._begun:
                self._begun = True
                threading.Thread(target=self._load, name="matinee-text-encoder", daemon=True).start()

    def wait(self) -> None:
        """Returns once it is loaded, or has failed to; ``start`` comes first."""
        self._loaded.wait()

    def _load(self) -> None:
        try:
            from matinee.encoders.queries import load_queries

            queries = load_queries(self.names, self.precision)
            queries.of("warm")
            self._queries, self.state = queries, "ready" if queries.texts or queries.joint else "none"
        except MatineeError as error:
            self.state = "missing" if error.code in MISSING else "broken"
            log.warning("text encoder: %s", error)
        except Exception:
            self.state = "broken"
            log.exception("text encoder")
        finally:
            self._loaded.set()

    def text(self, text: str) -> Mapping[Space, Floats]:
        """(dim,) unit vectors of an item's text by space; empty where no encoder is there or reads anything in it."""
        self.start()
        self._loaded.wait(PATIENCE)
        return self._queries.text(text) if self._queries and text.strip() else {}

    def asked(self, query: str) -> Mapping[str, Floats]:
        """(dim,) unit vectors of a query by the key of each space it may be compared in; empty likewise."""
        self.start()
        self._loaded.wait(PATIENCE)
        return self._queries.of(query) if self._queries and query.strip() else {}
