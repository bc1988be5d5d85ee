"""``matinee show``: all that is known of an item, as a page for the eyes or as JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from matinee.cli.options import HERE, At, Json
from matinee.cli.words import clean, emit, minutes, t
from matinee.errors import language

if TYPE_CHECKING:
    from rich.console import RenderableType

    from matinee.serve import forms

FEW = 12  # lines of a transcript, shots and texts that are shown without --all
FAINT = 0.02  # probability below which a label is not shown
WIDE = 160  # columns where no terminal says how many there are
STRIP = 60  # signs of the line on which shots are drawn

HELP = (
    """All that is known of an item: what it says, and what was seen and heard in it.

    Shots, tags in Chinese and English with confidences, what is said and what stands written, chapters,
    near-duplicates, and what is missing.

    \b
    Examples:
      matinee show lion
      matinee show films/heat.mkv --all     every line of the transcript, every shot
      matinee show lion --json
    """,
    """某个条目的全部信息：文字，以及从画面和声音中识别出的内容。

    包括镜头、中英文标签及置信度、语音文字和画面文字、章节、近似重复，以及缺少的信息。

    \b
    例：
      matinee show lion
      matinee show films/heat.mkv --all     显示全部语音文字和镜头
      matinee show lion --json
    """,
)


def show(
    item: Annotated[str, typer.Argument(metavar="ITEM", help=t("An item's id.", "条目 ID。"))],
    at: At = HERE,
    everything: Annotated[
        bool, typer.Option("--all", help=t("All lines and shots, not the first few.", "显示全部，而不只是开头。"))
    ] = False,
    as_json: Json = False,
) -> None:
    from matinee.cli.asking import service_at
    from matinee.serve import within

    with service_at(at) as service:
        whole = within.whole(service, item, language())
        facts = service.store.facts(item)
    if as_json:
        emit(as_document(whole, facts))
        return
    from rich.console import Console

    width = None if sys.stdout.isatty() else WIDE
    console = Console(file=sys.stdout, markup=False, highlight=False, emoji=False, width=width)
    for part in page(whole, facts, None if everything else FEW):
        console.print(part)


def as_document(whole: forms.Whole, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of the API for this item, and what only this command tells."""
    import msgspec

    topics = [
        {"en": en, "zh": zh, "confidence": sure, "by": by}
        for en, zh, sure, by in (row for row in listed(facts, "topics") if isinstance(row, list) and len(row) == 4)
    ]
    told: dict[str, Any] = msgspec.to_builtins(whole)
    return told | {
        "topics_both": topics, "near": listed(facts, "near"), "same_as": (facts.get("same_as") or {}).get("item"),
        "cover_file": (facts.get("cover") or {}).get("file"), "container_tags": facts.get("tags") or {},
        "missing": [name for name, _ in missing(whole, facts)],
    }  # fmt: skip


def listed(facts: Mapping[str, Any], key: str) -> list[Any]:
    found = facts.get(key)
    return found if isinstance(found, list) else []


# --- the page --------------------------------------------------------------------------------------------------------


def page(whole: forms.Whole, facts: Mapping[str, Any], most: int | None) -> Iterable[RenderableType]:
    yield head(whole)
    yield grid(about(whole, facts))
    if rows := named(whole, facts):
        yield section(t("Seen and heard", "看到与听到"))
        yield table_of(rows, ("", "bold", "cyan", "dim"), fold=1)
    if whole.shots:
        yield section(t(f"Shots: {len(whole.shots)}", f"镜头：{len(whole.shots)} 个"))
        yield line(f"  {strip(whole)}", "magenta")
        spans = [(s.start, s.end) for s in whole.shots]
        rows = [(f"{i}", clock(a), clock(b), f"{b - a:.1f} s") for i, (a, b) in enumerate(spans, 1)]
        yield from cut(rows, most, ("dim", "cyan", "cyan", ""))
    if whole.chapters:
        yield section(t(f"Chapters: {len(whole.chapters)}", f"章节：{len(whole.chapters)} 个"))
        yield from cut([(clock(c.start), c.title) for c in whole.chapters], most, ("cyan", ""))
    if whole.transcript:
        source = {"subtitle": t("subtitles", "字幕"), "lyrics": t("lyrics", "歌词")}
        by, tongue = source.get(whole.transcript.by, whole.transcript.by), whole.transcript.language
        yield section(t("Said", "语音文字") + f" ({', '.join(w for w in (tongue, by) if w)})")
        rows = [(clock(a) if b > a else "", text) for a, b, text in whole.transcript.segments]
        yield from cut(rows, most, ("cyan", ""))
    if whole.seen_text:
        yield section(t("Written in the picture", "画面文字"))
        rows = [(clock(s.at), f"{s.confidence:.2f}", s.text) for s in whole.seen_text]
        yield from cut(rows, most, ("cyan", "dim", ""))
    if rows := relatives(facts):
        yield section(t("The same or nearly the same", "相同或近似"))
        yield table_of(rows, ("bold", ""))
    if gaps := missing(whole, facts):
        yield section(t("Missing", "缺少"))
        if plain := [t(*NAMES[name]) for name, why in gaps if not why]:
            yield line("  " + t(", ", "、").join(plain), "yellow")
        yield table_of([(t(*NAMES[name]), why) for name, why in gaps if why], ("yellow", "dim"))


