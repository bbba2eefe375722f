"""The pairs and the tokens that moved the mean most from each checkpoint to the next."""

import pandas as pd
import streamlit as st
from shared import blocks, cached_tables, choosers, prompt_tables, state

from dpo_analysis import words
from dpo_analysis.arrays.vocabulary import read_vocabulary
from dpo_analysis.figures.labels import one_line
from dpo_analysis.runs import Run
from dpo_analysis.text.numbers import percent
from dpo_analysis.text.token_text import is_whole_text
from views.compare.comparison import Checkpoint

PAIR_COLUMNS = ["between", "mean_change", "change", "share", "prompt"]
TOKEN_COLUMNS = ["between", "mean_change", "change", "share", "n", "text"]
ROWS, BETWEEN_WIDTH = 12, 170
"""Rows that are seen at once, and pixels of the column that names the step."""


def draw(end: Checkpoint, lang: str) -> None:
    """Show both tables of the series of ``end``; a row of the first opens its pair under both checkpoints.

    The table of tokens is computed when the reader opens it.
    """
    pairs = cached_tables.step_changes(end.run, end.key)
    if pairs.empty:
        st.info(words.text("compare.steps.one", lang))
        return
    st.caption(words.text("compare.steps.caption", lang))
    pairs = pairs.assign(prompt=prompt_tables.prompts(cached_tables.questions(end.run), pairs["pair_id"].tolist()))
    table = _table(end.run, pairs, PAIR_COLUMNS, lang)
    columns = prompt_tables.columns(table, table.columns[-1], widths={table.columns[0]: BETWEEN_WIDTH})
    height = prompt_tables.height(len(table), ROWS)
    selected = blocks.selectable_table(table, key=state.STEPS, columns=columns, height=height)
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
                _draw_tokens(end.run, tokens, lang)


def _draw_tokens(run: Run, tokens: pd.DataFrame, lang: str) -> None:
    """Show the tokens, and how many are left out because nobody could read them: parts of a character."""
    token_bytes = read_vocabulary(run).bytes_and_texts(tokens["token_id"].to_numpy())[0]
    is_whole = [is_whole_text(content) for content in token_bytes]
    whole = tokens[is_whole]
    blocks.table(_table(run, whole.assign(text=[one_line(text) for text in whole["text"]]), TOKEN_COLUMNS, lang))
    if not all(is_whole):
        st.caption(words.text("compare.steps.fragments", lang, n=len(tokens) - len(whole)))


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
