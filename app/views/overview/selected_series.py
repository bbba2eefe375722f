"""The series that the reader chose: its reward curves, its example, and what its end means."""

import streamlit as st
from shared import blocks, cache, layout, one_series

from dpo_analysis import words
from dpo_analysis.diagnosis import Diagnosis
from dpo_analysis.diagnosis.outcome.why import advice_sentence, harm_sentence, normal_sentence
from dpo_analysis.runs import Run
from views.overview import charts, example_card, log_notes

LINE = "line-height:1.4;margin-top:2px;overflow-wrap:anywhere"


def draw(run: Run, diagnoses: dict[str, Diagnosis | None], lang: str) -> None:
    """Show the reward curves of the chosen series and, beside them, its example."""
    left, right = layout.columns([58, 42], "series", 20, gap="medium")
    with left, st.container(gap="xsmall"):
        series = one_series.choose_series(list(diagnoses), lang)
        chart = cache.drawn(charts.curves, run, name="reward_curves", series=series, titles=False)
        blocks.figure(chart, key="reward", alt=words.text("overview.reward.alt", lang, series=series))
        note = "overview.overlay.short" if log_notes.has_log(run, series) else "overview.bands"
        st.caption(words.text(note, lang))
    with right, st.container(gap="xsmall"):
        example_card.draw(run, series, diagnoses[series], lang)
    diagnosis = diagnoses[series]
    if diagnosis is not None:
        _what_next(diagnosis, lang)


def _what_next(diagnosis: Diagnosis, lang: str) -> None:
    """Show whether the fall is normal, whether it does harm, and what people change."""
    lines = [harm_sentence(diagnosis, lang), normal_sentence(diagnosis, lang), advice_sentence(diagnosis, lang)]
    title = (blocks.TERM, words.text("overview.next", lang, series=diagnosis.series))
    blocks.safe_html(title, *((LINE, line) for line in lines if line))
