"""Training, from top to bottom: the log and the vectors -> experts and their weights -> a release in force."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

import matinee
from matinee.data.interactions import from_log
from matinee.data.strength import DEFAULT, StrengthTable, table_of
from matinee.errors import MatineeError
from matinee.models import load_recipe
from matinee.models.blended import Blended, fit_blend
from matinee.protocols import Recipe, Store
from matinee.release import FORMAT, Release, load_release, save_release
from matinee.settings import Library
from matinee.types import Floats, Interactions, Space

MODALITIES = ("text", "frames", "sound")
Progress = Callable[[str, float], None]


def train(library: Library, store: Store, *, progress: Progress = lambda stage, share: None) -> str:
    """Trains what ``library.settings.training`` names and puts it in force. Returns the release's digest.

    The digest is that of the inputs: log, vectors, recipes with their fields, seed and code version. A release that is
    there already is put in force and nothing is fitted. ``progress`` hears the stage and the share done, 0 to 1. It may
    be interrupted at any moment: the release in force stays until the new one is whole on the disk. Raises what the
    recipes and ``save_release`` raise.
    """
    settings = library.settings.training
    progress("reading", 0.0)
    data = read(store, table_of(library.settings.strength))
    experts = [load_recipe(name) for name in dict.fromkeys(settings.recipes)]
    blended = Blended(tuple(recipe.name for recipe in experts))
    made = describe(data, experts, blended, settings.seed)
    digest = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:16]
    folder = library.releases / digest
    try:
        release = load_release(folder)
    except MatineeError:
        skipped = Skipped({})
        blend = fit_blend(experts, data, settings.seed, blended, skipped.listening(progress))
        models = {model.name: model for model in blend.models}
        weights = {model.name: float(w) for model, w in zip(blend.models, blend.weights, strict=True)}
        release = Release(digest, models, weights, data.n_items, {**made, "skipped": skipped.experts})
        progress("writing", 1.0)
        save_release(folder, release)
    current = store.release()
    if current is None or current[0] != digest:
        store.put_release(digest, {"weights": dict(release.weights), "made": dict(release.made)})
        store.use_release(digest)
    progress("done", 1.0)
    return digest


@dataclass(frozen=True, slots=True)
class Skipped:
    """Experts that refused, by name, with what they said."""

    experts: dict[str, str]

    def listening(self, progress: Progress) -> Progress:
        def hear(stage: str, share: float) -> None:
            if stage.startswith("skipped "):
                name, _, why = stage.removeprefix("skipped ").partition(": ")
                self.experts[name] = why
            progress(stage, share)

        return hear


def read(store: Store, table: StrengthTable = DEFAULT) -> Interactions:
    """The store as arrays: the whole log, with the strengths of ``table``, and per modality the vectors of the items
    that have one."""
    log = store.log()
    rows = [row for row, _ in store.items()]
    people = [row for row, _ in store.users()]
    n_items, n_users = max(rows, default=-1) + 1, max(people, default=-1) + 1
    return from_log(log, n_users, n_items, features(store, n_items), table)


def features(store: Store, n_items: int) -> dict[str, Floats]:
    """(n_items, dim) float32 by modality, NaN rows where an item has no vector. Where a modality was encoded in two
    revisions the one with more vectors is taken; vectors of two spaces are never compared."""
    out: dict[str, Floats] = {}
    for name in MODALITIES:
        found = [(space, *store.vectors(space)) for space in store.spaces() if space.name == name]
        if not found:
            continue
        space, rows, vectors = max(found, key=lambda entry: (len(entry[1]), entry[0].revision))
        below = rows < n_items
        if below.any():
            out[name] = _matrix(space, n_items)
            out[name][rows[below]] = vectors[below]
    return out


def _matrix(space: Space, n_items: int) -> Floats:
    return np.full((n_items, space.dim), np.nan, np.float32)


def describe(data: Interactions, experts: list[Recipe], blended: Blended, seed: int) -> dict[str, Any]:
    """What makes a release: equal descriptions give equal releases."""
    return {
        "format": FORMAT,
        "version": matinee.__version__,
        "seed": seed,
        "data": data_digest(data),
        "events": len(data),
        "items": data.n_items,
        "users": data.n_users,
        "modalities": sorted(data.features),
        "recipes": {recipe.name: _fields(recipe) for recipe in experts},
        "blend": _fields(blended),
    }


def data_digest(data: Interactions) -> str:
    """SHA-256 over all columns and features, and their names and shapes."""
    total = hashlib.sha256()
    columns: Mapping[str, Any] = {
        "users": data.users, "items": data.items, "at": data.at, "strength": data.strength,
        "bounds": np.array([data.n_users, data.n_items]),
        **{f"feature.{name}": data.features[name] for name in sorted(data.features)},
    }  # fmt: skip
    for name, column in columns.items():
        total.update(f"{name}{column.shape}{column.dtype.str}".encode())
        total.update(np.ascontiguousarray(column).data)
    return total.hexdigest()


def _fields(recipe: Any) -> dict[str, Any]:
    return asdict(recipe)
