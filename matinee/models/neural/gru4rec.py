"""A recurrent network over the history: GRU4Rec (Hidasi et al., ICLR 2016, section 3; softmax loss as in Hidasi and
Karatzoglou, CIKM 2018, section 3.2). ``cell`` "lstm" takes an LSTM instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn

from matinee.errors import MatineeError
from matinee.models.neural.checkpoint import ALONE, Run
from matinee.models.neural.served import SequenceModel
from matinee.models.neural.training import fit, plan_of
from matinee.types import Interactions

CELLS = {"gru": nn.GRU, "lstm": nn.LSTM}


@dataclass(frozen=True, slots=True)
class GRU4Rec:
    """``hidden``: the recurrent state's width. The other settings as in SASRec."""

    width: int = 64
    hidden: int = 128
    layers: int = 1
    cell: str = "gru"
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
    name: str = "gru4rec"

    def fit(self, data: Interactions, *, seed: int = 0, run: Run = ALONE) -> SequenceModel:
        """O(epochs x events x (hidden^2 + width x items)); see ``training.fit``."""
        if self.cell not in CELLS:
            raise MatineeError(
                "recipe.setting",
                f"Recipe {self.name}: cell is {self.cell!r}; it can be gru or lstm.",
                f"模型 {self.name}：cell 为 {self.cell!r}，只能是 gru 或 lstm。",
            )
        return fit(self, data, lambda: Recurrent(self), plan_of(self), seed, run)


class Recurrent(nn.Module):
    """(b, l, width) -> (b, l, width): at every place what comes next."""

    def __init__(self, recipe: GRU4Rec) -> None:
        super().__init__()
        self.drop = nn.Dropout(recipe.dropout)
        between = recipe.dropout if recipe.layers > 1 else 0.0
        self.cell = CELLS[recipe.cell](recipe.width, recipe.hidden, recipe.layers, batch_first=True, dropout=between)
        self.out = nn.Linear(recipe.hidden, recipe.width)
        self.norm = nn.LayerNorm(recipe.width)

    def forward(self, x: Tensor, at: Tensor, valid: Tensor) -> Tensor:
        del at, valid
        states, _ = self.cell(self.drop(x))
        return cast(Tensor, self.norm(self.out(self.drop(states))))

    def last(self, x: Tensor, at: Tensor) -> Tensor:
        return self.forward(x, at, at)[:, -1]
