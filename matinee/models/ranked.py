"""LambdaRank over experts (Burges 2010, "From RankNet to LambdaRank to LambdaMART"): boosted trees order the experts'
pool by their scores, by popularity over several windows, by freshness and by how much is known of item and person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from matinee.models.blend import POOL, Blend, learn_weights, level, standard
from matinee.models.common import top
from matinee.models.holdout import Slice, latest_slice
from matinee.models.popular import PopularModel
from matinee.models.table import extra_missing, load_recipe
from matinee.models.trees import Trees, from_dump
from matinee.protocols import Model
from matinee.types import Candidates, Doubles, Floats, Interactions, Ints, Query

DAY = 86400.0
EXPERTS = (
    "popular", "popular_recent", "popular_fading", "item_knn", "ease", "transitions", "ials", "content",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class LambdaRank:
    """``recipes``: the experts; ``share`` of the log, the latest, and ``cases`` drawn from it teach the trees. Of those
    the last fifth by time is not taught but asked whether the trees beat the experts' weighted mean (``Blend``); if
    they do not, the mean answers. ``near``: the candidates of each case that the trees see, the best by the mean."""

    recipes: tuple[str, ...] = EXPERTS
    share: float = 0.15
    cases: int = 2500
    near: int = 60
    rounds: int = 120
    leaves: int = 15
    rate: float = 0.05
    name: str = "lambdarank"

    def fit(self, data: Interactions, *, seed: int = 0) -> RankedModel:
        """Twice the cost of its experts and that of the trees. Needs LightGBM (extra ``ranker``); serving does not."""
        try:
            import lightgbm  # noqa: F401  its absence is better told before the experts are fitted
        except ModuleNotFoundError as error:
            raise extra_missing(self.name, error, "ranker") from error
        recipes = [load_recipe(name) for name in self.recipes]
        held = latest_slice(data, share=self.share, most=self.cases, seed=seed)
        trial = tuple(recipe.fit(held.earlier, seed=seed) for recipe in recipes)
        weights = learn_weights(trial, held.cases[::2], data.n_items)
        judge = RankedModel(
            self.name, Blend(trial, weights), _first(held.earlier), _count(held.earlier), _no_trees(), self.near
        )
        trees = self._learn(judge, held, seed)
        models = tuple(recipe.fit(data, seed=seed) for recipe in recipes)
        return RankedModel(self.name, Blend(models, weights), _first(data), _count(data), trees, self.near)

    def _learn(self, judge: RankedModel, held: Slice, seed: int) -> Trees:
        cases = sorted(held.cases, key=lambda case: case[0].now)
        sets = [found for query, item in cases if (found := self._case(judge, query, item)) is not None]
        cut = len(sets) * 4 // 5
        if cut < 50:
            return _no_trees()
        trees = self._grow(sets[:cut], seed)
        ours, theirs = [], []
        for x, mean in sets[cut:]:
            place = [int((s >= s[0]).sum()) - 1 for s in (trees.predict(x), mean)]
            gain = [1 / np.log2(p + 2) if p < 10 else 0.0 for p in place]
            ours.append(gain[0])
            theirs.append(gain[1])
        return trees if np.mean(ours) > np.mean(theirs) else _no_trees()

    def _case(self, judge: RankedModel, query: Query, item: int) -> tuple[Floats, Floats] | None:
        """(features, weighted means) of the item that was watched, first, and of the other ``near`` best; None where
        it is not among them."""
        pool = judge.blend.pool(query, POOL)
        if item not in pool.items:
            return None
        keep = ~np.isin(pool.items, query.history.items) | (pool.items == item)
        pool = pool.take(keep)
        features, mean = judge.features(query, pool)
        mean = np.nan_to_num(mean, nan=-1e9)
        order = np.argsort(-mean, kind="stable")[: self.near]
        here = np.flatnonzero(pool.items[order] == item)
        if not len(here):  # taught all the same it would be the one low candidate, and low would seem good
            return None
        order = np.r_[order[here], np.delete(order, here)]
        return features[order], mean[order]

    def _grow(self, sets: list[tuple[Floats, Floats]], seed: int) -> Trees:
        import lightgbm

        sizes = [len(x) for x, _ in sets]
        label = np.concatenate([np.r_[1, np.zeros(n - 1)] for n in sizes])
        data = lightgbm.Dataset(np.concatenate([x for x, _ in sets]), label, group=sizes, free_raw_data=True)
        settings = {
            "objective": "lambdarank", "lambdarank_truncation_level": 15, "learning_rate": self.rate,
            "num_leaves": self.leaves, "min_data_in_leaf": 50, "feature_fraction": 0.8, "bagging_fraction": 0.8,
            "bagging_freq": 1, "lambda_l2": 1.0, "seed": seed, "deterministic": True, "force_row_wise": True,
            "num_threads": 2, "verbosity": -1,
        }  # fmt: skip
        return from_dump(lightgbm.train(settings, data, num_boost_round=self.rounds).dump_model())


@dataclass(frozen=True, slots=True)
class RankedModel:
    """``blend``: the experts and their weighted mean; ``first`` (n,): when an item was first watched (0: never);
    ``count`` (n,): how often; ``trees`` order the ``near`` best by the weighted mean among what is not in the history,
    which is what they were taught on; with none the weighted mean answers. Scores hold within one set
    of candidates."""

    name: str
    blend: Blend
    first: Doubles
    count: Ints
    trees: Trees
    near: int

    @property
    def models(self) -> tuple[Model, ...]:
        return self.blend.models

    def features(self, query: Query, candidates: Candidates) -> tuple[Floats, Floats]:
        """(n, 2 x experts + 4) and (n,) float32. Experts' scores on the common scale, and as they are where they count
        watches; the weighted mean; days since the first watch; log(1 + watches); log(1 + length of the history). The
        mean comes a second time by itself."""
        raw = np.stack([model.score(query, candidates) for model in self.models], 1)
        z = np.stack([standard(column) for column in raw.T], 1)
        counts = np.where([isinstance(m, PopularModel) for m in self.models], raw, np.float32(0))
        n = len(candidates)
        inside = np.flatnonzero((candidates.items >= 0) & (candidates.items < len(self.first)))
        inside = inside[self.count[candidates.items[inside]] > 0]
        rows = candidates.items[inside]
        age, watches = np.full(n, np.nan), np.zeros(n)
        age[inside] = (query.now - self.first[rows]) / DAY
        watches[inside] = np.log1p(self.count[rows])
        length = np.full(n, np.log1p(len(query.history)))
        mean = level(z, self.blend.weights)
        return np.column_stack([z, counts, mean, age, watches, length]).astype(np.float32), mean

    def retrieve(self, query: Query, n: int) -> Candidates:
        """The best n of the union of every expert's best ``max(n, 200)``."""
        pool = self.blend.pool(query, max(n, POOL))
        best = top(self.score(query, pool), n)
        return replace(best, items=pool.items[best.items])

    def score(self, query: Query, candidates: Candidates) -> Floats:
        features, mean = self.features(query, candidates)
        if not len(self.trees.roots) or not len(candidates):
            return mean
        fresh = np.flatnonzero(~np.isnan(mean) & ~np.isin(candidates.items, query.history.items))
        near = fresh[np.argsort(-mean[fresh], kind="stable")[: self.near]]
        if not len(near):
            return mean
        trees = self.trees.predict(features[near])
        out = mean.copy()
        out[near] = np.nanmax(mean) + 1 + trees - trees.min()
        return out

    def explain(self, query: Query, items: Ints) -> Floats:
        """The experts' own explanations, weighed (``Blend.explain``); they do not sum to the score."""
        return self.blend.explain(query, items)

    def arrays(self) -> Mapping[str, Any]:
        trees = {f"trees.{key}": array for key, array in self.trees.arrays().items()}
        blend = {f"blend/{key}": array for key, array in self.blend.arrays().items()}
        return {"first": self.first, "count": self.count, "near": np.int64(self.near), **trees, **blend}

    @staticmethod
    def from_arrays(name: str, arrays: Mapping[str, Any]) -> RankedModel:
        trees = Trees.from_arrays({k.removeprefix("trees."): a for k, a in arrays.items() if k.startswith("trees.")})
        theirs = {k.removeprefix("blend/"): a for k, a in arrays.items() if k.startswith("blend/")}
        return RankedModel(
            name, Blend.from_arrays("blend", theirs), arrays["first"], arrays["count"], trees, int(arrays["near"])
        )


def _no_trees() -> Trees:
    return from_dump({"tree_info": []})


def _first(data: Interactions) -> Doubles:
    first = np.full(data.n_items, np.inf)
    keep = (data.strength > 0) & np.isfinite(data.at)
    np.minimum.at(first, data.items[keep], data.at[keep])
    return np.where(np.isfinite(first), first, 0.0)


def _count(data: Interactions) -> Ints:
    return np.bincount(data.items[data.strength > 0], minlength=data.n_items).astype(np.int64)
