"""Marks on pairs: which pairs the reader ticked, and the data without them, as downloads that are made when asked."""

from functools import partial
from typing import Any

import pandas as pd
import streamlit as st
from shared import blocks, cached_tables, state

from dpo_analysis import words
from dpo_analysis.cleaning import cleaned_jsonl, has_source_rows
from dpo_analysis.runs import Run


def choose_marking(run: Run, listed: pd.Series, lang: str) -> bool:
    """Draw the switch that makes the boxes of the table mark pairs, with buttons for all and for none of them.

    Args:
        run: the run.
        listed: ids of the pairs that the filters keep, in their order.
        lang: language of the page.

    Returns:
        Whether the switch is on.
    """
    marking, marked = state.is_on("marking"), _marked(run)
    st.toggle(words.text("pairs.marking", lang), **state.bind("marking", marking))
    if marking and len(listed):
        first = listed.head(state.MOST_MARKS).tolist()
        label = words.text(f"pairs.marks.all{'' if len(first) == len(listed) else '.first'}", lang, n=len(first))
        st.button(label, on_click=state.mark_pairs, args=([*marked, *first],))
    if marked:
        st.button(words.text("pairs.marks.clear", lang), on_click=state.remove_parameters, args=("marked",))
    return marking


def table(run: Run, rows: pd.DataFrame, pair_ids: list[str], *, columns: dict[str, Any], height: int) -> None:
    """Show the table of pairs with boxes that mark them; ``pair_ids`` are those of its rows."""
    marked = _marked(run)
    key, ticked = state.table_of_marks(pair_ids, marked)
    write = partial(_write, key, pair_ids, marked)
    blocks.markable_table(rows, ticked, key=key, columns=columns, height=height, on_select=write)


def show_count(run: Run, lang: str) -> None:
    """Show how many pairs are marked, if any is."""
    marked = _marked(run)
    if marked:
        blocks.safe_html((blocks.NOTE, _count(run, marked, state.split(run), lang)))


def downloads(run: Run, lang: str) -> None:
    """Draw the downloads of the marked pairs and of the data without them, if any is marked."""
    marked, split = _marked(run), state.split(run)
    if not marked:
        return
    st.download_button(
        words.text("pairs.marks.list", lang), _list(run, marked, lang), "marked.txt", "text/plain", on_click="ignore"
    )
    if has_source_rows(run):
        st.download_button(
            words.text("pairs.marks.cleaned", lang, split=split),
            partial(cleaned_jsonl, run, tuple(marked), split),
            f"{split}.cleaned.jsonl",
            "application/jsonl",
            help=words.text("pairs.marks.cleaned.help", lang),
            on_click="ignore",
        )


def _marked(run: Run) -> list[str]:
    return state.marked_pairs(cached_tables.questions(run).index)


def _write(key: str, pair_ids: list[str], marked: list[str]) -> None:
    """Write the pairs whose boxes are ticked, and the marked pairs that the table does not show, into the URL."""
    ticked = {pair_ids[row] for row in state.selected_rows(key)}
    shown = set(pair_ids)
    kept = [pair_id for pair_id in marked if pair_id not in shown or pair_id in ticked]
    state.mark_pairs([*kept, *(pair_id for pair_id in pair_ids if pair_id in ticked)])


def _count(run: Run, marked: list[str], split: str, lang: str) -> str:
    """Return how many pairs are marked, how many of them are of the split shown, and whether more can be."""
    line = words.text("pairs.marks.count", lang, n=len(marked))
    if len(run.splits) > 1:
        pairs = cached_tables.splits_of_pairs(run)
        inside = sum(pairs[pair_id] == split for pair_id in marked)
        line = words.text("pairs.marks.count.split", lang, n=len(marked), inside=inside, split=split)
    if len(marked) < state.MOST_MARKS:
        return line
    return line + ("" if lang == "zh" else " ") + words.text("pairs.marks.full", lang, most=state.MOST_MARKS)


def _list(run: Run, marked: list[str], lang: str) -> str:
    """Return the marked pairs as the file that ``export --without ids:FILE`` reads."""
    about = words.text("pairs.marks.file", lang, n=len(marked), run=" ".join(run.name.split()))
    return "\n".join([f"# {about}", *marked, ""])
