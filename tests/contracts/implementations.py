"""Every implementation assigned to its Protocol: nothing runs here, the strict type checker proves that each fits."""

from __future__ import annotations

from pathlib import Path

from matinee.encoders.classic import ColourAndShape, HashedWords, Timbre
from matinee.encoders.classic_fitted import TfIdf, VisualWords
from matinee.encoders.frames import FrameEncoder
from matinee.encoders.fuse import CCA, Additive, Concat, Fuser, Fusion, WeightedSum
from matinee.encoders.fuse_learned import Beside, Contrastive, Gated, Ridge
from matinee.encoders.hub.export import OnnxNetwork
from matinee.encoders.hub.networks import HubClips, HubFrames, HubSound, HubText, Network, TorchNetwork
from matinee.encoders.sound import SoundEncoder
from matinee.encoders.text import TextEncoder
from matinee.index.exact import ExactIndex
from matinee.metrics.ranking import Ranking
from matinee.models.als import IALS
from matinee.models.blend import Blend
from matinee.models.blended import Blended
from matinee.models.bpr import BPR
from matinee.models.chance import Random, RandomModel
from matinee.models.content import Content, ContentModel
from matinee.models.content_euclid import ContentEuclid, ContentEuclidModel
from matinee.models.cooccurrence import CoOccurrence
from matinee.models.default import Default
from matinee.models.ease import EASE
from matinee.models.explicit import ExplicitMF, ExplicitModel
from matinee.models.factors import Factors
from matinee.models.interests import Interests, InterestsModel
from matinee.models.item_knn import ItemKNN
from matinee.models.linear import ItemWeights
from matinee.models.marec import MARec, MARecModel
from matinee.models.memories import Memories, MemoriesModel
from matinee.models.neural.bert4rec import BERT4Rec
from matinee.models.neural.gru4rec import GRU4Rec
from matinee.models.neural.nextitnet import NextItNet
from matinee.models.neural.sasrec import SASRec
from matinee.models.neural.served import SequenceModel
from matinee.models.neural.two_tower import TwoTower
from matinee.models.popular import Popular, PopularModel
from matinee.models.ranked import LambdaRank, RankedModel
from matinee.models.ridge import RidgeTransitions
from matinee.models.rp3beta import RP3Beta
from matinee.models.switching import Switching, SwitchingModel
from matinee.models.transitions import Transitions
from matinee.models.user_knn import UserKNN, UserKNNModel
from matinee.pipeline import sources
from matinee.pipeline.catalogue import Catalogue
from matinee.pipeline.experts import Grown
from matinee.pipeline.filters import Alive, Excluded, Hidden, InCategories, InCollection, Out, Seen
from matinee.pipeline.fused import Fuses
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
from matinee.serve.arrivals import Arrived
from matinee.serve.factored import Factored
from matinee.serve.quick import QuickBlend
from matinee.store.postgres.store import PostgresStore
from matinee.store.sqlite import SQLiteStore
from matinee.train import Prepared
from matinee.types import Floats, Ints


def sqlite(path: Path) -> Store:
    return SQLiteStore(path)


def postgres(url: str) -> Store:
    return PostgresStore(url)


def recipes() -> list[Recipe]:
    return [
        Popular(), Random(), ItemKNN(), UserKNN(), CoOccurrence(), RP3Beta(), EASE(), Transitions(), RidgeTransitions(),
        Memories(), IALS(), BPR(), ExplicitMF(), MARec(), Content(), ContentEuclid(), Interests(), Blended(), Default(),
        Switching(), LambdaRank(),
    ]  # fmt: skip


def deep(model: SequenceModel) -> tuple[list[Recipe], Model]:
    return [SASRec(), GRU4Rec(), BERT4Rec(), NextItNet(), TwoTower()], model


def models(
    linear: ItemWeights, popular: PopularModel, chance: RandomModel, content: ContentModel, blend: Blend
) -> list[Model]:
    return [linear, popular, chance, content, blend]


def more_models(
    people: UserKNNModel, memories: MemoriesModel, factors: Factors, ratings: ExplicitModel, marec: MARecModel
) -> list[Model]:
    return [people, memories, factors, ratings, marec]


def hybrid_models(
    euclid: ContentEuclidModel, interests: InterestsModel, switching: SwitchingModel, ranked: RankedModel
) -> list[Model]:
    return [euclid, interests, switching, ranked]


def served_models(arrived: Arrived, factored: Factored) -> list[Model]:
    return [arrived, factored]


def stages(blend: Blend) -> tuple[Source, Scorer]:
    return blend, blend


def index(rows: Ints, vectors: Floats) -> VectorIndex:
    return ExactIndex(rows, vectors)


def request_path(
    c: Catalogue, p: Popularity, model: Model, blend: QuickBlend
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


def fitted(words: TfIdf, visual: VisualWords) -> list[Encoder]:
    return [words, visual]


def hub(text: HubText, frames: HubFrames, clips: HubClips, sound: HubSound) -> list[Encoder]:
    return [text, frames, clips, sound]


def networks(torch: TorchNetwork, exported: OnnxNetwork) -> list[Network]:
    return [torch, exported]


def fused(fuser: Fuser, prepared: Prepared) -> tuple[Fuses, Recipe]:
    return fuser, prepared


def fusions() -> list[Fusion]:
    return [Concat(), Additive(), WeightedSum(), CCA(), Gated(), Ridge(), Beside(), Contrastive()]
