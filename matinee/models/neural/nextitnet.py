"""Convolutions over the history whose reach doubles from one to the next: NextItNet (Yuan et al., WSDM 2019, section
3.3, figure 3b: two causal convolutions a block, each normed before, added to what came in)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from matinee.models.neural.checkpoint import ALONE, Run
from matinee.models.neural.served import SequenceModel
from matinee.models.neural.training import fit, plan_of
from matinee.types import Interactions


@dataclass(frozen=True, slots=True)
class NextItNet:
    """``dilations``: of each block's first convolution; the second's is twice that. ``kernel``: places a convolution
    sees. The reach is 1 + 3 (kernel - 1) sum(dilations): 91 places by default. The other settings as in SASRec."""

    width: int = 64
    kernel: int = 3
    dilations: tuple[int, ...] = (1, 4, 1, 9)
    length: int = 200
    dropout: float = 0.2
    epochs: int = 30
    batch: int = 16
    rate: float = 2e-3
    patience: int = 5
    sampled: bool = False
    negatives: int = 2048
    id_dropout: float = 0.4
    modality_dropout: float = 0.2
    warm: float = 5.0
    semantic_levels: int = 2
    semantic_words: int = 64
    dislikes: bool = False
    name: str = "nextitnet"

    def fit(self, data: Interactions, *, seed: int = 0, run: Run = ALONE) -> SequenceModel:
        """O(epochs x events x width x (blocks x kernel x width + items)); see ``training.fit``."""
        return fit(self, data, lambda: Convolutions(self), plan_of(self), seed, run)


class Convolutions(nn.Module):
    """(b, l, width) -> (b, l, width): at every place what comes next."""

    def __init__(self, recipe: NextItNet) -> None:
        super().__init__()
        self.drop = nn.Dropout(recipe.dropout)
        reach = [d for first in recipe.dilations for d in (first, 2 * first)]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(recipe.width, recipe.width, recipe.kernel, dilation=d) for d in reach
        )
        self.norms = nn.ModuleList(nn.LayerNorm(recipe.width) for _ in reach)
        self.norm = nn.LayerNorm(recipe.width)
        self.pads = [(recipe.kernel - 1) * d for d in reach]

    def forward(self, x: Tensor, at: Tensor, valid: Tensor) -> Tensor:
        del at, valid
        x = self.drop(x)
        for block in range(0, len(self.pads), 2):
            inner = self._one(self._one(x, block), block + 1)
            x = x + self.drop(inner)
        return cast(Tensor, self.norm(x))

    def _one(self, x: Tensor, at: int) -> Tensor:
        """Padded on the left, so that no place sees what is to come."""
        inner = F.relu(self.norms[at](x)).transpose(1, 2)
        return cast(Tensor, self.convolutions[at](F.pad(inner, (self.pads[at], 0))).transpose(1, 2))

    def last(self, x: Tensor, at: Tensor) -> Tensor:
        return self.forward(x, at, at)[:, -1]
