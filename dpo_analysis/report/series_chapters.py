"""The chapters about the series of a report: what became of each, and why the chosen responses of some fell."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from dpo_analysis import figures
from dpo_analysis.diagnosis import Check, Diagnosis, load_or_diagnose
from dpo_analysis.diagnosis.diagnosis_text import happened_sentences, share_lines
from dpo_analysis.diagnosis.outcome.cause_cards import CauseCard, cause_cards
from dpo_analysis.diagnosis.outcome.why import GRAVE_STATES, advice_sentence, state_of, state_sentence, why
from dpo_analysis.figures.static_svg import svg
from dpo_analysis.report.report_run import THEMES, ReportRun, TrustedHtml
from dpo_analysis.tables.decompositions import decomposition_table
from dpo_analysis.text.numbers import percent, signed

METRICS = ("chosen_reward", "rejected_reward", "margin", "accuracy")
MAX_AGAINST = 2
"""Sentences of counter-evidence of a cause, the gravest first."""


def diagnoses(report: ReportRun, checks: Sequence[Check]) -> dict[str, Diagnosis]:
    """Return the diagnosis of every series that has a score, the series that ends lowest first."""
    options: dict[str, Any] = {"split": report.split, "beta": report.options.beta, "checks": checks}
    scored = {model.series for model in report.run.models if report.run.parts_done(model)}
    names = [series for series in report.steps["series"].unique() if series in scored]
    return {series: load_or_diagnose(report.run, series=series, **options) for series in names}


def outcomes(report: ReportRun, found: dict[str, Diagnosis]) -> list[dict[str, Any]]:
    """Return the last numbers of every series, what its chosen responses did, and why in one sentence."""
    lang, rows = report.options.lang, []
    for series, diagnosis in found.items():
        steps = report.steps[(report.steps["series"] == series) & (report.steps["n_used"] > 0)]
        reason = why(diagnosis, lang)
        rows.append(
            {
                "series": series,
                "numbers": _numbers(steps),
                "state": state_sentence(diagnosis, lang),
                "why": reason.sentence,
                "sure": reason.sure,
            }
        )
    return rows


def explanations(report: ReportRun, found: dict[str, Diagnosis]) -> list[dict[str, Any]]:
    """Return a chapter for every series whose chosen responses fell and of whose fall a loss is established."""
    return [
        _explanation(report, series, diagnosis)
        for series, diagnosis in found.items()
        if state_of(diagnosis) in GRAVE_STATES and diagnosis.numbers
    ]


def _numbers(steps: pd.DataFrame) -> list[str]:
    """Return the last checkpoint of a series and its metrics, as the cells of a row."""
    if steps.empty:
        return ["–"] * (1 + len(METRICS))
    last = steps.iloc[-1]
    return [
        str(last["model"]),
        *(percent(last[name]) if name == "accuracy" else signed(last[name]) for name in METRICS),
    ]


def _explanation(report: ReportRun, series: str, diagnosis: Diagnosis) -> dict[str, Any]:
    lang = report.options.lang
    cards = [_card(report, card) for card in cause_cards(diagnosis, lang)]
    return {
        "title": report.say(
            "report.causes.title", model=f"{series}, {report.run.model(diagnosis.checkpoint_shown).name}"
        ),
        "happened": happened_sentences(diagnosis, lang),
        "shares": share_lines(diagnosis, lang),
        "shares_of": report.say("report.causes.shares", model=diagnosis.checkpoint_used),
        "cards": cards,
        "advice": "" if cards else advice_sentence(diagnosis, lang),
        "place": report.say("report.causes.place"),
        "chart": _by_place(report, diagnosis),
    }


def _card(report: ReportRun, card: CauseCard) -> dict[str, Any]:
    labelled = [("diagnosis.for", card.evidence), ("diagnosis.measured", card.measured)]
    labelled += [("diagnosis.counter", line) for line in card.against[:MAX_AGAINST]]
    labelled += [("diagnosis.sure", card.certainty), ("diagnosis.advice", card.advice)]
    verdict = report.say(f"diagnosis.verdict.{card.verdict}")
    title = report.say("console.labelled", label=verdict, text=card.title)
    return {"title": title, "lines": [(report.say(key), text) for key, text in labelled if text]}


def _by_place(report: ReportRun, diagnosis: Diagnosis) -> dict[str, TrustedHtml]:
    """Return the exact split of the change by place, light and dark; empty where no tokens are stored."""
    table = decomposition_table(report.run, model=diagnosis.checkpoint_shown, split=report.split)
    rows, title = table[table["by"] == "place"], report.say("report.causes.caption")
    if rows.empty:
        return {}
    charts = {theme: figures.split_bars(rows, lang=report.options.lang, theme=theme) for theme in THEMES}
    return {theme: TrustedHtml(svg(chart, title=title)) for theme, chart in charts.items()}
