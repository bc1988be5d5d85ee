"""Where networks run: on a GPU where there is one that works, else on the processor, with one line in the log that says
so. ``MATINEE_DEVICE`` = cpu, cuda or auto (the default) decides otherwise."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

log = logging.getLogger("matinee.encoders")
GPUS = ("CUDAExecutionProvider", "ROCMExecutionProvider", "DmlExecutionProvider")  # tried in this order
CPU = "CPUExecutionProvider"
Made = TypeVar("Made")


def wanted() -> str:
    named = os.environ.get("MATINEE_DEVICE", "auto").lower()
    return named if named in ("cpu", "cuda") else "auto"


@lru_cache(maxsize=32)
def fell_back(what: str, why: str) -> None:
    """Says once that a GPU is there and of no use."""
    log.warning("the GPU cannot be used by %s (%s); the processor is", what, why)


def on_device(make: Callable[[list[str]], Any]) -> Any:
    """An ONNX Runtime session made by ``make(providers)``: with the first GPU that works, else on the processor."""
    import onnxruntime

    there = onnxruntime.get_available_providers()
    gpus = [gpu for gpu in GPUS if gpu in there] if wanted() != "cpu" else []
    if not gpus:
        return make([CPU])
    try:
        session = make([gpus[0], CPU])
    except Exception as error:  # noqa: BLE001  (drivers fail in every way)
        fell_back("ONNX Runtime", said(error))
        return make([CPU])
    if gpus[0] not in session.get_providers():  # it may also fall back by itself, quietly
        fell_back("ONNX Runtime", f"{gpus[0]} did not start")
    return session


def on_torch(place: Callable[[str], Made], device: str) -> tuple[Made, str]:
    """``place(device)`` of a PyTorch network, and the device; ``auto`` takes the GPU where it works."""
    import torch

    asked = device if device != "auto" else wanted()
    if asked == "cpu" or (asked == "auto" and not torch.cuda.is_available()):
        return place("cpu"), "cpu"
    try:
        return place("cuda" if asked == "auto" else asked), "cuda" if asked == "auto" else asked
    except (RuntimeError, AssertionError) as error:  # no driver, no memory, built without CUDA
        fell_back("PyTorch", said(error))
        return place("cpu"), "cpu"


def said(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__
