"""Training that was interrupted goes on: weights, optimiser and progress in one file of arrays, replaced whole.

The file is of the safetensors layout (``models.tensors``), never a pickle. It is named by the digest of what is being
trained, so a run can only ever resume itself.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from matinee.errors import MatineeError
from matinee.models import tensors
from matinee.types import Interactions

Progress = Callable[[str, float], None]
Weights = dict[str, Tensor]


def silent(stage: str, share: float) -> None:
    """Tells nobody."""


@dataclass(frozen=True, slots=True)
class Run:
    """How to train, as far as the result does not depend on it. ``folder``: where checkpoints go, None for none.
    ``progress`` hears the stage with its figures and the share done. ``device``: cpu, cuda, or auto."""

    folder: Path | None = None
    progress: Progress = silent
    device: str = "auto"


ALONE = Run()


@dataclass(slots=True)
class State:
    """Where a training stands after ``epoch`` whole epochs. ``best``: the weights at the best validation so far."""

    epoch: int = 0
    score: float = -1.0
    last: float = -1.0
    best_epoch: int = 0
    best: Weights = field(default_factory=dict)


def file_name(data: Interactions, settings: Mapping[str, Any], seed: int) -> str:
    """Named by what is trained and the digest of all that the result depends on."""
    total = hashlib.sha256(json.dumps([dict(settings), seed], sort_keys=True, default=str).encode())
    columns: dict[str, Any] = {
        "users": data.users,
        "items": data.items,
        "at": data.at,
        "strength": data.strength,
        **data.features,
    }
    if data.pictures is not None and "past" in settings:  # the others never look
        columns["pictures"] = data.pictures
    for name in sorted(columns):
        total.update(f"{name}{columns[name].shape}".encode())
        total.update(np.ascontiguousarray(columns[name]).data)
    return f"{settings['name']}-{total.hexdigest()[:16]}.safetensors"


def save(file: Path, net: nn.Module, optimiser: torch.optim.Optimizer, state: State) -> None:
    """Writes beside, syncs, renames. Raises ``neural.checkpoint`` where the disk refuses."""
    arrays: dict[str, Any] = {f"net.{k}": v for k, v in net.state_dict().items()}
    arrays |= {f"best.{k}": v for k, v in state.best.items()}
    for at, moments in optimiser.state_dict()["state"].items():
        arrays |= {f"optimiser.{at}.{k}": v for k, v in moments.items()}
    arrays = {k: v.detach().cpu().numpy() for k, v in arrays.items()}
    arrays["progress"] = np.array([state.epoch, state.score, state.best_epoch], np.float64)
    part = file.with_suffix(".part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as out:
            out.write(tensors.pack(arrays))
            out.flush()
            os.fsync(out.fileno())
        part.replace(file)
    except OSError as error:
        raise MatineeError(
            "neural.checkpoint",
            f"The checkpoint {file} cannot be written: {error.strerror}. Free some space or choose another folder.",
            f"无法写入检查点 {file}：{error.strerror}。请清理磁盘空间，或换一个文件夹。",
            exit_code=1,
        ) from error
    finally:
        with suppress(OSError):  # gone already where all went well
            part.unlink()


def load(file: Path, net: nn.Module, optimiser: torch.optim.Optimizer) -> State | None:
    """Puts a checkpoint back; None where there is none or it is damaged: then nothing is changed."""
    fresh = {name: value.clone() for name, value in net.state_dict().items()}
    try:
        arrays = tensors.unpack(file.read_bytes())
        found = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
        epoch, score, best_epoch = arrays["progress"].tolist()
        moments: dict[int, Weights] = {}
        for name, value in _part(found, "optimiser.").items():
            at, _, key = name.partition(".")
            moments.setdefault(int(at), {})[key] = value
        net.load_state_dict(_part(found, "net."))
        optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})
    except (OSError, MatineeError, KeyError, ValueError, RuntimeError):
        net.load_state_dict(fresh)
        return None
    device = next(net.parameters()).device
    best = {k: v.to(device) for k, v in _part(found, "best.").items()}
    return State(int(epoch), float(score), -1.0, int(best_epoch), best)


def _part(found: Weights, prefix: str) -> Weights:
    return {name.removeprefix(prefix): value for name, value in found.items() if name.startswith(prefix)}
