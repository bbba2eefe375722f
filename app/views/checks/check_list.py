"""The checks of a run, the gravest first, and the pairs that one of them is about."""

import pandas as pd
import streamlit as st
from shared import blocks, cached_tables, prompt_tables, state

from dpo_analysis import words
from dpo_analysis.diagnosis import Check
from dpo_analysis.figures.check_texts import answer, mark, question
from dpo_analysis.runs import Run
from dpo_analysis.schema import SCORED

LINE = "line-height:1.5;overflow-wrap:anywhere"
ROWS, STATUS_WIDTH = 8, 150
"""Rows of the table that are seen at once, and pixels of its column of statuses."""


def draw_open(checks: list[Check], lang: str) -> None:
    """Show every check that did not pass: a box, with a button to its pairs."""
    for check in checks:
        if check.verdict != "pass":
            _box(check, lang)


def draw_passed(checks: list[Check], lang: str) -> None:
    """Show every check that passed, one line each, folded in."""
    passed = [check for check in checks if check.verdict == "pass"]
    with st.expander(words.text("checks.passed", lang, n=len(passed))):
        blocks.safe_html(*((LINE, f"✓ {question(check, lang)} – {answer(check, lang)}") for check in passed))


def _box(check: Check, lang: str) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        heading = words.text("console.labelled", lang, label=mark(check, lang), text=question(check, lang))
        with st.container():
            blocks.safe_html((f"{LINE};font-weight:600", heading), (LINE, answer(check, lang)))
        if check.pair_ids:
            show_pairs = {"on_click": state.set_parameter, "args": ("check", check.name)}
            st.button(words.text("checks.show", lang), key=f"check_{check.name}", width="content", **show_pairs)


def chosen(checks: list[Check]) -> Check | None:
    """Return the check that the URL names, if it is about pairs."""
    name = state.choice("check", ["", *(check.name for check in checks)], "")
    return next((check for check in checks if check.name == name and check.pair_ids), None)


def pairs(run: Run, check: Check, lang: str) -> None:
    """Show the pairs of a check; selecting one that is scored opens it on the Tokens page."""
    rows = run.pairs(columns=["pair_id", "split", "status"]).to_pandas().set_index("pair_id").loc[list(check.pair_ids)]
    st.header(words.text("checks.examples.title", lang), anchor=False)
    sentence = words.text("checks.examples", lang, question=question(check, lang), n=len(rows))
    blocks.safe_html((LINE, sentence))
    table = _table(run, rows, lang)
    status, prompt = (words.text(f"checks.column.{name}", lang) for name in ("status", "prompt"))
    columns = prompt_tables.columns(table, prompt, widths={status: STATUS_WIDTH})
    height = prompt_tables.height(len(table), ROWS)
    place = blocks.selectable_table(table, key=state.EXAMPLES, columns=columns, height=height)
    if place is None:
        return
    status = str(rows["status"].iloc[place])
    if status in SCORED:
        state.open_page("tokens", pair=str(rows.index[place]), split=str(rows["split"].iloc[place]))
    st.info(words.text("checks.examples.none", lang, status=words.text(f"status.{status}", lang)))


def _table(run: Run, pairs: pd.DataFrame, lang: str) -> pd.DataFrame:
    columns = {
        "split": pairs["split"].to_numpy(),
        "status": [words.text(f"status.{status}", lang) for status in pairs["status"]],
        "prompt": prompt_tables.prompts(cached_tables.questions(run), pairs.index.tolist()),
    }
    return pd.DataFrame({words.text(f"checks.column.{name}", lang): values for name, values in columns.items()})
