"""What a sequence model learns by: softmax over all items, or over some with the logQ correction.

Full or sampled softmax beats the binary loss of the SASRec paper by far (Klenitskiy and Vasilev 2023, RecSys, table 2).
What was disliked is learnt by the loss of not recommending it, -log(1 - p) (Wang et al. 2023, RecSys, "Learning from
Negative User Feedback", section 3).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = 512  # rows of logits at once: 512 x 4,000 floats stay in a processor's cache
LEAST = 1e-6  # chance left to all but a disliked item


class FullSoftmax(torch.autograd.Function):
    """Mean cross-entropy of (n, d) states against all (m, d) items, the n x m logits never whole in memory: gradients
    are made chunk by chunk in the forward pass. ``liked`` (n,) or None: where false, -log(1 - p) of the target in its
    place. O(n m d) time, O(CHUNK m) extra space."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, items: Tensor, targets: Tensor, liked: Tensor | None) -> Tensor:
        n = max(len(states), 1)
        to_states, to_items = torch.empty_like(states), torch.zeros_like(items)
        loss = states.new_zeros(())
        size = CHUNK if states.device.type == "cpu" else 16 * CHUNK
        for at in range(0, len(states), size):
            part, right = states[at : at + size], targets[at : at + size, None]
            chance = part @ items.T
            chance -= chance.amax(1, keepdim=True)
            wanted = chance.gather(1, right)
            total = chance.exp_().sum(1, keepdim=True)
            chance /= total
            own = total.log() - wanted
            if liked is None:
                loss += own.sum()
            else:
                good, p = liked[at : at + size, None], chance.gather(1, right)
                rest = (1 - p).clamp_min(LEAST)
                loss += torch.where(good, own, -rest.log()).sum()
            chance.scatter_add_(1, right, torch.full_like(right, -1, dtype=chance.dtype))
            if liked is not None:
                chance *= torch.where(good, 1.0, -p / rest)
            torch.mm(chance, items, out=to_states[at : at + size])
            to_items.addmm_(chance.T, part)
        ctx.save_for_backward(to_states / n, to_items / n)
        return loss / n

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor, Tensor, None, None]:
        to_states, to_items = ctx.saved_tensors
        return to_states * given, to_items * given, None, None


def full_softmax(states: Tensor, items: Tensor, targets: Tensor, liked: Tensor | None = None) -> Tensor:
    """Mean cross-entropy: ``states`` (n, d), ``items`` (m, d), ``targets`` (n,) rows of ``items``. Where ``liked`` (n,)
    is false the target was disliked: -log(1 - p)."""
    return FullSoftmax.apply(states, items, targets, liked)  # type: ignore[no-any-return, no-untyped-call]


def sampled_softmax(
    states: Tensor, right: Tensor, others: Tensor, log_draws: Tensor, same: Tensor, liked: Tensor | None = None
) -> Tensor:
    """Mean cross-entropy of (n, d) ``states`` against their own (n, d) ``right`` items and (k, d) ``others`` drawn by
    known chances. ``log_draws`` (k,): log of how often each is drawn on average (k times its chance), taken off its
    logit; popular items would be punished for being drawn often without it (importance sampling: Bengio and Senecal
    2008, section III; Yi et al. 2019, section 4). ``same`` (n, k): where a drawn item is the right one; it does not
    count against itself. ``liked`` as of ``full_softmax``."""
    positive = (states * right).sum(1)
    negative = (states @ others.T - log_draws[None, :]).masked_fill(same, float("-inf"))
    total = torch.cat([positive[:, None], negative], 1).logsumexp(1)
    own = total - positive
    if liked is None:
        return own.mean()
    return torch.where(liked, own, -(1 - (-own).exp()).clamp_min(LEAST).log()).mean()
