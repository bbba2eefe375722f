"""Can these numbers be trusted? What is known of setup, log and rows without a model, and which pairs count."""

import streamlit as st
from shared import blocks as show
from shared import cached_tables as stored
from shared import state

from dpo_analysis import words
from dpo_analysis.runs import Run
from views.checks import check_list


def page(run: Run) -> None:
    """Draw the page of ``run``."""
    lang = state.language()
    st.title(words.text("checks.title", lang), anchor=False)
    found = stored.checks(run)
    chosen = check_list.chosen(found)
    show.facts(run, lang)
    show.safe_html((show.VERDICT, check_list.counted(found, lang)), (show.EVIDENCE, words.text("checks.intro", lang)))
    check_list.draw(found, lang)
    if chosen is not None:
        check_list.examples(run, chosen, lang)
    show.section("overview.status", lang)
    st.dataframe(show.status_counts(run, lang), hide_index=True, width="content")
