"""The widgets of the Tokens page: checkpoints, colour, unit, marks, the 80 % switch, the scale; all in the URL."""

from typing import Literal

import streamlit as st
from shared import blocks as show
from shared import choosers as choices
from shared import state

from dpo_analysis import figures, words
from dpo_analysis.figures.token_view.colors import absent
from dpo_analysis.runs import Run
from views.tokens.panels import Shown

SCALES = ("pair", "run")


def choose(run: Run, pair_id: str, lang: str) -> Shown:
    """Draw the widgets, and say what is chosen."""
    left, right = st.columns([5, 2], vertical_alignment="bottom")
    with left:
        models = choices.choose_models(run, pair_id, lang)
    with right:
        color = _color(run, pair_id, lang)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        unit = _one_of("unit", figures.UNITS, lang, help_key="tokens.unit.help", width=150)
        over_run = _scale(lang) == SCALES[1]
        marks = _switch("marks", lang)
        most = _switch("most", lang)
    # One place with notes or without: Streamlit names the fragment behind it by its place, and drops what a click or
    # key on the view asks of a name that is gone.
    with st.container():
        _absent(run, pair_id, lang)
    return Shown(pair_id, tuple(models), color, unit, marks, most, over_run)


def has_moved(run: Run, pair_id: str) -> bool:
    """Whether the URL names another pair of the selector than this one, since j or k was pressed."""
    asked = st.query_params.get("pair", pair_id)
    return asked != pair_id and bool(state.fallen(run)["pair_id"].eq(asked).any())


def choose_under(run: Run, models: tuple[str, ...], lang: str) -> str:
    """The checkpoint whose gains are shown, of those side by side; at first the last."""
    asked = st.query_params.get("under", "")
    value, scored = asked if asked in models else models[-1], choices.scored_models(run)
    if len(models) > 1:
        st.segmented_control(
            words.text("tokens.gain.under", lang), list(models), required=True, **state.bound("under", value),
            format_func=lambda key: choices.model_label(scored[key], len(run.series) > 1, lang),
        )  # fmt: skip
    return value


def _color(run: Run, pair_id: str, lang: str) -> str:
    missing = absent(state.tokens(run, pair_id))
    return _one_of("color", [name for name in figures.COLORS if name not in missing], lang)


def _absent(run: Run, pair_id: str, lang: str) -> None:
    """Which colours this pair has no values for, and what they need."""
    missing = absent(state.tokens(run, pair_id))
    for needs in dict.fromkeys(missing.values()):
        names = ", ".join(words.text(f"tokens.color.{name}", lang) for name in missing if missing[name] == needs)
        show.safe_html((show.NOTE, words.text("tokens.color.absent", lang, names=names, needs=needs)))


def _one_of(name: str, options, lang: str, help_key: str = "", width: int | Literal["stretch"] = "stretch") -> str:
    value = state.wanted(name, list(options), options[0])
    st.selectbox(
        words.text(f"tokens.{name}", lang), list(options), width=width,
        help=words.text(help_key, lang) if help_key else None,
        format_func=lambda one: words.text(f"tokens.{name}.{one}", lang), **state.bound(name, value),
    )  # fmt: skip
    return value


def _switch(name: str, lang: str) -> bool:
    value = state.is_on(name)
    st.toggle(words.text(f"tokens.{name}", lang), **state.bound(name, value))
    return value


def _scale(lang: str) -> str:
    value = state.wanted("scale", SCALES, SCALES[0])
    st.segmented_control(
        words.text("tokens.scale", lang), SCALES, required=True, **state.bound("scale", value),
        format_func=lambda one: words.text(f"tokens.scale.{one}", lang),
    )  # fmt: skip
    return value
