"""What was run, and what do the words mean? Command, inputs, series, models, log and glossary."""

import streamlit as st
from shared import blocks, state

from dpo_analysis import words
from dpo_analysis.report.glossary import glossary
from dpo_analysis.runs import Run
from views.details import run_facts

ORDER, ICON = 70, ":material/info:"
TABLES = {"series": run_facts.series, "models": run_facts.models}


def page(run: Run) -> None:
    """Draw the page of ``run``."""
    lang = state.language()
    st.title(words.text("details.title", lang), anchor=False)
    blocks.facts(run, lang)
    _glossary(lang)
    _command(run, lang)
    blocks.section("details.settings", lang)
    blocks.safe_html(*((blocks.FORMULA, f"{name}: {value}") for name, value in run_facts.inputs(run)))
    for name, rows in TABLES.items():
        blocks.section(f"details.{name}", lang)
        st.dataframe(rows(run, lang), hide_index=True)
    _log(run, lang)
    blocks.section("details.columns", lang)
    st.table(run_facts.columns(lang), border="horizontal", hide_index=True)


def _glossary(lang: str) -> None:
    blocks.section("details.glossary", lang)
    for name, formula, meaning in glossary(lang):
        blocks.safe_html((blocks.TERM, name), (blocks.FORMULA, formula), (blocks.EVIDENCE, meaning))


def _command(run: Run, lang: str) -> None:
    command = run_facts.command(run)
    if command:
        blocks.section("details.command", lang)
        st.code(command, language=None, wrap_lines=True)
    else:
        st.header(words.text("details.command.title", lang), anchor=False)
        blocks.safe_html((blocks.EVIDENCE, words.text("details.command.none", lang)))


def _log(run: Run, lang: str) -> None:
    rows = run_facts.log(run, lang)
    blocks.section("details.log", lang)
    if rows.empty:
        blocks.safe_html((blocks.EVIDENCE, words.text("details.log.none", lang)))
    else:
        st.dataframe(rows, hide_index=True)
