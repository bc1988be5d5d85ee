"""A transformer that looks both ways and guesses hidden items: BERT4Rec (Sun et al., CIKM 2019, sections 3.3 to 3.6).
To be asked what comes next, a hidden place is put after the history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from matinee.models.neural.attention import Block, Shape, checked
from matinee.models.neural.checkpoint import ALONE, Run
from matinee.models.neural.served import SequenceModel
from matinee.models.neural.training import fit, plan_of
from matinee.types import Interactions


@dataclass(frozen=True, slots=True)
class BERT4Rec:
    """``mask``: the share of places hidden; the other settings as in SASRec. It learns at few places of a sequence
    only, so it needs more epochs for the same."""

    width: int = 64
    blocks: int = 2
    heads: int = 2
    length: int = 200
    dropout: float = 0.2
    mask: float = 0.2
    epochs: int = 100
    batch: int = 16
    rate: float = 2e-3
    patience: int = 15
    sampled: bool = False
    negatives: int = 2048
    id_dropout: float = 0.4
    modality_dropout: float = 0.2
    warm: float = 5.0
    semantic_levels: int = 2
    semantic_words: int = 64
    dislikes: bool = False
    name: str = "bert4rec"

    def fit(self, data: Interactions, *, seed: int = 0, run: Run = ALONE) -> SequenceModel:
        """O(epochs x events x width x (width + length + mask x items)); see ``training.fit``."""
        shape = checked(self.name, Shape(self.width, self.heads, self.length, self.dropout))
        return fit(self, data, lambda: Cloze(shape, self.blocks), plan_of(self, mask=self.mask), seed, run)


class Cloze(nn.Module):
    """(b, l, width) -> (b, l, width): at every place what it thinks stands there, from all places."""

    def __init__(self, shape: Shape, blocks: int) -> None:
        super().__init__()
        self.mask = nn.Parameter(torch.randn(shape.width))
        self.drop = nn.Dropout(shape.dropout)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(blocks))
        self.norm = nn.LayerNorm(shape.width)

    def hide(self, x: Tensor, hidden: Tensor) -> Tensor:
        """``x`` with the mask's vector where ``hidden`` (b, l)."""
        return torch.where(hidden[:, :, None], self.mask, x)

    def forward(self, x: Tensor, at: Tensor, valid: Tensor) -> Tensor:
        x, unseen = self.drop(x), ~valid[:, None, None, :]
        for block in self.blocks:
            x = block(x, at, unseen)
        return cast(Tensor, self.norm(x))

    def last(self, x: Tensor, at: Tensor) -> Tensor:
        x = torch.cat([x, self.mask.expand(x.shape[0], 1, -1)], 1)
        at = torch.cat([at, at[:, -1:]], 1)
        return self.forward(x, at, torch.ones_like(at, dtype=torch.bool))[:, -1]
