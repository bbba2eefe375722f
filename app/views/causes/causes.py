"""Why did the chosen reward fall? The diagnosis of one series, then the exact splits of a checkpoint's change."""

import pandas as pd
import streamlit as st
from shared import blocks, cached_tables, choosers, state

from dpo_analysis import figures, words
from dpo_analysis.runs import Run
from views.causes import findings

ORDER, ICON = 20, ":material/account_tree:"
SHOWN_SPLITS = ("place", "span", "kind", "quantile")


def page(run: Run) -> None:
    """Draw the page of ``run``."""
    lang = state.language()
    st.title(words.text("causes.title", lang), anchor=False)
    facts = st.empty()
    left, right = st.columns(2)
    with left:
        key = choosers.choose_model(run, lang)
    if key is None:
        st.info(words.text("causes.none", lang))
        return
    with right:
        base = choosers.choose_base(run, key, lang)
    with facts.container():
        blocks.facts(run, lang)
    decompositions = cached_tables.decompositions(run, key, base)
    if decompositions.empty:
        st.info(words.text("causes.none", lang))
        return
    findings.draw(run, cached_tables.diagnosis(run, key), lang)
    blocks.section("causes.splits", lang)
    _decompositions(decompositions, lang)


def _decompositions(decompositions: pd.DataFrame, lang: str) -> None:
    """Show each decomposition as bars, then all of them as one table."""
    for by in SHOWN_SPLITS:
        rows = decompositions[decompositions["by"] == by]
        if not rows.empty:
            blocks.subsection(f"causes.{by}", lang)
            chart = figures.split_bars(rows, lang=lang, theme=state.theme())
            blocks.figure(chart, key=f"split_{by}", alt=words.text(f"causes.{by}.title", lang))
        elif by == SHOWN_SPLITS[0]:
            st.info(words.text("causes.sums_only", lang))
    with st.expander(words.text("causes.table", lang)):
        blocks.table(_rows(decompositions, lang))


def _rows(decompositions: pd.DataFrame, lang: str) -> pd.DataFrame:
    parts = zip(decompositions["by"], decompositions["part"], strict=True)
    rows = decompositions.assign(
        part=[words.text(f"causes.{by}.{part}", lang) for by, part in parts],
        by=[words.text(f"causes.by.{by}", lang) for by in decompositions["by"]],
        side=[words.text(f"side.{side}", lang) for side in decompositions["side"]],
    )
    return rows.rename(columns={name: words.text(f"causes.column.{name}", lang) for name in rows})
