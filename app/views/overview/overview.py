"""What did DPO change? The answer on one screen: a row per series with the reason, its curves, and one example."""

import streamlit as st
from shared import blocks, cached_tables, layout, one_series, state
from shared.tabs import tabs

from dpo_analysis import words
from dpo_analysis.report.report import ReportOptions, report_html
from dpo_analysis.runs import Run
from views.overview import curve_tabs, log_page, selected_series, series_rows

ORDER, ICON, SHOWS_LOGS = 10, ":material/show_chart:", True


def page(run: Run) -> None:
    """Draw the page of ``run``."""
    lang = state.language()
    if not run.has_pairs:
        log_page.draw(run, lang)
        return
    steps = cached_tables.steps(run)
    diagnoses = {series: one_series.series_diagnosis(run, series) for series in cached_tables.series_order(run)}
    # The answer fits on one screen of 1440 x 900 only where its parts stand close together.
    with st.container(gap="xxsmall"):
        title, report = layout.line([4, 1], "title", vertical_alignment="bottom")
        title.title(words.text("overview.title", lang), anchor=False)
        with report:
            _report_button(run, lang)
        blocks.facts(run, lang)
        series_rows.draw(run, steps, diagnoses, lang)
        if diagnoses:
            selected_series.draw(run, diagnoses, lang)
    with tabs("overview", curve_tabs.TABS, lang, default="series" if "layout" in st.query_params else "") as opened:
        curve_tabs.draw(run, steps, opened, lang)


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
        width="stretch",
    )
