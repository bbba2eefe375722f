"""The pairs with the lowest chosen reward, as a small table whose rows open the Tokens page."""

import pandas as pd
import streamlit as st
from shared import blocks, cached_tables, choosers, prompt_tables, state
from shared.terms import term_help

from dpo_analysis import words
from dpo_analysis.figures.labels import text_width
from dpo_analysis.runs import Run

MAX_PAIRS = 8
LEAST, MOST, LETTER = 110, 260, 7
"""Pixels of the column that names series and checkpoint: the least, the most, and of a letter."""
NUMBERS = ["chosen_reward", "rejected_reward", "margin", "chosen_n_tokens"]
TERMS = {"chosen_reward": "reward", "rejected_reward": "reward", "margin": "margin"}
"""The terms of the glossary that explain the columns."""


def draw(run: Run, lang: str) -> None:
    """Show the table; a selected row opens its pair."""
    st.caption(words.text("overview.worst.caption", lang))
    pairs = cached_tables.lowest_pairs(run).head(MAX_PAIRS)
    rows = _rows(pairs, run, lang)
    checkpoint, prompt = (words.text(f"overview.column.{name}", lang) for name in ("model", "prompt"))
    longest = max((text_width(name) for name in rows[checkpoint]), default=0)
    width = min(MOST, max(LEAST, round(24 + LETTER * longest)))
    columns = prompt_tables.columns(rows, prompt, widths={checkpoint: width}, form="%.3f")
    for name, term in TERMS.items():
        heading = words.text(f"overview.column.{name}", lang)
        if heading in columns:
            columns[heading]["help"] = term_help(term, lang)
    row = blocks.selectable_table(rows, key=state.WORST, columns=columns)
    if row is not None:
        state.open_page("tokens", pair=pairs["pair_id"].iloc[row])


def _rows(pairs: pd.DataFrame, run: Run, lang: str) -> pd.DataFrame:
    several = len(run.series) > 1
    keys = pairs["series"] + "/" + pairs["model"]
    # A run that was imported as sums has no number of tokens.
    rows = pairs[[name for name in NUMBERS if pairs[name].notna().any()]].reset_index(drop=True)
    rows["prompt"] = prompt_tables.prompts(cached_tables.questions(run), pairs["pair_id"].tolist())
    rows.insert(0, "model", [choosers.model_label(run.model(key), several, lang) for key in keys])
    return rows.rename(columns={name: words.text(f"overview.column.{name}", lang) for name in rows})
