"""``matinee evaluate``: recipes on a data set, measured as a reviewer would."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from matinee.cli.words import clean, emit, note, t
from matinee.errors import MatineeError

if TYPE_CHECKING:
    from rich.table import Table

    from matinee.evaluation.run import Outcome, Result, Settings


Cuts = Annotated[str, typer.Option(help=t("Cuts; the first is the headline.", "截断位置；第一个为主指标。"))]
Trials = Annotated[int, typer.Option(help=t("Trials a recipe, on validation.", "每个模型的调参次数（仅用验证集）。"))]
Feedback = Annotated[str, typer.Option(help=t("watched or liked: what stars mean.", "星级的含义：watched 或 liked。"))]
Fixed = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="RECIPE.FIELD=VALUE", help=t("A setting; repeatable.", "模型设置，可重复。")),
]
Against = Annotated[
    str | None, typer.Option(metavar="RECIPE", help=t("Test only against this one.", "只与此模型做配对检验。"))
]
Stars = Annotated[bool, typer.Option("--ratings", help=t("Also predict stars.", "同时评估评分预测。"))]
Vectors = Annotated[
    list[Path] | None,
    typer.Option(help=t("Item vectors (.npz: ids, a matrix a modality); repeatable.", "条目向量（.npz），可重复。")),
]
Encode = Annotated[
    str,
    typer.Option(help=t("Encode the items' words and pictures: text,frames.", "编码条目的文字和图片：text,frames。")),
]
Fuse = Annotated[
    str,
    typer.Option(
        help=t("Fuse them for content recipes: beside, concat, cca ...", "为内容模型融合：beside、concat、cca ……")
    ),
]
Form = Annotated[
    str | None, typer.Option(help=t("Format of DATA, where looking fails.", "数据格式（无法自动识别时）。"))
]
JsonOut = Annotated[
    Path | None,
    typer.Option(metavar="OUT", help=t("Write everything as JSON; - for stdout.", "写出 JSON；- 为标准输出。")),
]
HtmlOut = Annotated[Path | None, typer.Option(metavar="OUT", help=t("Write a report page.", "写出 HTML 报告。"))]


def add_to(app: typer.Typer) -> None:
    app.command(
        help=t(
            """How good recipes are on a data set: full ranking, 95% intervals, paired tests, one report.

            DATA is a file or folder: MovieLens as GroupLens ships it, RecBole .inter, CSV, JSONL or Parquet with
            columns user and item, LightGCN or SASRec text, ordered sequences, or a Gorse export.

            \b
            Splits: time (default), time-successive, leave-one-out, random, cold-items, cold-items-all, cold-users.
            Examples:
              matinee evaluate ml-100k
              matinee evaluate ml-1m --split leave-one-out --recipes popular,ease,transitions --at 10,20
              matinee evaluate log.csv --items films.csv --tune 20 --json result.json --html result.html
              matinee evaluate ml-100k --recipes ease --set ease.ridge=300
            """,
            """在数据集上评估模型：全量排序、95% 置信区间、配对检验，一份报告。

            DATA 是文件或文件夹：GroupLens 发布的 MovieLens、RecBole 的 .inter、含 user 与 item 列的 CSV、JSONL 或
            Parquet、LightGCN 或 SASRec 文本、有序序列，或 Gorse 导出。

            \b
            划分方式：time（默认）、time-successive、leave-one-out、random、cold-items、cold-items-all、cold-users。
            例：
              matinee evaluate ml-100k
              matinee evaluate ml-1m --split leave-one-out --recipes popular,ease,transitions --at 10,20
              matinee evaluate log.csv --items films.csv --tune 20 --json result.json --html result.html
              matinee evaluate ml-100k --recipes ease --set ease.ridge=300
            """,
        )
    )(evaluate)


def evaluate(
    data: Annotated[Path, typer.Argument(metavar="DATA", show_default=False)],
    split: Annotated[str, typer.Option(help=t("How to hide a part.", "划分方式。"))] = "time",
    recipes: Annotated[str, typer.Option(help=t("Names, with commas between.", "模型名，用逗号分隔。"))] = "",
    at: Cuts = "10,20",
    seed: Annotated[int, typer.Option(help=t("Decides all chance.", "随机种子。"))] = 0,
    seeds: Annotated[int, typer.Option(help=t("Fits a recipe, averaged.", "每个模型训练次数，取平均。"))] = 1,
    tune: Trials = 0,
    feedback: Feedback = "watched",
    settings: Fixed = None,
    ratings: Stars = False,
    against: Against = None,
    features: Vectors = None,
    encode: Encode = "",
    fuse: Fuse = "none",
    items: Annotated[Path | None, typer.Option(help=t("Item table.", "条目表。"))] = None,
    format: Form = None,
    json: JsonOut = None,
    html: HtmlOut = None,
) -> None:
    from matinee.evaluation.page import as_html
    from matinee.evaluation.report import as_dict, as_json, write
    from matinee.evaluation.run import evaluate as run

    given: dict[str, Any] = {"split": split, "at": _whole(at), "seed": seed, "seeds": seeds, "tune": tune}
    given |= {
        "feedback": feedback,
        "format": format,
        "ratings": ratings,
        "encode": _names(encode),
        "fuse": fuse,
        "fields": _fields(settings or []),
        "against": against,
    }
    asked = _settings(given | ({"recipes": _names(recipes)} if recipes else {}))
    for out in (json, html):
        if out is not None and str(out) != "-" and not out.resolve().parent.is_dir():
            raise MatineeError(
                "evaluate.unwritable",
                f"There is no folder {out.resolve().parent} to write {out.name} in. Make it first.",
                f"文件夹 {out.resolve().parent} 不存在，请先创建。",
            )
    with _Screen(asked) as screen:
        outcome = run(
            data, asked, features=features or (), items=items, progress=screen.progress, on_result=screen.add
        )  # fmt: skip
    _tell(outcome, quiet=str(json) == "-")
    if html is not None:
        write(html, as_html(outcome).encode("utf-8"))
    if json is not None and str(json) == "-":
        emit(as_dict(outcome))
    elif json is not None:
        write(json, as_json(outcome))


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _whole(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in _names(text))
    except ValueError:
        raise MatineeError(
            "evaluate.setting",
            f"--at takes whole numbers with commas between, such as 10,20; not {text!r}.",
            f"--at 需要用逗号分隔的整数，例如 10,20；而不是 {text!r}。",
        ) from None


def _fields(pairs: list[str]) -> dict[str, dict[str, Any]]:
    """``RECIPE.FIELD=VALUE`` ... by recipe; a value is JSON where it can be, else text."""
    import msgspec

    out: dict[str, dict[str, Any]] = {}
    for pair in pairs:
        path, equals, text = pair.partition("=")
        recipe, dot, name = path.partition(".")
        if not (equals and dot and recipe and name):
            raise MatineeError(
                "evaluate.setting",
                f"--set takes RECIPE.FIELD=VALUE, such as ease.ridge=300; not {pair!r}.",
                f"--set 的写法是 模型.设置=值，例如 ease.ridge=300；而不是 {pair!r}。",
            )
        try:
            value = msgspec.json.decode(text)
        except msgspec.DecodeError:
            value = text
        out.setdefault(recipe, {})[name] = tuple(value) if isinstance(value, list) else value
    return out


def _settings(given: dict[str, Any]) -> Settings:
    import msgspec

    from matinee.data.columns import nearest
    from matinee.evaluation.run import Settings

    if (word := given["feedback"]) not in FEEDBACKS:
        near = nearest(word, FEEDBACKS)
        raise MatineeError(
            "evaluate.setting",
            f"--feedback is {' or '.join(FEEDBACKS)}, not {word!r}; did you mean {near!r}?",
            f"--feedback 只能是 {' 或 '.join(FEEDBACKS)}，而不是 {word!r}；是否指 {near!r}？",
        )
    try:
        return msgspec.convert(given, Settings)
    except msgspec.ValidationError as error:
        raise MatineeError("evaluate.setting", f"Cannot evaluate: {error}.", f"无法评估：{error}。") from error


FEEDBACKS = ("watched", "liked")
COLUMNS = ("ndcg", "hr", "recall", "mrr", "coverage", "diversity")


class _Screen:
    """The table as it grows: redrawn on a terminal, a line a recipe elsewhere. All of it on stderr."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._results: list[Result] = []
        self._status = ""
        self._live: Any = None

    def __enter__(self) -> _Screen:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), refresh_per_second=4, transient=True)
            self._live.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.__exit__(*error)

    def progress(self, what: str, done: int, total: int) -> None:
        self._status = f"{what} {done}/{total}"
        if self._live is not None:
            self._live.update(_table(self._results, self._settings, self._status))

    def add(self, result: Result) -> None:
        self._results.append(result)
        if self._live is not None:
            self._live.update(_table(self._results, self._settings, self._status))
            return
        name = f"ndcg@{self._settings.at[0]}"
        e = result.metrics[name]
        note(f"  {result.recipe}: {name} {e.value:.4f} ({e.low:.4f} to {e.high:.4f}), {result.seconds['fit']:.1f} s")


