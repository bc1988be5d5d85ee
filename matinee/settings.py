"""A library is a folder: ``matinee.toml`` (settings), ``matinee.db`` (all state), ``covers/`` and ``releases/`` (files
that the database names by content). This file knows where things are and reads the settings; an unknown key is refused.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from matinee.errors import MatineeError

SETTINGS = "matinee.toml"


class Training(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``recipes`` are names of ``matinee.models.RECIPES``; the blend weighs those that have an opinion. ``default``
    stands for the experts that are best for the size of the data. While a server runs it trains every
    ``schedule_hours`` (0: never). A release whose NDCG@10 on the latest events falls by more than
    the share ``gate`` below that of the one in force is kept but not put in force (1: whatever is whole is)."""

    recipes: tuple[str, ...] = ("popular", "popular_recent", "item_knn", "ease", "transitions", "content")
    seed: int = 0
    schedule_hours: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    gate: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.1


class Fusing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``method``: how an item's text, pictures and sound become one vector, a name of ``matinee.encoders.fuse``; none
    keeps them apart and takes the mean of one cosine each."""

    method: Literal[
        "none", "concat", "additive", "weighted", "cca", "gated", "ridge", "beside", "contrastive"
    ] = "beside"  # fmt: skip


class Reading(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ingest looks for in files beyond frames and sound. ``shots``: where shots begin. ``speech``: what is said,
    heard by ``speech_model`` (the registry's "whisper-base", or the folder of a Whisper checkpoint) in ``language``
    ("en"; none: detected in each file). ``ocr``: what stands written in the picture. ``pooling``: how the vectors of a
    video's frames become one (``matinee.encoders.pool``)."""

    shots: bool = True
    pooling: Literal["mean", "gem", "attention", "shots"] = "mean"
    speech: bool = False
    ocr: bool = False
    speech_model: str = "whisper-base"
    language: str = ""


