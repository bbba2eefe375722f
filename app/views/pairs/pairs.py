"""Which pairs got worse? The pairs that the filters leave, what fell most first; as points, and by prompt."""

import streamlit as st
from shared import blocks, choosers, layout, response_cards, state
from shared.tabs import tabs

from dpo_analysis import words
from dpo_analysis.runs import Run
from views.pairs import pair_list, pair_tabs

ORDER, ICON = 30, ":material/scatter_plot:"


def page(run: Run) -> None:
    """Draw the page of ``run``."""
    lang = state.language()
    st.title(words.text("pairs.title", lang), anchor=False)
    facts = st.empty()
    left, middle, right = layout.columns([3, 3, 4], "choosers", 12, vertical_alignment="bottom")
    with left:
        key = choosers.choose_model(run, lang)
    if key is None:
        st.info(words.text("tokens.none", lang))
        return
    with middle:
        pair_list.choose_order(lang)
    with right:
        pair_list.choose_search(lang)
    pair_list.choose_filters(run, key, lang)
    filtered = pair_list.filtered_pairs(run, key)
    with tabs("pairs", ("table", "map", "answers"), lang, default=_tab_of_link()) as opened:
        if opened == "answers":
            response_cards.show_prompt_group(run, filtered.pairs, lang)
        else:
            pair_tabs.draw(run, key, filtered, opened)
    with facts.container():
        blocks.facts(run, lang)


def _tab_of_link() -> str:
    """Return the tab that shows what a link without a tab names: the responses to a prompt, or a box over points."""
    if "group" in st.query_params:
        return "answers"
    return "table" if state.box() is None else "map"