def _table(results: list[Result], settings: Settings, caption: str) -> Table:
    from rich.box import SIMPLE
    from rich.table import Table

    k = settings.at[0]
    names = [f"{name}@{k}" for name in COLUMNS]
    table = Table(caption=clean(caption) or None, highlight=False, box=SIMPLE, padding=(0, 1))
    table.add_column(t("recipe", "模型"), no_wrap=True)
    for name in [*names, t("fit, s", "训练（秒）"), t("ms a case", "毫秒/次")]:
        table.add_column(name, justify="right", no_wrap=True)
    best = max(results, key=lambda r: r.metrics[names[0]].value, default=None)
    for result in results:
        cells = [_estimate(result, name) for name in names]
        timing = (f"{result.seconds['fit']:.1f}", f"{result.seconds['score_each']:.2f}")
        table.add_row(result.recipe, *cells, *timing, style="bold" if result is best else None)
    return table


def _estimate(result: Result, name: str) -> str:
    estimate = result.metrics.get(name)
    if estimate is None or estimate.value != estimate.value:
        return "-"
    half = "" if estimate.low is None or estimate.high is None else f" ±{(estimate.high - estimate.low) / 2:.3f}"
    return f"{estimate.value:.4f}{half}"


def _tell(outcome: Outcome, *, quiet: bool) -> None:
    """The table at the end, and what a reader must know of the data. On stdout unless JSON goes there."""
    from rich.console import Console

    console = Console(stderr=quiet, width=None if sys.stdout.isatty() else 140)
    data, counts = outcome.data, outcome.split.counts
    console.print(_table(list(outcome.results), outcome.settings, ""))
    lines = [
        t(f"{clean(data.name)}: {len(data.users)} users, {len(data.items)} items, {len(data.log.at)} rows "
          f"({data.format}); {counts['test_cases']} cases of {len(outcome.users)} users.",
          f"{clean(data.name)}：{len(data.users)} 个用户，{len(data.items)} 个条目，{len(data.log.at)} 行"
          f"（{data.format}）；{len(outcome.users)} 个用户的 {counts['test_cases']} 次提问。"),
    ]  # fmt: skip
    repairs = ", ".join(f"{name} {count}" for name, count in data.repairs.items())
    lines += [t(f"Repairs: {repairs}.", f"数据修正：{repairs}。")] if repairs else []
    lines += [clean(note_) for note_ in outcome.notes]
    best = max(outcome.results, key=lambda r: r.metrics[outcome.headline].value).recipe
    for c in outcome.comparisons:
        if (outcome.settings.against or best) in (c.a, c.b):
            sure = t("sure", "显著") if c.p_holm < 0.05 else t("not sure", "不显著")
            lines.append(f"{c.a} > {c.b}: {c.difference.value:+.4f}, p = {c.p_holm:.4f} ({sure})")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
