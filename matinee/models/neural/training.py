"""Training of any sequence model, from top to bottom: sequences -> batches -> loss -> checkpoint -> the best weights,
exported to ONNX."""

from __future__ import annotations

import io
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from matinee.models.neural import checkpoint
from matinee.models.neural.checkpoint import Run, State
from matinee.models.neural.items import Drops, ItemEncoder
from matinee.models.neural.losses import full_softmax, sampled_softmax
from matinee.models.neural.semantic import codebooks, dims_of, side_by_side
from matinee.models.neural.sequences import Batch, Sequences, batch, batches, hold_out, sequences
from matinee.models.neural.served import SequenceModel, sequence_model, silent_model
from matinee.models.neural.vectors import contents, counted
from matinee.types import Bools, Floats, Interactions, Ints

FULL_ITEMS = 10_000  # up to here the softmax runs over all items


@dataclass(frozen=True, slots=True)
class Plan:
    """What recipes have in common. ``negatives``: drawn per batch when there are more than 10,000 items (or always,
    with ``sampled``). ``mask``: 0 learns the next item at every place; above 0 that share of places is hidden and
    guessed (Cloze). ``half``: k of the item encoder; ``words``: levels and
    size of its semantic ids. ``patience``: epochs without a better validation. ``dislikes``: they are read and
    learnt from too."""

    width: int
    length: int
    epochs: int
    batch: int
    rate: float
    patience: int
    drops: Drops
    half: float
    negatives: int = 2048
    sampled: bool = False
    mask: float = 0.0
    decay: float = 0.0
    words: tuple[int, int] = (0, 0)
    dislikes: bool = False


class Settings(Protocol):
    """The fields that every deep recipe has."""

    @property
    def width(self) -> int: ...
    @property
    def length(self) -> int: ...
    @property
    def epochs(self) -> int: ...
    @property
    def batch(self) -> int: ...
    @property
    def rate(self) -> float: ...
    @property
    def patience(self) -> int: ...
    @property
    def id_dropout(self) -> float: ...
    @property
    def modality_dropout(self) -> float: ...
    @property
    def warm(self) -> float: ...
    @property
    def semantic_levels(self) -> int: ...
    @property
    def semantic_words(self) -> int: ...
    @property
    def negatives(self) -> int: ...
    @property
    def sampled(self) -> bool: ...
    @property
    def dislikes(self) -> bool: ...


def plan_of(recipe: Settings, *, mask: float = 0.0) -> Plan:
    """The plan that a recipe's fields make."""
    return Plan(
        width=recipe.width, length=recipe.length, epochs=recipe.epochs, batch=recipe.batch, rate=recipe.rate,
        patience=recipe.patience, drops=Drops(recipe.id_dropout, recipe.modality_dropout), half=recipe.warm,
        negatives=recipe.negatives, sampled=recipe.sampled, mask=mask,
        words=(recipe.semantic_levels, recipe.semantic_words), dislikes=recipe.dislikes,
    )  # fmt: skip


