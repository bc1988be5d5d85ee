"""A block of a transformer, with a learned bias by distance and optionally by time apart (after T5's relative bias,
Raffel et al. 2020, section 2.1, and the time bias of HSTU, Zhai et al. 2024, section 3.2)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from matinee.errors import MatineeError

TIMES = 32  # gaps in powers of two: from a second to a century


class Shape(NamedTuple):
    width: int
    heads: int
    length: int
    dropout: float
    time: bool = False


def checked(name: str, shape: Shape) -> Shape:
    """Raises ``recipe.setting`` where the heads do not divide the width."""
    if shape.width % shape.heads:
        raise MatineeError(
            "recipe.setting",
            f"Recipe {name}: width {shape.width} must be a multiple of heads {shape.heads}.",
            f"模型 {name}：width（{shape.width}）必须是 heads（{shape.heads}）的整数倍。",
        )
    return shape


class Block(nn.Module):
    """Attention, then two layers; each normed before and added to what came in."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.width
        self.heads, self.length = shape.heads, shape.length
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.ask, self.answer = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.back = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.drop = nn.Dropout(shape.dropout)
        self.by_distance = nn.Parameter(torch.zeros(shape.heads, 2 * shape.length + 1))
        self.by_time = nn.Parameter(torch.zeros(shape.heads, TIMES)) if shape.time else None

    def forward(self, x: Tensor, at: Tensor, unseen: Tensor) -> Tensor:
        """``x`` (b, l, width); ``at`` (b, l) seconds; ``unseen`` (1 or b, 1, l, l): where a place must not look."""
        size, length, width = x.shape
        parts = self.ask(self.before(x)).view(size, length, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4).unbind(0)
        bias = self.bias(at).masked_fill(unseen, float("-inf"))
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        x = x + self.drop(self.answer(seen.transpose(1, 2).reshape(size, length, width)))
        return x + self.drop(self.back(F.gelu(self.wide(self.between(x)))))  # type: ignore[no-any-return]

    def bias(self, at: Tensor) -> Tensor:
        """(1 or b, heads, l, l): how much more or less a place looks at another."""
        place = torch.arange(at.shape[1], device=at.device)
        apart = (place[:, None] - place[None, :]).clamp(-self.length, self.length) + self.length
        bias = self.by_distance[:, apart][None]
        if self.by_time is None:
            return bias
        gap = ((at[:, :, None] - at[:, None, :]).abs() + 1).log2().long().clamp(0, TIMES - 1)
        return bias + self.by_time[:, gap].transpose(0, 1)


def ahead(at: Tensor) -> Tensor:
    """(1, 1, l, l): what is to come after each place."""
    place = torch.arange(at.shape[1], device=at.device)
    return (place[:, None] < place[None, :])[None, None]
