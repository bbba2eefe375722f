"""The tabs of the Compare page: pairs, scatter, curves, positions, steps, and what the reference changes."""

from collections.abc import Callable
from functools import partial

import streamlit as st
from shared import blocks, cached_tables, prompt_tables, state

from dpo_analysis import figures, words
from dpo_analysis.tables.policy_pairs import OUTCOMES
from views.compare import comparison, side_by_side, step_changes
from views.compare.comparison import Comparison

ROWS, ROWS_BELOW_MAP = 8, 4
"""Rows of the list of pairs that are seen at once, alone and below the scatter."""
OUTCOME_WIDTH = 110
"""Pixels of the column that says what became of a pair."""


def _reference_effect(compared: Comparison, lang: str) -> None:
    """Show what the reference changes."""
    blocks.safe_html(*((blocks.EVIDENCE, line) for line in comparison.reference_effect(compared, lang)))


def _steps(compared: Comparison, lang: str) -> None:
    """Show what moved the mean from each checkpoint of A's series to the next."""
    step_changes.draw(compared.a, lang)


def _map(compared: Comparison, lang: str) -> None:
    """Show every pair as a point, in which a box can be drawn, then the pairs of the box."""
    st.caption(words.text("compare.scatter.caption", lang))
    box, questions, axis = state.box("range"), cached_tables.questions(compared.a.run), comparison.axis(compared, lang)
    options = {"lang": lang, "theme": state.theme()}
    chart = figures.pair_changes(compared.pairs, axis=axis, labels=questions, box=box, **options)
    key, alt = f"{state.CHANGES}_{box}", words.text("compare.tab.map", lang)
    blocks.selectable_figure(chart, key=key, alt=alt, on_box=partial(state.set_box, key, "range"))
    _pairs(compared, lang, ROWS_BELOW_MAP)


def _pairs(compared: Comparison, lang: str, most: int = ROWS) -> None:
    """Show the list of pairs, of which ``most`` rows are in view, and the tokens of the chosen pair."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        widget = state.bind("outcome", state.choices("outcome", list(OUTCOMES)))
        widget["format_func"] = lambda name: words.text(f"compare.outcome.{name}", lang)
        st.pills(words.text("compare.outcome", lang), list(OUTCOMES), selection_mode="multi", **widget)
        if state.box("range") is not None:
            st.button(words.text("pairs.clear", lang), on_click=state.remove_parameters, args=("range",))
    rows = comparison.listed_pairs(compared)
    if rows.empty:
        st.info(words.text("compare.movers.none", lang))
        return
    ids, table = rows["pair_id"].tolist(), comparison.table(compared.a.run, rows, lang)
    select = partial(state.set_from_row, state.MOVERS, "pair", ids)
    outcome, prompt = (words.text(f"compare.column.{name}", lang) for name in ("outcome", "prompt"))
    columns = prompt_tables.columns(table, prompt, widths={outcome: OUTCOME_WIDTH})
    height = prompt_tables.height(len(rows), most)
    blocks.selectable_table(table, key=state.MOVERS, columns=columns, on_select=select, height=height)
    unit = words.text("unit.nats" if compared.bare else "unit.beta_x_nats", lang)
    st.caption(words.text("compare.movers.caption", lang, unit=unit))
    side_by_side.draw(compared, state.choice("pair", compared.pairs["pair_id"].tolist(), ids[0]), lang)


def _curves(compared: Comparison, lang: str) -> None:
    """Show the curves of both series."""
    st.caption(words.text("compare.curves.caption", lang))
    draw = figures.logp_curves if compared.bare else figures.reward_curves
    if not compared.bare or comparison.have_tokens(compared, lang):
        chart = draw(comparison.curves(compared), layout="together", lang=lang, theme=state.theme())
        blocks.figure(chart, key="both", alt=words.text("compare.tab.curves", lang))


def _profile(compared: Comparison, lang: str) -> None:
    """Show the difference by position in the response."""
    st.caption(words.text("compare.profile.caption", lang))
    if not comparison.have_tokens(compared, lang):
        return
    if compared.bare and not compared.same_reference:
        st.info(words.text("compare.profile.other", lang))
        return
    chart = figures.position_change(comparison.position_changes(compared), lang=lang, theme=state.theme())
    blocks.figure(chart, key="profile", alt=words.text("compare.tab.profile", lang))


TABS: dict[str, Callable[[Comparison, str], None]] = {
    "pairs": _pairs,
    "map": _map,
    "curves": _curves,
    "profile": _profile,
    "steps": _steps,
    "reference": _reference_effect,
}
"""What each tab shows."""
