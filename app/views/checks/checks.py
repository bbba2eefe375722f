"""Can these numbers be trusted? What is known of setup, log and rows without a model, and which pairs count."""

import streamlit as st
from shared import blocks, cached_tables, state

from dpo_analysis import words
from dpo_analysis.figures.check_texts import summary
from dpo_analysis.runs import Run
from views.checks import check_list

ORDER, ICON = 60, ":material/rule:"


def page(run: Run) -> None:
    """Draw the page of ``run``."""
    lang = state.language()
    st.title(words.text("checks.title", lang), anchor=False)
    checks = cached_tables.checks(run)
    chosen = check_list.chosen(checks)
    blocks.facts(run, lang)
    counts, intro = summary(checks, lang), words.text("checks.intro", lang)
    blocks.safe_html((blocks.VERDICT, counts), (blocks.EVIDENCE, intro))
    check_list.draw_open(checks, lang)
    if chosen is not None:
        check_list.pairs(run, chosen, lang)
    check_list.draw_passed(checks, lang)
    blocks.section("overview.status", lang)
    blocks.status_counts(run, lang)
