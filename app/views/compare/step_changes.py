"""The pairs and the tokens that moved the mean most from each checkpoint to the next."""

import pandas as pd
import streamlit as st
from shared import blocks, cached_tables, choosers, state

from dpo_analysis import words
from dpo_analysis.figures.labels import one_line
from dpo_analysis.runs import Run
from dpo_analysis.text.numbers import percent
from views.compare.comparison import Checkpoint

PAIR_COLUMNS = ["between", "mean_change", "prompt", "change", "share"]
TOKEN_COLUMNS = ["between", "mean_change", "text", "n", "change", "share"]


def draw(end: Checkpoint, lang: str) -> None:
    """Show both tables of the series of ``end``; a row of the first opens its pair under both checkpoints.

    The table of tokens is computed when the reader opens it.
    """
    blocks.section("compare.steps", lang)
    pairs = cached_tables.step_changes(end.run, end.key)
    if pairs.empty:
        st.info(words.text("compare.steps.one", lang))
        return
    questions = cached_tables.questions(end.run)
    pairs = pairs.assign(prompt=[choosers.short_prompt(questions[pair_id]) for pair_id in pairs["pair_id"]])
    selected = blocks.selectable_table(_table(end.run, pairs, PAIR_COLUMNS, lang), key=state.STEPS)
    if selected is not None:
        row = pairs.iloc[selected]
        keys = [f"{row['series']}/{name}" for name in (row["before"], row["model"])]
        policies = {model.key for model in end.run.models}
        state.open_page("tokens", pair=row["pair_id"], at=[key for key in keys if key in policies])
    if blocks.has_tokens(end.run, lang):
        expander = st.expander(words.text("compare.steps.tokens", lang), key=state.STEP_TOKENS, on_change="rerun")
        if expander.open:
            with expander:
                tokens = cached_tables.step_changes(end.run, end.key, by_token=True)
                tokens = tokens.assign(text=[one_line(text) for text in tokens["text"]])
                blocks.table(_table(end.run, tokens, TOKEN_COLUMNS, lang))


def _table(run: Run, rows: pd.DataFrame, columns: list[str], lang: str) -> pd.DataFrame:
    """Return the rows as they are shown: steps named, shares only where all changes go the same way."""
    labels = {model.name: choosers.model_label(model, False, lang) for model in run.models}
    labels |= {run.reference.name: words.text("compare.reference", lang)}
    between = [
        f"{labels[before]} → {labels[after]}" for before, after in zip(rows["before"], rows["model"], strict=True)
    ]
    shares = [percent(share) if 0 <= share <= 1 else "–" for share in rows["share"]]
    shown = rows.assign(between=between, share=shares)[columns]
    return shown.rename(columns={name: words.text(f"compare.steps.column.{name}", lang) for name in columns})
