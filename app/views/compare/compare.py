"""What changed between two checkpoints? Two checkpoints, two series or two runs, on the same pairs."""

import streamlit as st
from shared import blocks, state
from shared.tabs import tabs

from dpo_analysis import words
from dpo_analysis.runs import Run
from views.compare import comparison
from views.compare.comparison_tabs import TABS

ORDER, ICON = 50, ":material/compare_arrows:"


def page(run: Run) -> None:
    """Draw the page of ``run``."""
    lang = state.language()
    st.title(words.text("compare.title", lang), anchor=False)
    facts = st.empty()
    checkpoints = comparison.choose_checkpoints(run, lang)
    if checkpoints is None:
        st.info(words.text("compare.none", lang))
        return
    compared = comparison.compare(checkpoints, comparison.choose_view(lang))
    with facts.container():
        blocks.facts(run, lang)
    if compared.pairs.empty:
        st.info(words.text("compare.none.pairs", lang))
        return
    comparison.show_summary(compared, lang)
    boxed = state.box("range") is not None
    with tabs("compare", tuple(TABS), lang, default="map" if boxed else "") as opened:
        TABS[opened](compared, lang)
