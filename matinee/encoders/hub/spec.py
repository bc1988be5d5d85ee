"""``hub:`` names of the settings: which checkpoint, and what differs from how it was trained to be used.

    hub:/models/clip    hub:intfloat/multilingual-e5-small    hub:gpt2?pool=mean&longest=256

What a checkpoint reads follows from its config; of a joint network the pictures or the sound are read, and its words
are used to search them. E5 and BGE were trained with words before every text; those are known here, or read from the
folder (``config_sentence_transformers.json``), unless the name says otherwise (``prefix``, ``query``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus
from zlib import crc32

from matinee.encoders.hub.families import Reads
from matinee.encoders.hub.files import Checkpoint, find, judge, read_json, refused
from matinee.errors import MatineeError

SCHEME = "hub:"
POOLS = ("mean", "cls", "last")
OPTIONS = ("pool", "prefix", "query", "revision", "longest")
SEARCH_ZH = "为这个句子生成表示以用于检索相关文章："
ASK = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: "
# what the name of a text checkpoint says of the words it was trained with: (before a document, before a query)
PROMPTS: tuple[tuple[str, tuple[str, str]], ...] = (
    (r"e5.*-instruct", ("", ASK)),
    (r"(^|[-_/])e5([-_]|$)", ("passage: ", "query: ")),
    (r"bge-(small|base|large)-zh", ("", SEARCH_ZH)),
    (r"bge-(small|base|large)-en", ("", "Represent this sentence for searching relevant passages: ")),
)


@dataclass(frozen=True, slots=True)
class Hub:
    """``model``: a folder, or a hub id ``owner/name`` with its ``revision``. ``reads``: which side of a joint network;
    "" where there is one. ``pool``: "mean", "cls", "last" or "" for what the checkpoint was trained with. ``prefix``
    and ``query``: what stands before each text and before each query; None for what it was trained with. ``longest``:
    tokens of a text, 0 for as many as it was trained with, or 512. ``device``: "auto" takes a GPU where one is."""

    model: str
    reads: str = ""
    pool: str = ""
    prefix: str | None = None
    query: str | None = None
    revision: str | None = None
    longest: int = 0
    device: str = "auto"


@dataclass(frozen=True, slots=True)
class Known:
    """A checkpoint that was judged, and what it will be used for. ``kind``: a modality; ``key``: its space's."""

    checkpoint: Checkpoint
    kind: str
    reads: Reads
    pool: str
    prompts: tuple[str, str]
    name: str
    revision: str

    @property
    def key(self) -> str:
        return f"{self.name}@{self.revision}"

    @property
    def joint(self) -> bool:
        return len(self.checkpoint.family.reads) > 1


def parse(name: str) -> Hub:
    """The checkpoint that a name of the settings means. Raises ``hub.name``."""
    model, _, rest = name.removeprefix(SCHEME).partition("?")
    given: dict[str, Any] = {}
    for pair in rest.split("&") if rest else ():
        key, equals, value = pair.partition("=")
        whole = key != "longest" or (value.isascii() and value.isdigit() and int(value) > 0)
        if key not in OPTIONS or not equals or not whole:
            raise _wrong(name)
        given[key] = int(value) if key == "longest" else unquote_plus(value)
    if not model.strip():
        raise _wrong(name)
    return Hub(model, **given)


def _wrong(name: str) -> MatineeError:
    known = ", ".join(OPTIONS)
    return MatineeError(
        "hub.name",
        f"{name!r} names no checkpoint. Write hub:FOLDER or hub:OWNER/NAME, then ?option=value&... of: {known}.",
        f"{name!r} 不是有效的模型名称。请写 hub:文件夹 或 hub:作者/名称，其后可加 ?选项=值&...，选项有：{known}。",
    )


def identify(hub: Hub) -> Known:
    """What a checkpoint is, from its files alone; nothing is loaded. Raises as ``load_hub``. About a second a gigabyte
    the first time."""
    folder = find(hub.model, hub.revision)
    return _identified(hub, folder, _stamp(folder))


