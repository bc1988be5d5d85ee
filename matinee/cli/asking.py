"""``matinee recommend``, ``similar``, ``search`` and ``show``: the questions of the API, asked directly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from matinee.cli.options import HERE, At, Collection, Count, Json, opened
from matinee.cli.words import emit, minutes, note, say, t, table
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
        """Find by meaning, in Chinese or English: what items say, show and sound like.

        \b
        Examples:
          matinee search animals in the wild
          matinee search 夜晚的城市
        """,
        """按含义搜索（中文或英文）：条目的文字、画面和声音。

        \b
        例：
          matinee search animals in the wild
          matinee search 夜晚的城市
        """,
    ),
    "show": (
        """All that is known of an item: what it says, and what was seen and heard in it.

        \b
        Example:
          matinee show lion
        """,
        """某个条目的全部信息：文字，以及从画面和声音中识别出的内容。

        \b
        例：
          matinee show lion
        """,
    ),
}


def add_to(app: typer.Typer) -> None:
    for command in (recommend, similar, search, show):
        app.command(help=t(*HELP[command.__name__]))(command)


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
    words: Annotated[list[str], typer.Argument(metavar="WORDS...", help=t("What to find.", "要找的内容。"))],
    at: At = HERE,
    n: Count = 10,
    as_json: Json = False,
) -> None:
    from matinee.serve import find, forms
    from matinee.serve.answers import Answers

    query = " ".join(words)
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


def _listed(rows: list[tuple[str, ...]]) -> None:
    table(rows)
    if not rows:
        note(t("Nothing was found.", "没有找到。"))


def show(
    item: Annotated[str, typer.Argument(metavar="ITEM", help=t("An item's id.", "条目 ID。"))],
    at: At = HERE,
    as_json: Json = False,
) -> None:
    from matinee.encoders.labels import label_in
    from matinee.serve.answers import Answers

    with service_at(at) as service:
        state = service.current()
        whole = Answers(state.catalogue, language()).whole(service.row(state, item))
    if as_json:
        emit(whole)
        return
    say(f"{whole.title}  [{whole.item}]")
    facts: list[tuple[str, Any]] = [
        (t("collection", "集合"), whole.collection),
        (t("kind", "类型"), whole.kind),
        (t("length", "时长"), minutes(whole.duration)),
        (t("categories", "类别"), ", ".join(whole.categories)),
        (t("creators", "作者"), ", ".join(whole.creators)),
        (t("tags", "标签"), ", ".join(whole.tags)),
        (t("about", "简介"), whole.description),
        *((str(key), value) for key, value in whole.properties.items()),
    ]
    for name, labels in whole.labels.items():
        told = ", ".join(f"{label_in(label, language())} {share:.2f}" for label, share in labels[:5])
        facts.append((t("seen", "看到") if name == "frames" else t("heard", "听到") if name == "sound" else name, told))
    facts.append((t("vectors", "向量"), ", ".join(whole.spaces)))
    table([(f"  {name}", str(value)) for name, value in facts if value not in ("", None)])
