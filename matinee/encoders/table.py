"""Every encoder, by name. Adding one is one file and one line here; a checkpoint of the hub needs none: it is named
``hub:FOLDER`` or ``hub:OWNER/NAME`` (``matinee.encoders.hub.spec``)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from matinee.errors import MatineeError
from matinee.settings import cache_folder

if TYPE_CHECKING:
    from matinee.encoders.bridge import Bridge
    from matinee.protocols import Encoder, Labeller


@dataclass(frozen=True, slots=True)
class Entry:
    """``key``: its space's; ``module`` has the function ``load``, given the folder of its checkpoint ``weights``,
    or nothing where there is none; ``reads`` is a modality; ``names`` says that it is a ``Labeller``; ``joint``: it has
    a side that reads words into the same space."""

    key: str
    module: str
    weights: str
    reads: str
    names: bool = False
    load: str = "load"
    joint: bool = False


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


HUB = "hub:"


def entry_of(name: str) -> Entry:
    """What is known of an encoder without loading it. Raises ``encoder.unknown``, and for checkpoints of the hub what
    ``matinee.encoders.hub.spec.identify`` raises."""
    if name.startswith(HUB):
        from matinee.encoders.hub.spec import identify, parse

        known = identify(parse(name))
        return Entry(known.key, "matinee.encoders.hub.load", "", known.kind, joint=known.joint)
    if name not in ENCODERS:
        known_names = ", ".join(ENCODERS)
        raise MatineeError(
            "encoder.unknown",
            f"There is no encoder {name!r}. Known: {known_names}; or a checkpoint: hub:FOLDER, hub:OWNER/NAME.",
            f"没有名为 {name!r} 的编码器。可用的有：{known_names}；或模型：hub:文件夹、hub:作者/名称。",
        )
    return ENCODERS[name]


def load_encoder(name: str, precision: str = "float", pictures: Path | None = None) -> Encoder:
    """The encoder, ready; later calls return the same one. Raises as ``entry_of``; ``weights.missing``, ``hub.extra``.
    ``precision`` "int8" quantises where that was checked to be as good and faster (``matinee.encoders.quantise``), with
    a folder of ``pictures`` to check on.
    """
    return _loaded(name, precision, pictures if precision == "int8" else None)  # floats are the same in every library


@lru_cache(maxsize=32)
def _loaded(name: str, precision: str, pictures: Path | None) -> Encoder:
    from matinee.encoders import weights

    entry = entry_of(name)
    if name.startswith(HUB):
        from matinee.encoders.hub.load import load_hub
        from matinee.encoders.hub.spec import parse

        return load_hub(parse(name), precision, pictures)
    module = import_module(entry.module)
    if precision == "int8" and hasattr(module, "load_quick"):
        return cast("Encoder", module.load_quick(weights.require(entry.weights), pictures))
    load = getattr(module, entry.load)
    return cast("Encoder", load(weights.require(entry.weights)) if entry.weights else load())


def load_words(name: str) -> Encoder:
    """The side of a joint checkpoint that reads words, in the space of its other side. Raises as ``load_encoder``."""
    from dataclasses import replace

    from matinee.encoders.hub.load import load_hub
    from matinee.encoders.hub.spec import parse

    return load_hub(replace(parse(name), reads="text"))


@lru_cache(maxsize=8)
def load_bridge(name: str, text: str) -> Bridge:
    """The label bridge of an encoder that names what it perceives, into the space of the text encoder ``text``."""
    from matinee.encoders.bridge import bridge

    labeller = cast("Labeller", load_encoder(name))
    return bridge(entry_of(name).reads, labeller.labels, load_encoder(text), cache_folder() / "names")
