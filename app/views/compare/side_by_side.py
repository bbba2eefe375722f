"""One pair under A and under B: its tokens laid over each other, coloured by what changed."""

import pandas as pd
import streamlit as st
from shared import blocks as show
from shared import choosers as choices
from shared import response_cards as answer_cards
from shared import state
from shared.token_component import show_tokens

from dpo_analysis import words
from dpo_analysis.figures.token_view.glyphs import visible
from dpo_analysis.figures.token_view.view import payload
from views.compare import comparison as comparing


def draw(both: comparing.Both, pair_id: str, lang: str) -> None:
    """The prompt, both responses under A and B, and the way to the Tokens page."""
    show.section("compare.texts", lang)
    asked = state.prompts(both.a.run)
    show.safe_html((show.FACTS, choices.label(asked["question"][pair_id])))
    if not comparing.have_tokens(both, lang):
        answer_cards.of_pair(both.a.run, pair_id, lang)
        return
    with st.expander(words.text("tokens.prompt", lang)):
        st.text(visible(asked["prompt"][pair_id]))
    frames = [_tokens(end, pair_id, both.a.run.path != both.b.run.path) for end in (both.a, both.b)]
    if any(frame.empty for frame in frames):
        st.info(words.text("compare.none.pairs", lang))
    elif not _same_tokens(*frames):
        st.info(words.text("compare.texts.other", lang))
        for end, frame in zip(("a", "b"), frames, strict=True):
            show_tokens(payload(frame, noise=both.a.run.noise_floor, lang=lang), None, key=f"{state.TOKENS}_{end}")
    else:
        color = "logp" if both.bare and not both.same_reference else "change"
        if color == "logp":
            st.caption(words.text("compare.texts.bare", lang))
        tokens = pd.concat(frames, ignore_index=True)
        drawn = payload(tokens, color=color, noise=both.a.run.noise_floor, lang=lang)
        show_tokens(drawn, choices.selected_token(tokens))
    if both.a.run.path == both.b.run.path:
        at = list(dict.fromkeys([both.a.key, both.b.key]))
        if st.button(words.text("compare.open", lang)):
            state.go("tokens", pair=pair_id, at=at)


def _tokens(end: comparing.End, pair_id: str, several: bool) -> pd.DataFrame:
    tokens = state.tokens(end.run, pair_id)
    tokens = tokens[tokens["series"] + "/" + tokens["model"] == end.key]
    return tokens.assign(series=f"{end.run.name} · {tokens['series'].iloc[0]}") if several and len(tokens) else tokens


def _same_tokens(first: pd.DataFrame, second: pd.DataFrame) -> bool:
    places = [frame.set_index(["side", "position"])["token_id"] for frame in (first, second)]
    return places[0].equals(places[1])
