"""The checks of a run, the gravest first, and the pairs that one of them is about."""

import pandas as pd
import streamlit as st
from shared import blocks as show
from shared import choosers as choices
from shared import state

from dpo_analysis import words
from dpo_analysis.diagnosis import VERDICTS, Check
from dpo_analysis.figures.check_texts import answer, mark, question
from dpo_analysis.runs import Run
from dpo_analysis.schema import SCORED

ROW = "line-height:1.5;overflow-wrap:anywhere"


def draw(found: list[Check], lang: str) -> None:
    """Every check: a box for what did not pass, with a way to its pairs; a line for what did."""
    for check in found:
        if check.verdict != "pass":
            _box(check, lang)
    good = [check for check in found if check.verdict == "pass"]
    show.safe_html(*((ROW, f"✓ {question(check, lang)} – {answer(check, lang)}") for check in good))


def _box(check: Check, lang: str) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        head = f"{mark(check, lang)}: {question(check, lang)}"
        with st.container():
            show.safe_html((f"{ROW};font-weight:600", head), (ROW, answer(check, lang)))
        if check.pair_ids:
            st.button(
                words.text("checks.show", lang), key=f"check_{check.name}", on_click=state.put,
                args=("check", check.name), width="content",
            )  # fmt: skip


def counted(found: list[Check], lang: str) -> str:
    """How many checks have which verdict."""
    counts = {name: sum(check.verdict == name for check in found) for name in VERDICTS}
    return words.text("checks.count", lang, good=counts.pop("pass"), **counts)


def chosen(found: list[Check]) -> Check | None:
    """The check that the URL names, if it is about pairs."""
    asked = state.wanted("check", ["", *(check.name for check in found)], "")
    return next((check for check in found if check.name == asked and check.pair_ids), None)


def examples(run: Run, check: Check, lang: str) -> None:
    """The pairs of a check; one that is scored opens on Tokens."""
    pairs = run.pairs(columns=["pair_id", "split", "status"]).to_pandas().set_index("pair_id").loc[list(check.pair_ids)]
    st.header(words.text("checks.examples.title", lang), anchor=False)
    asked = {"question": question(check, lang), "n": len(pairs)}
    show.safe_html((ROW, words.text("checks.examples", lang, **asked)))
    place = show.pickable(_rows(run, pairs, lang), key=state.EXAMPLES)
    if place is None:
        return
    status = str(pairs["status"].iloc[place])
    if status in SCORED:
        state.go("tokens", pair=str(pairs.index[place]), split=str(pairs["split"].iloc[place]))
    st.info(words.text("checks.examples.none", lang, status=words.text(f"status.{status}", lang)))


def _rows(run: Run, pairs: pd.DataFrame, lang: str) -> pd.DataFrame:
    asked = state.prompts(run)["question"]
    columns = {
        "prompt": [choices.short(asked[one]) for one in pairs.index],
        "split": pairs["split"].to_numpy(),
        "status": [words.text(f"status.{one}", lang) for one in pairs["status"]],
    }
    return pd.DataFrame({words.text(f"checks.column.{name}", lang): values for name, values in columns.items()})