def head(whole: forms.Whole) -> RenderableType:
    from rich.text import Text

    return Text.assemble((clean(whole.title), "bold"), "  ", (f"[{clean(whole.item)}]", "dim"))


def section(title: str) -> RenderableType:
    from rich.text import Text

    return Text("\n" + clean(title), style="bold blue")


def line(text: str, style: str = "") -> RenderableType:
    from rich.text import Text

    return Text(clean(text), style=style, overflow="fold")


def table_of(rows: Sequence[tuple[str, ...]], styles: Sequence[str], fold: int = -1) -> RenderableType:
    """Columns in these styles; the one at ``fold`` is broken where the terminal is too narrow."""
    from rich.table import Table
    from rich.text import Text

    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(width=0)
    for place, style in enumerate(styles):
        made.add_column(style=style, overflow="fold", no_wrap=place != fold % len(styles))
    for row in rows:
        made.add_row("", *(Text(clean(cell)) for cell in row))
    return made


def grid(rows: Sequence[tuple[str, str]]) -> RenderableType:
    return table_of([row for row in rows if row[1]], ("dim", ""))


def cut(rows: Sequence[tuple[str, ...]], most: int | None, styles: Sequence[str]) -> Iterable[RenderableType]:
    yield table_of(rows[:most], styles)
    if most is not None and len(rows) > most:
        yield line(t(f"  ... and {len(rows) - most} more (--all)", f"  …… 还有 {len(rows) - most} 行（--all）"), "dim")


