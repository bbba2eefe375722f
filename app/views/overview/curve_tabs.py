"""The tabs of the Overview: lowest pairs, all series, log-prob, accuracy, positions, and which pairs count."""

import pandas as pd
import streamlit as st
from shared import blocks, cache, choosers

from dpo_analysis import words
from dpo_analysis.runs import Run
from views.overview import charts, log_notes, lowest_pairs

TABS = ("pairs", "series", "logp", "accuracy", "positions", "status")


def draw(run: Run, steps: pd.DataFrame, opened: str, lang: str) -> None:
    """Draw the open tab."""
    if opened == "pairs":
        lowest_pairs.draw(run, lang)
    elif opened == "series":
        arranged = choosers.choose_layout(steps, lang)
        st.caption(words.text("overview.reward.caption", lang))
        chart = cache.drawn(charts.curves, run, name="reward_curves", layout=arranged)
        blocks.figure(chart, key="rewards", alt=words.text("overview.reward.title", lang))
        if arranged != "together":
            log_notes.draw(run, lang)
    elif opened == "accuracy":
        st.caption(words.text("overview.accuracy.caption", lang))
        chart = cache.drawn(charts.curves, run, name="accuracy_curves")
        blocks.figure(chart, key="accuracy", alt=words.text("overview.accuracy.title", lang))
    elif opened == "status":
        st.caption(words.text("overview.status.caption", lang))
        blocks.status_counts(run, lang)
    elif blocks.has_tokens(run, lang):
        st.caption(words.text(f"overview.{opened}.caption", lang))
        curves = opened == "logp"
        chart = cache.drawn(charts.curves, run, name="logp_curves") if curves else cache.drawn(charts.positions, run)
        blocks.figure(chart, key=opened, alt=words.text(f"overview.{opened}.title", lang))