def _stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """A changed file makes another one."""
    try:
        files = sorted(p for p in folder.rglob("*") if p.suffix in (".safetensors", ".json"))
        return tuple((p.name, (s := p.stat()).st_size, s.st_mtime_ns) for p in files)
    except OSError as error:
        raise refused(folder, f"it cannot be read ({error.strerror}).", f"无法读取（{error.strerror}）。") from error


@lru_cache(maxsize=64)
def _identified(hub: Hub, folder: Path, stamp: object) -> Known:
    checkpoint = judge(folder)
    family, kind = checkpoint.family, str(checkpoint.config["model_type"])
    reads = hub.reads or (family.reads[0] if len(family.reads) == 1 else family.reads[-1])
    if reads not in family.reads:
        sides = ", ".join(family.reads)
        raise MatineeError(
            "hub.reads",
            f"{hub.model} ({kind}) reads {sides}; say which of these with reads=.",
            f"{hub.model}（{kind}）读取 {sides}；请用 reads= 指定。",
        )
    if hub.pool and (hub.pool not in POOLS or family.pool == "pooled"):
        known = "none: it pools itself" if family.pool == "pooled" else ", ".join(POOLS)
        raise MatineeError(
            "hub.pool",
            f"{hub.model} cannot be pooled by {hub.pool!r}. Known: {known}.",
            f"{hub.model} 不支持池化方式 {hub.pool!r}。可用：{'、'.join(POOLS) if family.pool != 'pooled' else '无'}。",
        )
    joint = len(family.reads) > 1
    pool = hub.pool or trained_pool(checkpoint)
    said = prompts(checkpoint, hub) if reads == "text" and not joint else ("", "")
    revision = f"{kind}-{checkpoint.digest}" + ("" if joint else f"-{pool}")
    if any(said):
        revision += f"-{crc32(chr(0).join(said).encode()):x}"
    if hub.longest:
        revision += f"-{hub.longest}"
    role = "clips" if family.moving else reads
    name = f"{family.reads[-1]}.joint" if joint else f"{role}.hub"
    return Known(checkpoint, role, reads, pool, said, name, revision)


def trained_pool(checkpoint: Checkpoint) -> str:
    """As ``1_Pooling/config.json`` of Sentence Transformers says, where there is one; BGE by its name; else as the
    family does."""
    family, folder = checkpoint.family, checkpoint.folder
    if family.pool not in ("mean", "last") or family.reads != ("text",):
        return family.pool
    if not (folder / "1_Pooling" / "config.json").exists():
        return "cls" if family.pool == "mean" and re.search(r"bge-", named(checkpoint)) else family.pool
    said = read_json(folder / "1_Pooling", "config.json")
    mode = str(said.get("pooling_mode", ""))  # newer files name the mode, older ones flag it
    if said.get("pooling_mode_cls_token") or mode == "cls":
        return "cls"
    if said.get("pooling_mode_lasttoken") or mode == "lasttoken":
        return "last"
    return "mean" if said.get("pooling_mode_mean_tokens") or mode == "mean" else family.pool


def named(checkpoint: Checkpoint) -> str:
    """What the checkpoint is called: a snapshot of the hub by its id, else its folder, and what its config says."""
    folder = checkpoint.folder.resolve()
    place = folder.parent.parent.name if folder.parent.name == "snapshots" else folder.name
    return f"{place} {checkpoint.config.get('_name_or_path', '')}".lower()


def prompts(checkpoint: Checkpoint, hub: Hub) -> tuple[str, str]:
    """What stands before a document and before a query."""
    found = ("", "")
    for pattern, words in PROMPTS:
        if any(re.search(pattern, part) for part in named(checkpoint).split()):
            found = words
            break
    if (checkpoint.folder / "config_sentence_transformers.json").exists():
        told = read_json(checkpoint.folder, "config_sentence_transformers.json").get("prompts")
        if isinstance(told, Mapping) and any(isinstance(v, str) and v for v in told.values()):
            document = told.get("document", told.get("passage", ""))
            found = (str(document or ""), str(told.get("query") or ""))
    return (found[0] if hub.prefix is None else hub.prefix, _query(found[1], hub))


def _query(found: str, hub: Hub) -> str:
    """A prefix that was given alone stands before queries too."""
    if hub.query is not None:
        return hub.query
    return found if hub.prefix is None else hub.prefix
