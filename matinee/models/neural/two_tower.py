"""Two towers: a small network makes a vector of the history, the item encoder one of the item; their product is the
score. Sampled softmax over the batch with the logQ correction (Yi et al., RecSys 2019, sections 3 and 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from matinee.models.neural.checkpoint import ALONE, Run
from matinee.models.neural.served import SequenceModel
from matinee.models.neural.training import fit, plan_of
from matinee.types import Interactions


@dataclass(frozen=True, slots=True)
class TwoTower:
    """The user's tower sees the last item and the mean of the history, fading with a learned power of the place; it has
    ``layers`` of ``hidden``. The item's tower is the item encoder that all share. ``sampled`` off takes the softmax
    over all items. The other settings as in SASRec."""

    width: int = 64
    hidden: int = 256
    layers: int = 2
    length: int = 200
    dropout: float = 0.2
    epochs: int = 30
    batch: int = 16
    rate: float = 2e-3
    patience: int = 5
    sampled: bool = True
    negatives: int = 2048
    id_dropout: float = 0.4
    modality_dropout: float = 0.2
    warm: float = 5.0
    semantic_levels: int = 2
    semantic_words: int = 64
    dislikes: bool = False
    name: str = "two_tower"

    def fit(self, data: Interactions, *, seed: int = 0, run: Run = ALONE) -> SequenceModel:
        """O(epochs x events x (hidden^2 + width x (negatives + length))); see ``training.fit``."""
        return fit(self, data, lambda: UserTower(self), plan_of(self), seed, run)


class UserTower(nn.Module):
    """(b, l, width) -> (b, l, width): at every place the user as known by then."""

    def __init__(self, recipe: TwoTower) -> None:
        super().__init__()
        self.power = nn.Parameter(torch.tensor(0.5))
        wide = [2 * recipe.width, *[recipe.hidden] * (recipe.layers - 1)]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(wide, [*wide[1:], recipe.width], strict=True))
        self.drop = nn.Dropout(recipe.dropout)
        self.norm = nn.LayerNorm(recipe.width)

    def forward(self, x: Tensor, at: Tensor, valid: Tensor) -> Tensor:
        del valid
        place = torch.arange(at.shape[1], device=at.device)
        apart = place[:, None] - place[None, :]
        weight = (apart.clamp(min=0) + 1.0) ** -self.power.abs() * (apart >= 0)
        mean = (weight / weight.sum(1, keepdim=True)) @ x
        state = self.drop(torch.cat([x, mean], 2))
        for layer in self.layers[:-1]:
            state = self.drop(F.gelu(layer(state)))
        return cast(Tensor, self.norm(self.layers[-1](state)))

    def last(self, x: Tensor, at: Tensor) -> Tensor:
        return self.forward(x, at, at)[:, -1]
