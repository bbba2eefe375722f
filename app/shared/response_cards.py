"""The answers to one prompt side by side: its text, and how far each of them moved."""

import pandas as pd
import streamlit as st

from dpo_analysis import words
from dpo_analysis.figures.theme import signed
from dpo_analysis.figures.token_view.glyphs import visible
from dpo_analysis.runs import Run
from dpo_analysis.tables.prompt_groups import answers, groups_of_several
from shared import blocks as show
from shared import cached_tables as stored
from shared import choosers as choices
from shared import state

SIDE_BY_SIDE, SHOWN = 3, 12
TEXT = "white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:plaintext;text-align:start;line-height:1.45"


def draw(run: Run, pairs: pd.DataFrame, lang: str) -> None:
    """A prompt with several pairs, chosen by the reader, and its answers; one line where there is none."""
    show.section("pairs.answers", lang)
    counts = groups_of_several(pairs)
    if counts.empty:
        show.safe_html((show.EVIDENCE, words.text("pairs.answers.none", lang)))
        return
    first = pairs.drop_duplicates("group_id").set_index("group_id")["pair_id"]
    asked = state.prompts(run)["question"]
    group = state.wanted("group", list(counts.index), str(counts.index[0]))
    st.selectbox(
        words.text("pairs.answers.pick", lang), list(counts.index), **state.bound("group", group),
        format_func=lambda key: f"({counts[key]})  {choices.label(asked[first[key]])}",
    )  # fmt: skip
    own = pairs[pairs["group_id"] == group]
    rows = answers(own, state.texts(run, own["pair_id"].tolist()))
    _cards(rows, lang)
    if len(rows) > SHOWN:
        st.caption(words.text("pairs.answers.more", lang, more=len(rows) - SHOWN))


def of_pair(run: Run, pair_id: str, lang: str) -> None:
    """The texts of one pair, and how far each moved at the last checkpoint of the series that fell most."""
    key = choices.lowest(run)
    pairs = stored.pairs_anywhere(run, key)
    show.safe_html((show.FACTS, choices.model_label(run.model(key), len(run.series) > 1, lang)))
    with st.expander(words.text("tokens.prompt", lang)):
        st.text(visible(state.prompts(run)["prompt"][pair_id]))
    rows = answers(pairs[pairs["pair_id"] == pair_id], state.texts(run, [pair_id]))
    _cards(rows.sort_values("sides", kind="stable"), lang, across=2)


def _cards(rows: pd.DataFrame, lang: str, across: int = SIDE_BY_SIDE) -> None:
    for start in range(0, min(len(rows), SHOWN), across):
        columns = st.columns(across)
        for place, row in enumerate(rows.iloc[start : start + across].to_dict("records")):
            with columns[place], st.container(border=True):
                show.safe_html((show.FACTS, _numbers(row, lang)), (TEXT, visible(row["text"])))


def _numbers(row: dict, lang: str) -> str:
    sides = " + ".join(words.text(f"side.{side}", lang) for side in row["sides"].split("+"))
    values = {"side": sides, "ratio": signed(row["log_ratio"]), "logps": signed(row["logps"], 1)}
    if pd.isna(row["n_tokens"]):
        return words.text("pairs.answers.sums", lang, **values)
    per_token = signed(row["log_ratio_per_token"], 3)
    return words.text("pairs.answers.numbers", lang, per_token=per_token, n=int(row["n_tokens"]), **values)
