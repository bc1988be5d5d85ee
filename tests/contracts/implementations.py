"""Every implementation assigned to its Protocol: nothing runs here, the strict type checker proves that each fits."""

from __future__ import annotations

from pathlib import Path

from matinee.models.blend import Blend
from matinee.models.blended import Blended
from matinee.models.chance import Random, RandomModel
from matinee.models.content import Content, ContentModel
from matinee.models.ease import EASE
from matinee.models.item_knn import ItemKNN
from matinee.models.linear import ItemWeights
from matinee.models.popular import Popular, PopularModel
from matinee.models.transitions import Transitions
from matinee.protocols import Model, Recipe, Scorer, Source, Store
from matinee.store.sqlite import SQLiteStore


def sqlite(path: Path) -> Store:
    return SQLiteStore(path)


def recipes() -> list[Recipe]:
    return [Popular(), Random(), ItemKNN(), EASE(), Transitions(), Content(), Blended()]


def models(
    linear: ItemWeights, popular: PopularModel, chance: RandomModel, content: ContentModel, blend: Blend
) -> list[Model]:
    return [linear, popular, chance, content, blend]


def stages(blend: Blend) -> tuple[Source, Scorer]:
    return blend, blend
