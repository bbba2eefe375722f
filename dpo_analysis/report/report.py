"""A run as one HTML file to send to somebody: verdict, curves, checks, pairs token by token, and a glossary.

The page loads nothing and runs one script, the token view's, under a policy by hash. Text of models and people reaches
it through Jinja2's escaping alone; what is marked safe is made here: style, script, SVG and JSON.
"""

import html
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import pandas as pd

import dpo_analysis
from dpo_analysis import figures, words
from dpo_analysis.arrays.region_sums import short_prompts
from dpo_analysis.arrays.response_sums import pair_index
from dpo_analysis.arrays.texts import pair_texts
from dpo_analysis.diagnosis import CHECK_VERDICTS, Check, load_or_diagnose, run_checks
from dpo_analysis.diagnosis.diagnosis_text import diagnosis_lines
from dpo_analysis.errors import InputError
from dpo_analysis.figures.check_texts import answer, mark, question
from dpo_analysis.figures.labels import one_line
from dpo_analysis.figures.static_svg import svg
from dpo_analysis.figures.token_view.glyphs import visible
from dpo_analysis.figures.token_view.page import PAGE_COLORS, policy_hash, script, style
from dpo_analysis.figures.token_view.payload import payload
from dpo_analysis.report.glossary import glossary
from dpo_analysis.runs import Run, atomic_file
from dpo_analysis.runs.summaries.pair_rows import find_pair
from dpo_analysis.schema import SCORED
from dpo_analysis.tables import trainer_log
from dpo_analysis.tables.decompositions import decomposition_table
from dpo_analysis.tables.pairs import PAIR_COLUMNS, pair_table
from dpo_analysis.tables.steps import step_table
from dpo_analysis.tables.tokens import token_table
from dpo_analysis.text.numbers import distinct, signed

GENERATOR = "dpo-analysis report"
"""The page's generator tag, by which a report is recognised: a file without it is never overwritten."""
HEAD_BYTES = 2048
"""How far into a file the generator tag is looked for."""
PAIRS = 6
THEMES = ("light", "dark")
CURVES = {"reward": figures.reward_curves, "logp": figures.logp_curves, "accuracy": figures.accuracy_curves}
REWARDS = {"chosen": "chosen_reward", "rejected": "rejected_reward", "margin": "margin"}
START = """
for (const view of document.querySelectorAll(".pair")) {
  mountTokenView(view, JSON.parse(document.getElementById(view.id.replace("pair", "data")).textContent));
}"""
FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What a report shows.

    Attributes:
        series: only this training run; None for all.
        pair_ids: these pairs; none means those whose chosen response fell most.
        pairs: how many of those.
        beta: instead of each series' own.
        lang: "en" or "zh".
        split: which pairs the numbers are of; None for "eval" where the run has it, else its first split.
    """

    series: str | None = None
    pair_ids: Sequence[str] = ()
    pairs: int = PAIRS
    beta: float | None = None
    lang: str = "en"
    split: str | None = None


class TrustedHtml(str):
    """Text that is made here and goes into the page as it is: style, script, SVG, and JSON without ``<``."""

    __slots__ = ()

    def __html__(self) -> str:
        """Return the text unescaped; Jinja2 calls this before it would escape."""
        return str(self)


class _Report(NamedTuple):
    """A run as the report shows it.

    Attributes:
        run: the run.
        options: as they were given.
        split: the split that the numbers are of.
        steps: its step table.
    """

    run: Run
    options: ReportOptions
    split: str
    steps: pd.DataFrame

    def say(self, key: str, **values: object) -> str:
        """Return the words of ``key`` in the report's language."""
        return words.text(key, self.options.lang, **values)


def write_report(run: Run, to: str | Path, options: ReportOptions | None = None) -> int:
    """Write the report of ``run`` to FILE.html, whole or not at all, and return its size in bytes.

    Raises:
        InputError: the run has no such series, pair or split; or the file has another ending, lies in no folder, or is
            no report.
        StorageError: the run is damaged, or the disk is full or refuses.
    """
    path = Path(to)
    check_target(path)
    data = report_html(run, options).encode("utf-8", "replace")
    with atomic_file(path, point="report") as handle:
        return handle.write(data)


