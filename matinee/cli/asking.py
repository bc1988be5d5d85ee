"""``matinee recommend``, ``similar`` and ``search``: the questions of the API, asked directly."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from matinee.cli import showing
from matinee.cli.options import HERE, At, Collection, Count, Json, opened
from matinee.cli.words import emit, note, say, t, table
from matinee.errors import MatineeError, language

if TYPE_CHECKING:
    from matinee.serve.service import Service

WAYS = ("all", "text", "picture", "sound", "speech", "behaviour")


HELP = {
    "recommend": (
        """What to show a user, best first, with the reasons. An unknown user gets a varied start.

        \b
        Examples:
          matinee recommend --user ann
          matinee recommend --user ann -n 5 --collection clips --diversity 0.5 --json
        """,
        """为用户推荐内容，最好的在前，并说明理由。未知用户会得到多样的开始。

        \b
        例：
          matinee recommend --user ann
          matinee recommend --user ann -n 5 --collection clips --diversity 0.5 --json
        """,
    ),
    "similar": (
        """Items like this one: by what they say, show or sound like, or by who watched them.

        \b
        Examples:
          matinee similar lion
          matinee similar saxophone --by sound
        """,
        """与某个条目相似的条目：按文字、画面、声音，或按观看者。

        \b
        例：
          matinee similar lion
          matinee similar saxophone --by sound
        """,
    ),
    "search": (
        """Find by meaning, in Chinese or English: what items say, show and sound like, also what is said in them.

        A picture or a sound finds what looks or sounds like it.

        \b
        Examples:
          matinee search animals in the wild
          matinee search 夜晚的城市
          matinee search --picture holiday.jpg
          matinee search --sound whistle.mp3
        """,
        """按含义搜索（中文或英文）：条目的文字、画面和声音，以及其中的语音。

        用图片或声音可以搜索相似的内容。

        \b
        例：
          matinee search animals in the wild
          matinee search 夜晚的城市
          matinee search --picture holiday.jpg
          matinee search --sound whistle.mp3
        """,
    ),
}


def add_to(app: typer.Typer) -> None:
    for command in (recommend, similar, search):
        app.command(help=t(*HELP[command.__name__]))(command)
    app.command(help=t(*showing.HELP))(showing.show)


@contextmanager
def service_at(path: Path) -> Iterator[Service]:
    from matinee.serve.service import Service

    with opened(path) as (library, store):
        yield Service(library, store)


def recommend(
    user: Annotated[str, typer.Option("--user", "-u", help=t("The user's id.", "用户 ID。"))],
    at: At = HERE,
    n: Count = 10,
    collection: Collection = "",
    category: Annotated[
        list[str] | None, typer.Option("--category", help=t("Only this category; may repeat.", "只看此类别；可重复。"))
    ] = None,
    diversity: Annotated[
        float | None,
        typer.Option("--diversity", min=0, max=1, help=t("0: relevance alone, 1: varied.", "0 只看相关性，1 最多样。")),
    ] = None,
    as_json: Json = False,
) -> None:
    from matinee.serve import forms
    from matinee.serve.answers import Answers
    from matinee.serve.service import Ask

    with service_at(at) as service:
        ask = Ask(collection=collection, categories=tuple(category or ()), diversity=diversity)
        slate, state = service.recommend(user, n, ask)
        items = Answers(state.catalogue, language()).recommended(slate)
    if as_json:
        ms = {stage: round(value, 3) for stage, value in slate.ms.items()}
        emit(forms.Recommendations(slate=slate.id, user=user, release=slate.release, items=items, dropped=slate.dropped,
                                   ms=ms))  # fmt: skip
        return
    for place, item in enumerate(items, 1):
        why = t("; ", "；").join(reason.text for reason in item.reasons[:2])
        say(f"{place:3}. {item.title}  [{item.item}]")
        if why:
            say(f"     {why}")
    if not items:
        note(t("There is nothing to recommend. Fill the library with: matinee ingest PATH",
               "没有可推荐的内容。请先导入：matinee ingest PATH"))  # fmt: skip


def similar(
    item: Annotated[str, typer.Argument(metavar="ITEM", help=t("An item's id.", "条目 ID。"))],
    by: Annotated[str, typer.Option("--by", metavar="|".join(WAYS), help=t("In what way.", "按什么相似。"))] = "all",
    at: At = HERE,
    n: Count = 10,
    as_json: Json = False,
) -> None:
    from matinee.serve import find, forms
    from matinee.serve.answers import Answers

    if by not in WAYS:
        ways = ", ".join(WAYS)
        raise MatineeError("similar.by", f"--by is one of {ways}, not {by!r}.", f"--by 只能是 {ways}，而不是 {by!r}。")
    with service_at(at) as service:
        state = service.current()
        found = find.similar(state.catalogue, state.behaviour, service.row(state, item), by, n)
        answers = Answers(state.catalogue, language())
        items = tuple(
            forms.Similar(**answers.brief_fields(int(row)), score=round(float(score), 4), by=name)
            for row, score, name in zip(found.rows, found.score, found.by, strict=True)
        )
    if as_json:
        emit(forms.SimilarItems(item=item, by=by, items=items))
    else:
        _listed([(f"{i.score:.2f}", i.title, f"[{i.item}]", i.by) for i in items])


def search(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[WORDS...]", help=t("What to find.", "要找的内容。"))
    ] = None,
    picture: Annotated[
        Path | None, typer.Option("--picture", metavar="FILE", help=t("What looks like it.", "查找相似的画面。"))
    ] = None,
    sound: Annotated[
        Path | None, typer.Option("--sound", metavar="FILE", help=t("What sounds like it.", "查找相似的声音。"))
    ] = None,
    at: At = HERE,
    n: Count = 10,
    as_json: Json = False,
) -> None:
    from matinee.serve import find, forms
    from matinee.serve.answers import Answers

    if sum(bool(given) for given in (words, picture, sound)) != 1:
        raise MatineeError(
            "search.what", "Search by words, by --picture FILE or by --sound FILE: one of them.",
            "请用文字、--picture 文件 或 --sound 文件 之一进行搜索。",
        )  # fmt: skip
    if given := picture or sound:
        found_like(given, "picture" if picture else "sound", at, n, as_json)
        return
    query = " ".join(words or ())
    with service_at(at) as service:
        state = service.current()
        vectors = service.reader.asked(query)
        found = find.search(state.catalogue, state.words, query, vectors, n)
        answers = Answers(state.catalogue, language())
        hits = tuple(
            forms.Hit(**answers.brief_fields(int(row)), score=round(float(score), 4), matched=name)
            for row, score, name in zip(found.rows, found.score, found.by, strict=True)
        )
    if not vectors:
        note(t("Only words were compared: the text weights are missing. Fetch them with: matinee weights fetch text",
               "只比较了字词：缺少文本模型权重。请下载：matinee weights fetch text"))  # fmt: skip
    if as_json:
        emit(forms.Hits(query=query, items=hits))
    else:
        _listed([(f"{h.score:.2f}", h.title, f"[{h.item}]", h.matched) for h in hits])


def found_like(file: Path, kind: Literal["picture", "sound"], at: Path, n: int, as_json: bool) -> None:
    """What looks or sounds like a file; it is opened here and decoded behind the fence."""
    from matinee.media.fence import open_file
    from matinee.serve import seek

    with service_at(at) as service:
        fd = open_file(file)
        try:
            hits = seek.hits(service, service.seeker.perceive(kind, fd), n, language())
        finally:
            os.close(fd)
            service.seeker.close()
    if as_json:
        emit(hits)
        return
    if hits.query:
        note(t(f"It looks like: {hits.query}", f"看起来像：{hits.query}") if kind == "picture"
             else t(f"It sounds like: {hits.query}", f"听起来像：{hits.query}"))  # fmt: skip
    _listed([(f"{h.score:.2f}", h.title, f"[{h.item}]", h.matched) for h in hits.items])


def _listed(rows: list[tuple[str, ...]]) -> None:
    table(rows)
    if not rows:
        note(t("Nothing was found.", "没有找到。"))
