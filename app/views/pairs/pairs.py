"""Which pairs pay? Every pair as a point, the filters, and the pairs that they leave, what hurts most first."""

from functools import partial

import streamlit as st
from shared import blocks as show
from shared import choosers as choices
from shared import response_cards as answer_cards
from shared import state

from dpo_analysis import figures, words
from dpo_analysis.runs import Run
from views.pairs import pair_list


def page(run: Run) -> None:
    """Draw the page of ``run``."""
    lang = state.language()
    st.title(words.text("pairs.title", lang), anchor=False)
    facts = st.empty()
    left, right = st.columns(2)
    with left:
        key = choices.choose_model(run, lang)
    if key is None:
        st.info(words.text("tokens.none", lang))
        return
    with right:
        pair_list.choose_order(lang)
    pair_list.choose_filters(run, key, lang)
    found = pair_list.listed(run, key)
    _map(run, found, lang)
    _table(run, key, found, lang)
    answer_cards.draw(run, found.pairs, lang)
    with facts.container():
        show.facts(run, lang)


def _map(run: Run, found: pair_list.Listed, lang: str) -> None:
    show.section("pairs.map", lang)
    key, labels = f"{state.SCATTER}_{state.box()}", state.prompts(run)["question"]
    drawn = figures.drop_scatter(
        found.pairs, labels=labels, shown=found.kept, box=state.box(), lang=lang, theme=state.theme()
    )
    show.selectable(drawn, key=key, alt=words.text("pairs.alt", lang), on_box=partial(state.put_box, key))
    if len(found.pairs) > figures.SCATTER_POINTS:
        drawn = f"{figures.SCATTER_POINTS:,}"
        st.caption(words.text("pairs.thinned", lang, drawn=drawn, total=f"{len(found.pairs):,}"))
    with st.expander(words.text("pairs.flip.title", lang)):
        show.safe_html((show.EVIDENCE, pair_list.flip_rule(lang)))


def _table(run: Run, key: str, found: pair_list.Listed, lang: str) -> None:
    show.section("pairs.table", lang)
    show.safe_html((show.EVIDENCE, pair_list.counted(found, lang)))
    with st.container(horizontal=True):
        if state.box() is not None:
            st.button(words.text("pairs.clear", lang), on_click=state.drop, args=("box",))
        if len(found.rows) < len(found.pairs):
            st.button(words.text("pairs.clear_all", lang), on_click=state.drop, args=pair_list.FILTERS)
        if len(found.rows):
            data = partial(pair_list.as_csv, run, found.rows)
            st.download_button(words.text("pairs.download", lang), data, "pairs.csv", "text/csv", on_click="ignore")
    if found.rows.empty:
        st.info(words.text("pairs.none", lang))
        return
    rows = pair_list.table(run, key, found.rows, lang)
    picked = st.dataframe(
        rows, hide_index=True, on_select="rerun", selection_mode="single-row", key=state.PAIRS,
        column_config=pair_list.columns(rows, lang),
    )  # fmt: skip
    for row in picked["selection"]["rows"]:
        state.go("tokens", pair=found.rows["pair_id"].iloc[row], at=[key])
