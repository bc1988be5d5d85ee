"""The nouns. Everything else in Matinee speaks in these; this file imports NumPy and msgspec only.

Rows: inside the package an item or a user is an ``int64`` row number given by the store, dense from 0 in order of first
sight and never reused. Public string ids exist only at the edges (store, API, command line).
Times are Unix seconds, UTC, ``float64``. Vectors are ``float32`` rows of unit length.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Pixels = NDArray[np.uint8]

EventKind = Literal[
    "impression", "play", "finish", "like", "dislike", "save", "share",
    "comment", "search", "skip", "hide", "rating",
]  # fmt: skip
EVENT_KINDS: tuple[str, ...] = get_args(EventKind)  # a kind's position here is its code in arrays: append only
INTEREST = "interest:"  # how the text of a hide begins that means an interest and no item

MODALITIES = ("text", "frames", "clips", "sound")  # what an encoder reads; clips are moving pictures read as one


class Item(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One thing that can be watched, heard or read. ``duration`` in seconds; ``media`` and ``cover`` are paths."""

    id: str
    title: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    creators: tuple[str, ...] = ()
    language: str = ""
    duration: float | None = None
    released: float | None = None
    expires: float | None = None
    media: str | None = None
    cover: str | None = None
    series: str | None = None
    season: int | None = None
    episode: int | None = None
    collection: str = ""
    properties: dict[str, Any] = {}


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Something a user did. ``id`` is given by the client, so delivering it twice changes nothing.

    ``value``: seconds watched or the watched fraction (play, finish), stars (rating), the place in the slate counted
    from 1 (impression). ``text``: a comment, a query, or where a play was left (``at 61.5``, seconds). ``slate``: the
    recommendation that caused it. ``item`` is None only for a search, and for the hide of an interest.
    """

    id: str
    user: str
    kind: EventKind
    at: float
    item: str | None = None
    value: float | None = None
    text: str | None = None
    session: str | None = None
    slate: str | None = None


@dataclass(frozen=True, slots=True)
class Space:
    """What an embedding's numbers mean. Vectors of two spaces are never compared."""

    name: str
    revision: str
    dim: int

    @property
    def key(self) -> str:
        return f"{self.name}@{self.revision}"

    @property
    def kind(self) -> str:
        """What of an item it describes, one of ``MODALITIES``; "" for spaces that only searching or labels need."""
        first, _, made = self.name.partition(".")
        return first if first in MODALITIES and made in ("", "hub", "joint", "classic") else ""

    @property
    def joint(self) -> bool:
        """Whether vectors of words can be compared with it: pictures or sounds of a network that also reads."""
        return self.name.endswith(".joint")


@dataclass(frozen=True, slots=True)
class Clip:
    """What was read of one item, ready for encoders. A missing modality is None (or ""), never zeros.

    ``frames``: (k, height, width, 3) uint8 RGB, all of one size; ``frame_at``: (k,) float64 seconds.
    ``sound``: (n,) float32 mono at 16 kHz in [-1, 1], the windows that were kept, joined.
    """

    text: str = ""
    frames: Pixels | None = None
    frame_at: Doubles | None = None
    sound: Floats | None = None


