"""A release: the trained models and how they are weighed, immutable, in a folder named by the digest of what made it.

``manifest.json`` names every file with its SHA-256 and is itself sealed; the other files hold arrays only
(``models.tensors``). A release is written beside its place, synced and renamed, so it is there whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from matinee.encoders.fuse import Fuser
from matinee.errors import MatineeError
from matinee.kernels.memory import large
from matinee.models import load_model, tensors
from matinee.models.blend import Blend
from matinee.protocols import Model
from matinee.store.named import sync

FORMAT = 2  # 2: the fusion is in it
MANIFEST, FUSION = "manifest.json", "fusion.arrays.safetensors"  # no model's file has a dot more
FILE_NAME = re.compile(r"[a-z0-9_]{1,64}\.safetensors")


@dataclass(frozen=True, slots=True)
class Fused:
    """How one vector is made of an item's text, pictures and sound: ``fuser``, and ``spaces``, by modality the key of
    the space it was fitted on. Vectors of other spaces must not be given to it."""

    fuser: Fuser
    spaces: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Release:
    """``models`` by recipe name; ``weights`` of the blend, by the same names; ``n_items``: rows below it were known
    when it was trained; ``made``: what made it (data digest, recipes with fields, code version, skipped experts);
    ``fusion``: None where nothing was fused."""

    digest: str
    models: Mapping[str, Model]
    weights: Mapping[str, float]
    n_items: int
    made: Mapping[str, Any] = field(default_factory=dict)
    fusion: Fused | None = None

    @property
    def blend(self) -> Blend:
        weights = np.array([self.weights[name] for name in self.models], np.float32)
        return Blend(tuple(self.models.values()), weights)


def save_release(folder: Path, release: Release) -> dict[str, Any]:
    """Writes the release as ``folder`` (its parent is made) and returns the manifest; one that is already there whole
    is left alone. Raises ``release.not_finite`` for a model with NaN or infinity in its arrays, before anything is
    written, and ``release.unwritable`` when the disk refuses; nothing is left behind then."""
    blobs = {f"{name}.safetensors": tensors.pack(_checked(name, m.arrays())) for name, m in release.models.items()}
    fusion = release.fusion
    if fusion is not None:
        blobs[FUSION] = tensors.pack(_checked("fusion", fusion.fuser.arrays()))
    manifest = {
        "format": FORMAT,
        "digest": release.digest,
        "n_items": release.n_items,
        "models": list(release.models),
        "weights": {name: float(w) for name, w in release.weights.items()},
        "files": {name: hashlib.sha256(blob).hexdigest() for name, blob in blobs.items()},
        "made": dict(release.made),
        "fusion": None if fusion is None else {"name": fusion.fuser.name, "spaces": dict(fusion.spaces)},
    }
    manifest["seal"] = _seal(manifest)
    temporary = folder.parent / f".{folder.name}.{os.getpid()}.tmp"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(folder.parent)
        temporary.mkdir()
        for name, blob in blobs.items():
            _write(temporary / name, blob)
        _write(temporary / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True).encode())
        sync(temporary)
        if folder.exists():
            if _whole(folder):
                return manifest
            os.rename(folder, folder.parent / f".{folder.name}.{os.getpid()}.bad.tmp")
        os.rename(temporary, folder)
        sync(folder.parent)
    except OSError as error:
        raise MatineeError(
            "release.unwritable",
            f"Cannot write the release to {folder}: {error.strerror}. Free some space or choose another library; the "
            "release in force is unchanged.",
            f"无法将发布版本写入 {folder}：{error.strerror}。请释放空间或更换库；当前版本未受影响。",
            status=507,
            exit_code=1,
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(folder.parent / f".{folder.name}.{os.getpid()}.bad.tmp", ignore_errors=True)
    return manifest


def load_release(folder: Path) -> Release:
    """Reads and checks a release. Raises ``release.missing`` (no manifest, or a file of it is gone),
    ``release.corrupt`` (a byte differs), ``release.older`` or ``release.newer`` (of another format). Executes
    nothing."""
    manifest = _manifest(folder)
    models: dict[str, Model] = {}
    for name in manifest["models"]:
        file = f"{name}.safetensors"
        arrays = _arrays(folder, file, manifest)
        try:
            models[name] = load_model(name, arrays)
        except KeyError as error:
            raise _corrupt(folder, f"{file} lacks {error}") from error
        except (ValueError, TypeError, IndexError) as error:  # arrays of other shapes than this version reads
            raise _corrupt(folder, f"{file} does not fit this Matinee ({error})") from error
    fusion = None
    if told := manifest.get("fusion"):
        arrays = _arrays(folder, FUSION, manifest)
        try:
            fusion = Fused(Fuser.from_arrays(str(told["name"]), arrays), dict(told["spaces"]))
        except KeyError as error:
            raise _corrupt(folder, f"{FUSION} lacks {error}") from error
    n_items = int(manifest["n_items"])
    return Release(manifest["digest"], models, manifest["weights"], n_items, manifest["made"], fusion)


def _arrays(folder: Path, file: str, manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    blob = _read_large(folder, file)
    if hashlib.sha256(blob).hexdigest() != manifest["files"].get(file):
        raise _corrupt(folder, f"{file} is not the file that was written")
    return tensors.unpack(blob)


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(_read(folder, MANIFEST))
        seal, number = manifest.pop("seal", ""), int(manifest["format"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _corrupt(folder, f"{MANIFEST} cannot be read") from error
    if number > FORMAT:
        raise MatineeError(
            "release.newer",
            f"{folder} was written by a newer Matinee (format {manifest['format']}, this one reads {FORMAT}). "
            "Upgrade Matinee, or train again.",
            f"{folder} 由更新版本的 Matinee 写入（格式 {manifest['format']}，当前支持 {FORMAT}）。请升级，或重新训练。",
        )
    if number < FORMAT:
        raise MatineeError(
            "release.older",
            f"{folder} was written by an older Matinee (format {number}, this one reads {FORMAT}). Train again: "
            "matinee train",
            f"{folder} 由旧版本的 Matinee 写入（格式 {number}，当前支持 {FORMAT}）。请重新训练：matinee train",
            exit_code=1,
        )
    if seal != _seal(manifest):
        raise _corrupt(folder, f"{MANIFEST} was changed")
    if any(not FILE_NAME.fullmatch(f"{name}.safetensors") for name in manifest["models"]):
        raise _corrupt(folder, f"{MANIFEST} names a file elsewhere")
    return dict(manifest)


def _checked(name: str, arrays: Mapping[str, Any]) -> Mapping[str, Any]:
    for key, array in arrays.items():
        if not np.isfinite(array).all():
            raise MatineeError(
                "release.not_finite",
                f"Model {name} has NaN or infinity in {key} and is not released; the release in force stays. Look for "
                "broken vectors or values in the data, or change the recipe's settings.",
                f"模型 {name} 的 {key} 含有 NaN 或无穷大，未发布；当前版本保持不变。"
                "请检查数据中的异常向量或数值，或调整模型设置。",
                exit_code=1,
            )
    return arrays


def _seal(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _whole(folder: Path) -> bool:
    try:
        load_release(folder)
    except MatineeError:
        return False
    return True


def _read(folder: Path, name: str) -> bytes:
    with _open(folder, name) as file:
        return file.read()


def _read_large(folder: Path, name: str) -> memoryview:
    with _open(folder, name) as file:
        data = memoryview(large((os.fstat(file.fileno()).st_size,), np.uint8))  # type: ignore[arg-type]
        got = file.readinto(data)
    return data[:got].toreadonly()


@contextmanager
def _open(folder: Path, name: str) -> Iterator[BufferedReader]:
    try:
        descriptor = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW)  # a link could point out of the library
        with os.fdopen(descriptor, "rb") as file:
            yield file
    except OSError as error:
        raise MatineeError(
            "release.missing",
            f"The release at {folder} lacks {name}. Train again: matinee train",
            f"{folder} 中的发布版本缺少 {name}。请重新训练：matinee train",
            exit_code=1,
        ) from error


def _corrupt(folder: Path, what: str) -> MatineeError:
    return MatineeError(
        "release.corrupt",
        f"The release at {folder} is damaged: {what}. Train again: matinee train",
        f"{folder} 中的发布版本已损坏（{what}）。请重新训练：matinee train",
        exit_code=1,
    )


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sweep(releases: Path) -> None:
    """Removes what a killed writer left: temporary folders whose process is gone."""
    for left in releases.glob(".*.tmp"):
        owner = re.search(r"\.(\d+)\.(?:bad\.)?tmp$", left.name)
        if owner and not _alive(int(owner[1])):
            shutil.rmtree(left, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return process != os.getpid()