def about(whole: forms.Whole, facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    media = whole.media
    size = f"{media['width']} x {media['height']}" if media.get("width") and media.get("height") else ""
    loud = media.get("loudness")
    silence = media.get("silence")
    sound = [f"{loud} LUFS"] if loud is not None else []
    sound += [t(f"{silence:.0%} silent", f"静音 {silence:.0%}")] if silence else []
    episode = f"S{whole.season or 0:02d}E{whole.episode:02d}" if whole.episode is not None else ""
    rows: list[tuple[str, Any]] = [
        (t("collection", "集合"), whole.collection),
        (t("kind", "类型"), ", ".join(str(v) for v in (whole.kind, media.get("container"), size) if v)),
        (t("length", "时长"), minutes(whole.duration)),
        (t("sound", "声音"), ", ".join(sound)),
        (t("series", "剧集"), " ".join(v for v in (whole.series or "", episode) if v)),
        (t("released", "发行"), day(whole.released)),
        (t("language", "语言"), whole.language),
        (t("categories", "类别"), ", ".join(whole.categories)),
        (t("creators", "作者"), ", ".join(whole.creators)),
        (t("tags", "标签"), ", ".join(whole.tags)),
        (t("about", "简介"), whole.description),
        *((str(key), str(value)) for key, value in whole.properties.items()),
        (t("cover", "封面"), (facts.get("cover") or {}).get("file", "")),
        (t("vectors", "向量"), ", ".join(whole.spaces)),
    ]  # fmt: skip
    return [(name, str(value)) for name, value in rows if value not in ("", None)]


def day(moment: float | None) -> str:
    try:
        return "" if moment is None else datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d")
    except (OverflowError, OSError, ValueError):
        return ""


def named(whole: forms.Whole, facts: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """(what, in both languages, how sure, by what) of tags and labels."""
    from matinee.encoders.labels import label_zh

    def both(en: object, zh: object) -> str:
        return f"{zh} · {en}" if zh and zh != en else str(en)

    rows: list[tuple[str, ...]] = []
    for row in listed(facts, "topics"):
        if isinstance(row, list) and len(row) == 4:
            rows.append((t("tag", "标签"), both(row[0], row[1]), bar(row[2]), t(*BY.get(row[3], (row[3], row[3])))))
    for sense, says in (("frames", t("seen", "看到")), ("sound", t("heard", "听到"))):
        for label, share in [pair for pair in listed(facts, f"labels.{sense}") if pair[1] >= FAINT][:5]:
            rows.append((says, both(label, label_zh(label)), bar(share), ""))
    return rows


BY = {
    "text": ("by its text", "据文字"), "speech": ("by what is said", "据语音"),
    "written": ("by text in it", "据画面文字"),
    "bridge.frames": ("by its pictures", "据画面"), "bridge.sound": ("by its sound", "据声音"),
    "frames.joint": ("by its pictures", "据画面"), "sound.joint": ("by its sound", "据声音"),
}  # fmt: skip


def bar(share: Any) -> str:
    value = min(max(float(share), 0.0), 1.0)
    return f"{value:.2f} {'█' * round(value * 10)}{'░' * (10 - round(value * 10))}"


def strip(whole: forms.Whole) -> str:
    """The shots on a line: each as long as it lasts, ``|`` where one begins."""
    end = max((s.end for s in whole.shots), default=0.0)
    signs = ["━"] * STRIP
    for shot in whole.shots:
        signs[min(STRIP - 1, int(shot.start / end * STRIP)) if end else 0] = "┃"
    return "".join(signs)


def clock(seconds: float) -> str:
    whole = int(seconds)
    hours = f"{whole // 3600}:{whole // 60 % 60:02d}" if whole >= 3600 else f"{whole // 60}"
    return f"{hours}:{whole % 60:02d}.{int(seconds * 10) % 10}"


def relatives(facts: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    if same := (facts.get("same_as") or {}).get("item"):
        rows.append((str(same), t("the same bytes", "内容完全相同")))
    for near in listed(facts, "near"):
        if isinstance(near, dict):
            shared = [s for s in near.get("shared", []) if isinstance(s, dict)]
            what = [f"{t(*SHARED.get(str(s.get('by')), ('', '')))} {s.get('share', 0):.0%}" for s in shared]
            rows.append((str(near.get("item", "")), t("shares ", "共有") + ", ".join(what)))
    return rows


SHARED = {"frames": ("pictures", "画面"), "sound": ("sound", "声音")}
NAMES = {
    "description": ("description", "简介"), "categories": ("categories", "类别"), "creators": ("creators", "作者"),
    "tags": ("tags", "标签"), "language": ("language", "语言"), "released": ("release date", "发行日期"),
    "cover": ("cover", "封面"), "transcript": ("what is said", "语音文字"),
    "seen_text": ("text in the picture", "画面文字"),
}  # fmt: skip


def missing(whole: forms.Whole, facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(what, why or what to do) of all that could be known of such an item and is not."""
    fields = ("description", "categories", "creators", "tags", "language", "released", "cover")
    gaps = [(name, "") for name in fields if getattr(whole, name) in (None, "", ())]
    if whole.kind in ("video", "audio") and whole.media.get("sound") and whole.transcript is None:
        none = t("nobody speaks in it, or not to be understood", "没有语音，或无法听清")
        gaps.append(("transcript", none if facts.get("heard") else untried("speech")))
    if whole.kind in ("video", "image") and not whole.seen_text:
        none = t("none was found", "没有发现")
        gaps.append(("seen_text", none if facts.get("written") else untried("ocr")))
    return gaps


def untried(setting: str) -> str:
    return t(
        f"not looked for: set [reading] {setting} = true and ingest again",
        f"尚未识别：设置 [reading] {setting} = true 后重新导入",
    )
