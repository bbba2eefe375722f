"""A run as one HTML file to send to somebody: what happened and why, curves, checks, pairs token by token, glossary.

The page loads nothing and runs one script, the token view's, under a policy by hash. Text of models and people reaches
it through Jinja2's escaping alone; what is marked safe is made here: style, script, SVG and JSON.

On screen everything is there, long lists folded in. Printed, folded parts are left out.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2

import dpo_analysis
from dpo_analysis import figures
from dpo_analysis.diagnosis import Check, run_checks
from dpo_analysis.errors import InputError
from dpo_analysis.figures.check_texts import answer, mark, question, summary
from dpo_analysis.figures.static_svg import svg
from dpo_analysis.figures.token_view.page import PAGE_COLORS, policy_hash, script, style
from dpo_analysis.report import series_chapters
from dpo_analysis.report.glossary import glossary
from dpo_analysis.report.pair_chapter import pairs
from dpo_analysis.report.report_run import THEMES, ReportOptions, ReportRun, TrustedHtml, prepare
from dpo_analysis.runs import Run, atomic_file
from dpo_analysis.tables import trainer_log
from dpo_analysis.text.numbers import distinct

GENERATOR = "dpo-analysis report"
"""The page's generator tag, by which a report is recognised: a file without it is never overwritten."""
HEAD_BYTES = 2048
"""How far into a file the generator tag is looked for."""
CURVES = {"reward": figures.reward_curves, "logp": figures.logp_curves, "accuracy": figures.accuracy_curves}
"""The charts; all but the first are folded in."""
START = """
for (const view of document.querySelectorAll(".pair")) {
  mountTokenView(view, JSON.parse(document.getElementById(view.id.replace("pair", "data")).textContent));
}"""
FOLDER = Path(__file__).parent


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
    report = prepare(run, options or ReportOptions())
    lang, checks = report.options.lang, run_checks(run)
    found = series_chapters.diagnoses(report, checks)
    css, js = f"{PAGE_COLORS}\n{style()}\n{_file('report.css')}", f"{script()}\n{START}"
    passed = [check for check in checks if check.verdict == "pass"]
    page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(_file("report.html"))
    return page.render(
        lang=lang,
        generator=GENERATOR,
        say=report.say,
        css=TrustedHtml(css),
        js=TrustedHtml(js),
        css_hash=policy_hash(css),
        js_hash=policy_hash(js),
        title=report.say("report.title", run=run.name),
        facts=_facts(report),
        notes=list(_notes(report)),
        series_heading=report.say("report.series.heading"),
        metrics=series_chapters.METRICS,
        outcomes=series_chapters.outcomes(report, found),
        curves=list(_curves(report)),
        causes=series_chapters.explanations(report, found),
        counted=summary(checks, lang),
        checks=[_check(check, lang) for check in checks if check.verdict != "pass"],
        passed=[_check(check, lang) for check in passed],
        pairs=list(pairs(report)),
        terms=list(glossary(lang)),
        made=report.say("report.made", version=dpo_analysis.__version__),
    )


def _facts(report: ReportRun) -> str:
    """Return the line under the title: run, beta, pairs, models and reference."""
    run, options = report.run, report.options
    betas = distinct(series.beta for name, series in run.series.items() if options.series in (None, name))
    values = {"run": run.name, "beta": betas if options.beta is None else f"{options.beta:g}", "pairs": run.n_pairs}
    reference = Path(run.reference.source).name or run.reference.source
    return report.say("app.facts", **values, models=len(report.steps), reference=reference)


def _notes(report: ReportRun) -> Iterator[str]:
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


def _curves(report: ReportRun) -> Iterator[dict[str, str]]:
    """Yield every chart of the overview, light and dark."""
    run, logged = report.run, trainer_log.logged_curves(report.run)
    options: dict[str, Any] = {"lang": report.options.lang, "logged": logged[logged["split"] == report.split]}
    options["from_reference"] = [name for name, series in run.series.items() if series.start == "reference"]
    for name, draw in CURVES.items():
        if name == "logp" and not run.has_tokens:
            continue  # a run of sums has no log-probs per token
        title = report.say(f"overview.{name}.title")
        charts = {theme: draw(report.steps, **options, theme=theme) for theme in THEMES}
        drawn = {theme: TrustedHtml(svg(chart, title=title)) for theme, chart in charts.items()}
        yield {"title": title, "caption": report.say(f"overview.{name}.caption"), **drawn}


def _check(check: Check, lang: str) -> dict[str, str]:
    texts = {"mark": mark(check, lang), "question": question(check, lang), "answer": answer(check, lang)}
    return {"verdict": check.verdict, **texts}


def _file(name: str) -> str:
    return (FOLDER / name).read_text("utf-8")
