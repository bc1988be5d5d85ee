"""The sentences that a slate carries, in English and Chinese. Reasons are data inside; here they become words."""

from __future__ import annotations

from collections.abc import Callable

from matinee.errors import Language
from matinee.types import Reason

LabelName = Callable[[str], str]
BECAUSE = {
    "because": ("Because you watched {cause}", "因为你看过《{cause}》"),
    "looks": ("Looks like {cause}", "画面与《{cause}》相似"),
    "sounds": ("Sounds like {cause}", "声音与《{cause}》相似"),
    "reads": ("Described in words like those of {cause}", "文字介绍与《{cause}》相近"),
    "topic": ("More of {detail}", "更多“{detail}”"),
    "popular": ("Watched by many", "很多人看过"),
    "popular now": ("Popular right now", "近期热门"),
    "new": ("New here", "新上架"),
    "continue": ("You were watching this", "你正在看"),
    "next": ("Next in {detail}", "《{detail}》的下一集"),
    "again": ("You like this", "你喜欢的内容"),
    "group": ("Watched by {people}", "{people}在看"),
    "explore": ("Something different to try", "换个口味试试"),
}
PEOPLE = {  # by the field that makes the group
    "age": ("people of your age group", "与你年龄段相近的人"),
    "country": ("people of your country", "与你同一国家或地区的人"),
    "language": ("people of your language", "与你使用同一语言的人"),
    "gender": ("people of your gender", "与你性别相同的人"),
    "occupation": ("people of your occupation", "与你职业相同的人"),
}
OTHERS = ("people who have this in common with you: {field}", "与你有此共同点（{field}）的人")
ROWS = {
    "for_you": ("For you", "为你推荐"),
    "because": ("Because you watched {cause}", "因为你看过《{cause}》"),
    "popular": ("Popular now", "热门"),
    "new": ("New arrivals", "新上架"),
    "category": ("{category}", "{category}"),
    "starter": ("A bit of everything to start with", "随便看看，从这里开始"),
    "again": ("Watch again", "再看一遍"),
    "more_from": ("More from {cause}", "{cause}的更多作品"),
    "continue": ("Continue watching", "继续观看"),
}
EMPTY = {
    "nothing": (
        "Nothing is left to recommend: the limits of this request and what was already seen leave no item.",
        "没有可推荐的内容：请求的限制和已看过的内容排除了所有条目。",
    ),
    "seen": (
        "Everything that fits was seen already, so it may come again.",
        "符合条件的都看过了，所以重新推荐。",
    ),
    "category": (
        "Nothing is left in these categories, so others were looked at.",
        "这些类别中已没有内容，因此推荐了其他类别。",
    ),
    "dropped": (
        "A filter takes this item away from this user; without it the reasons below would hold.",
        "此条目会被过滤，不会推荐给该用户；若不过滤，则理由如下。",
    ),
    "few": (
        "Fewer items than asked for are left after the filters.",
        "经过筛选，剩下的条目少于请求的数量。",
    ),
    "library": (
        "The library is empty. Add something with: matinee ingest PATH",
        "库中还没有内容。请先添加：matinee ingest PATH",
    ),
    "untrained": (
        "Who watches what together is learnt by training, and there is no release yet: matinee train",
        "“看过的人还看过”需要先训练，目前还没有发布版本：matinee train",
    ),
    "unlike": (
        "Nothing is like this item in this way: it has no such vectors, or nothing comes near.",
        "没有以这种方式与其相似的条目：它缺少相应的向量，或者没有足够接近的内容。",
    ),
    "lexical": (
        "The text encoder is not there, so only words in titles, tags and descriptions were compared. "
        "Fetch it with: matinee weights fetch text",
        "缺少文本编码器，因此只比较了标题、标签和简介中的文字。可以获取：matinee weights fetch text",
    ),
}


def pick(pair: tuple[str, str], lang: Language) -> str:
    return pair[1] if lang == "zh" else pair[0]


def reason_text(reason: Reason, cause: str, lang: Language, name: LabelName = str) -> str:
    """One sentence. ``cause`` is the title of the item behind it; ``name`` puts a label into the language."""
    key = "popular now" if reason.kind == "popular" and reason.detail == "now" else reason.kind
    said = pick(BECAUSE.get(key, BECAUSE["because"]), lang)
    if reason.kind == "popular" or not (reason.detail or key == "group"):
        return said.format(cause=cause, detail="", people="") if "{" in said else said
    labels = [name(label) for label in reason.detail.split("; ") if label]
    detail = ("、" if lang == "zh" else ", ").join(labels)
    people = pick(PEOPLE.get(reason.detail, OTHERS), lang).format(field=reason.detail) if key == "group" else ""
    text = said.format(cause=cause, detail=detail, people=people)
    if detail and reason.kind in ("looks", "sounds", "reads"):
        text += f"：{detail}" if lang == "zh" else f": {detail}"
    return text


def row_title(row: str, lang: Language, cause: str = "", category: str = "") -> str:
    return pick(ROWS[row], lang).format(cause=cause, category=category)


def said(key: str, lang: Language) -> str:
    return pick(EMPTY[key], lang)


def language_of(accept: str | None, asked: str | None = None) -> Language:
    """The language of an answer: the one asked for (``lang=``), else the first of ``Accept-Language`` that there is."""
    if asked:
        return "zh" if asked.lower().startswith("zh") else "en"
    choices: list[tuple[float, int, Language]] = []
    for i, part in enumerate((accept or "").split(",")[:20]):
        tag, _, weight = part.strip().partition(";q=")
        try:
            quality = float(weight) if weight else 1.0
        except ValueError:
            quality = 0.0
        primary = tag.lower().split("-")[0]
        if primary == "zh" and quality > 0:
            choices.append((-quality, i, "zh"))
        elif primary == "en" and quality > 0:
            choices.append((-quality, i, "en"))
    return min(choices)[2] if choices else "en"