@dataclass(frozen=True, slots=True)
class History:
    """What a user did, oldest first, as parallel columns of one length.

    ``items`` (n,) int64 rows; ``at`` (n,) float64; ``strength`` (n,) float32, negative for dislikes;
    ``kinds`` (n,) int64 positions in ``EVENT_KINDS``.
    """

    items: Ints
    at: Doubles
    strength: Floats
    kinds: Ints

    @staticmethod
    def empty() -> History:
        none = np.empty(0, np.int64)
        return History(none, np.empty(0), np.empty(0, np.float32), none)

    def __len__(self) -> int:
        return len(self.items)


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the asker narrows a request to. Empty means no limit. ``exclude`` holds item rows; ``where`` is a text of
    the filter language (``matinee.pipeline.expression``); ``shown`` are rows of the pages before this one."""

    collection: str = ""
    categories: tuple[str, ...] = ()
    exclude: tuple[int, ...] = ()
    where: str = ""
    shown: tuple[int, ...] = ()


class Controls(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Knobs of one request; None leaves one to the scenario.

    ``diversity`` in [0, 1]: 0 is relevance alone. ``novelty`` in [0, 1]: how far what everybody watches is held back.
    ``exploration`` in [0, 1]: the share of places that chance fills. ``boost``: (filter text, deviations to add) pairs.
    ``seed``: the same seed draws the same chance.
    """

    diversity: float | None = None
    novelty: float | None = None
    exploration: float | None = None
    boost: tuple[tuple[str, float], ...] = ()
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """One request. ``history`` ends strictly before ``now``; offline evaluation builds the same with a past ``now``."""

    now: float
    limit: int = 20
    user: str | None = None
    history: History = field(default_factory=History.empty)
    scenario: str = "home"
    limits: Limits = Limits()
    controls: Controls = Controls()


@dataclass(frozen=True, slots=True)
class Candidates:
    """n items as parallel columns: ``items`` (n,) rows, each once; ``score`` (n,), NaN = no opinion, and sinks;
    ``source`` (n,) int64, the position of the source that first named the item."""

    items: Ints
    score: Floats
    source: Ints

    def __len__(self) -> int:
        return len(self.items)

    def take(self, keep: Bools | Ints) -> Candidates:
        """The candidates at a mask or at positions, in that order."""
        return Candidates(self.items[keep], self.score[keep], self.source[keep])

    def with_score(self, score: Floats) -> Candidates:
        return replace(self, score=score)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an item is there, as data; words are made of it at the edge.

    ``kind``: because (watched items behind it), looks, sounds, reads (like ``item``), topic, popular, new.
    ``item``: the row behind it; ``detail``: labels or topic; ``weight``: its share of the score, 0 to 1.
    """

    kind: str
    weight: float
    item: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Slate:
    """The answer, best first: parallel ``items`` (n,), ``scores`` (n,), ``sources``, ``reasons``; ``dropped`` counts
    what each filter took away; ``ms`` is milliseconds by stage; ``propensities`` (n,), 1 where nothing was random."""

    id: str
    items: Ints
    scores: Floats
    sources: tuple[str, ...]
    reasons: tuple[tuple[Reason, ...], ...]
    dropped: dict[str, int]
    release: str
    ms: dict[str, float]
    propensities: Floats


@dataclass(frozen=True, slots=True)
class Interactions:
    """A log for training, sorted by (user, time), ties in log order.

    Columns of one length n: ``users``, ``items`` (int64 rows), ``at`` (float64), ``strength`` (float32, negative for
    dislikes); ``n_users`` and ``n_items`` bound the rows. ``features``: what is known of the items without a watch, by
    modality (``text``, ``frames``, ``sound``): (n_items, dim) float32 unit rows, NaN rows where an item lacks it.
    ``facts``: what is written of them, by aspect (``matinee.data.facts``), zero rows where nothing is; only recipes
    that ask for it read it. ``groups`` (n_items,): the number of each item's collection; empty where all are one.
    ``pictures`` (n_items, side, side, 3) uint8 RGB, all black where an item has none; None unless a recipe looks.
    """

    users: Ints
    items: Ints
    at: Doubles
    strength: Floats
    n_users: int
    n_items: int
    features: Mapping[str, Floats] = field(default_factory=dict)
    facts: Mapping[str, Floats] = field(default_factory=dict)
    groups: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    pictures: Pixels | None = None

    def __len__(self) -> int:
        return len(self.items)

    @property
    def starts(self) -> Ints:
        """(n_users + 1,) int64: user u's rows are ``starts[u]:starts[u + 1]``."""
        return np.searchsorted(self.users, np.arange(self.n_users + 1)).astype(np.int64)
