"""Why did the chosen reward fall? The answer for one checkpoint, what happened, and a card for each cause."""

import streamlit as st
from shared import blocks, cached_tables, choosers, layout, state
from shared.tabs import tabs

from dpo_analysis import words
from dpo_analysis.diagnosis import Diagnosis
from dpo_analysis.diagnosis.findings import CANNOT_TELL, LIKELY, UNLIKELY
from dpo_analysis.diagnosis.outcome.why import GRAVE_STATES, state_of, state_sentence, why
from dpo_analysis.figures.theme import VERDICTS
from dpo_analysis.runs import Run
from views.causes import cards, evidence_tabs, what_happened

ORDER, ICON = 20, ":material/account_tree:"
VERDICT = "font-size:20px;line-height:1.4;font-weight:600;overflow-wrap:anywhere"


def page(run: Run) -> None:
    """Draw the page of ``run``."""
    lang = state.language()
    title, chooser = layout.columns([2, 1], "title", 12, vertical_alignment="bottom")
    heading = title.empty()
    heading.title(words.text("causes.title", lang), anchor=False)
    with chooser:
        key = choosers.choose_model(run, lang)
    blocks.facts(run, lang)
    if key is None or cached_tables.decompositions(run, key, None).empty:
        st.info(words.text("causes.none", lang))
        return
    diagnosis = cached_tables.diagnosis(run, key)
    if state_of(diagnosis) not in GRAVE_STATES:
        heading.title(words.text("causes.title.rose", lang), anchor=False)
    _headline(run, diagnosis, lang)
    what_happened.draw(diagnosis, lang)
    cards.draw(run, diagnosis, lang)
    with tabs("causes", evidence_tabs.TABS, lang, default=evidence_tabs.default_tab()) as opened:
        evidence_tabs.draw(run, diagnosis, key, opened, lang)


def _headline(run: Run, diagnosis: Diagnosis, lang: str) -> None:
    """Show the answer for the checkpoint, how sure it is, and whether such a fall is normal."""
    found = why(diagnosis, lang)
    model = choosers.model_label(run.model(diagnosis.checkpoint_shown), False, lang)
    values = {"series": diagnosis.series, "model": model, "why": found.sentence}
    without_cause = LIKELY if diagnosis.named else CANNOT_TELL if diagnosis.numbers else UNLIKELY
    verdict = found.finding.verdict if found.finding else without_cause
    color = f"color:{VERDICTS[state.theme()][verdict]}"
    labelled = [("causes.state", state_sentence(diagnosis, lang)), ("diagnosis.sure", found.sure)]
    notes = [
        words.text("console.labelled", lang, label=words.text(key, lang), text=text) for key, text in labelled if text
    ]
    blocks.safe_html(
        (f"{VERDICT};{color}", words.text("causes.headline", lang, **values)),
        *((blocks.NOTE, note) for note in notes),
    )
