"""Step by step: the pairs and the tokens that moved the mean most between neighbouring checkpoints."""

import pandas as pd
import streamlit as st
from shared import blocks as show
from shared import cached_tables as stored
from shared import choosers as choices
from shared import state

from dpo_analysis import words
from dpo_analysis.figures.theme import percent
from dpo_analysis.runs import Run
from views.compare import comparison as comparing

PAIR_COLUMNS = ["between", "mean_change", "prompt", "change", "share"]
TOKEN_COLUMNS = ["between", "mean_change", "text", "n", "change", "share"]


def draw(end: comparing.End, lang: str) -> None:
    """Both tables of the series of ``end``; a row of the first opens its pair under both checkpoints.

    What the second says is added up when it is opened.
    """
    show.section("compare.steps", lang)
    pairs = stored.steps_of(end.run, end.key)
    if pairs.empty:
        st.info(words.text("compare.steps.one", lang))
        return
    asked = state.prompts(end.run)["question"]
    pairs = pairs.assign(prompt=[choices.short(asked[one]) for one in pairs["pair_id"]])
    picked = show.pickable(_shown(end.run, pairs, PAIR_COLUMNS, lang), key=state.STEPS)
    if picked is not None:
        row = pairs.iloc[picked]
        names = [name for name in (row["before"], row["model"]) if f"{row['series']}/{name}" in _keys(end.run)]
        state.go("tokens", pair=row["pair_id"], at=[f"{row['series']}/{name}" for name in names])
    if show.has_tokens(end.run, lang):
        box = st.expander(words.text("compare.steps.tokens", lang), key=state.STEP_TOKENS, on_change="rerun")
        if box.open:
            with box:
                _tokens(end, lang)


def _tokens(end: comparing.End, lang: str) -> None:
    tokens = stored.steps_of(end.run, end.key, tokens=True)
    shown = _shown(end.run, tokens.assign(text=[choices.label(one) for one in tokens["text"]]), TOKEN_COLUMNS, lang)
    st.dataframe(shown, hide_index=True, column_config=show.decimals(shown))


def _keys(run: Run) -> set[str]:
    return {model.key for model in run.models}


def _shown(run: Run, rows: pd.DataFrame, columns: list[str], lang: str) -> pd.DataFrame:
    """The rows as they are read: steps named, shares only where all changes go the same way."""
    names = {model.name: choices.model_label(model, False, lang) for model in run.models}
    names |= {run.reference.name: words.text("compare.reference", lang)}
    between = [f"{names[a]} → {names[b]}" for a, b in zip(rows["before"], rows["model"], strict=True)]
    shares = [percent(share) if 0 <= share <= 1 else "–" for share in rows["share"]]
    shown = rows.assign(between=between, share=shares)[columns]
    return shown.rename(columns={name: words.text(f"compare.steps.column.{name}", lang) for name in columns})
