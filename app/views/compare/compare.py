"""What changed from A to B? Two checkpoints, two series or two runs, on the same pairs."""

from functools import partial

import streamlit as st
from shared import blocks, cached_tables, state

from dpo_analysis import figures, words
from dpo_analysis.runs import Run
from dpo_analysis.tables.policy_pairs import OUTCOMES
from views.compare import comparison, side_by_side, step_changes
from views.compare.comparison import Comparison

ORDER, ICON = 50, ":material/compare_arrows:"


def page(run: Run) -> None:
    """Draw the page of ``run``."""
    lang = state.language()
    st.title(words.text("compare.title", lang), anchor=False)
    facts = st.empty()
    checkpoints = comparison.choose_checkpoints(run, lang)
    if checkpoints is None:
        st.info(words.text("compare.none", lang))
        return
    compared = comparison.compare(checkpoints, comparison.choose_view(lang))
    with facts.container():
        blocks.facts(run, lang)
    if compared.pairs.empty:
        st.info(words.text("compare.none.pairs", lang))
        return
    blocks.safe_html((blocks.EVIDENCE, comparison.summary(compared, lang)), *comparison.left_out(compared, lang))
    with st.expander(words.text("compare.effect.title", lang), expanded=compared.bare):
        blocks.safe_html((blocks.EVIDENCE, comparison.reference_effect(compared, lang)))
    _pairs(compared, lang)
    _over_training(compared, lang)
    step_changes.draw(compared.a, lang)


def _pairs(compared: Comparison, lang: str) -> None:
    """Show every pair as a point, the list of pairs, and the tokens of the chosen pair."""
    blocks.section("compare.scatter", lang)
    box, questions, axis = state.box("range"), cached_tables.questions(compared.a.run), comparison.axis(compared, lang)
    options = {"lang": lang, "theme": state.theme()}
    chart = figures.pair_changes(compared.pairs, axis=axis, labels=questions, box=box, **options)
    key, alt = f"{state.CHANGES}_{box}", words.text("compare.scatter.title", lang)
    blocks.selectable_figure(chart, key=key, alt=alt, on_box=partial(state.set_box, key, "range"))
    blocks.section("compare.movers", lang)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        widget = state.bind("outcome", state.choices("outcome", list(OUTCOMES)))
        widget["format_func"] = lambda name: words.text(f"compare.outcome.{name}", lang)
        st.pills(words.text("compare.outcome", lang), list(OUTCOMES), selection_mode="multi", **widget)
        if box is not None:
            st.button(words.text("pairs.clear", lang), on_click=state.remove_parameters, args=("range",))
    rows = comparison.listed_pairs(compared)
    if rows.empty:
        st.info(words.text("compare.movers.none", lang))
        return
    ids, table = rows["pair_id"].tolist(), comparison.table(compared.a.run, rows, lang)
    select = partial(state.set_from_row, state.MOVERS, "pair", ids)
    blocks.selectable_table(table, key=state.MOVERS, on_select=select)
    side_by_side.draw(compared, state.choice("pair", compared.pairs["pair_id"].tolist(), ids[0]), lang)


def _over_training(compared: Comparison, lang: str) -> None:
    """Show the curves of both series, and the difference by position in the response."""
    blocks.section("compare.curves", lang)
    draw = figures.logp_curves if compared.bare else figures.reward_curves
    if not compared.bare or comparison.have_tokens(compared, lang):
        chart = draw(comparison.curves(compared), layout="together", lang=lang, theme=state.theme())
        blocks.figure(chart, key="both", alt=words.text("compare.curves.title", lang))
    blocks.section("compare.profile", lang)
    if not comparison.have_tokens(compared, lang):
        return
    if compared.bare and not compared.same_reference:
        st.info(words.text("compare.profile.other", lang))
        return
    chart = figures.position_change(comparison.position_changes(compared), lang=lang, theme=state.theme())
    blocks.figure(chart, key="profile", alt=words.text("compare.profile.title", lang))
