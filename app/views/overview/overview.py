"""Did it learn, and at whose cost? Rewards, log-probs and accuracy over steps, and where in the response."""

import pandas as pd
import streamlit as st
from shared import blocks as show
from shared import choosers as choices
from shared import state

from dpo_analysis import figures, words
from dpo_analysis.runs import Run

SHOWN_PAIRS = 8


def page(run: Run) -> None:
    """Draw the page of ``run``."""
    lang = state.language()
    st.title(words.text("overview.title", lang), anchor=False)
    show.facts(run, lang)
    steps = state.steps(run)
    for series, _, verdict, evidence in figures.headline(steps, lang=lang):
        show.verdict(series, verdict, evidence)
    if st.button(words.text("overview.why", lang), icon=":material/account_tree:", type="primary", width="content"):
        state.go("causes")
    show.report_button(run, lang)
    _curves(run, steps, lang)
    _worst(run, lang)
    show.section("overview.positions", lang)
    if show.has_tokens(run, lang):
        drawn = figures.position_heatmap(state.positions(run), lang=lang, theme=state.theme())
        show.figure(drawn, key="positions", alt=words.text("overview.positions.title", lang))
    show.section("overview.status", lang)
    st.dataframe(show.status_counts(run, lang), hide_index=True, width="content")


def _curves(run: Run, steps: pd.DataFrame, lang: str) -> None:
    look = {"layout": choices.choose_layout(steps, lang), "lang": lang, "theme": state.theme()}
    look |= {"logged": state.logged(run), "from_reference": state.from_reference(run)}
    show.section("overview.reward", lang)
    show.figure(figures.reward_curves(steps, **look), key="reward", alt=words.text("overview.reward.title", lang))
    if look["layout"] != "together":
        show.overlay_note(run, lang)
        show.hidden_logs(run, lang)
    show.section("overview.logp", lang)
    if show.has_tokens(run, lang):
        show.figure(figures.logp_curves(steps, **look), key="logp", alt=words.text("overview.logp.title", lang))
    show.section("overview.accuracy", lang)
    show.figure(figures.accuracy_curves(steps, **look), key="accuracy", alt=words.text("overview.accuracy.title", lang))


def _worst(run: Run, lang: str) -> None:
    show.section("overview.worst", lang)
    worst = state.fallen(run).head(SHOWN_PAIRS)
    rows = show.pair_rows(worst, run, lang)
    picked = st.dataframe(
        rows,
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key=state.WORST,
        column_config=show.decimals(rows),
    )
    for row in picked["selection"]["rows"]:
        state.go("tokens", pair=worst["pair_id"].iloc[row])
