"""Training, from top to bottom: the log and the vectors -> experts and their weights -> a release in force.

What takes long is kept while it runs, in ``<library>/training``: a training that was killed goes on from its last
epoch, and what was fitted whole is not fitted again. The folder is gone when the release is there.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import matinee
from matinee.data.facts import collections_of, fact_vectors
from matinee.data.interactions import from_log
from matinee.data.strength import DEFAULT, StrengthTable, table_of
from matinee.encoders.fusing import Fusing, takes_fused
from matinee.encoders.senses import in_force
from matinee.errors import MatineeError
from matinee.ingest.pictures import covers
from matinee.models import load_model, load_recipe, tensors
from matinee.models.blended import Blended, fit_blend
from matinee.models.default import SPARE, expanded
from matinee.models.gate import Verdict, judged
from matinee.models.table import looks
from matinee.protocols import Log, Model, Recipe, Store
from matinee.release import FORMAT, Fused, Release, load_release, save_release
from matinee.settings import Library, Settings
from matinee.store.snapshot import read_log
from matinee.types import Floats, Interactions, Space

Progress = Callable[[str, float], None]


def train(library: Library, store: Store, *, progress: Progress = lambda stage, share: None) -> str:
    """Trains what ``library.settings.training`` names and puts it in force. Returns the release's digest.

    The digest is that of the inputs: log, vectors, recipes with their fields, fusion, seed and code version. A release
    that is there already is put in force and nothing is fitted. ``progress`` hears the stage and the share done, 0 to
    1. It may be interrupted at any moment: the release in force stays until the new one is whole on the disk. Raises
    what the recipes and ``save_release`` raise.
    """
    settings = library.settings.training
    progress("reading", 0.0)
    log = read_log(store, library.path)
    data, spaces = gathered(store, table_of(library.settings.strength), library.settings.encoders, log)
    recipes = [load_recipe(name) for name in expanded(settings.recipes, data)]
    if looks(recipe.name for recipe in recipes):
        seen = covers(library, store, data.n_items, lambda what, done, total: progress(what, 0.0))
        data = replace(data, pictures=seen)
    spare = SPARE if "default" in settings.recipes else ()
    blended = Blended(tuple(recipe.name for recipe in recipes), spare=spare)
    made = describe(data, recipes, blended, library)
    digest = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:16]
    folder, training = library.releases / digest, library.path / "training"
    try:
        release = load_release(folder)
    except MatineeError:
        heard, fusing = Heard(progress, 2 * len(recipes) + 1), Fusing(library.settings.fusion.method)
        experts: list[Recipe] = [Prepared(recipe, fusing, training, heard.within) for recipe in recipes]
        blend = fit_blend(experts, data, settings.seed, blended, heard)
        models = {model.name: model for model in blend.models}
        weights = {model.name: float(w) for model, w in zip(blend.models, blend.weights, strict=True)}
        made = {**made, "skipped": heard.skipped}
        fuser = fusing.fuser(data)
        fusion = None if fuser is None else Fused(fuser, {m: spaces[m].key for m in fuser.parts if m in spaces})
        release = Release(digest, models, weights, data.n_items, made, fusion)
        progress("writing", 1.0)
        save_release(folder, release)
    current = store.release()
    shutil.rmtree(training, ignore_errors=True)
    if current is None or current[0] != digest:
        verdict = compared(library, current[0] if current else "", release, data)
        told: dict[str, Any] = {"weights": dict(release.weights), "made": dict(release.made)}
        told["sequence"] = int(log.sequence.max(initial=0))  # servers fold in what comes after
        store.put_release(digest, told if verdict is None else {**told, "gate": asdict(verdict)})
        if verdict is not None and not verdict.passed:
            raise worse(digest, verdict)
        store.use_release(digest)
    progress("done", 1.0)
    return digest


def compared(library: Library, current: str, release: Release, data: Interactions) -> Verdict | None:
    """How the release does beside the one in force on the latest events; None where there is nothing to compare."""
    gate = library.settings.training.gate
    if not current or gate >= 1:
        return None
    try:
        old = load_release(library.releases / current)
    except MatineeError:
        return None  # a release that cannot be read keeps nobody out
    return judged(release.blend, old.blend, data, gate, seed=library.settings.training.seed)


def worse(digest: str, verdict: Verdict) -> MatineeError:
    new, old = round(verdict.new, 3), round(verdict.old, 3)
    return MatineeError(
        "release.worse",
        f"Release {digest} is kept but not in force: on the latest events its NDCG@10 is {new}, that of the one in "
        f"force {old}. Look at the data that came last; to use it nevertheless: matinee releases use {digest}",
        f"版本 {digest} 已保存但未启用：在最近的事件上，它的 NDCG@10 为 {new}，当前版本为 {old}。"
        f"请检查最近的数据；若仍要启用：matinee releases use {digest}",
        exit_code=1,
    )


@dataclass(slots=True)
class Heard:
    """Listens to a blend being fitted: passes on what is done, writes down who refused and with what words, and places
    the progress within one recipe between that of its neighbours. ``steps`` of the whole."""

    progress: Progress
    steps: int
    skipped: dict[str, str] = field(default_factory=dict)
    share: float = 0.0

    def __call__(self, stage: str, share: float) -> None:
        if stage.startswith("skipped "):
            name, _, why = stage.removeprefix("skipped ").partition(": ")
            self.skipped[name] = why
        self.share = share
        self.progress(stage, share)

    def within(self, stage: str, share: float) -> None:
        self.progress(stage, min(self.share + min(max(share, 0.0), 1.0) / self.steps, 1.0))


@dataclass(frozen=True, slots=True)
class Prepared:
    """A recipe as training calls it: with the fused vectors where it goes by them, made of nothing but the rows it
    learns from; and, where it learns in epochs, with checkpoints in ``folder``, so that a killed training goes on."""

    recipe: Recipe
    fusing: Fusing
    folder: Path
    progress: Progress

    @property
    def name(self) -> str:
        return self.recipe.name

    def fit(self, data: Interactions, *, seed: int) -> Model:
        given = self.fusing.over(data) if takes_fused(self.recipe) else data
        if "run" not in inspect.signature(self.recipe.fit).parameters:
            return self.recipe.fit(given, seed=seed)
        from matinee.models.neural.checkpoint import Run, file_name

        recipe: Any = self.recipe
        done = self.folder / f"done-{file_name(given, asdict(recipe), seed)}"
        with suppress(OSError, MatineeError, KeyError):
            return load_model(self.name, tensors.unpack(done.read_bytes()))
        model: Model = recipe.fit(given, seed=seed, run=Run(self.folder, self.progress))
        _keep(done, tensors.pack(model.arrays()))
        return model


def _keep(file: Path, blob: bytes) -> None:
    """Whole or not at all; a disk that refuses costs the next run time, not this one its release."""
    part = file.with_suffix(".part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as out:
            out.write(blob)
            out.flush()
            os.fsync(out.fileno())
        part.replace(file)
    except OSError:
        part.unlink(missing_ok=True)


def read(store: Store, table: StrengthTable = DEFAULT) -> Interactions:
    """The store as arrays: the whole log, with the strengths of ``table``, and per modality the vectors of the items
    that have one."""
    return gathered(store, table, Settings().encoders)[0]


def gathered(
    store: Store, table: StrengthTable, encoders: tuple[str, ...], log: Log | None = None
) -> tuple[Interactions, dict[str, Space]]:
    """The same for the encoders of a library, and the space that each modality is of. ``log``: where it was read
    already."""
    log = store.log() if log is None else log
    items = dict(store.items())
    people = [row for row, _ in store.users()]
    n_items, n_users = max(items, default=-1) + 1, max(people, default=-1) + 1
    known, spaces = features(store, n_items, encoders)
    data = from_log(log, n_users, n_items, known, table)
    facts, groups = fact_vectors(items, n_items), collections_of(items, n_items)
    return replace(data, facts=facts, groups=groups), spaces


def features(
    store: Store, n_items: int, encoders: tuple[str, ...]
) -> tuple[dict[str, Floats], dict[str, Space]]:  # fmt: skip
    """(n_items, dim) float32 by modality, NaN rows where an item has no vector, and the spaces they are of: those of
    the library's encoders (``in_force``). Vectors of two spaces are never compared."""
    found = {space: store.vectors(space) for space in store.spaces() if space.kind}
    spaces = in_force({space: int((rows < n_items).sum()) for space, (rows, _) in found.items()}, encoders)
    out = {}
    for name, space in sorted(spaces.items()):
        rows, vectors = found[space]
        out[name] = np.full((n_items, space.dim), np.nan, np.float32)
        out[name][rows[rows < n_items]] = vectors[rows < n_items]
    return out, spaces