class Turned(nn.Module):
    """What a disliked item is to the network: its vector turned round, scaled and shifted, all three learnt. It begins
    as the opposite of the item, so from the first step on a dislike leads away from what is like it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(-torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor, liked: Tensor) -> Tensor:
        """(b, l, width) of items and where they were liked (b, l)."""
        return torch.where(liked[:, :, None], x, x * self.scale + self.shift)


class Net(nn.Module):
    """Items in, a state per place out. ``body``: (b, l, width), times (b, l), valid (b, l) -> (b, l, width).
    ``turned``: where dislikes are read."""

    def __init__(self, items: ItemEncoder, body: nn.Module, turned: Turned | None = None) -> None:
        super().__init__()
        self.items, self.body, self.turned = items, body, turned

    def read(self, x: Tensor, liked: Tensor) -> Tensor:
        """(b, l, width) of items as the body takes them."""
        return x if self.turned is None else cast(Tensor, self.turned(x, liked))


class Last(nn.Module):
    """What is exported: one history's item vectors (1, l, width), times (1, l) and, where dislikes are read, which were
    liked (1, l) -> its state (1, width)."""

    def __init__(self, net: Net, width: int) -> None:
        super().__init__()
        self.net, self.scale = net, width**-0.5

    def forward(self, x: Tensor, at: Tensor, liked: Tensor) -> Tensor:
        state: Tensor = self.net.body.last(self.net.read(x, liked), at) * self.scale  # type: ignore[operator]
        return state


@dataclass(frozen=True, slots=True)
class Lesson:
    """A training's fixed parts: ``learn`` and ``held`` sequences, what was liked in the former (``popular``, as often
    as it was), and log of how often each item is a target."""

    net: Net
    optimiser: torch.optim.Optimizer
    learn: Sequences
    held: Sequences
    popular: Ints
    log_chance: Tensor
    plan: Plan
    seed: int


def fit(
    recipe: Any, data: Interactions, body: Callable[[], nn.Module], plan: Plan, seed: int, run: Run
) -> SequenceModel:
    """Trains ``body()`` on ``data``; equal data, recipe and seed give equal models on one machine, also when it was
    interrupted and resumed. The caller's random state is left as it was.

    Ctrl-C leaves the checkpoint of the last whole epoch behind. Without a single item that follows another there is
    nothing to learn: the model is silent. O(epochs x events x (width x items + length x width)) up to 10,000 items.
    """
    log, content = sequences(data, dislikes=plan.dislikes), contents(data.features)
    if not len(log):
        return silent_model(recipe.name, data.n_items, plan.width)
    device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if run.device == "auto" else run.device)
    learn, held = hold_out(log, 0.1, 1000, seed)
    cuda = [torch.cuda.current_device()] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(seed)
        watches = counted(log.items[log.liked], data.n_items)
        rows, has = side_by_side(content, dims_of(content), data.n_items)
        books = codebooks(rows[has], *plan.words, seed)
        items = ItemEncoder(watches, content, plan.width, plan.drops, plan.half, books)
        net = Net(items, body(), Turned(plan.width) if plan.dislikes else None).to(device)
        optimiser = torch.optim.AdamW(net.parameters(), lr=plan.rate, betas=(0.9, 0.98), weight_decay=plan.decay)
        chance = torch.from_numpy(watches / max(watches.sum(), 1)).float().clamp_min(1e-12).log().to(device)
        lesson = Lesson(net, optimiser, learn, held, learn.items[learn.liked], chance, plan, seed)
        file = run.folder and run.folder / checkpoint.file_name(data, asdict(recipe), seed)
        state = (file and checkpoint.load(file, net, optimiser)) or State()
        while state.epoch < plan.epochs and state.epoch - state.best_epoch < plan.patience:
            began = time.perf_counter()
            loss = epoch(lesson, state.epoch)
            judge(lesson, state)
            if file:
                checkpoint.save(file, net, optimiser, state)
            run.progress(
                f"{recipe.name} epoch {state.epoch} loss {loss:.4f} validation {state.last:.4f} "
                f"best {state.score:.4f} seconds {time.perf_counter() - began:.1f}",
                state.epoch / plan.epochs,
            )
        if state.best:
            net.load_state_dict(state.best)
    net.eval().cpu()
    model = sequence_model(recipe.name, export(net, plan.width), net.items.weights(), content, plan.length)
    if file:
        file.unlink(missing_ok=True)
    return model


def epoch(lesson: Lesson, number: int) -> float:
    """One pass; the mean loss. Chance is drawn from (seed, epoch) alone, so a resumed run repeats an unbroken one."""
    plan, net = lesson.plan, lesson.net
    rng = np.random.default_rng([lesson.seed, number])
    torch.manual_seed(int(rng.integers(2**62)))
    net.train()
    groups = batches(lesson.learn, plan.length, plan.batch, rng)
    total = 0.0
    for at, spans in enumerate(groups):
        for group in lesson.optimiser.param_groups:
            group["lr"] = plan.rate * pace(number * len(groups) + at, plan.epochs * len(groups))
        loss = learn(lesson, batch(lesson.learn, spans), rng)
        lesson.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        lesson.optimiser.step()
        total += float(loss.detach())
    return total / max(len(groups), 1)


def pace(step: int, steps: int) -> float:
    """Share of the learning rate: up over the first tenth of the steps, 100 at most, then down to a hundredth along a
    cosine."""
    up = (step + 1) / max(min(100, steps // 10), 1)
    return min(1.0, up) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(step / max(steps, 1), 1.0))))


def learn(lesson: Lesson, given: Batch, rng: np.random.Generator) -> Tensor:
    """The loss of one batch: at every place the next item, or at hidden places the hidden one."""
    if lesson.plan.mask:
        asked = _hidden(given, lesson.plan.mask, rng)
        shown, hidden, targets, liked = given, asked, given.items[asked], given.liked[asked]
    else:
        asked = given.valid[:, 1:]
        shown, hidden, targets, liked = given.inputs(), None, given.items[:, 1:][asked], given.liked[:, 1:][asked]
    plan, net, device = lesson.plan, lesson.net, lesson.log_chance.device
    good = _on(liked, device) if plan.dislikes else None
    if not (plan.sampled or len(lesson.log_chance) > FULL_ITEMS):
        table = net.items()
        states = _states(net, table[_on(shown.items, device)], shown, hidden)[_on(asked, device)]
        return full_softmax(states * plan.width**-0.5, table, _on(targets, device), good)
    drawn = _draw(lesson, targets[liked], rng)
    rows, place = np.unique(np.concatenate([shown.items.ravel(), targets, drawn]), return_inverse=True)
    table = net.items(_on(rows, device))
    first, second = shown.items.size, shown.items.size + len(targets)
    inputs = table[_on(place[:first].reshape(shown.items.shape), device)]
    states = _states(net, inputs, shown, hidden)[_on(asked, device)]
    right, others = _on(targets, device), _on(drawn, device)
    return sampled_softmax(
        states * plan.width**-0.5,
        table[_on(place[first:second], device)],
        table[_on(place[second:], device)],
        lesson.log_chance[others] + math.log(len(others)),
        right[:, None] == others[None, :],
        good,
    )


def _on(array: Any, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)


def _states(net: Net, x: Tensor, shown: Batch, hidden: Bools | None) -> Tensor:
    x = net.read(x, _on(shown.liked, x.device))
    if hidden is not None:
        x = net.body.hide(x, _on(hidden, x.device))  # type: ignore[operator]
    return cast(Tensor, net.body(x, _on(shown.at, x.device), _on(shown.valid, x.device)))


def _draw(lesson: Lesson, targets: Ints, rng: np.random.Generator) -> Ints:
    """Negatives: half as often as items are watched, half from this batch's targets (both follow popularity)."""
    own = lesson.popular
    half = lesson.plan.negatives // 2
    return np.concatenate([own[rng.integers(0, len(own), half)], rng.choice(targets, half)])


