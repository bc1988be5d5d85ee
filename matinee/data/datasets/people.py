"""What a data set says of its users: MovieLens' ``u.user`` and ``users.dat``, RecBole's ``NAME.user``, or a table of
users (CSV, TSV, JSONL, Parquet) called ``users`` beside the log.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from matinee.data import cells
from matinee.data.catalogue import read_users, user_of
from matinee.data.columns import fields_of, kind_of
from matinee.data.rows import SUFFIXES, headings
from matinee.errors import MatineeError

Profiles = Mapping[str, Mapping[str, Any]]
U_USER = ("id", "age", "gender", "occupation", "zip")
USERS_DAT = ("id", "gender", "age", "occupation", "zip")
OCCUPATIONS_1M = (  # as GroupLens numbers them; 0 is none or another
    "other", "academic or educator", "artist", "clerical or admin", "college or grad student", "customer service",
    "doctor or health care", "executive or managerial", "farmer", "homemaker", "K-12 student", "lawyer", "programmer",
    "retired", "sales or marketing", "scientist", "self-employed", "technician or engineer", "tradesman or craftsman",
    "unemployed", "writer",
)  # fmt: skip
TABLES = ("users", "user", "viewers", "members")


def is_user_table(file: Path) -> bool:
    """Whether a file is a table of users that no catalogue reader reads."""
    return file.is_file() and (file.name in ("u.user", "users.dat") or file.suffix == ".user")


def people(folder: Path) -> tuple[dict[str, dict[str, Any]], tuple[Path, ...]]:
    """Profiles by user id from the table of users in a folder; ({}, ()) where there is none that can be read."""
    own = [folder / "u.user", folder / "users.dat", *sorted(folder.glob("*.user"))]
    named = [folder / f"{name}{suffix}" for name in TABLES for suffix in SUFFIXES]
    for file in (*own, *named):
        if file.is_file():
            try:
                if is_user_table(file) or kind_of(headings(file), file.stem) == "users":
                    return read_people(file), (file,)
            except (OSError, MatineeError):  # a data set is read without it
                continue
    return {}, ()


def read_people(file: Path) -> dict[str, dict[str, Any]]:
    """Profiles by user id from one table of users; of a user that comes twice the first row stays."""
    if not is_user_table(file):
        return {user.id: user.profile for batch in read_users(file).batches() for user in batch}
    found: dict[str, dict[str, Any]] = {}
    for row in _rows(file):
        fields = fields_of(row, "users")
        try:
            user = user_of(row, fields)
        except cells.CellError:
            continue
        found.setdefault(user.id, user.profile)
    return found


def _rows(file: Path) -> Iterator[dict[str, str]]:
    with file.open(encoding="utf-8", errors="replace") as f:
        lines = (line.rstrip("\r\n") for line in f)
        if file.suffix == ".user" and file.name != "u.user":
            names = next(lines, "").removeprefix("\ufeff").split("\t")
            yield from (dict(zip(names, line.split("\t"), strict=False)) for line in lines)
            return
        columns, mark = (U_USER, "|") if file.name == "u.user" else (USERS_DAT, "::")
        for line in lines:
            row = dict(zip(columns, line.split(mark), strict=False))
            job = row.get("occupation", "")
            if mark == "::" and job.isdigit() and int(job) < len(OCCUPATIONS_1M):
                row["occupation"] = OCCUPATIONS_1M[int(job)]
            yield row
