"""All encoders of a library at once: clips in, vectors of every space and the labels seen and heard out.

A library names its encoders in its settings. The first of a kind (text, frames, clips, sound) speaks for that kind:
its vectors are what training and serving call by the kind's name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from matinee.encoders.bridge import Bridge, bridge_key, top_labels
from matinee.encoders.frames import FrameEncoder
from matinee.encoders.table import HUB, Entry, entry_of, load_bridge, load_encoder, load_words
from matinee.errors import MatineeError
from matinee.types import MODALITIES, Clip, Floats, Space

if TYPE_CHECKING:
    from matinee.protocols import Encoder, Labeller


@dataclass(frozen=True, slots=True)
class Perceived:
    """What the encoders make of some clips. ``vectors``: (n, dim) rows by space, NaN where a clip lacks the modality;
    ``labels``: for each clip ``{"frames": [[label, probability], ...], "sound": ...}``; ``sequences``: of each clip the
    (k, dim) vectors of its frames, None where it has none or the encoder gives only one of them all."""

    vectors: dict[Space, Floats]
    labels: list[dict[str, list[list[object]]]]
    sequences: list[Floats | None]


@dataclass(frozen=True, slots=True)
class Senses:
    """Encoders, what is known of each, and bridges, by name in the order of the settings. Safe to use from several
    threads."""

    entries: dict[str, Entry]
    encoders: dict[str, Encoder]
    bridges: dict[str, Bridge]

    @property
    def texts(self) -> list[Encoder]:
        """Those that read text, the one that speaks for it first."""
        return [self.encoders[name] for name, entry in self.entries.items() if entry.reads == "text"]

    @property
    def text(self) -> Encoder | None:
        """The encoder that items, queries and labels are put into words' space with."""
        return next(iter(self.texts), None)

    def words(self) -> dict[str, Encoder]:
        """The reading sides of joint networks, by the name of the space that they share with the other side."""
        return {self.encoders[n].space.name: load_words(n) for n, entry in self.entries.items() if entry.joint}

    def perceive(self, clips: Sequence[Clip]) -> Perceived:
        """What is seen and heard; texts are put with their items."""
        vectors: dict[Space, Floats] = {}
        labels: list[dict[str, list[list[object]]]] = [{} for _ in clips]
        sequences: list[Floats | None] = [None for _ in clips]
        for name, encoder in self.encoders.items():
            if self.entries[name].reads == "text":
                continue
            if not self.entries[name].names:
                vectors[encoder.space] = encoder.encode(clips)
                continue
            labeller = cast("Labeller", encoder)
            if isinstance(encoder, FrameEncoder):
                frames = encoder.each(clips)
                vectors[encoder.space], probabilities = encoder.gathered(frames)
                sequences = [features if len(features) else None for features, _ in frames]
            else:
                vectors[encoder.space], probabilities = labeller.encode_and_label(clips)
            if name in self.bridges:
                bridge = self.bridges[name]
                vectors[bridge.space] = bridge.cross(probabilities)
            for own, row in zip(labels, probabilities, strict=True):
                if top := top_labels(labeller.labels, row):
                    own[self.entries[name].reads] = top
        return Perceived(vectors, labels, sequences)


def load_senses(names: Sequence[str], precision: str = "float", pictures: Path | None = None) -> Senses:
    """The named encoders, and a label bridge for each that names what it perceives (``bridged``). Raises as
    ``load_encoder``, which also says what ``precision`` and ``pictures`` are. About two seconds; checkpoints of the hub
    as long as they take."""
    entries = {name: entry_of(name) for name in names}
    encoders = {name: load_encoder(name, precision, pictures) for name in names}
    return Senses(entries, encoders, {name: load_bridge(name, text) for name, text in bridged(entries).items()})


def bridged(entries: Mapping[str, Entry]) -> dict[str, str]:
    """The encoders that get a label bridge, each with the text encoder it leads to: where there is no joint network,
    which knows better what words mean in pictures or in sound."""
    text = next((name for name, entry in entries.items() if entry.reads == "text"), None)
    joint = {entry.reads for entry in entries.values() if entry.joint}
    return {name: text for name, entry in entries.items() if text and entry.names and entry.reads not in joint}


def keys_of(names: Sequence[str]) -> list[str]:
    """What names this set of encoders: a file read with the same keys needs no second reading. Loads nothing, but reads
    the bytes of checkpoints of the hub. Raises as ``entry_of``."""
    entries = {name: entry_of(name) for name in names}
    bridges = [bridge_key(entries[name].reads, entries[text].key) for name, text in bridged(entries).items()]
    return sorted([entry.key for entry in entries.values()] + bridges)


def in_force(found: Mapping[Space, int], names: Sequence[str]) -> dict[str, Space]:
    """The spaces that training and serving go by, by the name they know them under: the kind (text, frames, clips,
    sound) for the first encoder of a kind, the space's own name for others and for those that only serve search.

    ``found``: the spaces of a store with how many vectors each has. A former encoder's space stands in for one of the
    settings until that has read half as much; so it does where the checkpoint is not at hand.
    """
    entries = {name: entry for name in names if (entry := _at_hand(name)) is not None}
    wanted = [entry.key for entry in entries.values()]
    wanted += [bridge_key(entries[name].reads, entries[text].key) for name, text in bridged(entries).items()]
    wanted += [f"speech@{e.key.partition('@')[2]}" for e in entries.values() if e.reads == "text"]
    replaced = {f"bridge.{entry.reads}" for entry in entries.values() if entry.joint}
    roles: dict[str, list[Space]] = {}
    for space in sorted((s for s, n in found.items() if n and s.name not in replaced), key=lambda s: s.key):
        roles.setdefault(space.kind or space.name, []).append(space)
    best: dict[str, Space] = {}
    for role, spaces in roles.items():
        fullest = max(spaces, key=lambda s: (found[s], s.revision))
        named = sorted((s for s in spaces if s.key in wanted), key=lambda s: wanted.index(s.key))
        read = [s for s in named if 2 * found[s] > found[fullest]]
        best[role] = read[0] if read else fullest
        for space in read[1:] if role in MODALITIES else ():
            best[space.key if space.name in best else space.name] = space
    return best


def _at_hand(name: str) -> Entry | None:
    try:
        return entry_of(name)
    except MatineeError:
        if not name.startswith(HUB):
            raise
        return None
