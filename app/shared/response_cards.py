"""Responses to one prompt side by side: the text of each, and how far its log-prob moved."""

import pandas as pd
import streamlit as st

from dpo_analysis import words
from dpo_analysis.figures.labels import one_line
from dpo_analysis.figures.token_view.glyphs import visible
from dpo_analysis.runs import Run
from dpo_analysis.tables.prompt_groups import group_responses, groups_with_several_pairs, pair_responses
from dpo_analysis.text.numbers import signed
from shared import blocks, cached_tables, choosers, layout, state

PER_ROW, MAX_CARDS = 3, 12
TEXT = "white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:plaintext;text-align:start;line-height:1.45"


def show_prompt_group(run: Run, pairs: pd.DataFrame, lang: str) -> None:
    """Show the responses to one prompt that has several pairs, chosen by the reader; a line where no prompt has."""
    st.caption(words.text("pairs.answers.caption", lang))
    counts = groups_with_several_pairs(pairs)
    if counts.empty:
        blocks.safe_html((blocks.EVIDENCE, words.text("pairs.answers.none", lang)))
        return
    first = pairs.drop_duplicates("group_id").set_index("group_id")["pair_id"]
    questions = cached_tables.questions(run)
    group = state.choice("group", list(counts.index), str(counts.index[0]))
    st.selectbox(
        words.text("pairs.answers.pick", lang),
        list(counts.index),
        format_func=lambda key: f"({counts[key]})  {one_line(questions[first[key]])}",
        **state.bind("group", group),
    )
    members = pairs[pairs["group_id"] == group]
    responses = group_responses(members, cached_tables.texts(run, members["pair_id"].tolist()))
    _cards(responses, lang)
    if len(responses) > MAX_CARDS:
        st.caption(words.text("pairs.answers.more", lang, more=len(responses) - MAX_CARDS))


def show_pair(run: Run, pair_id: str, lang: str) -> None:
    """Show the texts of one pair and how far each moved at ``lowest_checkpoint``, for a run without tokens."""
    key = choosers.lowest_checkpoint(run)
    pairs = cached_tables.pairs_of_all_splits(run, key)
    blocks.safe_html((blocks.FACTS, choosers.model_label(run.model(key), len(run.series) > 1, lang)))
    with st.expander(words.text("tokens.prompt", lang)):
        st.text(visible(cached_tables.prompt(run, pair_id)))
    responses = pair_responses(pairs[pairs["pair_id"] == pair_id], cached_tables.texts(run, [pair_id]))
    _cards(responses.sort_values("sides", kind="stable"), lang, per_row=2)


def _cards(responses: pd.DataFrame, lang: str, per_row: int = PER_ROW) -> None:
    for start in range(0, min(len(responses), MAX_CARDS), per_row):
        columns = layout.columns(per_row, f"responses-{start}", 12)
        for column, row in zip(columns, responses.iloc[start : start + per_row].to_dict("records"), strict=False):
            with column, st.container(border=True, height="stretch"):
                blocks.safe_html((blocks.FACTS, _numbers(row, lang)), (TEXT, visible(row["text"])))


def _numbers(row: dict, lang: str) -> str:
    sides = " + ".join(words.text(f"side.{side}", lang) for side in row["sides"].split("+"))
    values = {"side": sides, "ratio": signed(row["log_ratio"]), "logps": signed(row["logps"], 1)}
    if pd.isna(row["n_tokens"]):
        return words.text("pairs.answers.sums", lang, **values)
    per_token = signed(row["log_ratio_per_token"], 3)
    return words.text("pairs.answers.numbers", lang, per_token=per_token, n=int(row["n_tokens"]), **values)
