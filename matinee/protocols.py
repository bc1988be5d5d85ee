"""The verbs: one Protocol each, implemented by frozen dataclasses without inheritance.

``tests/contracts/implementations.py`` assigns every implementation to its Protocol, so the type checker proves the fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from matinee.types import (
    Bools,
    Candidates,
    Clip,
    Doubles,
    Event,
    EventKind,
    Floats,
    Interactions,
    Ints,
    Item,
    Query,
    Space,
)  # fmt: skip


class Encoder(Protocol):
    @property
    def space(self) -> Space: ...
    def encode(self, clips: Sequence[Clip]) -> Floats:
        """(n, dim) float32 unit rows; a row of NaN where the clip lacks what this encoder reads."""
        ...


class Labeller(Encoder, Protocol):
    """An encoder whose network also names what it sees or hears."""

    @property
    def labels(self) -> tuple[str, ...]: ...
    def encode_and_label(self, clips: Sequence[Clip]) -> tuple[Floats, Floats]:
        """Vectors as ``encode``, and (n, len(labels)) float32 probabilities, NaN rows likewise."""
        ...


class Source(Protocol):
    @property
    def name(self) -> str: ...
    def retrieve(self, query: Query, n: int) -> Candidates:
        """At most n items, best first, without repeats. ``source`` is 0 throughout; the recommender renumbers it."""
        ...


class Filter(Protocol):
    @property
    def name(self) -> str: ...
    def keep(self, query: Query, candidates: Candidates) -> Bools:
        """A mask over the candidates. Never scores."""
        ...


class Scorer(Protocol):
    @property
    def name(self) -> str: ...
    def score(self, query: Query, candidates: Candidates) -> Floats:
        """(n,) float32, higher is better, NaN = no opinion. Never drops."""
        ...


class Selector(Protocol):
    @property
    def name(self) -> str: ...
    def select(self, query: Query, candidates: Candidates, n: int) -> Ints:
        """At most n positions into the candidates, in the order of the slate, without repeats."""
        ...


class Model(Source, Scorer, Protocol):
    """A trained recommender. It holds arrays and no policy: what was seen or hidden is the filters' business.

    Items with a row at or beyond what it was trained on score NaN, unless its mathematics reaches them.
    """

    def explain(self, query: Query, items: Ints) -> Floats:
        """(len(items), len(query.history)) float32: how much each past event adds to each item's score, where the model
        is additive over the history; otherwise zero columns: shape (len(items), 0)."""
        ...

    def arrays(self) -> Mapping[str, Any]:
        """All that is needed to rebuild it (``from_arrays``): NumPy arrays by name, stored without pickle."""
        ...


class Recipe(Protocol):
    """Hyper-parameters are the fields of the implementing frozen dataclass."""

    @property
    def name(self) -> str: ...
    def fit(self, data: Interactions, *, seed: int) -> Model: ...


class VectorIndex(Protocol):
    def search(self, queries: Floats, k: int) -> tuple[Ints, Floats]:
        """(q, k) row numbers and (q, k) cosines, best first; -1 and NaN where there are fewer than k."""
        ...


class Metric(Protocol):
    @property
    def name(self) -> str: ...
    def measure(self, slate: Ints, relevant: Ints) -> float: ...


@dataclass(frozen=True, slots=True)
class Counts:
    items: int
    users: int
    events: int


@dataclass(frozen=True, slots=True)
class Appended:
    """The answer to ``Store.append``: how many were new, how many were known, and (position, code) of the refused."""

    accepted: int
    duplicates: int
    refused: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Strangers:
    """What ``Store.append`` does with an event that names an item or a user not there. ``keep``: an item's event waits
    and counts from the moment the item is put; a user is made."""

    items: Literal["refuse", "keep"] = "refuse"
    users: Literal["refuse", "keep"] = "keep"


WELCOME = Strangers()  # what is done where nothing is said


@dataclass(frozen=True, slots=True)
class FileRecord:
    """What ingest knows of one file. ``status``: taken, partly, refused, pending, missing. ``note`` says why."""

    path: str
    size: int
    mtime_ns: int
    hash: str
    item: str | None
    status: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Log:
    """Events as columns in log order, for training: ``sequence``, ``users``, ``items`` (-1 = none), ``kinds`` int64;
    ``at``, ``value`` float64 (NaN = none)."""

    sequence: Ints
    users: Ints
    items: Ints
    kinds: Ints
    at: Doubles
    value: Doubles


class Store(Protocol):
    """The only state. Every write is durable when the call returns, and whole or absent after a crash. Thread-safe."""

    def together(self) -> AbstractContextManager[None]:
        """All writes of this thread inside the block are one transaction, durable when the block ends, absent when it
        raises. Reads inside it do not see them yet."""
        ...

    def put_items(self, items: Sequence[Item]) -> Ints:
        """Insert or replace by id, in one transaction; an id keeps its row for ever, also across delete and put."""
        ...

    def delete_item(self, id: str) -> bool: ...
    def item(self, id: str) -> Item | None: ...
    def items(self) -> Iterable[tuple[int, Item]]:
        """(row, item) of all that are not deleted, by row."""
        ...

    def deleted_items(self) -> Ints:
        """Rows, ascending, of items that were deleted, or are only waited for."""
        ...

    def item_rows(self, ids: Sequence[str]) -> Ints:
        """Rows of ids; -1 where unknown or deleted."""
        ...

    def append(self, events: Sequence[Event], strangers: Strangers = WELCOME) -> Appended:
        """All new events in one durable transaction. A known event id is a duplicate and changes nothing. An event for
        an unknown or deleted item is refused with ``event.unknown_item``, and unknown users are created, unless
        ``strangers`` says otherwise (``event.unknown_user``). A merged user's events are those of whom it went into."""
        ...

    def events_of(self, user: str, n: int, before: float | None = None, kind: EventKind | None = None) -> list[Event]:
        """The user's last n events (of one kind) strictly before a time, newest first; ties by arrival, later first."""
        ...

    def events_after(self, after: int | None, n: int, kinds: Sequence[EventKind] = ()) -> list[tuple[int, Event]]:
        """(sequence, event) of the first n events above a sequence number, oldest first; with None the last n there
        are. ``kinds``: only these; none named = all."""
        ...

    def items_of(self, user: str, kinds: Sequence[EventKind] = ()) -> Ints:
        """Rows, ascending, of all items there that the user ever met by an event of these kinds (none named = all),
        however long ago. Read from one index."""
        ...

    def history(self, user: str, n: int, before: float) -> Log:
        """The same events that name an item still there, as columns, oldest first."""
        ...

    def log(self, after: int = 0, *, deleted: bool = False) -> Log:
        """Every event with a sequence number above ``after``, in log order (items deleted since: -1, or with
        ``deleted`` the row they had)."""
        ...

    def rewritten(self, last: int) -> str:
        """A text that changes when the log up to this sequence number is no longer what it was: by an erasure, a merge
        or a restore. Appending does not change it. It ends in a slash and the number of events up to there."""
        ...

    def put_users(self, ids: Sequence[str]) -> int:
        """Makes the users that are new, in one transaction; how many they were. An id that is empty or no valid text is
        passed over."""
        ...

    def put_profiles(self, profiles: Mapping[str, Mapping[str, Any]]) -> int:
        """Keeps what is known of users beside what they did (country, age ... as JSON) in the place of what was known
        before, nothing where it is empty, in one transaction. Makes the users that are new; how many they were."""
        ...

    def profile(self, user: str) -> dict[str, Any]:
        """Empty where nothing is known. Of a merged user what is known of both, the user's own word first."""
        ...

    def profiles(self) -> Iterable[tuple[int, dict[str, Any]]]:
        """(row, profile) of all of whom something is known, by row."""
        ...

    def users(self) -> Iterable[tuple[int, str]]: ...
    def merge_user(self, session: str, user: str) -> bool:
        """All events of ``session``, also those that come later, are the user's from now on; both ids name one person,
        in reading and in erasure. Either is made if it is not there. False when it was so already. Raises
        ``merge.self``, or ``merge.elsewhere`` when the session went into another user before."""
        ...

    def erase_user(self, user: str) -> bool:
        """Forgets a user and all ids merged into it: events and ids, to the last byte the store itself keeps; the row
        numbers stay used. False if there is no such user. Not inside ``together``. Raises ``erase.pending`` when a long
        reader delays the rest."""
        ...

    def names_of(self, user: str) -> tuple[str, ...]:
        """All ids of a user: the one it goes by, and those merged into it; none where there is no such user."""
        ...

    def erased_users(self) -> Ints:
        """Rows, ascending, of all users ever erased."""
        ...

    def counts(self) -> Counts: ...
    def revision(self) -> int:
        """Grows with every change of items, vectors, facts or releases (not of events): readers refresh on it."""
        ...

    def put_vectors(self, space: Space, hashes: Sequence[str], vectors: Floats) -> None:
        """Under the content hash, so equal bytes encode once."""
        ...

    def has_vectors(self, space: Space, hashes: Sequence[str]) -> Bools: ...
    def link_content(self, item: str, space: Space, hash: str) -> None:
        """Says which content hash holds the item's vector in this space; replaces the former."""
        ...

    def vectors(self, space: Space) -> tuple[Ints, Floats]:
        """(n,) item rows ascending and (n, dim) vectors of the items that have one and are not deleted."""
        ...

    def spaces(self) -> list[Space]: ...
    def put_fact(self, item: str, key: str, value: Any) -> None:
        """Keeps JSON beside an item: what was seen and heard (``labels.frames``, ``labels.sound``, ``media`` ...)."""
        ...

    def facts(self, item: str) -> dict[str, Any]: ...
    def all_facts(self, key: str) -> Iterable[tuple[int, Any]]: ...
    def put_file(self, record: FileRecord) -> None: ...
    def files(self) -> list[FileRecord]: ...
    def put_release(self, digest: str, manifest: Mapping[str, Any]) -> None: ...
    def release(self) -> tuple[str, dict[str, Any]] | None:
        """The release in force and its manifest."""
        ...

    def releases(self) -> list[tuple[str, dict[str, Any]]]: ...
    def use_release(self, digest: str) -> None: ...
    def drop_release(self, digest: str) -> bool:
        """Forgets a release that is not in force; False where it is, or there is none of that name."""
        ...

    def releases_used(self) -> list[tuple[float, str]]:
        """(Unix time, digest) of each time another release was put in force, oldest first; time 0: before the store
        kept this."""
        ...

    def close(self) -> None: ...
