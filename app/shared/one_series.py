"""What pages need of one series: the chooser, its last checkpoint, and its diagnosis."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from dpo_analysis import words
from dpo_analysis.diagnosis import Diagnosis
from dpo_analysis.diagnosis.saved_diagnosis import is_saved
from dpo_analysis.figures.labels import checkpoint_label
from dpo_analysis.runs import Run
from shared import cached_tables, choosers, markup, state

QUICK_PAIRS = 4000
"""Pairs of a run up to which a diagnosis that was not saved is made while a page is drawn."""
MOST_BUTTONS = 5
"""Series up to which the chooser is a row of buttons."""


def choose_series(names: Sequence[str], lang: str) -> str:
    """Draw the chooser of the series whose curves are shown, where there are several, and return its name."""
    value = state.choice("series", names, names[0])
    if len(names) < 2:
        return value
    label, widget = words.text("overview.series", lang), state.bind("series", value)
    if len(names) <= MOST_BUTTONS:
        widget["format_func"] = markup.label
        st.segmented_control(label, names, required=True, label_visibility="collapsed", **widget)
    else:
        st.selectbox(label, names, label_visibility="collapsed", **widget)
    return value


def last_checkpoint(run: Run, series: str) -> str | None:
    """Return SERIES/NAME of the last checkpoint of a series that is scored; None where none is."""
    return next((key for key, model in reversed(choosers.scored_models(run).items()) if model.series == series), None)


def row_label(row: Any, lang: str) -> str:
    """Return the step of a row of the step table, else the name of its checkpoint."""
    return checkpoint_label(row["step"], str(row["model"]), lang)


def series_diagnosis(run: Run, series: str) -> Diagnosis | None:
    """Return the diagnosis of a series at its last checkpoint; None where it is not saved and takes long to make."""
    last = last_checkpoint(run, series)
    if last is None or (run.n_pairs > QUICK_PAIRS and not is_saved(run)):
        return None
    return cached_tables.diagnosis(run, last)
