"""Widgets of the Tokens page: checkpoints, colour, unit, marks, the 80 % switch and the scale; all in the URL."""

from collections.abc import Sequence
from typing import Literal

import streamlit as st
from shared import blocks, cached_tables, choosers, layout, markup, state
from shared.terms import terms_help

from dpo_analysis import figures, words
from dpo_analysis.figures.token_view.colors import missing_colors
from dpo_analysis.runs import Run
from views.tokens.panels import Display

SCALES = ("pair", "run")
"""What the full colour is taken over: the pair, or a sample of the run's pairs."""
COLOR_TERMS = ("logp", "advantage", "value", "credit")
"""The terms of the glossary that explain the colours."""


def choose(run: Run, pair_id: str, lang: str) -> Display:
    """Draw the widgets, and return what is chosen."""
    left, right = layout.columns([5, 2], "colours", 12, vertical_alignment="bottom")
    with left:
        models = choosers.choose_checkpoints(run, pair_id, lang)
    missing = missing_colors(cached_tables.tokens(run, pair_id))
    with right:
        colors = [name for name in figures.COLORS if name not in missing]
        color = _select("color", colors, lang, about=terms_help(COLOR_TERMS, lang))
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        unit = _select("unit", figures.UNITS, lang, about=words.text("tokens.unit.help", lang), width=150)
        over_run = _choose_scale(lang) == SCALES[1]
        marks = _toggle("marks", lang)
        most = _toggle("most", lang)
    # A container even where there is no note: Streamlit names the fragment that follows by its place on the page, and
    # drops a click or key on the token view that was sent under a name that no longer exists.
    with st.container():
        _missing_colors_note(missing, lang)
    return Display(pair_id, tuple(models), color, unit, marks, most, over_run)


def has_moved(run: Run, pair_id: str) -> bool:
    """Return whether the URL names another pair of the selector than this one, since j or k was pressed."""
    requested = st.query_params.get("pair", pair_id)
    return requested != pair_id and bool(cached_tables.lowest_pairs(run)["pair_id"].eq(requested).any())


def choose_gain_model(run: Run, models: tuple[str, ...], lang: str) -> str:
    """Draw the switch between the checkpoints shown, and return the one whose gains are listed; at first the last."""
    requested = st.query_params.get("under", "")
    value, scored = requested if requested in models else models[-1], choosers.scored_models(run)
    if len(models) > 1:
        st.segmented_control(
            words.text("tokens.gain.under", lang),
            list(models),
            required=True,
            format_func=lambda key: markup.label(choosers.model_label(scored[key], len(run.series) > 1, lang)),
            **state.bind("under", value),
        )
    return value


def _missing_colors_note(missing: dict[str, str], lang: str) -> None:
    """Show which colours this pair has no values for, and what has to be collected for them."""
    for needs in dict.fromkeys(missing.values()):
        names = ", ".join(words.text(f"tokens.color.{name}", lang) for name in missing if missing[name] == needs)
        blocks.safe_html((blocks.NOTE, words.text("tokens.color.absent", lang, names=names, needs=needs)))


def _select(
    name: str, options: Sequence[str], lang: str, *, about: str, width: int | Literal["stretch"] = "stretch"
) -> str:
    value = state.choice(name, list(options), options[0])
    st.selectbox(
        words.text(f"tokens.{name}", lang),
        list(options),
        width=width,
        help=about,
        format_func=lambda option: words.text(f"tokens.{name}.{option}", lang),
        **state.bind(name, value),
    )
    return value


def _toggle(name: str, lang: str) -> bool:
    value = state.is_on(name)
    st.toggle(words.text(f"tokens.{name}", lang), **state.bind(name, value))
    return value


def _choose_scale(lang: str) -> str:
    value = state.choice("scale", SCALES, SCALES[0])
    st.segmented_control(
        words.text("tokens.scale", lang),
        SCALES,
        required=True,
        format_func=lambda scale: words.text(f"tokens.scale.{scale}", lang),
        **state.bind("scale", value),
    )
    return value
