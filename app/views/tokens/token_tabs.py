"""The tabs below the token view: all tokens at all checkpoints, and the chosen token."""

from typing import Any

import streamlit as st
from shared import blocks, cache, cached_tables, layout, state
from shared.choosers import Token

from dpo_analysis import figures, words
from dpo_analysis.runs import Run
from views.tokens import display_options, panels
from views.tokens.panels import Display


def draw_token(run: Run, display: Display, token: Token, lang: str) -> None:
    """Show what became likelier where ``token`` stands, and beside it the token over training."""
    tokens = cached_tables.tokens(run, display.pair_id)
    gain, path = layout.columns(2, "token", 20, gap="medium")
    with gain:
        blocks.subsection("tokens.gain", lang)
        with blocks.errors_on_page(lang):
            model = display_options.choose_gain_model(run, display.models, lang)
            name = panels.token_name(tokens, token)
            panels.draw_top_tokens(panels.top_tokens_of(run, display, token, model), name, lang)
    with path:
        blocks.subsection("tokens.path", lang)
        shown = tokens[tokens["series"].isin([key.partition("/")[0] for key in display.models])]
        chart = figures.token_trajectory(shown, **token, lang=lang, theme=state.theme())
        blocks.figure(chart, key="path", alt=words.text("tokens.path.title", lang))
    with st.expander(words.text("tokens.path.table", lang)):
        blocks.table(panels.token_rows(tokens, token, lang), "%.4f")


def draw_heatmap(run: Run, display: Display, lang: str) -> None:
    """Show tokens x checkpoints of the first checkpoint's series, on the scale of the token view."""
    st.caption(words.text("tokens.map.caption", lang))
    chart = cache.drawn(_token_heatmap, run, display=display)
    blocks.figure(chart, key="map", alt=words.text("tokens.tab.map", lang))


def _token_heatmap(run: Run, *, display: Display) -> Any:
    tokens, scale = panels.colored_tokens(run, display)
    options = {"color": display.color, "lang": state.language(), "theme": state.theme()}
    return figures.token_heatmap(tokens, scale=scale, **options)
