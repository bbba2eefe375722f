"""Why did the chosen reward fall? The diagnosis of one series, then the exact splits of a checkpoint's change."""

import pandas as pd
import streamlit as st
from shared import blocks as show
from shared import cached_tables as stored
from shared import choosers as choices
from shared import state

from dpo_analysis import figures, words
from dpo_analysis.runs import Run
from views.causes import findings as finding_cards

ORDER = ("place", "span", "kind", "quantile")


def page(run: Run) -> None:
    """Draw the page of ``run``."""
    lang = state.language()
    st.title(words.text("causes.title", lang), anchor=False)
    facts = st.empty()
    left, right = st.columns(2)
    with left:
        key = choices.choose_model(run, lang)
    if key is None:
        st.info(words.text("causes.none", lang))
        return
    with right:
        before = choices.choose_before(run, key, lang)
    with facts.container():
        show.facts(run, lang)
    splits = stored.splits(run, key, before)
    if splits.empty:
        st.info(words.text("causes.none", lang))
        return
    finding_cards.draw(run, stored.diagnosis(run, key), lang)
    show.section("causes.splits", lang)
    _draw(splits, lang)


def _draw(splits: pd.DataFrame, lang: str) -> None:
    for by in ORDER:
        rows = splits[splits["by"] == by]
        if rows.empty:
            st.info(words.text("causes.sums_only", lang)) if by == ORDER[0] else None
            continue
        show.subsection(f"causes.{by}", lang)
        drawn = figures.split_bars(rows, lang=lang, theme=state.theme())
        show.figure(drawn, key=f"split_{by}", alt=words.text(f"causes.{by}.title", lang))
    with st.expander(words.text("causes.table", lang)):
        rows = show.split_rows(splits, lang)
        st.dataframe(rows, hide_index=True, column_config=show.decimals(rows))
