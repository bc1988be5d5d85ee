"""A transformer over the history, read left to right: the SASRec family (Kang and McAuley, ICDM 2018, section III),
with softmax instead of the binary loss and biases by distance instead of vectors of places."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from matinee.models.neural.attention import Block, Shape, ahead, checked
from matinee.models.neural.checkpoint import ALONE, Run
from matinee.models.neural.served import SequenceModel
from matinee.models.neural.training import fit, plan_of
from matinee.types import Interactions


@dataclass(frozen=True, slots=True)
class SASRec:
    """``blocks`` of ``heads`` each, ``width`` wide, over the last ``length`` events. ``time``: attention also knows how
    long ago (needs real times). ``sampled``: softmax over ``negatives`` drawn items, as above 10,000 items always.
    ``warm``: an item watched that often is half its own vector, half its content (``items``). ``patience``: epochs
    without a better validation before it stops. ``dislikes``: a disliked item is read as such and learnt not to be
    shown; else it is passed over."""

    width: int = 128
    blocks: int = 2
    heads: int = 2
    length: int = 200
    dropout: float = 0.2
    time: bool = False
    epochs: int = 11
    batch: int = 16
    rate: float = 2e-3
    patience: int = 8
    sampled: bool = False
    negatives: int = 2048
    id_dropout: float = 0.4
    modality_dropout: float = 0.2
    warm: float = 5.0
    semantic_levels: int = 2
    semantic_words: int = 64
    dislikes: bool = False
    name: str = "sasrec"

    def fit(self, data: Interactions, *, seed: int = 0, run: Run = ALONE) -> SequenceModel:
        """O(epochs x events x width x (width + length + items)); see ``training.fit``."""
        shape = checked(self.name, Shape(self.width, self.heads, self.length, self.dropout, self.time))
        return fit(self, data, lambda: Transformer(shape, self.blocks), plan_of(self), seed, run)


class Transformer(nn.Module):
    """(b, l, width) -> (b, l, width): at every place what comes next, from that place and those before it."""

    def __init__(self, shape: Shape, blocks: int) -> None:
        super().__init__()
        self.drop = nn.Dropout(shape.dropout)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(blocks))
        self.norm = nn.LayerNorm(shape.width)

    def forward(self, x: Tensor, at: Tensor, valid: Tensor) -> Tensor:
        del valid  # padding stands on the right, where nobody looks
        x, unseen = self.drop(x), ahead(at)
        for block in self.blocks:
            x = block(x, at, unseen)
        return self.norm(x)  # type: ignore[no-any-return]

    def last(self, x: Tensor, at: Tensor) -> Tensor:
        return self.forward(x, at, at)[:, -1]
