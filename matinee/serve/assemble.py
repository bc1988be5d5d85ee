"""Which stages make up the recommender of this library: one with a release, one before any training."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from matinee.errors import MatineeError
from matinee.models.blend import Blend
from matinee.models.content import ContentModel
from matinee.pipeline.catalogue import Catalogue
from matinee.pipeline.experts import Grown
from matinee.pipeline.filters import Alive, Excluded, Hidden, InCategories, InCollection, Out, Seen
from matinee.pipeline.popularity import Popularity
from matinee.pipeline.reasons import FromExperts
from matinee.pipeline.recommender import Recommender
from matinee.pipeline.scorers import ByHistory
from matinee.pipeline.selectors import MMR
from matinee.pipeline.sources import Everything, Nearest, New, Popular, Starter
from matinee.protocols import Model, Store
from matinee.release import Release, load_release
from matinee.serve.find import Words
from matinee.settings import Library, Serving

log = logging.getLogger("matinee.serve")
TOGETHER = ("item_knn", "ease", "transitions")  # experts that say what is watched by the same people


@dataclass(frozen=True)
class State:
    """All that a request reads, swapped whole: the recommender is made of exactly this catalogue and this release."""

    catalogue: Catalogue
    popularity: Popularity
    recommender: Recommender
    release: str = ""
    behaviour: tuple[Model, ...] = ()  # the models that learnt from what people did together
    trained: Release | None = None

    @cached_property
    def words(self) -> Words:
        return Words.of(self.catalogue)

    def over(self, catalogue: Catalogue, popularity: Popularity, serving: Serving) -> State:
        """The same release over a changed catalogue or newer counts."""
        return made(catalogue, popularity.grown(catalogue.size), serving, self.trained)


def assembled(
    library: Library, store: Store, catalogue: Catalogue, popularity: Popularity, old: Release | None
) -> State:
    """The state of a library: with the release in force, or without one. A release that cannot be read is said in the
    log, and the one before it goes on serving."""
    return made(catalogue, popularity.grown(catalogue.size), library.settings.serving, in_force(library, store, old))


def in_force(library: Library, store: Store, old: Release | None) -> Release | None:
    named = store.release()
    if named is None or (old is not None and old.digest == named[0]):
        return None if named is None else old
    try:
        return load_release(library.releases / named[0])
    except MatineeError as error:
        log.error("release %s: %s", named[0], error)
        return old


def made(catalogue: Catalogue, popularity: Popularity, serving: Serving, trained: Release | None) -> State:
    if trained is None:
        return State(catalogue, popularity, untrained(catalogue, popularity, serving))
    nearest, popular = Nearest(catalogue), Popular(catalogue, popularity)
    starter = Starter(catalogue, popularity)
    experts: tuple[Model, ...] = tuple(
        Grown(model, nearest) if isinstance(model, ContentModel) else model for model in trained.models.values()
    )
    weights = np.array([trained.weights[name] for name in trained.models], np.float32)
    blend = Blend(experts, weights)
    voiced = tuple(e for e, w in zip(experts, weights, strict=True) if w > 0)
    seeking = voiced if any(isinstance(e, Grown) for e in voiced) else (*voiced, nearest)
    recommender = Recommender(
        sources=(*seeking, popular, starter, New(catalogue), Everything(catalogue)),
        filters=filters(catalogue),
        scorer=ByHistory(blend, starter),
        selector=MMR(catalogue, serving.diversity),
        reasoner=FromExperts(catalogue, popularity, blend),
        release=trained.digest,
        pool=serving.pool,
    )
    behaviour = tuple(e for e in voiced if e.name in TOGETHER)
    return State(catalogue, popularity, recommender, trained.digest, behaviour, trained)


def untrained(catalogue: Catalogue, popularity: Popularity, serving: Serving) -> Recommender:
    """Content, popularity and a varied start: what a library offers before its first training."""
    nearest, popular = Nearest(catalogue), Popular(catalogue, popularity)
    starter = Starter(catalogue, popularity)
    mix = Blend((nearest, popular), np.array([0.7, 0.3], np.float32))  # taste goes first
    return Recommender(
        sources=(nearest, popular, starter, New(catalogue), Everything(catalogue)),
        filters=filters(catalogue),
        scorer=ByHistory(mix, starter),
        selector=MMR(catalogue, serving.diversity),
        reasoner=FromExperts(catalogue, popularity, mix),
        pool=serving.pool,
    )


def filters(
    catalogue: Catalogue,
) -> tuple[Alive, Out, Seen, Hidden, InCollection, InCategories, Excluded]:
    return (
        Alive(catalogue), Out(catalogue), Seen(), Hidden(), InCollection(catalogue), InCategories(catalogue), Excluded()
    )  # fmt: skip
