"""What was run, and what do the words mean? Command and inputs, models, log, glossary, and every column, by tabs."""

import streamlit as st
from shared import blocks, state
from shared.tabs import tabs

from dpo_analysis import words
from dpo_analysis.runs import Run
from views.details.detail_tabs import TABS

ORDER, ICON, SHOWS_LOGS = 70, ":material/info:", True


def page(run: Run) -> None:
    """Draw the page of ``run``."""
    lang = state.language()
    st.title(words.text("details.title", lang), anchor=False)
    blocks.facts(run, lang)
    # A run that holds training logs alone has no models.
    names = tuple(name for name in TABS if run.has_pairs or name != "models")
    with tabs("details", names, lang) as opened:
        TABS[opened](run, lang)