def check_target(path: Path) -> None:
    """Pass when a report can be written to ``path``.

    Raises:
        InputError: it has another ending, lies in no folder, or is a folder or a file that is no report.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"no way to write {path}: a report is one page; give --to a name that ends in .html")
    if not path.parent.is_dir() or path.is_dir():
        problem = "that is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise InputError(f"no way to write {path}: {problem}; name a file in a folder that exists")
    if path.exists() and not _is_report(path):
        raise InputError(f"no report written to {path}: a file is there that is no report; give --to another name")


def _is_report(path: Path) -> bool:
    with path.open("rb") as handle:
        return f'content="{GENERATOR}"'.encode() in handle.read(HEAD_BYTES)


def report_html(run: Run, options: ReportOptions | None = None) -> str:
    """Return the report of ``run`` as one page that needs nothing else; errors as ``write_report``."""
    report = _prepare(run, options or ReportOptions())
    css, js = f"{PAGE_COLORS}\n{style()}\n{_file('report.css')}", f"{script()}\n{START}"
    checks = run_checks(run)
    counts = {name: sum(check.verdict == name for check in checks) for name in CHECK_VERDICTS}
    page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(_file("report.html"))
    return page.render(
        lang=report.options.lang,
        generator=GENERATOR,
        say=report.say,
        css=TrustedHtml(css),
        js=TrustedHtml(js),
        css_hash=policy_hash(css),
        js_hash=policy_hash(js),
        title=report.say("report.title", run=run.name),
        facts=_facts(report),
        notes=list(_notes(report)),
        verdicts=figures.headline(report.steps, lang=report.options.lang),
        curves=list(_curves(report)),
        causes=list(_causes(report)),
        counted=report.say("checks.count", good=counts.pop("pass"), **counts),
        checks=[_check(check, report.options.lang) for check in checks],
        pairs=list(_pairs(report)),
        terms=list(glossary(report.options.lang)),
        made=report.say("report.made", version=dpo_analysis.__version__),
    )


def causes_section(
    run: Run, series: str, lang: str, *, split: str | None = None, beta: float | None = None
) -> TrustedHtml:
    """Return the section about why a series' last checkpoint changed; empty where the series has no score."""
    scored = [model for model in run.models if model.series == series and run.parts_done(model)]
    if not scored:
        return TrustedHtml("")
    sentences = diagnosis_lines(load_or_diagnose(run, series=series, split=split, beta=beta), lang)[2:]
    title = words.text("report.causes.title", lang, model=scored[-1].key)
    parts = [f"<h2>{html.escape(title)}</h2>"]
    parts += [
        f"<p class='{'caption' if line[0] == ' ' else 'said'}'>{html.escape(line)}</p>" for line in sentences if line
    ]
    decompositions = decomposition_table(run, model=scored[-1].key, split=split)
    by_place = decompositions[decompositions["by"] == "place"]
    if len(by_place):
        parts.append(f"<p class='caption'>{html.escape(words.text('report.causes.caption', lang))}</p>")
        charts = {theme: figures.split_bars(by_place, lang=lang, theme=theme) for theme in THEMES}
        parts += [f"<div class='{theme}'>{svg(charts[theme], title=title)}</div>" for theme in THEMES]
    return TrustedHtml(f"<section>{''.join(parts)}</section>")


def _causes(report: _Report) -> Iterator[TrustedHtml]:
    options = report.options
    for series in report.steps["series"].unique():
        yield causes_section(report.run, series, options.lang, split=report.split, beta=options.beta)


def _prepare(run: Run, options: ReportOptions) -> _Report:
    """Return the report's step table, after checking the options."""
    split = options.split or ("eval" if "eval" in run.splits else run.splits[0])
    if options.pairs < 0:
        raise InputError(f"no report of {options.pairs} pairs: --pairs is 0 or more; give another number")
    for pair_id in options.pair_ids:
        find_pair(run, pair_id)
    return _Report(run, options, split, step_table(run, beta=options.beta, series=options.series, split=split))


def _facts(report: _Report) -> str:
    """Return the line under the title: run, beta, pairs, models and reference."""
    run, options = report.run, report.options
    betas = distinct(series.beta for name, series in run.series.items() if options.series in (None, name))
    values = {"run": run.name, "beta": betas if options.beta is None else f"{options.beta:g}", "pairs": run.n_pairs}
    reference = Path(run.reference.source).name or run.reference.source
    return report.say("app.facts", **values, models=len(report.steps), reference=reference)


