"""A small convolutional network on pictures, trained end to end with a dense head that predicts preference.

Unlike vectors of a network that was trained to name things, it learns what of a picture matters to these people. The
convolutions follow Lei et al., CVPR 2016, "Comparative deep learning of hybrid representations for image
recommendations", section 3, where a network of pictures and a network of tastes meet; here a taste is the mean of the
pictures of what was watched, so a user nobody has seen has one too.
"""

from __future__ import annotations

import io
import time
import warnings
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from matinee.models.common import damped
from matinee.models.neural import checkpoint
from matinee.models.neural.checkpoint import ALONE, Run, State
from matinee.models.neural.seen import SeenModel, prepared, present
from matinee.types import Floats, Interactions, Ints, Pixels


@dataclass(frozen=True, slots=True)
class FramesCNN:
    """``width`` of an item's vector; ``hidden``: of the dense head; ``past``: pictures of a history that one example
    shows, drawn anew each time; ``unseen``: items drawn by chance for each watched one, as not preferred; ``power``:
    how fast a history fades when asked. Strengths are what is predicted: 1 is certainly liked, -1 certainly not."""

    width: int = 32
    hidden: int = 64
    past: int = 8
    unseen: int = 4
    epochs: int = 30
    batch: int = 64
    rate: float = 3e-3
    patience: int = 10
    dropout: float = 0.0
    decay: float = 0.01
    power: float = 0.2
    name: str = "frames_cnn"

    def fit(self, data: Interactions, *, seed: int = 0, run: Run = ALONE) -> SeenModel:
        """O(epochs x rows x (1 + unseen) x the head) and at most every picture once a batch through the convolutions.
        Without pictures, or where nobody watched two items with one, the model is silent. Checkpoints and resuming as
        in ``training.fit``; equal data, settings and seed give equal models on one machine."""
        cases = Cases.of(data)
        if data.pictures is None or not len(cases.users):
            return silent(self, data.n_items)
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if run.device == "auto" else run.device)
        cuda = [torch.cuda.current_device()] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda):
            torch.manual_seed(seed)
            net = Net(self).to(device)
            optimiser = torch.optim.AdamW(net.parameters(), lr=self.rate, weight_decay=self.decay)
            file = run.folder and run.folder / checkpoint.file_name(data, asdict(self), seed)
            state = (file and checkpoint.load(file, net, optimiser)) or State()
            learn, held = cases.split(seed)
            while state.epoch < self.epochs and state.epoch - state.best_epoch < self.patience:
                began = time.perf_counter()
                rng = np.random.default_rng([seed, state.epoch])
                torch.manual_seed(int(rng.integers(2**62)))
                net.train()
                loss = sum(self._step(net, optimiser, cases, part, rng) for part in _parts(learn, self.batch, rng))
                state.epoch += 1
                state.last = -self._loss_of(net, cases, held, np.random.default_rng(seed))
                if state.epoch == 1 or state.last >= state.score:
                    state.score, state.best_epoch = state.last, state.epoch
                    state.best = {name: value.detach().clone() for name, value in net.state_dict().items()}
                if file:
                    checkpoint.save(file, net, optimiser, state)
                told = f"{self.name} epoch {state.epoch} loss {loss / max(len(learn) / self.batch, 1):.4f} "
                told += f"validation {-state.last:.4f} seconds {time.perf_counter() - began:.1f}"
                run.progress(told, state.epoch / self.epochs)
            net.load_state_dict(state.best)
        model = exported(self, net.eval().cpu(), data.pictures)
        if file:
            file.unlink(missing_ok=True)
        return model

    def _step(self, net: Net, optimiser: torch.optim.Optimizer, cases: Cases, part: Ints, rng: Any) -> float:
        loss = self._loss(net, cases, part, rng)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()
        return float(loss.detach())

    @torch.no_grad()
    def _loss_of(self, net: Net, cases: Cases, held: Ints, rng: Any) -> float:
        net.eval()
        parts = np.array_split(held, max(len(held) // self.batch, 1))
        return float(np.mean([float(self._loss(net, cases, part, rng)) for part in parts]))

    def _loss(self, net: Net, cases: Cases, part: Ints, rng: Any) -> Tensor:
        """Of some rows and the items drawn beside them: the cross-entropy of the preference."""
        past, weight = cases.histories(part, self.past, rng)
        drawn = cases.shown[rng.integers(0, len(cases.shown), (len(part), self.unseen))]
        targets = np.concatenate([cases.items[part][:, None], drawn], axis=1)
        wanted = np.zeros(targets.shape, np.float32)
        wanted[:, 0] = (cases.strength[part] + 1) / 2
        rows, place = np.unique(np.concatenate([past.ravel(), targets.ravel()]), return_inverse=True)
        device = next(net.parameters()).device
        pictures = prepared(cases.pictures[rows])
        if net.training:
            pictures = jittered(pictures, rng)
        vectors = net.look(torch.from_numpy(pictures).to(device))
        at = torch.from_numpy(place).to(device)
        weights = torch.from_numpy(weight).to(device)
        history = vectors[at[: past.size]].view(*past.shape, -1)
        taste_of = (history * weights[:, :, None]).sum(1) / weights.abs().sum(1, keepdim=True).clamp_min(1e-6)
        score = net.head(taste_of, vectors[at[past.size :]].view(*targets.shape, -1))
        return F.binary_cross_entropy_with_logits(score, torch.from_numpy(wanted).to(device))


@dataclass(frozen=True, slots=True)
class Cases:
    """The rows that say something of an item with a picture, of users with two or more of them: ``users``, ``items``
    (n,), ``strength`` (n,) damped; user u's are ``starts[u]:starts[u + 1]``. ``shown``: items with a picture."""

    users: Ints
    items: Ints
    strength: Floats
    starts: Ints
    shown: Ints
    pictures: Pixels

    @staticmethod
    def of(data: Interactions) -> Cases:
        none = np.zeros((data.n_items, 1, 1, 3), np.uint8)
        pictures = none if data.pictures is None else data.pictures
        has = present(pictures)
        says = np.flatnonzero((data.strength != 0) & np.isfinite(data.strength) & has[data.items])
        count = np.bincount(data.users[says], minlength=data.n_users)
        says = says[count[data.users[says]] >= 2]
        users = data.users[says]
        starts = np.searchsorted(users, np.arange(data.n_users + 1)).astype(np.int64)
        shown = np.flatnonzero(has).astype(np.int64)
        return Cases(users, data.items[says], damped(data.strength[says]), starts, shown, pictures)

    def split(self, seed: int) -> tuple[Ints, Ints]:
        """(rows to learn from, rows to validate on): a tenth of them, 2,000 at most."""
        order = np.random.default_rng(seed).permutation(len(self.users))
        n = min(max(len(order) // 10, 1), 2000)
        return order[n:].astype(np.int64), order[:n].astype(np.int64)

    def histories(self, rows: Ints, most: int, rng: Any) -> tuple[Ints, Floats]:
        """(b, most) items of each row's user, drawn by chance, and their strengths; the row's own item weighs 0."""
        first, stop = self.starts[self.users[rows]], self.starts[self.users[rows] + 1]
        drawn = first[:, None] + (rng.random((len(rows), most)) * (stop - first)[:, None]).astype(np.int64)
        items = self.items[drawn]
        weight = np.where(items == self.items[rows][:, None], np.float32(0), self.strength[drawn])
        return items, weight.astype(np.float32)


class Net(nn.Module):
    """Convolutions that halve the picture three times, the mean over it, one vector; and the head."""

    def __init__(self, recipe: FramesCNN) -> None:
        super().__init__()
        sizes = (3, 16, 32, 64)
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
        self.convolutions = nn.Sequential(*layers)
        self.vector = nn.Sequential(nn.Linear(sizes[-1], recipe.width), nn.LayerNorm(recipe.width))
        self.head = Head(recipe.width, recipe.hidden, recipe.dropout)

    def look(self, pictures: Tensor) -> Tensor:
        """(n, 3, side, side) -> (n, width)"""
        return cast(Tensor, self.vector(self.convolutions(pictures).mean((2, 3))))

    def forward(self, pictures: Tensor) -> Tensor:
        return self.look(pictures)


class Head(nn.Module):
    """(b, width) tastes and (b, k, width) items -> (b, k) log-odds of liking them."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.wide, self.one, self.drop = nn.Linear(3 * width, hidden), nn.Linear(hidden, 1), nn.Dropout(dropout)
        self.alike = nn.Parameter(torch.tensor([width**-0.5]))  # without it, it takes long until it learns at all

    def forward(self, taste_of: Tensor, items: Tensor) -> Tensor:
        taste_of = taste_of[:, None, :].expand_as(items)
        both = torch.cat([taste_of, items, taste_of * items], 2)
        likeness = self.alike * (taste_of * items).sum(2)
        return cast(Tensor, self.one(self.drop(F.relu(self.wide(both)))))[:, :, 0] + likeness


def jittered(pictures: Floats, rng: Any) -> Floats:
    """The same pictures as another camera would have seen them: half of them mirrored, all shifted by up to an eighth
    and their colours stretched by up to a quarter, so that no picture is known by heart."""
    n, _, side, _ = pictures.shape
    mirrored = np.where((rng.random(n) < 0.5)[:, None, None, None], pictures[:, :, :, ::-1], pictures)
    most = max(side // 8, 1)
    down, right = rng.integers(-most, most + 1, (2, n))
    rows = np.clip(np.arange(side)[None, :] + down[:, None], 0, side - 1)
    columns = np.clip(np.arange(side)[None, :] + right[:, None], 0, side - 1)
    moved = mirrored[np.arange(n)[:, None, None], :, rows[:, :, None], columns[:, None, :]].transpose(0, 3, 1, 2)
    stretched = moved * rng.uniform(0.75, 1.25, (n, 3, 1, 1)).astype(np.float32)
    return np.ascontiguousarray(stretched, np.float32)


def _parts(rows: Ints, size: int, rng: Any) -> list[Ints]:
    order = rng.permutation(rows)
    return [order[start : start + size] for start in range(0, len(order), size)]


def exported(recipe: FramesCNN, net: Net, pictures: Pixels) -> SeenModel:
    """The convolutions as ONNX (opset 17), the head as arrays, and every picture's vector."""
    out: Any = io.BytesIO()
    side = pictures.shape[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in ``training.export``
        torch.onnx.export(
            net, (torch.zeros(2, 3, side, side),), out, dynamo=False, opset_version=17, input_names=["pictures"],
            output_names=["vector"], dynamic_axes={"pictures": {0: "n"}, "vector": {0: "n"}},
        )  # fmt: skip
    head = {
        "wide": net.head.wide.weight, "wide_bias": net.head.wide.bias, "one": net.head.one.weight,
        "one_bias": net.head.one.bias, "alike": net.head.alike,
    }  # fmt: skip
    arrays = {key: value.detach().numpy().astype(np.float32) for key, value in head.items()}
    graph = np.frombuffer(out.getvalue(), np.uint8)
    empty = np.zeros((0, recipe.width), np.float32)
    return SeenModel(recipe.name, empty, np.zeros(0, bool), arrays, graph, recipe.power).with_pictures(pictures)


def silent(recipe: FramesCNN, n_items: int) -> SeenModel:
    vectors = np.zeros((n_items, recipe.width), np.float32)
    return SeenModel(recipe.name, vectors, np.zeros(n_items, bool), {}, np.empty(0, np.uint8), recipe.power)
