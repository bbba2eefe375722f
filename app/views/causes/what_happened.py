"""What happened to the pairs of one series, and beside it where the lost probability went."""

import streamlit as st
from shared import blocks, layout, state
from shared.terms import terms_help

from dpo_analysis import figures, words
from dpo_analysis.diagnosis import Diagnosis
from dpo_analysis.diagnosis.diagnosis_text import happened_sentences
from dpo_analysis.diagnosis.outcome.why import normal_sentence, state_of


def draw(diagnosis: Diagnosis, lang: str) -> None:
    """Show what happened in three lines, and beside it where the probability went."""
    has_shares = _has_shares(diagnosis)
    left, right = layout.columns(2, "happened", 20, gap="medium") if has_shares else (st.container(), None)
    with left:
        about = terms_help(("reward", "fell", "lost"), lang)
        st.subheader(words.text("causes.happened", lang), anchor=False, help=about)
        lines = [f"• {sentence}" for sentence in happened_sentences(diagnosis, lang)]
        normal = normal_sentence(diagnosis, lang)
        blocks.safe_html(*((blocks.EVIDENCE, line) for line in [*lines, normal] if line))
        if normal:
            blocks.safe_html((blocks.NOTE, words.text("diagnosis.normal.source", lang)))
    if right is None:
        return
    with right:
        about = terms_help(("lost_share", "pushed", "pulled", "no_data", "unexplained"), lang)
        st.subheader(words.text("diagnosis.shares.title", lang), anchor=False, help=about)
        about = words.text("diagnosis.shares.caption", lang, model=diagnosis.checkpoint_used)
        blocks.safe_html((blocks.NOTE, about))
        chart = figures.share_bars(diagnosis, lang=lang, theme=state.theme())
        blocks.figure(chart, key="shares", alt=words.text("diagnosis.shares.title", lang))


def _has_shares(diagnosis: Diagnosis) -> bool:
    return bool(diagnosis.shares) and state_of(diagnosis) != "too_few"