def _notes(report: _Report) -> Iterator[str]:
    """Yield what the report leaves out: other splits and series, and parts that are not scored yet."""
    run = report.run
    others = [name for name in run.splits if name != report.split]
    if others:
        yield report.say("report.split", split=report.split, others=", ".join(others))
    if report.options.series is not None:
        yield report.say("report.series", series=report.options.series)
    if not run.is_complete:
        done, whole = (sum(parts) for parts in zip(*run.progress().values(), strict=True))
        yield report.say("report.partial", done=done, whole=whole)


def _curves(report: _Report) -> Iterator[dict[str, str]]:
    """Yield every chart of the overview, light and dark."""
    run, logged = report.run, trainer_log.logged_curves(report.run)
    options: dict[str, Any] = {"lang": report.options.lang, "logged": logged[logged["split"] == report.split]}
    options["from_reference"] = [name for name, series in run.series.items() if series.start == "reference"]
    for name, draw in CURVES.items():
        title = report.say(f"overview.{name}.title")
        charts = {theme: draw(report.steps, **options, theme=theme) for theme in THEMES}
        drawn = {theme: TrustedHtml(svg(chart, title=title)) for theme, chart in charts.items()}
        yield {"title": title, "caption": report.say(f"overview.{name}.caption"), **drawn}


def _pairs(report: _Report) -> Iterator[dict[str, object]]:
    """Yield the named pairs, or those that fell most, each with its facts and its payload for the token view."""
    run, options = report.run, report.options
    last = report.steps[report.steps["n_used"] > 0].drop_duplicates("series", keep="last")
    keys = last["series"] + "/" + last["model"]
    tables = [pair_table(run, beta=options.beta, model=key, source=False) for key in keys]
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=PAIR_COLUMNS)
    lowest = table[(table["split"] == report.split) & table["chosen_reward"].notna()]
    lowest = lowest.sort_values("chosen_reward", kind="stable").drop_duplicates("pair_id").head(options.pairs)
    shown = list(options.pair_ids) or lowest["pair_id"].tolist()
    questions = dict(zip(pair_index(run).pairs["pair_id"], short_prompts(run), strict=True))
    prompts = pair_texts(run, shown)["prompt"]
    for number, pair_id in enumerate(shown, start=1):
        rows = table[table["pair_id"] == pair_id].sort_values("chosen_reward", kind="stable")
        title = report.say("report.pair", number=number, question=one_line(questions[pair_id]))
        yield {"title": title, "prompt": visible(prompts[pair_id]), **_pair(report, pair_id, rows)}


def _pair(report: _Report, pair_id: str, rows: pd.DataFrame) -> dict[str, object]:
    """Return the numbers of a pair, and its tokens under the first, a middle and the last checkpoint of one series.

    ``rows`` are its rows in the pair tables of the last checkpoints, the lowest chosen reward first: its first row
    names the series.
    """
    run, lang, row = report.run, report.options.lang, rows.iloc[0] if len(rows) else None
    status = "pending" if row is None else str(row["status"])
    if row is None or status not in SCORED or pd.isna(row["margin"]):
        facts = report.say("report.pair.uncounted", pair_id=pair_id, status=words.text(f"status.{status}", lang))
        return {"facts": facts, "data": TrustedHtml("null")}
    numbers = {side: signed(row[name]) for side, name in REWARDS.items()}
    facts = report.say("report.pair.facts", pair_id=pair_id, series=row["series"], model=row["model"], **numbers)
    keys = [model.key for model in run.models if model.series == row["series"] and run.parts_done(model)]
    keys = list(dict.fromkeys([keys[0], keys[len(keys) // 2], keys[-1]]))
    tokens = token_table(run, pair_id=pair_id, model=keys, beta=report.options.beta)
    if tokens.empty:
        return {"facts": facts, "data": TrustedHtml("null")}
    data = json.dumps(payload(tokens, noise=run.noise_floor, lang=lang), ensure_ascii=False)
    return {"facts": facts, "data": TrustedHtml(data.replace("<", "\\u003c"))}


def _check(check: Check, lang: str) -> dict[str, str]:
    texts = {"mark": mark(check, lang), "question": question(check, lang), "answer": answer(check, lang)}
    return {"verdict": check.verdict, **texts}


def _file(name: str) -> str:
    return (FOLDER / name).read_text("utf-8")
