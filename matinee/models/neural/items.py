"""The item encoder that all sequence models share: e_i = LN(m_i v_i + sum_m g_m W_m c_i^m + g_s sum_l s_l(i)).

An item is its own vector v_i plus what it reads, looks and sounds like (c_i^m, projected), plus the vectors of its
semantic ids (``semantic``), which items of like content share. While training, v_i is
dropped at times, so that content alone must do. When asked, m_i = n_i / (n_i + k) lets an item grow from its content
into its own vector as it is watched, without a jump. An item nobody has watched is its content.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from matinee.models.neural.semantic import dims_of, side_by_side, words
from matinee.models.neural.vectors import Content
from matinee.types import Floats, Ints

START = 0.005  # a norm follows, so the size is free; small vectors turn faster (docs/neural.md)


@dataclass(frozen=True, slots=True)
class Drops:
    """Chances while training. ``id``: of an item's own vector, where the item has content; ``modality``: of each,
    and of the semantic ids."""

    id: float = 0.4
    modality: float = 0.2


class ItemEncoder(nn.Module):
    """``watches`` (n,): positive rows of each item; ``content``: standardised features; ``half``: k above; ``books``:
    of ``semantic.codebooks``."""

    def __init__(
        self, watches: Ints, content: Mapping[str, Content], width: int, drops: Drops, half: float, books: Floats
    ) -> None:
        super().__init__()
        self.books = books
        rows, has = side_by_side(content, dims_of(content), len(watches))
        self.register_buffer("words", torch.from_numpy(words(rows, books)), persistent=False)
        self.register_buffer("worded", torch.from_numpy(has & bool(len(books))), persistent=False)
        if len(books):
            self.semantic = nn.Parameter(torch.randn(books.shape[0] * books.shape[1], width) * START)
            self.semantic_gate = nn.Parameter(torch.ones(()))
        self.drops, self.names = drops, sorted(content)
        self.own = nn.Parameter(torch.randn(len(watches), width) * START)
        self.gates = nn.ParameterDict({name: nn.Parameter(torch.ones(())) for name in self.names})
        self.project = nn.ModuleDict({name: nn.Linear(content[name].dim, width, bias=False) for name in self.names})
        self.norm = nn.LayerNorm(width)
        trust = torch.from_numpy((watches / (watches + half)).astype(np.float32))
        self.register_buffer("trust", trust, persistent=False)
        for name in self.names:
            self.register_buffer(f"content_{name}", torch.from_numpy(content[name].rows), persistent=False)
            self.register_buffer(f"has_{name}", torch.from_numpy(content[name].has), persistent=False)
            nn.init.normal_(self.project[name].get_parameter("weight"), std=START * content[name].dim ** -0.5)

    def forward(self, rows: Tensor | None = None) -> Tensor:
        """(k, width) of item rows, or of all."""
        own = _take(self.own, rows)
        total, backed = torch.zeros_like(own), torch.zeros(len(own), dtype=torch.bool, device=own.device)
        for name in self.names:
            keep = _take(self.get_buffer(f"has_{name}"), rows)
            if self.training:
                keep = keep & (torch.rand(len(own), device=own.device) >= self.drops.modality)
            part = self.project[name](_take(self.get_buffer(f"content_{name}"), rows))
            total = total + self.gates[name] * part * keep[:, None]
            backed = backed | keep
        if len(self.books):
            keep = _take(self.get_buffer("worded"), rows)
            if self.training:
                keep = keep & (torch.rand(len(own), device=own.device) >= self.drops.modality)
            shared = self.semantic[_take(self.get_buffer("words"), rows)].sum(1)
            total = total + self.semantic_gate * shared * keep[:, None]
            backed = backed | keep
        if not self.training:
            own = own * _take(self.get_buffer("trust"), rows)[:, None]
        elif self.names:
            own = own * ~(backed & (torch.rand(len(own), device=own.device) < self.drops.id))[:, None]
        return cast(Tensor, self.norm(total + own))

    def weights(self) -> dict[str, Floats]:
        """What ``vectors.Table`` needs to encode items without PyTorch."""
        out = {"own": self.own, "trust": self.get_buffer("trust"), "scale": self.norm.weight, "shift": self.norm.bias}
        for name in self.names:
            out[f"project.{name}"] = self.gates[name] * self.project[name].get_parameter("weight")
        if len(self.books):
            out["semantic"], out["books"] = self.semantic_gate * self.semantic, torch.from_numpy(self.books)
        return {key: value.detach().cpu().numpy().astype(np.float32) for key, value in out.items()}


def _take(values: Tensor, rows: Tensor | None) -> Tensor:
    return values if rows is None else values[rows]
