"""What was run, and what do the words mean? Command, inputs, series, models, log and glossary."""

import streamlit as st
from shared import blocks as show
from shared import state

from dpo_analysis import words
from dpo_analysis.report.glossary import glossary
from dpo_analysis.runs import Run
from views.details import run_facts as facts_of_run

TABLES = {"series": facts_of_run.series, "models": facts_of_run.models}


def page(run: Run) -> None:
    """Draw the page of ``run``."""
    lang = state.language()
    st.title(words.text("details.title", lang), anchor=False)
    show.facts(run, lang)
    _glossary(lang)
    _command(run, lang)
    show.section("details.settings", lang)
    show.safe_html(*((show.FORMULA, f"{name}: {value}") for name, value in facts_of_run.inputs(run)))
    for name, rows in TABLES.items():
        show.section(f"details.{name}", lang)
        st.dataframe(rows(run, lang), hide_index=True)
    _log(run, lang)
    show.section("details.columns", lang)
    st.table(facts_of_run.columns(lang), border="horizontal", hide_index=True)


def _glossary(lang: str) -> None:
    show.section("details.glossary", lang)
    for name, formula, meaning in glossary(lang):
        show.safe_html((show.TERM, name), (show.FORMULA, formula), (show.EVIDENCE, meaning))


def _command(run: Run, lang: str) -> None:
    typed = facts_of_run.command(run)
    if typed:
        show.section("details.command", lang)
        st.code(typed, language=None, wrap_lines=True)
    else:
        st.header(words.text("details.command.title", lang), anchor=False)
        show.safe_html((show.EVIDENCE, words.text("details.command.none", lang)))


def _log(run: Run, lang: str) -> None:
    rows = facts_of_run.log(run, lang)
    show.section("details.log", lang)
    if rows.empty:
        show.safe_html((show.EVIDENCE, words.text("details.log.none", lang)))
    else:
        st.dataframe(rows, hide_index=True)
