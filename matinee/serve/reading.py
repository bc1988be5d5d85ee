"""The text encoder as the server uses it: loaded in the background, so that start-up never waits for it."""

from __future__ import annotations

import logging
import threading

import numpy as np

from matinee.errors import MatineeError
from matinee.protocols import Encoder
from matinee.types import Clip, Floats, Space

log = logging.getLogger("matinee.serve")
PATIENCE = 20.0  # seconds a caller waits for the encoder to load


class Reader:
    """Encodes queries and the text of items put by the API. ``state`` is waiting, ready, missing or broken."""

    def __init__(self, encoder: Encoder | None = None) -> None:
        self._encoder = encoder
        self.state = "ready" if encoder else "waiting"
        self._loaded = threading.Event()
        self._started = threading.Lock()
        self._begun = encoder is not None
        if encoder:
            self._loaded.set()

    def start(self) -> None:
        """Begins to load, once, in a thread of its own."""
        with self._started:
            if not self._begun:
                self._begun = True
                threading.Thread(target=self._load, name="matinee-text-encoder", daemon=True).start()

    def _load(self) -> None:
        try:
            from matinee.encoders.table import load_encoder

            encoder = load_encoder("text")
            encoder.encode([Clip(text="warm")])
            self._encoder, self.state = encoder, "ready"
        except MatineeError as error:
            self.state = "missing" if error.code == "weights.missing" else "broken"
            log.warning("text encoder: %s", error)
        except Exception:
            self.state = "broken"
            log.exception("text encoder")
        finally:
            self._loaded.set()

    def space(self) -> Space | None:
        self.start()
        self._loaded.wait(PATIENCE)
        return self._encoder.space if self._encoder else None

    def encode(self, text: str) -> Floats | None:
        """(dim,) unit vector of a text; None where the encoder is not there or reads nothing in it."""
        self.start()
        self._loaded.wait(PATIENCE)
        if self._encoder is None or not text.strip():
            return None
        vector = self._encoder.encode([Clip(text=text)])[0]
        return None if np.isnan(vector).any() else vector
