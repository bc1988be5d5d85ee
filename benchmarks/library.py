"""Makes synthetic libraries for the measurements of serving: items, vectors, a log and a release of any size."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from matinee.models.content import Content
from matinee.models.linear import ItemWeights
from matinee.models.popular import Popular
from matinee.protocols import Store
from matinee.release import Release, save_release
from matinee.settings import Library
from matinee.store import open_store
from matinee.types import Event, Floats, Interactions, Item, Space

THEMES = 200  # clusters of the vectors
HISTORIES = (0, 10, 200)
USERS = 50  # of each length of history


def fill(folder: Path, items: int, dim: int, *, neighbours: int = 64, trained: bool = True) -> Library:
    """A library whose items lie in ``THEMES`` clusters, with ``USERS`` users ``N-K`` for each N of ``HISTORIES``, and
    a release of two sparse item-to-item models, two of popularity and content. One that is there already is kept."""
    library = Library.create(folder)
    if (folder / "filled").exists():
        return library
    store = open_store(library.database)
    chance = np.random.default_rng(0)
    theme = chance.integers(0, THEMES, items)
    for start in range(0, items, 10_000):
        store.put_items([_item(row, int(theme[row])) for row in range(start, min(start + 10_000, items))])
    vectors = _vectors(store, theme, dim, chance)
    _log(store, theme, chance)
    if trained:
        _train(library, store, theme, vectors, neighbours)
    store.close()
    (folder / "filled").touch()
    return library


def _item(row: int, theme: int) -> Item:
    return Item(
        id=f"i{row}", title=f"Item {row} of {theme}", description="Words that say what it is about. " * 3,
        categories=(f"theme {theme}", f"shelf {theme % 20}"), collection=f"k{theme % 3}", duration=60.0 + row % 5400,
        creators=(f"maker {row % 5000}",), language=("en", "zh")[row % 2], tags=("a", "b", f"tag {row % 300}"),
    )  # fmt: skip


def _vectors(store: Store, theme: np.ndarray, dim: int, chance: np.random.Generator) -> Floats:
    space = Space("text", "synthetic", dim)
    centres = chance.standard_normal((THEMES, dim)).astype(np.float32)
    whole = np.empty((len(theme), dim), np.float32)
    for start in range(0, len(theme), 10_000):
        part = slice(start, min(start + 10_000, len(theme)))
        vectors = centres[theme[part]] + chance.standard_normal((part.stop - start, dim)).astype(np.float32)
        whole[part] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        with store.together():
            store.put_vectors(space, [f"h{r}" for r in range(start, part.stop)], whole[part])
            for r in range(start, part.stop):
                store.link_content(f"i{r}", space, f"h{r}")
    return whole


def _log(store: Store, theme: np.ndarray, chance: np.random.Generator) -> None:
    """Each user stays with a few themes; what is watched is skewed."""
    items = len(theme)
    by_theme = [np.flatnonzero(theme == t) for t in range(THEMES)]
    events: list[Event] = []
    for n in (*HISTORIES, 50):
        for u in range(USERS if n in HISTORIES else 400):
            loved = chance.integers(0, THEMES, 5)
            for k in range(n):
                rows = by_theme[loved[int(chance.integers(5))]]
                row = int(rows[int(len(rows) * chance.random() ** 3)]) if len(rows) else int(chance.integers(items))
                who = f"{n}-{u}" if n in HISTORIES else f"crowd-{u}"
                events.append(Event(id=f"{who}/{k}", user=who, item=f"i{row}", kind="play", value=0.9, at=1.7e9 + k))
    for start in range(0, len(events), 5000):
        store.append(events[start : start + 5000])


def _train(library: Library, store: Store, theme: np.ndarray, vectors: Floats, neighbours: int) -> None:
    """A release as training would make it: neighbours within the theme, weights fading."""
    items = len(theme)
    order = np.argsort(theme, kind="stable")
    place = np.empty(items, np.int64)
    place[order] = np.arange(items)
    known = np.ones(items, np.bool_)
    chance = np.random.default_rng(1)
    models = []
    reach = max(items // THEMES, 2)
    neighbours = min(neighbours, reach - 1)
    for name in ("item_knn", "transitions"):
        # each one once: a step that comes round no sooner than after all of them
        step = chance.integers(1, (reach - 1) // neighbours + 1, (items, 1))
        near = 1 + (chance.integers(0, reach, (items, 1)) + step * np.arange(neighbours)) % (reach - 1)
        columns = np.sort(order[(place[:, None] + near) % items], axis=1)
        values = (chance.random((items, neighbours)) ** 2).astype(np.float32)
        starts = np.arange(0, items * neighbours + 1, neighbours, dtype=np.int64)
        models.append(ItemWeights(name, values.ravel(), starts, columns.ravel().astype(np.int32), known, 1.0))
    log_ = store.log()
    data = Interactions(
        log_.users, log_.items, log_.at, np.ones(len(log_.items), np.float32), int(log_.users.max()) + 1, items,
        {"text": vectors},
    )  # fmt: skip
    models += [Popular().fit(data), Popular(days=7.0, name="popular_recent").fit(data), Content().fit(data)]
    release = Release("bench", {m.name: m for m in models}, {m.name: 0.2 for m in models}, items, {"events": len(data)})
    manifest = save_release(library.releases / "bench", release)
    store.put_release("bench", manifest)
    store.use_release("bench")
