"""Which tokens gain and lose? One pair, chosen above rejected, up to four checkpoints side by side."""

from functools import partial

import streamlit as st
from shared import blocks, cached_tables, choosers, response_cards, state
from shared.token_component import show_tokens

from dpo_analysis import figures, words
from dpo_analysis.figures.token_view.glyphs import visible
from dpo_analysis.runs import Run
from views.tokens import display_options, panels
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
    _heatmap(run, display, lang)


@st.fragment
def _panels(run: Run, display: Display, lang: str) -> None:
    """Show the token view and the chosen token; a click reruns only this, another pair the page."""
    tokens = cached_tables.tokens(run, display.pair_id)
    selected = choosers.selected_token(tokens)
    step = partial(choosers.step_pair, run, display.pair_id)
    show_tokens(panels.token_panels(run, display), selected, on_pair=step)
    if selected is not None:
        blocks.section("tokens.path", lang)
        chart = figures.token_trajectory(tokens, **selected, lang=lang, theme=state.theme())
        blocks.figure(chart, key="path", alt=words.text("tokens.path.title", lang))
        blocks.table(panels.token_rows(tokens, selected, lang), "%.4g")
        blocks.section("tokens.gain", lang)
        with blocks.errors_on_page(lang):
            model = display_options.choose_gain_model(run, display.models, lang)
            panels.draw_top_tokens(panels.top_tokens_of(run, display, selected, model), lang)
    if display_options.has_moved(run, display.pair_id):
        st.rerun()


def _heatmap(run: Run, display: Display, lang: str) -> None:
    """Show tokens x checkpoints of the first checkpoint's series, on the scale of the token view."""
    blocks.section("tokens.map", lang)
    tokens, scale = panels.colored_tokens(run, display)
    chart = figures.token_heatmap(tokens, color=display.color, scale=scale, lang=lang, theme=state.theme())
    blocks.figure(chart, key="map", alt=words.text("tokens.map.title", lang))
