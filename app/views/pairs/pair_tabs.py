"""The tabs of the Pairs page that list pairs: the table alone, and the table below a scatter."""

from functools import partial

import streamlit as st
from shared import blocks, cached_tables, prompt_tables, state

from dpo_analysis import figures, words
from dpo_analysis.runs import Run
from views.pairs import pair_list, pair_marks
from views.pairs.pair_list import FilteredPairs

ROWS, ROWS_BELOW_MAP = 14, 8
"""Rows of the table that are seen at once, alone and below the scatter."""


def draw(run: Run, key: str, filtered: FilteredPairs, opened: str) -> None:
    """Show the pairs that the filters keep, in the tab "map" below a scatter of all pairs."""
    if opened == "map":
        _scatter(run, filtered, state.language())
    _table(run, key, filtered, ROWS if opened == "table" else ROWS_BELOW_MAP)


def _scatter(run: Run, filtered: FilteredPairs, lang: str) -> None:
    """Show every pair as a point, in which a box can be drawn."""
    st.caption(words.text("pairs.map.caption", lang))
    box, questions = state.box(), cached_tables.questions(run)
    options = {"lang": lang, "theme": state.theme()}
    chart = figures.drop_scatter(filtered.pairs, labels=questions, shown=filtered.kept, box=box, **options)
    key = f"{state.SCATTER}_{box}"
    blocks.selectable_figure(chart, key=key, alt=words.text("pairs.alt", lang), on_box=partial(state.set_box, key))
    if len(filtered.pairs) > figures.SCATTER_POINTS:
        counts = {"drawn": f"{figures.SCATTER_POINTS:,}", "total": f"{len(filtered.pairs):,}"}
        st.caption(words.text("pairs.thinned", lang, **counts))


def _table(run: Run, key: str, filtered: FilteredPairs, most: int) -> None:
    """Show the pairs that the filters keep; a selected row opens its pair."""
    lang = state.language()
    blocks.safe_html((blocks.EVIDENCE, pair_list.counts(filtered, lang)))
    with st.container(horizontal=True, vertical_alignment="center"):
        marking = pair_marks.choose_marking(run, filtered.rows["pair_id"], lang)
        if state.box() is not None:
            st.button(words.text("pairs.clear", lang), on_click=state.remove_parameters, args=("box",))
        if len(filtered.rows) < len(filtered.pairs):
            everything = {"on_click": state.remove_parameters, "args": pair_list.FILTERS}
            st.button(words.text("pairs.clear_all", lang), **everything)
    pair_marks.show_count(run, lang)
    if pair_list.mentions_flips():
        with st.expander(words.text("pairs.flip.title", lang)):
            blocks.safe_html((blocks.EVIDENCE, pair_list.flip_rule(lang)))
    if filtered.rows.empty:
        st.info(words.text("pairs.none", lang))
        pair_marks.downloads(run, lang)
        return
    rows = pair_list.table(run, key, filtered.rows, lang)
    options = {"columns": pair_list.columns(rows, lang), "height": prompt_tables.height(len(rows), most)}
    row = None
    if marking:
        pair_marks.table(run, rows, filtered.rows["pair_id"].head(len(rows)).tolist(), **options)
    else:
        row = blocks.selectable_table(rows, key=state.PAIRS, **options)
    st.caption(words.text(f"pairs.table.caption{'.marking' if marking else ''}", lang))
    with st.container(horizontal=True, vertical_alignment="center"):
        data = partial(pair_list.as_csv, run, filtered.rows)
        st.download_button(words.text("pairs.download", lang), data, "pairs.csv", "text/csv", on_click="ignore")
        pair_marks.downloads(run, lang)
    if row is not None:
        state.open_page("tokens", pair=filtered.rows["pair_id"].iloc[row], at=[key])
