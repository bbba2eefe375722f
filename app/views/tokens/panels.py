"""What the Tokens page shows of a pair: the token view's panels, their scale, and the top tokens at a position."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st
from shared import blocks, cache, cached_tables, state
from shared.choosers import Token

from dpo_analysis import words
from dpo_analysis.arrays.selection import sample_pair_ids
from dpo_analysis.figures.heatmaps import token_names
from dpo_analysis.figures.scales import with_change
from dpo_analysis.figures.token_view.glyphs import visible
from dpo_analysis.figures.token_view.grid import color_scale
from dpo_analysis.figures.token_view.payload import payload
from dpo_analysis.runs import Run
from dpo_analysis.tables.tokens import token_table
from dpo_analysis.tables.top_tokens import ITSELF, TopTokens, top_tokens, without_fragments
from dpo_analysis.text.numbers import percent

TOKEN_COLUMNS = ["series", "model", "advantage", "logp", "reference_logp", "rank", "entropy"]
TOP_COLUMNS = ["text", "kind", "reference_probability", "probability", "gain"]


@dataclass(frozen=True, slots=True)
class Display:
    """A pair and how its tokens are shown.

    Attributes:
        pair_id: the pair.
        models: its checkpoints side by side, as SERIES/NAME.
        color: one of ``figures.COLORS``.
        unit: one of ``figures.UNITS``.
        marks: whether tokens shared by both responses are marked.
        most: whether all but the largest falls are dimmed.
        over_run: whether the scale is taken over a sample of the run's pairs, so that it is the same for every pair.
    """

    pair_id: str
    models: tuple[str, ...]
    color: str
    unit: str
    marks: bool
    most: bool
    over_run: bool


def token_panels(run: Run, display: Display) -> dict[str, Any]:
    """Return the payload of the token view at the chosen beta."""
    lang = state.language()
    about = words.text("tokens.scale.pair.about", lang)
    if display.over_run:
        about = words.text("tokens.scale.run.about", lang, pairs=len(cache.cached(sample_pair_ids, run)))
    selection = {"pair_id": display.pair_id, "models": display.models, "beta": state.beta()}
    options = {"color": display.color, "unit": display.unit, "marks": display.marks, "most": display.most, "lang": lang}
    scale = _scale(run, display, display.unit)
    return cache.cached(_payload, run, **selection, scale=scale, about=about, **options)


def colored_tokens(run: Run, display: Display) -> tuple[pd.DataFrame, float]:
    """Return the tokens of the first checkpoint's series with ``change`` since that checkpoint, and their scale."""
    base = display.models[0]
    tokens = with_change(cached_tables.tokens(run, display.pair_id), base)
    return tokens[tokens["series"] == base.partition("/")[0]], _scale(run, display, "token")


def token_rows(tokens: pd.DataFrame, token: Token, lang: str) -> pd.DataFrame:
    """Return one token under every checkpoint, as it is shown in a table."""
    rows = tokens[(tokens["side"] == token["side"]) & (tokens["position"] == token["position"])][TOKEN_COLUMNS]
    return rows.rename(columns={name: words.text(f"tokens.column.{name}", lang) for name in TOKEN_COLUMNS})


def top_tokens_of(run: Run, display: Display, token: Token, model: str) -> TopTokens | None:
    """Return the tokens that gained where ``token`` stands, under one checkpoint; None where it was not collected."""
    return cache.cached(top_tokens, run, pair_id=display.pair_id, model=model, **token)


def token_name(tokens: pd.DataFrame, token: Token) -> str:
    """Return how a token of a pair is written; one of several that share a character is numbered: ``好 1/2``."""
    return token_names(tokens[tokens["side"] == token["side"]])[token["position"]]


def draw_top_tokens(top: TopTokens | None, name: str, lang: str) -> None:
    """Show the tokens that gained where the token ``name`` stands, and how much probability moved there in all."""
    if top is None:
        st.caption(words.text("tokens.gain.none", lang))
        return
    st.caption(words.text("tokens.gain.moved", lang, moved=percent(top.moved)))
    table = without_fragments(top.table)
    rows = table[TOP_COLUMNS].assign(
        text=[
            name if kind == ITSELF else visible(text) for text, kind in zip(table["text"], table["kind"], strict=True)
        ],
        kind=[words.text(f"tokens.gain.{kind}", lang) for kind in table["kind"]],
    )
    headings = {name: words.text(f"tokens.gain.column.{name}", lang) for name in TOP_COLUMNS}
    blocks.table(rows.rename(columns=headings), "%.4f")


def _scale(run: Run, display: Display, unit: str) -> float:
    """Return the value that gets the full colour."""
    series = tuple(dict.fromkeys(key.partition("/")[0] for key in display.models))
    options = {"color": display.color, "unit": unit, "base": display.models[0], "beta": state.beta()}
    pair = {} if display.over_run else {"pair_id": display.pair_id}
    return cache.cached(_color_scale, run, series=series, **pair, **options)


def _color_scale(
    run: Run, *, series: Sequence[str], color: str, unit: str, base: str, beta: float | None, pair_id: str = ""
) -> float:
    """Return the scale over every checkpoint of these series, of one pair or of a sample of the run's pairs."""
    ids = [pair_id] if pair_id else sample_pair_ids(run)
    return color_scale(token_table(run, pair_id=ids, series=list(series), beta=beta), color, unit, base)


def _payload(run: Run, *, pair_id: str, models: Sequence[str], beta: float | None, **options: Any) -> dict[str, Any]:
    table = token_table(run, pair_id=pair_id, model=list(models), beta=beta)
    keys = table["series"] + "/" + table["model"]
    rows = pd.concat([table[keys == key] for key in models], ignore_index=True)
    return payload(rows, noise=run.noise_floor, **options)
