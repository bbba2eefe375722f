"""The tabs of the Details page: command and inputs, models, log, glossary, and every column."""

from collections.abc import Callable

import pandas as pd
import streamlit as st
from shared import blocks, cached_tables, prompt_tables

from dpo_analysis import words
from dpo_analysis.report.glossary import glossary
from dpo_analysis.runs import Run
from views.details import run_facts

TEXT_HEIGHT, ROWS = 1000, 24
"""Pixels of a text, and rows of a table, that are seen at once."""


def _run(run: Run, lang: str) -> None:
    """Show the command that made the run, and what it read."""
    st.header(words.text("details.command.title", lang), anchor=False)
    command = run_facts.command(run)
    if command:
        st.caption(words.text("details.command.caption", lang))
        st.code(command, language=None, wrap_lines=True)
    else:
        blocks.safe_html((blocks.EVIDENCE, words.text("details.command.none", lang)))
    if run.has_pairs:
        blocks.section("details.series", lang)
        _table(run_facts.series(run, cached_tables.series_order(run), lang))
    blocks.section("details.settings", lang)
    blocks.safe_html(*((blocks.FORMULA, f"{name}: {value}") for name, value in run_facts.inputs(run)))


def _models(run: Run, lang: str) -> None:
    st.caption(words.text("details.models.caption", lang))
    _table(run_facts.models(run, cached_tables.series_order(run), lang))


def _log(run: Run, lang: str) -> None:
    rows = run_facts.log(run, lang)
    if rows.empty:
        blocks.safe_html((blocks.EVIDENCE, words.text("details.log.none", lang)))
    else:
        st.caption(words.text("details.log.caption", lang))
        _table(rows)


def _glossary(_: Run, lang: str) -> None:
    st.caption(words.text("details.glossary.caption", lang))
    with st.container(height=TEXT_HEIGHT):
        for name, formula, meaning in glossary(lang):
            blocks.safe_html((blocks.TERM, name), (blocks.FORMULA, formula), (blocks.EVIDENCE, meaning))


def _columns(_: Run, lang: str) -> None:
    st.caption(words.text("details.columns.caption", lang))
    with st.container(height=TEXT_HEIGHT):
        st.table(run_facts.columns(lang), border="horizontal", hide_index=True)


def _table(rows: pd.DataFrame) -> None:
    st.dataframe(rows, hide_index=True, height=prompt_tables.height(len(rows), ROWS))


TABS: dict[str, Callable[[Run, str], None]] = {
    "run": _run,
    "models": _models,
    "log": _log,
    "glossary": _glossary,
    "columns": _columns,
}
"""What each tab shows."""
