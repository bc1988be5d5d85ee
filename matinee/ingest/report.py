"""What an ingest tells of itself: counts, and a note for each file or row that needs a look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from matinee.errors import language

Progress = Callable[[str, int, int], None]


def silent(what: str, done: int, total: int) -> None:
    """No progress shown."""


WORST = ("refused", "partly", "missing", "row", "duplicate", "near")  # in this order they are told
STATUS = {
    "refused": ("refused", "被拒绝"), "partly": ("partly read", "部分读取"), "missing": ("missing", "已丢失"),
    "row": ("row", "数据行"), "duplicate": ("duplicate", "重复"), "near": ("near", "近似"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Note:
    """Something to tell about a file: ``status`` as in ``FileRecord``, or duplicate, link, row."""

    path: str
    status: str
    en: str
    zh: str


@dataclass(slots=True)
class Report:
    """What an ingest did. Files: ``taken`` read whole, ``partly`` read in part, ``linked`` same bytes as another,
    ``unchanged``, ``refused``, ``missing``; ``heard`` and ``written``: gone through for speech and for text. ``items``
    from catalogues; ``users`` and ``events`` new ones, ``profiles``: users of whom
    something is known, ``repeated`` known ones, ``rejected`` rows of any catalogue that
    could not be used."""

    taken: int = 0
    partly: int = 0
    linked: int = 0
    near: int = 0
    heard: int = 0
    written: int = 0
    unchanged: int = 0
    refused: int = 0
    missing: int = 0
    items: int = 0
    users: int = 0
    profiles: int = 0
    events: int = 0
    repeated: int = 0
    rejected: int = 0
    seconds: float = 0.0
    media_seconds: float = 0.0
    notes: list[Note] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def say(self) -> str:
        """One line of counts, then a table of what needs a look: what became of it, where it is, why."""
        zh = language() == "zh"
        words = {
            "taken": ("files taken", "个文件已读取"), "partly": ("partly read", "个部分读取"),
            "linked": ("duplicates", "个重复文件"), "near": ("near-duplicates", "个近似重复"),
            "unchanged": ("unchanged", "个未变化"),
            "heard": ("heard", "个已识别语音"), "written": ("looked through for text", "个已识别画面文字"),
            "refused": ("refused", "个被拒绝"), "missing": ("missing", "个已丢失"),
            "items": ("catalogue items", "个目录条目"), "events": ("new events", "条新事件"),
            "users": ("new users", "个新用户"), "profiles": ("users described", "个用户资料"),
            "repeated": ("known events", "条已知事件"), "rejected": ("rows refused", "行被拒绝"),
        }  # fmt: skip
        parts = [f"{getattr(self, k)} {w[zh]}" for k, w in words.items() if getattr(self, k)]
        head = ("，" if zh else ", ").join(parts) or ("没有可导入的内容" if zh else "nothing to take in")
        order = sorted(self.notes, key=lambda n: WORST.index(n.status) if n.status in WORST else len(WORST))
        names = [STATUS.get(n.status, (n.status, n.status))[zh] for n in order[:20]]
        wide = max(map(len, names), default=0)
        lines = [
            f"  {name:{wide}}  {n.path}: {n.zh if zh else n.en}" for name, n in zip(names, order[:20], strict=True)
        ]
        more = len(self.notes) - 20
        said = [f"{head} ({self.seconds:.1f} s)", *lines]
        if more > 0:
            said.append(f"  （另有 {more} 条，见 --report）" if zh else f"  ({more} more: name a file with --report)")
        return "\n".join(said)

    def note(self, path: object, status: str, en: str, zh: str) -> None:
        self.notes.append(Note(str(path), status, en, zh))