def _hidden(given: Batch, share: float, rng: np.random.Generator) -> Bools:
    """Liked places to guess: a share of all, and every fourth sequence's last alone, which is what will be asked."""
    able = given.valid & given.liked
    hidden: Bools = (rng.random(able.shape) < share) & able
    last = able.shape[1] - 1 - able[:, ::-1].argmax(1)
    only_last = rng.random(len(able)) < 0.25
    hidden[only_last] = False
    hidden[only_last, last[only_last]] = True
    none = ~hidden.any(1)
    hidden[none, last[none]] = True
    return hidden


def judge(lesson: Lesson, state: State) -> None:
    """Counts the epoch and keeps its weights where it is the best so far. Nobody to validate on: the last is."""
    state.epoch += 1
    state.last = validate(lesson) if len(lesson.held) else float(state.epoch)
    if state.last >= state.score:  # of equals the longer trained
        state.score, state.best_epoch = state.last, state.epoch
        state.best = {name: value.detach().clone() for name, value in lesson.net.state_dict().items()}


@torch.no_grad()
def validate(lesson: Lesson) -> float:
    """Mean NDCG@10 of the held-out last items among all items not seen before."""
    net, held, device = lesson.net.eval(), lesson.held, lesson.log_chance.device
    table, total = net.items(), 0.0
    for user in range(len(held)):
        whole = held.of(user)
        past = slice(max(whole.start, whole.stop - 1 - lesson.plan.length), whole.stop - 1)
        x = net.read(table[_on(held.items[past][None], device)], _on(held.liked[past][None], device))
        state = net.body.last(x, _on(held.at[past][None], device))  # type: ignore[operator]
        total += gain((table @ state[0]).cpu().numpy(), held.items[whole])
    return total / len(held)


def gain(scores: Floats, whole: Ints) -> float:
    """NDCG@10 of the last of ``whole`` where the rest are not ranked."""
    right = scores[whole[-1]]
    rest = scores.copy()
    rest[whole] = -np.inf
    place = int((rest >= right).sum())
    return 1 / math.log2(place + 2) if place < 10 else 0.0


def export(net: Net, width: int) -> bytes:
    """The network after the items as ONNX (opset 17), for one history of any length."""
    out: Any = io.BytesIO()
    given = {
        "x": torch.zeros(1, 3, width),
        "at": torch.arange(3, dtype=torch.float64)[None],
        "liked": torch.tensor([[True, False, True]]),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that it will be replaced; the replacement needs a second compiler
        torch.onnx.export(
            Last(net, width).eval(), tuple(given.values()), out, dynamo=False, opset_version=17,
            input_names=list(given), output_names=["state"], dynamic_axes={name: {1: "l"} for name in given},
        )  # fmt: skip
    return bytes(out.getvalue())
