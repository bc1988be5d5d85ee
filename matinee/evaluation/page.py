"""An outcome as one HTML page that needs nothing else: no script, no font, no request. Plots are SVG inside it."""

from __future__ import annotations

from html import escape
from math import isfinite

from matinee.data.splits import SPLITS
from matinee.evaluation import svg
from matinee.evaluation.report import RULES, checksum, machine
from matinee.evaluation.run import Outcome, Result
from matinee.evaluation.significance import Estimate

STYLE = """
:root{color-scheme:light dark;--fg:#1b1d22;--bg:#fff;--soft:#6b7280;--line:#d9dde3;--bar:#3f6fb5}
@media(prefers-color-scheme:dark){:root{--fg:#e7e9ee;--bg:#14161a;--soft:#9aa3b2;--line:#2e333c;--bar:#6d9be0}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--fg);background:var(--bg)}
body{max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2.2rem 0 .6rem}p{margin:.4rem 0}.soft{color:var(--soft)}
table{border-collapse:collapse;font-size:13px;display:block;overflow-x:auto}
th,td{padding:.3rem .7rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child,td:first-child{text-align:left;position:sticky;left:0;background:var(--bg)}
td.best{font-weight:700}td small{color:var(--soft)}
svg{width:100%;height:auto;font:12px system-ui,sans-serif}svg text{fill:var(--fg)}svg .tick{fill:var(--soft)}
svg .grid{stroke:var(--line)}svg .bar{fill:var(--bar)}svg .whisker{stroke:var(--fg);fill:none;stroke-width:1.5}
svg .line{fill:none;stroke-width:2}
.c0{stroke:#3f6fb5;fill:#3f6fb5}.c1{stroke:#d1702a;fill:#d1702a}.c2{stroke:#3d9a57;fill:#3d9a57}.c3{stroke:#b8407a;fill:#b8407a}
.c4{stroke:#8463c4;fill:#8463c4}.c5{stroke:#a08423;fill:#a08423}.c6{stroke:#2b9a9a;fill:#2b9a9a}.c7{stroke:#8a8f99;fill:#8a8f99}
svg .line{fill:none}.dash{stroke-dasharray:6 4}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem;font-size:13px}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
"""
LOWER_IS_BETTER = ("gini", "calibration", "rmse")
NEITHER = ("popularity_lift", "share", "novelty")


def as_html(outcome: Outcome) -> str:
    """The page as text. Everything that comes from files is escaped."""
    data, split, k = outcome.data, outcome.split, outcome.settings.at[0]
    title = f"{data.name}, {split.name}"
    results = outcome.results
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width,initial-scale=1'>",
        "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(SPLITS[split.name].says)}. {len(outcome.users)} users are asked {len(split.test.cases)} times; "
        f"{len(data.items)} items; trained on {len(split.test.train)} of {len(data.log.at)} rows. "
        "Whiskers and brackets are 95% intervals over users.</p>",
        f"<h2>{outcome.headline}</h2>",
        svg.bars([(r.recipe, r.metrics[outcome.headline]) for r in results], outcome.headline),
        *[f"<h2>All measures at {cut}</h2>{_table(outcome, cut)}" for cut in outcome.settings.at],
        f"<h2>Whom it finds</h2>{_groups(outcome)}",
        f"<h2>Right and varied</h2>{_frontier(results, k)}",
        _warm_up(results, outcome.headline),
        f"<h2>Is the difference real?</h2>{_pairs(outcome)}",
        f"<h2>Cost</h2>{_cost(results)}",
        f"<h2>What made this</h2>{_facts(outcome)}",
        "</body></html>\n",
    ]
    return "".join(parts)


def _cell(estimate: Estimate | None, *, best: bool) -> str:
    if estimate is None or not isfinite(estimate.value):
        return "<td>-</td>"
    around = ""
    if estimate.low is not None and estimate.high is not None:
        around = f" <small>{estimate.low:.4f} to {estimate.high:.4f}</small>"
    return f"<td{' class=best' if best else ''}>{estimate.value:.4f}{around}</td>"


