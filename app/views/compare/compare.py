"""What changed from A to B? Two checkpoints, two series or two runs, on the same pairs."""

from functools import partial

import streamlit as st
from shared import blocks as show
from shared import state

from dpo_analysis import figures, words
from dpo_analysis.runs import Run
from dpo_analysis.tables import policy_pairs as comparison
from views.compare import comparison as comparing
from views.compare import side_by_side
from views.compare import step_changes as step_tables


def page(run: Run) -> None:
    """Draw the page of ``run``."""
    lang = state.language()
    st.title(words.text("compare.title", lang), anchor=False)
    facts = st.empty()
    ends = comparing.choose_ends(run, lang)
    if ends is None:
        st.info(words.text("compare.none", lang))
        return
    both = comparing.compared(ends, comparing.choose_view(lang))
    with facts.container():
        show.facts(run, lang)
    if both.pairs.empty:
        st.info(words.text("compare.none.pairs", lang))
        return
    show.safe_html((show.EVIDENCE, comparing.summary(both, lang)), *comparing.shared(both, lang))
    with st.expander(words.text("compare.effect.title", lang), expanded=both.bare):
        show.safe_html((show.EVIDENCE, comparing.effect(both, lang)))
    _pairs(both, lang)
    _over_training(both, lang)
    step_tables.draw(both.a, lang)


def _pairs(both: comparing.Both, lang: str) -> None:
    show.section("compare.scatter", lang)
    key, labels = f"{state.CHANGES}_{state.box('range')}", state.prompts(both.a.run)["question"]
    look = {"axis": comparing.axis(both, lang), "labels": labels, "box": state.box("range")}
    drawn = figures.pair_changes(both.pairs, **look, lang=lang, theme=state.theme())
    put = partial(state.put_box, key, "range")
    show.selectable(drawn, key=key, alt=words.text("compare.scatter.title", lang), on_box=put)
    show.section("compare.movers", lang)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.pills(
            words.text("compare.outcome", lang), list(comparison.OUTCOMES), selection_mode="multi",
            format_func=lambda name: words.text(f"compare.outcome.{name}", lang),
            **state.bound("outcome", state.several("outcome", list(comparison.OUTCOMES))),
        )  # fmt: skip
        if state.box("range") is not None:
            st.button(words.text("pairs.clear", lang), on_click=state.drop, args=("range",))
    rows = comparing.listed(both)
    if rows.empty:
        st.info(words.text("compare.movers.none", lang))
        return
    shown = comparing.table(both.a.run, rows, lang)
    ids = rows["pair_id"].tolist()
    show.pickable(shown, key=state.MOVERS, on_pick=partial(state.put_picked, state.MOVERS, "pair", ids))
    side_by_side.draw(both, state.wanted("pair", both.pairs["pair_id"].tolist(), ids[0]), lang)


def _over_training(both: comparing.Both, lang: str) -> None:
    show.section("compare.curves", lang)
    curves = figures.logp_curves if both.bare else figures.reward_curves
    if not both.bare or comparing.have_tokens(both, lang):
        drawn = curves(comparing.curves(both), layout="together", lang=lang, theme=state.theme())
        show.figure(drawn, key="both", alt=words.text("compare.curves.title", lang))
    show.section("compare.profile", lang)
    if not comparing.have_tokens(both, lang):
        return
    if both.bare and not both.same_reference:
        st.info(words.text("compare.profile.other", lang))
        return
    drawn = figures.position_change(comparing.profile(both), lang=lang, theme=state.theme())
    show.figure(drawn, key="profile", alt=words.text("compare.profile.title", lang))
