"""Every implementation assigned to its Protocol: nothing runs here, the strict type checker proves that each fits."""

from __future__ import annotations

from pathlib import Path

from matinee.encoders.classic import ColourAndShape, HashedWords, Timbre
from matinee.encoders.frames import FrameEncoder
from matinee.encoders.sound import SoundEncoder
from matinee.encoders.text import TextEncoder
from matinee.index.exact import ExactIndex
from matinee.metrics.ranking import Ranking
from matinee.models.blend import Blend
from matinee.models.blended import Blended
from matinee.models.chance import Random, RandomModel
from matinee.models.content import Content, ContentModel
from matinee.models.ease import EASE
from matinee.models.item_knn import ItemKNN
from matinee.models.linear import ItemWeights
from matinee.models.neural.bert4rec import BERT4Rec
from matinee.models.neural.gru4rec import GRU4Rec
from matinee.models.neural.nextitnet import NextItNet
from matinee.models.neural.sasrec import SASRec
from matinee.models.neural.served import SequenceModel
from matinee.models.neural.two_tower import TwoTower
from matinee.models.popular import Popular, PopularModel
from matinee.models.transitions import Transitions
from matinee.pipeline import sources
from matinee.pipeline.catalogue import Catalogue
from matinee.pipeline.experts import Grown
from matinee.pipeline.filters import Alive, Excluded, Hidden, InCategories, InCollection, Out, Seen
from matinee.pipeline.popularity import Popularity
from matinee.pipeline.reasons import FromExperts
from matinee.pipeline.recommender import Reasoner
from matinee.pipeline.scorers import ByHistory
from matinee.pipeline.selectors import MMR, Top
from matinee.protocols import (
    Encoder,
    Filter,
    Labeller,
    Metric,
    Model,
    Recipe,
    Scorer,
    Selector,
    Source,
    Store,
    VectorIndex,
)
from matinee.store.postgres.store import PostgresStore
from matinee.store.sqlite import SQLiteStore
from matinee.types import Floats, Ints


def sqlite(path: Path) -> Store:
    return SQLiteStore(path)


def postgres(url: str) -> Store:
    return PostgresStore(url)


def recipes() -> list[Recipe]:
    return [Popular(), Random(), ItemKNN(), EASE(), Transitions(), Content(), Blended()]


def deep(model: SequenceModel) -> tuple[list[Recipe], Model]:
    return [SASRec(), GRU4Rec(), BERT4Rec(), NextItNet(), TwoTower()], model


def models(
    linear: ItemWeights, popular: PopularModel, chance: RandomModel, content: ContentModel, blend: Blend
) -> list[Model]:
    return [linear, popular, chance, content, blend]


def stages(blend: Blend) -> tuple[Source, Scorer]:
    return blend, blend


def index(rows: Ints, vectors: Floats) -> VectorIndex:
    return ExactIndex(rows, vectors)


def request_path(
    c: Catalogue, p: Popularity, model: Model, blend: Blend
) -> tuple[list[Source], list[Filter], list[Scorer], list[Selector], list[Model], Reasoner]:
    nearest, popular, starter = sources.Nearest(c), sources.Popular(c, p), sources.Starter(c, p)
    return (
        [nearest, popular, starter, sources.New(c), sources.Everything(c)],
        [Alive(c), Out(c), Seen(), Hidden(), InCollection(c), InCategories(c), Excluded()],
        [nearest, popular, starter, sources.New(c), ByHistory(nearest, starter)],
        [Top(), MMR(c)],
        [nearest, popular, Grown(model, nearest)],
        FromExperts(c, p, blend),
    )


def metrics() -> list[Metric]:
    return [Ranking("ndcg", 10)]


def encoders(text: TextEncoder, frames: FrameEncoder, sound: SoundEncoder) -> list[Encoder]:
    return [text, frames, sound, HashedWords(), ColourAndShape(), Timbre()]


def labellers(frames: FrameEncoder, sound: SoundEncoder) -> list[Labeller]:
    return [frames, sound]
