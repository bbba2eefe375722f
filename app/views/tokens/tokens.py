"""Which tokens gain and lose? One pair, chosen above rejected, up to four checkpoints side by side."""

from functools import partial

import streamlit as st
from shared import blocks as show
from shared import choosers as choices
from shared import response_cards as answer_cards
from shared import state
from shared.token_component import show_tokens

from dpo_analysis import figures, words
from dpo_analysis.figures.token_view.glyphs import visible
from dpo_analysis.runs import Run
from views.tokens import display_options as token_choices
from views.tokens import panels as token_panels


def page(run: Run) -> None:
    """Draw the page of ``run``."""
    lang = state.language()
    st.title(words.text("tokens.title", lang), anchor=False)
    facts = st.empty()
    pair_id = choices.choose_pair(run, lang)
    if pair_id is None:
        st.info(words.text("tokens.none", lang))
        return
    if not show.has_tokens(run, lang):
        with facts.container():
            show.facts(run, lang)
        answer_cards.of_pair(run, pair_id, lang)
        return
    shown = token_choices.choose(run, pair_id, lang)
    choices.check_token(state.tokens(run, pair_id))
    with facts.container():
        show.facts(run, lang)
    with st.expander(words.text("tokens.prompt", lang)):
        st.text(visible(state.prompts(run)["prompt"][pair_id]))
    # Read here first: what is raised within a fragment does not reach the page, which says what to do.
    token_panels.panels(run, shown)
    _panels(run, shown, lang)
    _map(run, shown, lang)


@st.fragment
def _panels(run: Run, shown: token_panels.Shown, lang: str) -> None:
    """The token view and what is known of the chosen token; a click reruns only this, another pair the page."""
    tokens = state.tokens(run, shown.pair_id)
    selected = choices.selected_token(tokens)
    step = partial(choices.step_pair, run, shown.pair_id)
    show_tokens(token_panels.panels(run, shown), selected, on_pair=step)
    if selected is not None:
        show.section("tokens.path", lang)
        drawn = figures.token_trajectory(tokens, **selected, lang=lang, theme=state.theme())
        show.figure(drawn, key="path", alt=words.text("tokens.path.title", lang))
        rows = show.path_rows(tokens, selected, lang)
        st.dataframe(rows, hide_index=True, column_config=show.decimals(rows, "%.4g"))
        _gains(run, shown, selected, lang)
    if token_choices.has_moved(run, shown.pair_id):
        st.rerun()


def _gains(run: Run, shown: token_panels.Shown, token: dict[str, object], lang: str) -> None:
    """What gained where the chosen token stands, or why that is not known."""
    show.section("tokens.gain", lang)
    with show.told(lang):
        under = token_choices.choose_under(run, shown.models, lang)
        token_panels.draw_gains(token_panels.gains(run, shown, token, under), lang)


def _map(run: Run, shown: token_panels.Shown, lang: str) -> None:
    show.section("tokens.map", lang)
    tokens, scale = token_panels.coloured(run, shown)
    own = choices.of_series(tokens, shown.models[0])
    drawn = figures.token_heatmap(own, color=shown.color, scale=scale, lang=lang, theme=state.theme())
    show.figure(drawn, key="map", alt=words.text("tokens.map.title", lang))