def describe(data: Interactions, recipes: list[Recipe], blended: Blended, library: Library) -> dict[str, Any]:
    """What makes a release: equal descriptions give equal releases."""
    return {
        "format": FORMAT,
        "version": matinee.__version__,
        "seed": library.settings.training.seed,
        "fusion": library.settings.fusion.method,
        "data": data_digest(data),
        "events": len(data),
        "items": data.n_items,
        "users": data.n_users,
        "modalities": sorted(data.features),
        "recipes": {recipe.name: _fields(recipe) for recipe in recipes},
        "blend": _fields(blended),
    }


def data_digest(data: Interactions) -> str:
    """SHA-256 over all columns and features, and their names and shapes."""
    total = hashlib.sha256()
    columns: Mapping[str, Any] = {
        "users": data.users, "items": data.items, "at": data.at, "strength": data.strength,
        "bounds": np.array([data.n_users, data.n_items]),
        "groups": data.groups,
        **{f"feature.{name}": data.features[name] for name in sorted(data.features)},
        **{f"fact.{name}": data.facts[name] for name in sorted(data.facts)},
        **({} if data.pictures is None else {"pictures": data.pictures}),
    }  # fmt: skip
    for name, column in columns.items():
        total.update(f"{name}{column.shape}{column.dtype.str}".encode())
        total.update(np.ascontiguousarray(column).data)
    return total.hexdigest()


def _fields(recipe: Any) -> dict[str, Any]:
    return asdict(recipe)
