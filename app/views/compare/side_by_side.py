"""One pair under A and under B: its tokens side by side, coloured by what changed."""

import pandas as pd
import streamlit as st
from shared import blocks, cached_tables, choosers, response_cards, state
from shared.token_component import show_tokens

from dpo_analysis import words
from dpo_analysis.figures.labels import one_line
from dpo_analysis.figures.token_view.glyphs import visible
from dpo_analysis.figures.token_view.payload import payload
from views.compare.comparison import Checkpoint, Comparison, have_tokens


def draw(comparison: Comparison, pair_id: str, lang: str) -> None:
    """Show the prompt, both responses under A and B, and a button that opens the pair on the Tokens page."""
    blocks.subsection("compare.texts", lang)
    run = comparison.a.run
    blocks.safe_html((blocks.FACTS, one_line(cached_tables.questions(run)[pair_id])))
    if not have_tokens(comparison, lang):
        response_cards.show_pair(run, pair_id, lang)
        return
    with st.expander(words.text("tokens.prompt", lang)):
        st.text(visible(cached_tables.prompt(run, pair_id)))
    _tokens(comparison, pair_id, lang)
    if run.path == comparison.b.run.path:
        keys = list(dict.fromkeys([comparison.a.key, comparison.b.key]))
        if st.button(words.text("compare.open", lang)):
            state.open_page("tokens", pair=pair_id, at=keys)


def _tokens(comparison: Comparison, pair_id: str, lang: str) -> None:
    """Show one token view of both checkpoints, or two views where their tokenizers differ."""
    a, b = comparison.a, comparison.b
    noise, several_runs = a.run.noise_floor, a.run.path != b.run.path
    tables = [_token_table(end, pair_id, several_runs) for end in (a, b)]
    if any(table.empty for table in tables):
        st.info(words.text("compare.none.pairs", lang))
    elif not _same_tokens(*tables):
        st.info(words.text("compare.texts.other", lang))
        for name, table in zip(("a", "b"), tables, strict=True):
            show_tokens(payload(table, noise=noise, lang=lang), None, key=f"{state.TOKENS}_{name}")
    else:
        color = "logp" if comparison.bare and not comparison.same_reference else "change"
        if color == "logp":
            st.caption(words.text("compare.texts.bare", lang))
        tokens = pd.concat(tables, ignore_index=True)
        show_tokens(payload(tokens, color=color, noise=noise, lang=lang), choosers.selected_token(tokens))


def _token_table(end: Checkpoint, pair_id: str, several_runs: bool) -> pd.DataFrame:
    """Return the tokens of a pair under one checkpoint; where there are two runs, the series is named by its run."""
    tokens = cached_tables.tokens(end.run, pair_id)
    tokens = tokens[tokens["series"] + "/" + tokens["model"] == end.key]
    if several_runs and len(tokens):
        return tokens.assign(series=f"{end.run.name} · {tokens['series'].iloc[0]}")
    return tokens


def _same_tokens(first: pd.DataFrame, second: pd.DataFrame) -> bool:
    ids = [table.set_index(["side", "position"])["token_id"] for table in (first, second)]
    return ids[0].equals(ids[1])
