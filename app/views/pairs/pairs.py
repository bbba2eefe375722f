"""Which pairs pay? Every pair as a point, the filters, and the pairs that they leave, what hurts most first."""

from functools import partial

import streamlit as st
from shared import blocks, cached_tables, choosers, response_cards, state

from dpo_analysis import figures, words
from dpo_analysis.runs import Run
from views.pairs import pair_list
from views.pairs.pair_list import FilteredPairs

ORDER, ICON = 30, ":material/scatter_plot:"


def page(run: Run) -> None:
    """Draw the page of ``run``."""
    lang = state.language()
    st.title(words.text("pairs.title", lang), anchor=False)
    facts = st.empty()
    left, right = st.columns(2)
    with left:
        key = choosers.choose_model(run, lang)
    if key is None:
        st.info(words.text("tokens.none", lang))
        return
    with right:
        pair_list.choose_order(lang)
    pair_list.choose_filters(run, key, lang)
    filtered = pair_list.filtered_pairs(run, key)
    _scatter(run, filtered, lang)
    _table(run, key, filtered, lang)
    response_cards.show_prompt_group(run, filtered.pairs, lang)
    with facts.container():
        blocks.facts(run, lang)


def _scatter(run: Run, filtered: FilteredPairs, lang: str) -> None:
    """Show every pair as a point, in which a box can be drawn."""
    blocks.section("pairs.map", lang)
    box, questions = state.box(), cached_tables.questions(run)
    options = {"lang": lang, "theme": state.theme()}
    chart = figures.drop_scatter(filtered.pairs, labels=questions, shown=filtered.kept, box=box, **options)
    key = f"{state.SCATTER}_{box}"
    blocks.selectable_figure(chart, key=key, alt=words.text("pairs.alt", lang), on_box=partial(state.set_box, key))
    if len(filtered.pairs) > figures.SCATTER_POINTS:
        counts = {"drawn": f"{figures.SCATTER_POINTS:,}", "total": f"{len(filtered.pairs):,}"}
        st.caption(words.text("pairs.thinned", lang, **counts))
    with st.expander(words.text("pairs.flip.title", lang)):
        blocks.safe_html((blocks.EVIDENCE, pair_list.flip_rule(lang)))


def _table(run: Run, key: str, filtered: FilteredPairs, lang: str) -> None:
    """Show the pairs that the filters keep; a selected row opens its pair."""
    blocks.section("pairs.table", lang)
    blocks.safe_html((blocks.EVIDENCE, pair_list.counts(filtered, lang)))
    with st.container(horizontal=True):
        if state.box() is not None:
            st.button(words.text("pairs.clear", lang), on_click=state.remove_parameters, args=("box",))
        if len(filtered.rows) < len(filtered.pairs):
            everything = {"on_click": state.remove_parameters, "args": pair_list.FILTERS}
            st.button(words.text("pairs.clear_all", lang), **everything)
        if len(filtered.rows):
            data = partial(pair_list.as_csv, run, filtered.rows)
            st.download_button(words.text("pairs.download", lang), data, "pairs.csv", "text/csv", on_click="ignore")
    if filtered.rows.empty:
        st.info(words.text("pairs.none", lang))
        return
    rows = pair_list.table(run, key, filtered.rows, lang)
    row = blocks.selectable_table(rows, key=state.PAIRS, columns=pair_list.columns(rows, lang))
    if row is not None:
        state.open_page("tokens", pair=filtered.rows["pair_id"].iloc[row], at=[key])
