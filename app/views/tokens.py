"""Which tokens gain and lose? One pair, chosen above rejected, up to four checkpoints side by side."""

import answer_cards
import choices
import show
import state
import streamlit as st
from token_view import show_tokens

from dpo_analysis import figures, words
from dpo_analysis.figures.cells import visible
from dpo_analysis.runs import Run


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
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    with left:
        models = choices.choose_models(run, pair_id, lang)
    with right:
        color = choices.choose_color(lang)
    with facts.container():
        show.facts(run, lang)
    with st.expander(words.text("tokens.prompt", lang)):
        st.text(visible(state.prompts(run)["prompt"][pair_id]))
    # Read here first: what is raised within a fragment does not reach the page, which says what to do.
    state.tokens(run, pair_id)
    _panels(run, (pair_id, tuple(models), color), lang)
    _map(run, (pair_id, tuple(models), color), lang)


@st.fragment
def _panels(run: Run, shown: tuple[str, tuple[str, ...], str], lang: str) -> None:
    """The token view and the chosen token's path; a click reruns only this."""
    pair_id, models, color = shown
    tokens = state.tokens(run, pair_id)
    selected = choices.selected_token(tokens)
    show_tokens(state.panels(run, pair_id, models, color), selected)
    if selected is not None:
        show.section("tokens.path", lang)
        drawn = figures.token_trajectory(tokens, **selected, lang=lang, theme=state.theme())
        show.figure(drawn, key="path", alt=words.text("tokens.path.title", lang))
        rows = show.path_rows(tokens, selected, lang)
        st.dataframe(rows, hide_index=True, column_config=show.decimals(rows, "%.4g"))


def _map(run: Run, shown: tuple[str, tuple[str, ...], str], lang: str) -> None:
    show.section("tokens.map", lang)
    pair_id, models, color = shown
    tokens, scale = state.coloured(run, pair_id, models, color)
    own = choices.of_series(tokens, models[0])
    drawn = figures.token_heatmap(own, color=color, scale=scale, lang=lang, theme=state.theme())
    show.figure(drawn, key="map", alt=words.text("tokens.map.title", lang))
