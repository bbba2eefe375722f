"""Which words became less likely? One pair, chosen above rejected, up to four checkpoints side by side."""

from functools import partial

import streamlit as st
from shared import blocks, cached_tables, choosers, response_cards, state
from shared.tabs import tabs
from shared.token_component import show_tokens

from dpo_analysis import words
from dpo_analysis.figures.token_view.glyphs import visible
from dpo_analysis.runs import Run
from views.tokens import display_options, panels, token_tabs
from views.tokens.panels import Display

ORDER, ICON = 40, ":material/text_fields:"


def page(run: Run) -> None:
    """Draw the page of ``run``."""
    lang = state.language()
    st.title(words.text("tokens.title", lang), anchor=False)
    facts = st.empty()
    pair_id = choosers.choose_pair(run, lang)
    if pair_id is None:
        st.info(words.text("tokens.none", lang))
        return
    if not blocks.has_tokens(run, lang):
        with facts.container():
            blocks.facts(run, lang)
        response_cards.show_pair(run, pair_id, lang)
        return
    display = display_options.choose(run, pair_id, lang)
    choosers.check_token(cached_tables.tokens(run, pair_id))
    with facts.container():
        blocks.facts(run, lang)
    with st.expander(words.text("tokens.prompt", lang)):
        st.text(visible(cached_tables.prompt(run, pair_id)))
    # Read before the fragment: an error raised within a fragment does not reach the page, which says what to do.
    panels.token_panels(run, display)
    _panels(run, display, lang)


@st.fragment
def _panels(run: Run, display: Display, lang: str) -> None:
    """Show the token view, and below it the chosen token or all tokens; a click reruns only this, a pair the page."""
    tokens = cached_tables.tokens(run, display.pair_id)
    selected = choosers.selected_token(tokens)
    step = partial(choosers.step_pair, run)
    show_tokens(panels.token_panels(run, display), selected, pair_id=display.pair_id, on_pair=step)
    with tabs("tokens", ("map", "token"), lang, default="" if selected is None else "token") as opened:
        if opened == "map":
            token_tabs.draw_heatmap(run, display, lang)
        elif selected is None:
            st.info(words.text("tokens.token.none", lang))
        else:
            token_tabs.draw_token(run, display, selected, lang)
    if display_options.has_moved(run, display.pair_id):
        st.rerun()
