"""Did it learn, and at whose cost? Rewards, log-probs and accuracy over steps, and where in the response."""

from typing import Any

import pandas as pd
import streamlit as st
from shared import blocks, cached_tables, choosers, state

from dpo_analysis import figures, words
from dpo_analysis.report.report import ReportOptions, report_html
from dpo_analysis.runs import Run
from views.overview import log_notes, lowest_pairs

ORDER, ICON = 10, ":material/show_chart:"


def page(run: Run) -> None:
    """Draw the page of ``run``."""
    lang = state.language()
    st.title(words.text("overview.title", lang), anchor=False)
    blocks.facts(run, lang)
    steps = cached_tables.steps(run)
    for series, _, verdict, evidence in figures.headline(steps, lang=lang):
        blocks.safe_html((f"{blocks.VERDICT};font-weight:600", f"{series}: {verdict}"), (blocks.EVIDENCE, evidence))
    if st.button(words.text("overview.why", lang), icon=":material/account_tree:", type="primary", width="content"):
        state.open_page("causes")
    _report_button(run, lang)
    _curves(run, steps, lang)
    lowest_pairs.draw(run, lang)
    blocks.section("overview.positions", lang)
    if blocks.has_tokens(run, lang):
        chart = figures.position_heatmap(cached_tables.positions(run), lang=lang, theme=state.theme())
        blocks.figure(chart, key="positions", alt=words.text("overview.positions.title", lang))
    blocks.section("overview.status", lang)
    blocks.status_counts(run, lang)


def _report_button(run: Run, lang: str) -> None:
    """Show the button that makes the report of the chosen split and beta; it is made when the reader asks for it."""
    options = ReportOptions(beta=state.beta(), lang=lang, split=state.split(run))
    st.download_button(
        words.text("report.download", lang),
        lambda: report_html(run, options).encode("utf-8", "replace"),
        f"{run.name}.html",
        "text/html",
        on_click="ignore",
        icon=":material/download:",
        help=words.text("report.download.help", lang),
    )


def _curves(run: Run, steps: pd.DataFrame, lang: str) -> None:
    layout = choosers.choose_layout(steps, lang)
    options: dict[str, Any] = {"layout": layout, "lang": lang, "theme": state.theme()}
    options["logged"] = cached_tables.logged(run)
    options["from_reference"] = [name for name, series in run.series.items() if series.start == "reference"]
    blocks.section("overview.reward", lang)
    blocks.figure(figures.reward_curves(steps, **options), key="reward", alt=words.text("overview.reward.title", lang))
    if layout != "together":
        log_notes.draw(run, lang)
    blocks.section("overview.logp", lang)
    if blocks.has_tokens(run, lang):
        blocks.figure(figures.logp_curves(steps, **options), key="logp", alt=words.text("overview.logp.title", lang))
    blocks.section("overview.accuracy", lang)
    accuracy = figures.accuracy_curves(steps, **options)
    blocks.figure(accuracy, key="accuracy", alt=words.text("overview.accuracy.title", lang))