class Serving(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``pool``: candidates asked of each source; ``history``: the last events a request reads; ``diversity``: MMR's
    share of novelty in one of every ten places of a slate, when neither the request nor the scenario names one for all;
    ``fold_seconds``: how often what was watched since training is folded into the transitions and counts of the release
    in force, 0 = never; ``group_least``: people that a group (a country, an age group) needs before what it watches is
    used for strangers who belong to it, and told; 0 = never."""

    pool: int = 200
    history: int = 200
    diversity: float = 0.5
    fold_seconds: Annotated[float, msgspec.Meta(ge=0)] = 5.0
    group_least: Annotated[int, msgspec.Meta(ge=0)] = 10


class Key(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``sha256`` of the key, in hexadecimal, never the key itself: ``matinee.serve.keys.digest``."""

    role: Literal["read", "write", "admin"]
    sha256: str
    note: str = ""


class Access(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may ask, and how much. ``rate``: requests a second of one asker, 0 = no limit; ``burst``: how many at once.
    ``running`` requests are worked on at a time and ``waiting`` stand in line; ``seconds``: the longest that
    a request may take, and that its head may take to arrive."""

    keys: tuple[Key, ...] = ()
    rate: float = 0.0
    burst: float = 50.0
    running: int = 8
    waiting: int = 64
    seconds: float = 10.0


class Strength(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much an event says of a taste, from -1 to 1, by kind; ``matinee.data.strength.StrengthTable`` explains each
    number and how ``value`` moves it."""

    impression: float = 0.0
    play: float = 1.0
    play_unknown: float = 0.5
    half_seconds: float = 60.0
    skip_share: float = 0.0
    skip_seconds: float = 0.0
    finish_share: float = 1.0
    finish: float = 1.0
    like: float = 1.0
    dislike: float = -1.0
    save: float = 0.9
    share: float = 1.0
    comment: float = 0.5
    search: float = 0.0
    skip: float = -0.3
    hide: float = -1.0
    rating_zero: float = 2.5
    rating_span: float = 2.5

    def __post_init__(self) -> None:
        strengths = (self.impression, self.play, self.play_unknown, self.finish, self.like, self.dislike, self.save,
            self.share, self.comment, self.search, self.skip, self.hide)  # fmt: skip
        if not all(-1 <= one <= 1 for one in strengths):
            raise ValueError("a strength lies between -1 and 1")
        if not (self.half_seconds > 0 and self.rating_span > 0 and self.skip_seconds >= 0):
            raise ValueError("half_seconds and rating_span are above 0, skip_seconds is not below")
        if not 0 <= self.skip_share < self.finish_share <= 1:
            raise ValueError("skip_share is at least 0 and below finish_share, which is at most 1")


class Feedback(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What becomes of an event for an item or of a user that is not known. "keep": an item's event waits until the item
    is put and counts from then on; a user is made."""

    unknown_items: Literal["refuse", "keep"] = "refuse"
    unknown_users: Literal["refuse", "keep"] = "keep"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole of ``matinee.toml``; every key has a default, so an empty file is a valid one. ``encoders``: names of
    ``matinee.encoders.table``, or checkpoints, "hub:FOLDER" or "hub:OWNER/NAME"; the first of a kind speaks for it.
    ``precision``: "int8" runs them quantised where that was checked to change next to nothing. ``store``:
    "postgresql://..." where the state is not in the library's own file."""

    name: str = ""
    encoders: tuple[str, ...] = ("text", "frames", "sound")
    precision: Literal["float", "int8"] = "float"
    reading: Reading = Reading()
    training: Training = Training()
    fusion: Fusing = Fusing()
    serving: Serving = Serving()
    access: Access = Access()
    strength: Strength = Strength()
    feedback: Feedback = Feedback()
    store: str = ""


@dataclass(frozen=True, slots=True)
class Library:
    """Where one library keeps its things. Make one with ``Library.open`` or ``Library.create``."""

    path: Path
    settings: Settings

    @property
    def database(self) -> Path:
        return self.path / "matinee.db"

    @property
    def target(self) -> str:
        """What ``open_store`` takes: ``MATINEE_STORE``, else ``store`` of the settings, else the library's file."""
        return os.environ.get("MATINEE_STORE") or self.settings.store or str(self.database)

    @property
    def covers(self) -> Path:
        return self.path / "covers"

    @property
    def releases(self) -> Path:
        return self.path / "releases"

    @staticmethod
    def open(path: Path) -> Library:
        """Reads the settings of an existing library. Raises ``library.missing`` or ``settings.invalid``."""
        file = path / SETTINGS
        if not file.is_file():
            raise MatineeError(
                "library.missing",
                f"{path} is not a Matinee library: it has no {SETTINGS}. Make one with: matinee init {path}",
                f"{path} 不是 Matinee 库：没有 {SETTINGS}。请先创建：matinee init {path}",
            )
        return Library(path, read_settings(file))

    @staticmethod
    def create(path: Path) -> Library:
        """Makes the folder and a commented settings file where there are none yet; an existing library stays as is."""
        try:
            path.mkdir(parents=True, exist_ok=True)
            if not (path / SETTINGS).exists():
                (path / SETTINGS).write_text(TEMPLATE, encoding="utf-8")
        except OSError as error:
            raise MatineeError(
                "library.unwritable",
                f"Cannot make a library at {path}: {error.strerror}. Choose a folder that you may write to.",
                f"无法在 {path} 创建库：{error.strerror}。请选择有写入权限的文件夹。",
                exit_code=1,
            ) from error
        return Library.open(path)


def read_settings(file: Path) -> Settings:
    try:
        return msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), Settings)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise MatineeError(
            "settings.invalid",
            f"{file} cannot be used: {error}. Mend that key or delete the file to return to the defaults.",
            f"{file} 无法使用：{error}。请修改该项，或删除文件以恢复默认设置。",
        ) from error


def cache_folder() -> Path:
    """Where weights and samples are kept between runs: ``MATINEE_CACHE``, else the user's cache folder."""
    if named := os.environ.get("MATINEE_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "matinee"


TEMPLATE = """\
# Settings of this Matinee library. Every key is optional; what stands here behind "#" is the default.
# name = ""
# store = ""          # "postgresql://user@host/database" where the state is not in matinee.db
# encoders = ["text", "frames", "sound"]   # or checkpoints: "hub:intfloat/multilingual-e5-small", "hub:/models/clip"
# precision = "float"  # "int8": quantised encoders, used only where they were checked to answer alike and faster

# [reading]
# shots = true        # where the shots of a video begin, with a picture of each
# pooling = "mean"    # how the vectors of a video's frames become one: or gem, attention, shots
# speech = false      # what is said: the extra "speech", the weights "speech", a tenth of the playing time
# speech_model = "whisper-base"   # or the folder of a Whisper checkpoint
# language = ""       # of the speech, such as "en"; empty: detected in each file
# ocr = false         # what stands written in the picture: needs the weights "ocr"

# [training]
# recipes = ["popular", "popular_recent", "item_knn", "ease", "transitions", "content"]
#                     # ["default"] is better and takes about four times as long to train
# seed = 0
# schedule_hours = 0  # a server trains this often, in a process of its own at a lower priority; 0 = never
# gate = 0.1          # a release that is worse than the one in force by more than this share is kept, but not served

# [fusion]
# method = "beside"   # how text, pictures and sound become one vector; docs/fusion.md has the others

# [serving]
# pool = 200          # candidates asked of each source
# history = 200       # last events that a request reads
# fold_seconds = 5.0  # how often what was watched since training changes the neighbours of items; 0 = never
# diversity = 0.5     # of one in ten places: 0 = relevance alone, 1 = as varied as can be

# [access]
# keys = [{role = "read", sha256 = "..."}]   # roles: read, write, admin; MATINEE_KEY is an admin key
# rate = 0.0          # requests a second of one asker, 0 = no limit
# burst = 50.0        # and how many at once
# running = 8         # requests worked on at a time
# waiting = 64        # and in line; more are refused with 503
# seconds = 10.0      # the longest a request may take

# [strength]          # what an event says of a taste, from -1 to 1
# play = 1.0          # times the share that was watched
# play_unknown = 0.5  # a play that does not say how much was watched
# half_seconds = 60.0 # seconds watched that count half, where the share is not known
# skip_share = 0.0    # a play of less than this share counts as a skip,
# skip_seconds = 0.0  # and one of fewer seconds
# finish_share = 1.0  # a play of this share or more counts as a finish
# finish = 1.0
# like = 1.0
# save = 0.9
# share = 1.0
# comment = 0.5
# skip = -0.3
# dislike = -1.0
# hide = -1.0
# impression = 0.0
# search = 0.0
# rating_zero = 2.5   # stars that say nothing; (stars - zero) / span
# rating_span = 2.5

# [feedback]
# unknown_items = "refuse"   # or "keep": such events wait until the item is put
# unknown_users = "keep"     # or "refuse": only users that ingest or the API made
"""