def _rows(outcome: Outcome, names: list[str]) -> str:
    """Measures down, recipes across; the best value of each row is bold."""
    results = outcome.results
    lines = ["<tr><th>measure</th>", *[f"<th>{escape(r.recipe)}</th>" for r in results], "</tr>"]
    for name in names:
        values = {
            r.recipe: r.metrics[name].value for r in results if name in r.metrics and isfinite(r.metrics[name].value)
        }
        kind = name.split("@")[0]
        best = None
        if len(set(values.values())) > 1 and kind not in NEITHER:
            best = (min if kind in LOWER_IS_BETTER else max)(values, key=lambda recipe: values[recipe])
        cells = "".join(_cell(r.metrics.get(name), best=r.recipe == best) for r in results)
        lines.append(f"<tr><td>{escape(name)}</td>{cells}</tr>")
    return f"<table>{''.join(lines)}</table>"


def _names(outcome: Outcome) -> list[str]:
    return list(dict.fromkeys(name for r in outcome.results for name in r.metrics))


def _table(outcome: Outcome, cut: int) -> str:
    return _rows(outcome, [n for n in _names(outcome) if n.split("[")[0].endswith(f"@{cut}") and not _is_group(n)])


def _groups(outcome: Outcome) -> str:
    return _rows(outcome, [n for n in _names(outcome) if _is_group(n) or n in ("auc", "rmse", "accuracy")])


def _is_group(name: str) -> bool:
    return name.startswith("recall@") and "[" in name


def _frontier(results: tuple[Result, ...], k: int) -> str:
    plots = []
    for measure in (f"diversity@{k}", f"coverage@{k}"):
        dots = [
            (r.recipe, r.metrics[measure].value, r.metrics[f"ndcg@{k}"].value) for r in results if measure in r.metrics
        ]
        if dots:
            plots.append(svg.points(dots, f"ndcg@{k} and {measure}", measure, f"ndcg@{k}"))
    return "".join(plots)


def _warm_up(results: tuple[Result, ...], headline: str) -> str:
    lines = {r.recipe: [(float(known), e) for known, e in r.warm_up.items()] for r in results if r.warm_up}
    if not lines:
        return ""
    plot = svg.curves(lines, f"{headline} by events known", "newest events of the user that are known")
    return f"<h2>{headline} from the first event on</h2>{plot}"


def _pairs(outcome: Outcome) -> str:
    if not outcome.comparisons:
        return "<p class='soft'>One recipe: nothing to compare.</p>"
    head = "<tr><th>better</th><th>worse</th><th>difference</th><th>p</th><th>p, Holm</th></tr>"
    rows = "".join(
        f"<tr><td>{escape(c.a)}</td><td>{escape(c.b)}</td>{_cell(c.difference, best=False)}"
        f"<td>{c.p:.4f}</td><td{' class=best' if c.p_holm < 0.05 else ''}>{c.p_holm:.4f}</td></tr>"
        for c in outcome.comparisons
    )
    return f"<table>{head}{rows}</table><p class='soft'>{escape(RULES['test'])}. Bold: below .05.</p>"


def _cost(results: tuple[Result, ...]) -> str:
    head = "<tr><th>recipe</th><th>fit, s</th><th>score, ms a case</th><th>memory, MiB</th><th>settings</th></tr>"
    rows = "".join(
        f"<tr><td>{escape(r.recipe)}</td><td>{r.seconds['fit']:.2f}</td><td>{r.seconds['score_each']:.2f}</td>"
        f"<td>{'-' if r.peak_mib is None else f'{r.peak_mib:.0f}'}</td>"
        f"<td>{escape(', '.join(f'{k}={v}' for k, v in r.fields.items()) or 'defaults')}</td></tr>"
        for r in results
    )
    return f"<table>{head}{rows}</table>"


def _facts(outcome: Outcome) -> str:
    facts = [("settings", repr(outcome.settings))]
    facts += [(file.name, checksum(file)["sha256"]) for file in outcome.data.files]
    facts += [(f"repair: {name}", str(count)) for name, count in outcome.data.repairs.items()]
    facts += [(f"split: {name}", str(count)) for name, count in outcome.split.counts.items()]
    facts += [("note", note) for note in outcome.notes]
    facts += [("rule", rule) for rule in RULES.values()]
    facts += [("machine", ", ".join(f"{k} {v}" for k, v in machine().items()))]
    return "<dl>" + "".join(f"<dt>{escape(a)}</dt><dd>{escape(b)}</dd>" for a, b in facts) + "</dl>"
