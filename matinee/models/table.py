"""The recipes by name. Adding one is a file and a line here; nothing is imported before it is asked for."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from matinee.errors import MatineeError
from matinee.protocols import Model, Recipe


@dataclass(frozen=True, slots=True)
class Entry:
    """``recipe`` and ``model``: "module:class" under ``matinee.models``. ``fields``: what differs from the recipe's
    defaults. ``extra``: the optional dependency that it needs. ``looks``: it wants ``Interactions.pictures``."""

    recipe: str
    model: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    extra: str = ""
    looks: bool = False


RECIPES: dict[str, Entry] = {
    "popular": Entry("popular:Popular", "popular:PopularModel"),
    "popular_recent": Entry("popular:Popular", "popular:PopularModel", {"days": 7.0}),
    "popular_fading": Entry("popular:Popular", "popular:PopularModel", {"half_life": 30.0}),
    "random": Entry("chance:Random", "chance:RandomModel"),
    "item_knn": Entry("item_knn:ItemKNN", "linear:ItemWeights"),
    "user_knn": Entry("user_knn:UserKNN", "user_knn:UserKNNModel"),
    "cooccurrence": Entry("cooccurrence:CoOccurrence", "linear:ItemWeights"),
    "rp3beta": Entry("rp3beta:RP3Beta", "linear:ItemWeights"),
    "ease": Entry("ease:EASE", "linear:ItemWeights"),
    "ease_order_blind": Entry("ease:EASE", "linear:ItemWeights", {"ridge": 500.0, "fade": 0.0, "power": 0.0}),
    "transitions": Entry("transitions:Transitions", "linear:ItemWeights"),
    "transitions_ridge": Entry("ridge:RidgeTransitions", "linear:ItemWeights"),
    "transitions_memories": Entry("memories:Memories", "memories:MemoriesModel"),
    "ials": Entry("als:IALS", "factors:Factors"),
    "bpr": Entry("bpr:BPR", "factors:Factors"),
    "explicit_mf": Entry("explicit:ExplicitMF", "explicit:ExplicitModel"),
    "marec": Entry("marec:MARec", "marec:MARecModel"),
    "lambdarank": Entry("ranked:LambdaRank", "ranked:RankedModel", {}, "ranker"),
    "default": Entry("default:Default", "blend:Blend"),
    "blend": Entry("blended:Blended", "blend:Blend"),
    "blend_even": Entry("blended:Blended", "blend:Blend", {"learn": False}),
    "switching": Entry("switching:Switching", "switching:SwitchingModel"),
    "blend_closed_form": Entry("blended:Blended", "blend:Blend", {"recipes": ("transitions_memories", "ease")}),
    "content": Entry("content:Content", "content:ContentModel"),
    "sasrec": Entry("neural.sasrec:SASRec", "neural.served:SequenceModel", extra="neural"),
    "gru4rec": Entry("neural.gru4rec:GRU4Rec", "neural.served:SequenceModel", extra="neural"),
    "lstm4rec": Entry("neural.gru4rec:GRU4Rec", "neural.served:SequenceModel", {"cell": "lstm"}, extra="neural"),
    "bert4rec": Entry("neural.bert4rec:BERT4Rec", "neural.served:SequenceModel", extra="neural"),
    "nextitnet": Entry("neural.nextitnet:NextItNet", "neural.served:SequenceModel", extra="neural"),
    "frames_cnn": Entry("neural.frames_cnn:FramesCNN", "neural.seen:SeenModel", extra="neural", looks=True),
    "two_tower": Entry("neural.two_tower:TwoTower", "neural.served:SequenceModel", extra="neural"),
    "content_memories": Entry("content:Content", "content:ContentModel", {"short": 0.5}),
    "content_text": Entry("content:Content", "content:ContentModel", {"modalities": ("text",)}),
    "content_frames": Entry("content:Content", "content:ContentModel", {"modalities": ("frames",)}),
    "content_sound": Entry("content:Content", "content:ContentModel", {"modalities": ("sound",)}),
    "content_euclid": Entry("content_euclid:ContentEuclid", "content_euclid:ContentEuclidModel"),
    "content_interests": Entry("interests:Interests", "interests:InterestsModel"),
}


def looks(names: Iterable[str]) -> bool:
    """Whether one of these recipes, or of those that it blends, wants the items' pictures."""
    for name in names:
        entry = RECIPES.get(name)
        if entry is not None and (entry.looks or looks(entry.fields.get("recipes", ()))):
            return True
    return False


def load_recipe(name: str, fields: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe of a name, with ``fields`` over its own. Raises ``recipe.unknown`` (with the nearest name),
    ``recipe.setting`` for a field that it lacks, ``recipe.extra_missing`` where a dependency is not installed."""
    entry = _entry(name)
    given = {"name": name, **entry.fields, **(fields or {})}
    made = _load(name, entry.recipe, entry.extra)
    known = [f for f in made.__dataclass_fields__ if f != "name"]
    for key in given:
        if key not in made.__dataclass_fields__:
            near = _nearest(key, known)
            raise MatineeError(
                "recipe.setting",
                f"Recipe {name} has no setting {key}.{near[0]} It has: {', '.join(known) or 'none'}.",
                f"模型 {name} 没有设置项 {key}。{near[1]}可用的设置项：{', '.join(known) or '无'}。",
            )
    return cast(Recipe, made(**given))


def load_model(name: str, arrays: Mapping[str, Any]) -> Model:
    """A trained model from its name and ``Model.arrays``."""
    entry = _entry(name)
    return cast(Model, _load(name, entry.model, entry.extra).from_arrays(name, arrays))


def _entry(name: str) -> Entry:
    if name not in RECIPES:
        near = _nearest(name, list(RECIPES))
        raise MatineeError(
            "recipe.unknown",
            f"There is no recipe {name!r}.{near[0]} The recipes are: {', '.join(RECIPES)}.",
            f"没有名为 {name!r} 的模型。{near[1]}可用的模型：{', '.join(RECIPES)}。",
        )
    return RECIPES[name]


def _nearest(name: str, names: list[str]) -> tuple[str, str]:
    close = difflib.get_close_matches(name, names, 1, 0.5)
    return (f" Did you mean {close[0]}?", f"您是否想用 {close[0]}？") if close else ("", "")


def _load(name: str, target: str, extra: str) -> Any:
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(f"matinee.models.{module}"), attribute)
    except ModuleNotFoundError as error:
        if not extra:
            raise
        raise extra_missing(name, error, extra) from error


def extra_missing(name: str, error: ModuleNotFoundError, extra: str) -> MatineeError:
    """What a recipe says whose optional dependency is not installed."""
    return MatineeError(
        "recipe.extra_missing",
        f"Recipe {name} needs {error.name}, which is not installed. Install: pip install 'matinee[{extra}]'",
        f"模型 {name} 需要 {error.name}，但尚未安装。请安装：pip install 'matinee[{extra}]'",
    )
