"""Every encoder, by name. Adding one is one file and one line here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, cast

from matinee.errors import MatineeError

if TYPE_CHECKING:
    from matinee.encoders.bridge import Bridge
    from matinee.protocols import Encoder, Labeller


@dataclass(frozen=True, slots=True)
class Entry:
    """``key``: its space's; ``module`` has the function ``load``, given the folder of its checkpoint ``weights``,
    or nothing where there is none; ``reads`` is a field of ``Clip``; ``names`` says that it is a ``Labeller``."""

    key: str
    module: str
    weights: str
    reads: str
    names: bool = False
    load: str = "load"


ENCODERS: dict[str, Entry] = {
    "text": Entry("text@use-multilingual-v3", "matinee.encoders.text", "text", "text"),
    "frames": Entry("frames@efficientnet-lite0", "matinee.encoders.frames", "frames", "frames", names=True),
    "sound": Entry("sound@yamnet", "matinee.encoders.sound", "sound", "sound", names=True),
    "text.classic": Entry("text.classic@hashed-words-1", "matinee.encoders.classic", "", "text", load="load_text"),
    "frames.classic": Entry(
        "frames.classic@colour-hog-1", "matinee.encoders.classic", "", "frames", load="load_frames"
    ),
    "sound.classic": Entry("sound.classic@mfcc-1", "matinee.encoders.classic", "", "sound", load="load_sound"),
}


@lru_cache(maxsize=16)
def load_encoder(name: str) -> Encoder:
    """The encoder, ready; later calls return the same one. Raises ``encoder.unknown`` or ``weights.missing``."""
    from matinee.encoders import weights

    if name not in ENCODERS:
        known = ", ".join(ENCODERS)
        raise MatineeError(
            "encoder.unknown",
            f"There is no encoder {name!r}. Known: {known}.",
            f"没有名为 {name!r} 的编码器。可用的有：{known}。",
        )
    entry = ENCODERS[name]
    load = getattr(import_module(entry.module), entry.load)
    return cast("Encoder", load(weights.require(entry.weights)) if entry.weights else load())


@lru_cache(maxsize=4)
def load_bridge(name: str) -> Bridge:
    """The label bridge of ``frames`` or ``sound``; needs the text encoder's weights too."""
    from matinee.encoders.bridge import bridge
    from matinee.encoders.text import TextEncoder

    labeller = cast("Labeller", load_encoder(name))
    return bridge(name, labeller.labels, cast(TextEncoder, load_encoder("text")))
